/* Owns the open files of one module and decides which of them names what. */
#include "symbol/module_symbols.h"

#include "base/cleanup.h"
#include "symbol/elf_copy.h"

#include <elfutils/libdwelf.h>
#include <string.h>

struct module_symbols {
	struct elf_copy *main, *debug, *common; /* debug: NULL where all is in the main file */
	Dwarf *common_dwarf;
	struct symbol_index *index;
	struct debug_info *info; /* NULL: no DWARF */
	char *name;              /* of the last frame found, where the index gave it */
};

struct contents {
	bool symbols; /* .symtab */
	bool dwarf;   /* .debug_info, or the line table alone */
};

static struct contents look_into(Elf *elf)
{
	struct contents contents = {0};
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return contents;
	while ((section = elf_nextscn(elf, section))) {
		const char *name;

		if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, header.sh_name) ?: "";
		contents.symbols |= header.sh_type == SHT_SYMTAB;
		contents.dwarf |= !strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info");
	}
	return contents;
}

/* The file that dwz moved common parts to; found here, so that it is checked and not mapped. */
static void open_common(struct module_symbols *symbols, struct debug_finder *finder,
			const struct module *module, Elf *elf, int fd)
{
	Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	_cleanup_(close_fd) int common_fd = -1;
	const char *name = NULL;
	const void *id = NULL;
	ssize_t id_bytes = dwarf ? dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id) : 0;

	if (id_bytes > 0)
		common_fd = debug_finder_open_alt(finder, module, fd, name, id, id_bytes);
	symbols->common = elf_copy_open(common_fd);
	if (symbols->common)
		symbols->common_dwarf = dwarf_begin_elf(symbols->common->elf, DWARF_C_READ, NULL);
	dwarf_end(dwarf);
}

static void open_info(struct module_symbols *symbols, struct debug_finder *finder,
		      const struct module *module, struct elf_copy *copy, int fd)
{
	open_common(symbols, finder, module, copy->elf, fd);
	symbols->info = debug_info_new(copy->elf, symbols->common_dwarf, copy->size);
}

struct module_symbols *module_symbols_new(struct debug_finder *finder, const struct module *module)
{
	struct module_symbols *symbols = xcalloc(1, sizeof(*symbols));
	struct contents own, separate = {0};
	_cleanup_(close_fd) int debug_fd = -1;

	symbols->main = elf_copy_open(module->fd);
	if (!symbols->main)
		return symbols;
	own = look_into(symbols->main->elf);
	if (!own.dwarf) {
		debug_fd = debug_finder_open(finder, module, symbols->main->elf);
		symbols->debug = elf_copy_open(debug_fd);
	}
	if (symbols->debug)
		separate = look_into(symbols->debug->elf);
	if (own.dwarf)
		open_info(symbols, finder, module, symbols->main, module->fd);
	else if (separate.dwarf)
		open_info(symbols, finder, module, symbols->debug, debug_fd);
	symbols->index =
	    symbol_index_new(symbols->main->elf, separate.symbols ? symbols->debug->elf : NULL);
	return symbols;
}

void module_symbols_free(struct module_symbols *symbols)
{
	if (!symbols)
		return;
	debug_info_free(symbols->info);
	symbol_index_free(symbols->index);
	dwarf_end(symbols->common_dwarf);
	elf_copy_free(symbols->common);
	elf_copy_free(symbols->debug);
	elf_copy_free(symbols->main);
	free(symbols->name);
	free(symbols);
}

/* A name that begins with '_' and is no mangled one (_Z of C++, _R of Rust, _D of D). */
static bool is_internal(const char *name)
{
	return name[0] == '_' && name[1] && !strchr("ZRD", name[1]);
}

/*
 * The symbol table names what DWARF does not. It is also better where DWARF has the plain name of
 * a function whose symbol is a mangled one, and so says in which class or namespace it is; and
 * where DWARF has an internal name (__GI_eventfd, __libc_open64) of what is exported to users
 * (eventfd, open64).
 */
static bool prefer_symbol(const struct debug_frame *frame, const struct symbol_hit *hit)
{
	if (!frame->name)
		return true;
	if (hit->start != frame->start || hit->name_bytes < 2)
		return false;
	if (is_internal(frame->name) && hit->exported)
		return true;
	if (frame->linkage)
		return false;
	return hit->name_bytes > 2 && hit->name[0] == '_' &&
	       (hit->name[1] == 'Z' || hit->name[1] == 'R');
}

/* Without what the compiler appends to the name of a copy that it made (".constprop.0"), as DWARF
 * has it. (A '.' in an older Rust name, which has '$' too, means something else.) */
static size_t plain_bytes(const struct symbol_hit *hit)
{
	const char *dot = memchr(hit->name, '.', hit->name_bytes);

	if (!dot || memchr(hit->name, '$', hit->name_bytes))
		return hit->name_bytes;
	return dot - hit->name;
}

uint32_t module_symbols_find(struct module_symbols *symbols, uint64_t vaddr,
			     struct debug_frame out[static INLINES_DEPTH_MAX])
{
	uint32_t count = symbols->info ? debug_info_find(symbols->info, vaddr, out) : 0;
	struct debug_frame *last = &out[count ? count - 1 : 0];
	struct symbol_hit hit;

	if (!count)
		*last = (struct debug_frame){0};
	if ((last->linkage && !is_internal(last->name)) || !symbols->index ||
	    !symbol_index_find(symbols->index, vaddr, &hit) || !prefer_symbol(last, &hit))
		return count;
	free(symbols->name);
	symbols->name = xstrndup(hit.name, last->name ? plain_bytes(&hit) : hit.name_bytes);
	last->name = symbols->name;
	last->linkage = true;
	last->start = hit.start;
	return count ? count : 1;
}
