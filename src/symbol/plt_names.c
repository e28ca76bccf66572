/*
 * Owns the decoding of PLT entries: the GOT slot that one jumps through, and the relocation that
 * fills the slot.
 */
#include "symbol/plt_names.h"

#include "base/map.h"

#include <stdbool.h>
#include <string.h>

enum { PLT_ENTRY_ALIGN = 8, PLT_NAME_MAX = 4096 };

/* The bytes of a string table from `offset` on, NULL where they are no string of sane length. */
static const char *string_at(const Elf_Data *strings, size_t offset)
{
	size_t left;

	if (!strings || !strings->d_buf || offset >= strings->d_size)
		return NULL;
	left = strings->d_size - offset;
	if (left > PLT_NAME_MAX)
		left = PLT_NAME_MAX;
	return memchr((const char *)strings->d_buf + offset, 0, left)
		   ? (const char *)strings->d_buf + offset
		   : NULL;
}

/* Adds GOT slot -> name for every relocation of `section`. */
static void read_relocations(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct map *slots)
{
	Elf_Data *relocations = elf_getdata(section, NULL), *symbols, *strings;
	Elf_Scn *symbol_section = elf_getscn(elf, header->sh_link);
	GElf_Shdr symbol_header;
	GElf_Rela rela;
	GElf_Sym symbol;

	if (!relocations || !symbol_section || !gelf_getshdr(symbol_section, &symbol_header) ||
	    symbol_header.sh_type != SHT_DYNSYM)
		return;
	symbols = elf_getdata(symbol_section, NULL);
	strings = elf_getdata(elf_getscn(elf, symbol_header.sh_link), NULL);
	for (int i = 0; symbols && gelf_getrela(relocations, i, &rela); i++) {
		uint32_t type = GELF_R_TYPE(rela.r_info);
		const char *name;

		if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) ||
		    !gelf_getsym(symbols, GELF_R_SYM(rela.r_info), &symbol))
			continue;
		name = string_at(strings, symbol.st_name);
		if (name && *name)
			map_put_pointer(slots, rela.r_offset, name);
	}
}

/* `[endbr64] [bnd] jmp *disp32(%rip)`: the address of the slot; 0 where something else stands. */
static uint64_t entry_slot(const uint8_t *code, size_t bytes, uint64_t vaddr)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	size_t at = 0;
	int32_t displacement;

	if (bytes >= sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	if (at < bytes && code[at] == 0xf2)
		at++;
	if (bytes - at < 6 || code[at] != 0xff || code[at + 1] != 0x25)
		return 0;
	memcpy(&displacement, code + at + 2, sizeof(displacement));
	return vaddr + at + 6 + (int64_t)displacement;
}

static void read_entries(Elf_Scn *section, const GElf_Shdr *header, const struct map *slots,
			 void (*each)(void *, const char *, uint64_t, uint64_t), void *context)
{
	Elf_Data *data = elf_rawdata(section, NULL);
	uint64_t entry_bytes = header->sh_entsize;

	if (!data || !data->d_buf)
		return;
	if (entry_bytes != 8 && entry_bytes != 16)
		entry_bytes = 16;
	for (size_t offset = 0; offset < data->d_size; offset += PLT_ENTRY_ALIGN) {
		uint64_t vaddr = header->sh_addr + offset;
		uint64_t slot =
		    entry_slot((const uint8_t *)data->d_buf + offset, data->d_size - offset, vaddr);
		const char *name = slot ? map_get_pointer(slots, slot) : NULL;

		if (name)
			each(context, name, vaddr, entry_bytes);
	}
}

void plt_names(Elf *elf,
	       void (*each)(void *context, const char *name, uint64_t vaddr, uint64_t bytes),
	       void *context)
{
	struct map slots = {0};
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return;
	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == SHT_RELA)
			read_relocations(elf, section, &header, &slots);
	while (slots.count && (section = elf_nextscn(elf, section))) {
		const char *name =
		    gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;

		if (name && header.sh_type == SHT_PROGBITS && !strncmp(name, ".plt", 4))
			read_entries(section, &header, &slots, each, context);
	}
	map_fini(&slots);
}
