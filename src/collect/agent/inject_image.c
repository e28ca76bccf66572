/*
 * Owns what is known of the agent's file: its bytes as they are in memory, what has to be
 * relocated, its two entries. Nothing in the file is believed; an agent that needs more than
 * base-relative words (a library, a symbol of others) is refused.
 */
#include "collect/agent/inject_parts.h"

#include "base/cleanup.h"
#include "base/hash.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { IMAGE_BYTES_MAX = 16 << 20, PROGRAM_HEADERS_MAX = 64 };

struct agent_file {
	const char *path;
	uint8_t *bytes;
	uint64_t size;
};

static int bad_file(const struct agent_file *file, const char *what, struct error *error)
{
	return error_set(error, -ENOEXEC, "%s is no usable agent: %s (install htrace again)",
			 file->path, what);
}

static int file_read(struct agent_file *file, struct error *error)
{
	_cleanup_(close_fd) int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	ssize_t got;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(error, -errno, "cannot open the agent %s", file->path);
	if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof(Elf64_Ehdr) ||
	    status.st_size > IMAGE_BYTES_MAX)
		return bad_file(file, "its size", error);
	file->size = status.st_size;
	file->bytes = xmalloc(file->size);
	for (uint64_t at = 0; at < file->size; at += got) {
		got = pread(fd, file->bytes + at, file->size - at, (off_t)at);
		if (got <= 0)
			return bad_file(file, "it cannot be read to its end", error);
	}
	return 0;
}

/* [at, at + bytes) lies within `limit`. */
static bool is_inside(uint64_t at, uint64_t bytes, uint64_t limit)
{
	return at <= limit && bytes <= limit - at;
}

static uint64_t page_up(uint64_t value)
{
	return (value + INJECT_PAGE - 1) & -(uint64_t)INJECT_PAGE;
}

static int protection_of(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

/* The header, and the program headers (aligned copies). */
static int read_headers(const struct agent_file *file, Elf64_Ehdr *header,
			Elf64_Phdr programs[static PROGRAM_HEADERS_MAX], struct error *error)
{
	memcpy(header, file->bytes, sizeof(*header));
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64 ||
	    header->e_type != ET_DYN)
		return bad_file(file, "no shared library for x86-64", error);
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum > PROGRAM_HEADERS_MAX ||
	    !is_inside(header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr), file->size))
		return bad_file(file, "its program headers", error);
	memcpy(programs, file->bytes + header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr));
	return 0;
}

static int load_segments(const struct agent_file *file, const Elf64_Phdr *programs, unsigned count,
			 struct agent_image *image, struct error *error)
{
	for (unsigned i = 0; i < count; i++) {
		const Elf64_Phdr *load = &programs[i];
		uint64_t start = load->p_vaddr & -(uint64_t)INJECT_PAGE;

		if (load->p_type != PT_LOAD)
			continue;
		if (!is_inside(load->p_offset, load->p_filesz, file->size) ||
		    !is_inside(load->p_vaddr, load->p_memsz, IMAGE_BYTES_MAX) ||
		    load->p_filesz > load->p_memsz || start < image->size)
			return bad_file(file, "its segments", error);
		image->size = page_up(load->p_vaddr + load->p_memsz);
		array_push(&image->segments, (struct image_segment){start, image->size,
								    protection_of(load->p_flags)});
	}
	if (!image->size || image->segments.data[0].start)
		return bad_file(file, "it has no segment at 0", error);
	image->bytes = xcalloc(1, image->size);
	for (unsigned i = 0; i < count; i++)
		if (programs[i].p_type == PT_LOAD)
			memcpy(image->bytes + programs[i].p_vaddr,
			       file->bytes + programs[i].p_offset, programs[i].p_filesz);
	return 0;
}

static int read_relocations(const struct agent_file *file, uint64_t at, uint64_t bytes,
			    struct agent_image *image, struct error *error)
{
	Elf64_Rela rela;

	if (!is_inside(at, bytes, image->size))
		return bad_file(file, "its relocations", error);
	for (uint64_t end = at + bytes / sizeof(rela) * sizeof(rela); at < end;
	     at += sizeof(rela)) {
		memcpy(&rela, image->bytes + at, sizeof(rela));
		if (ELF64_R_TYPE(rela.r_info) == R_X86_64_NONE)
			continue;
		if (ELF64_R_TYPE(rela.r_info) != R_X86_64_RELATIVE ||
		    !is_inside(rela.r_offset, sizeof(uint64_t), image->size))
			return bad_file(file, "a relocation that is not relative", error);
		array_push(&image->relocations,
			   (struct image_relocation){rela.r_offset, rela.r_addend});
	}
	return 0;
}

static int read_dynamic(const struct agent_file *file, const Elf64_Phdr *dynamic,
			struct agent_image *image, struct error *error)
{
	uint64_t relocations = 0, relocations_bytes = 0;
	Elf64_Dyn entry;

	if (!is_inside(dynamic->p_vaddr, dynamic->p_memsz, image->size))
		return bad_file(file, "its dynamic section", error);
	for (uint64_t at = 0; at + sizeof(entry) <= dynamic->p_memsz; at += sizeof(entry)) {
		memcpy(&entry, image->bytes + dynamic->p_vaddr + at, sizeof(entry));
		switch (entry.d_tag) {
		case DT_NULL:
			at = dynamic->p_memsz;
			break;
		case DT_RELA:
			relocations = entry.d_un.d_ptr;
			break;
		case DT_RELASZ:
			relocations_bytes = entry.d_un.d_val;
			break;
		case DT_NEEDED:
		case DT_JMPREL:
		case DT_REL:
		case 36: /* DT_RELR */
			return bad_file(file, "it depends on a loader", error);
		}
	}
	return read_relocations(file, relocations, relocations_bytes, image, error);
}

/* The value of a function that the file defines; 0: it does not. */
static uint64_t find_symbol(const struct agent_file *file, const Elf64_Shdr *symbols,
			    const Elf64_Shdr *strings, const char *name)
{
	uint64_t bytes = strlen(name) + 1;
	Elf64_Sym symbol;

	for (uint64_t at = 0; at + sizeof(symbol) <= symbols->sh_size; at += sizeof(symbol)) {
		memcpy(&symbol, file->bytes + symbols->sh_offset + at, sizeof(symbol));
		if (symbol.st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
		    is_inside(symbol.st_name, bytes, strings->sh_size) &&
		    !memcmp(file->bytes + strings->sh_offset + symbol.st_name, name, bytes))
			return symbol.st_value;
	}
	return 0;
}

static int read_section(const struct agent_file *file, const Elf64_Ehdr *header, unsigned index,
			Elf64_Shdr *out)
{
	if (index >= header->e_shnum || header->e_shentsize != sizeof(*out) ||
	    !is_inside(header->e_shoff, (uint64_t)header->e_shnum * sizeof(*out), file->size))
		return -ENOEXEC;
	memcpy(out, file->bytes + header->e_shoff + index * sizeof(*out), sizeof(*out));
	if (out->sh_type != SHT_NOBITS && !is_inside(out->sh_offset, out->sh_size, file->size))
		return -ENOEXEC;
	return 0;
}

static int find_entries(const struct agent_file *file, const Elf64_Ehdr *header,
			struct agent_image *image, struct error *error)
{
	Elf64_Shdr symbols, strings;

	for (unsigned i = 0; read_section(file, header, i, &symbols) == 0; i++) {
		if (symbols.sh_type != SHT_DYNSYM ||
		    read_section(file, header, symbols.sh_link, &strings) < 0 ||
		    strings.sh_type != SHT_STRTAB)
			continue;
		image->enter = find_symbol(file, &symbols, &strings, "agent_enter");
		image->leave = find_symbol(file, &symbols, &strings, "agent_leave");
	}
	if (!image->enter || !image->leave || image->enter >= image->size ||
	    image->leave >= image->size)
		return bad_file(file, "it has no agent_enter and agent_leave", error);
	return 0;
}

static int parse(const struct agent_file *file, struct agent_image *image, struct error *error)
{
	Elf64_Phdr programs[PROGRAM_HEADERS_MAX];
	Elf64_Ehdr header;
	int result = read_headers(file, &header, programs, error);

	if (!result)
		result = load_segments(file, programs, header.e_phnum, image, error);
	for (unsigned i = 0; !result && i < header.e_phnum; i++)
		if (programs[i].p_type == PT_DYNAMIC)
			result = read_dynamic(file, &programs[i], image, error);
	return result ? result : find_entries(file, &header, image, error);
}

int agent_image_read(const char *path, struct agent_image *out, struct error *error)
{
	struct agent_file file = {.path = path};
	int result = file_read(&file, error);

	*out = (struct agent_image){0};
	if (!result)
		result = parse(&file, out, error);
	free(file.bytes);
	if (result) {
		agent_image_fini(out);
		return result;
	}
	out->identity[0] = hash_bytes(out->bytes, out->size, 1);
	out->identity[1] = hash_bytes(out->bytes, out->size, 2);
	return 0;
}

void agent_image_fini(struct agent_image *image)
{
	free(image->bytes);
	image->bytes = NULL;
	array_fini(&image->segments);
	array_fini(&image->relocations);
}

void agent_image_relocate(struct agent_image *image, uint64_t base)
{
	array_each (relocation, &image->relocations) {
		uint64_t word = base + relocation->addend;

		memcpy(image->bytes + relocation->offset, &word, sizeof(word));
	}
}
