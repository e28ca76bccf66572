/* Owns the sorted symbols of one module and the choice among several names of one place. */
#include "symbol/symbol_index.h"

#include "base/strtab.h"
#include "symbol/plt_names.h"
#include "symbol/range_index.h"

#include <string.h>

enum { NAME_BYTES_MAX = 64 * 1024, NAME_COMPARED_MAX = 256 };

struct entry {
	uint64_t start, size;
	uint64_t limit;   /* end of its section; no symbol reaches further */
	const char *name; /* not checked for its NUL yet: at most `name_room` bytes */
	size_t name_room;
	uint8_t type, binding;
	bool plt;
};

struct symbol_index {
	ARRAY(struct entry) entries;
	struct range_index ranges; /* payload: index into entries */
	struct strtab plt_names;
};

/* Tells code from data by the section that a symbol is defined in; sets where the section ends. */
static bool is_code(Elf *elf, const GElf_Sym *symbol, uint64_t *limit)
{
	Elf_Scn *section;
	GElf_Shdr header;
	int type = GELF_ST_TYPE(symbol->st_info);

	*limit = UINT64_MAX;
	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	if (symbol->st_shndx == SHN_UNDEF)
		return false;
	if (symbol->st_shndx >= SHN_LORESERVE) /* SHN_XINDEX: so many sections that it is unknown */
		return symbol->st_shndx == SHN_XINDEX && type != STT_NOTYPE && symbol->st_size;
	section = elf_getscn(elf, symbol->st_shndx);
	if (!section || !gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR))
		return false;
	if (__builtin_add_overflow(header.sh_addr, header.sh_size, limit))
		*limit = UINT64_MAX;
	return symbol->st_value >= header.sh_addr && symbol->st_value < *limit;
}

static void read_table(struct symbol_index *index, Elf *elf, Elf_Scn *section,
		       const GElf_Shdr *header)
{
	Elf_Data *symbols = elf_getdata(section, NULL);
	Elf_Data *strings = elf_getdata(elf_getscn(elf, header->sh_link), NULL);
	GElf_Sym symbol;
	uint64_t limit;

	if (!symbols || !strings || !strings->d_buf)
		return;
	for (int i = 1; gelf_getsym(symbols, i, &symbol); i++) {
		const char *name = (const char *)strings->d_buf + symbol.st_name;

		if (symbol.st_name == 0 || symbol.st_name >= strings->d_size || !*name ||
		    !is_code(elf, &symbol, &limit))
			continue;
		array_push(&index->entries, (struct entry){
						.start = symbol.st_value,
						.size = symbol.st_size,
						.limit = limit,
						.name = name,
						.name_room = strings->d_size - symbol.st_name,
						.type = GELF_ST_TYPE(symbol.st_info),
						.binding = GELF_ST_BIND(symbol.st_info),
					    });
	}
}

static void read_tables(struct symbol_index *index, Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) &&
		    (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM))
			read_table(index, elf, section, &header);
}

static void add_plt_entry(void *context, const char *name, uint64_t vaddr, uint64_t bytes)
{
	struct symbol_index *index = context;
	char *text = xasprintf("%s@plt", name);

	array_push(&index->entries, (struct entry){
					.start = vaddr,
					.size = bytes,
					.limit = UINT64_MAX,
					.name = strtab_intern(&index->plt_names, text),
					.name_room = strlen(text) + 1,
					.type = STT_FUNC,
					.plt = true,
				    });
	free(text);
}

static int underscores(const struct entry *entry)
{
	size_t count = 0;

	while (count < 4 && count < entry->name_room && entry->name[count] == '_')
		count++;
	/* A mangled name's underscore is no sign of an internal one. */
	return count == 1 && entry->name_room > 1 && strchr("ZRD", entry->name[1]) ? 0 : (int)count;
}

/* Negative: `a` is the better name. */
static int compare_names(const struct entry *a, const struct entry *b)
{
	size_t a_bytes =
	    strnlen(a->name, a->name_room < NAME_COMPARED_MAX ? a->name_room : NAME_COMPARED_MAX);
	size_t b_bytes =
	    strnlen(b->name, b->name_room < NAME_COMPARED_MAX ? b->name_room : NAME_COMPARED_MAX);
	int order;

	if (!a->size != !b->size)
		return !a->size - !b->size;
	if ((a->type == STT_NOTYPE) != (b->type == STT_NOTYPE))
		return (a->type == STT_NOTYPE) - (b->type == STT_NOTYPE);
	if ((a->binding == STB_LOCAL) != (b->binding == STB_LOCAL))
		return (a->binding == STB_LOCAL) - (b->binding == STB_LOCAL);
	if ((order = underscores(a) - underscores(b)))
		return order;
	if (a->binding != b->binding)
		return a->binding == STB_GLOBAL ? -1 : 1;
	if (a_bytes != b_bytes)
		return a_bytes < b_bytes ? -1 : 1;
	return memcmp(a->name, b->name, a_bytes);
}

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return compare_names(a, b);
}

static void keep_best(struct symbol_index *index)
{
	size_t kept = 0;

	if (!index->entries.count)
		return;
	qsort(index->entries.data, index->entries.count, sizeof(struct entry), compare_entries);
	array_each (entry, &index->entries) {
		if (!kept || index->entries.data[kept - 1].start != entry->start)
			index->entries.data[kept++] = *entry;
	}
	index->entries.count = kept;
}

static void index_ranges(struct symbol_index *index)
{
	for (size_t i = 0; i < index->entries.count; i++) {
		struct entry *entry = &index->entries.data[i];
		uint64_t end;

		if (entry->size) {
			if (__builtin_add_overflow(entry->start, entry->size, &end))
				end = UINT64_MAX;
		} else {
			end = i + 1 < index->entries.count ? entry[1].start : UINT64_MAX;
		}
		range_index_add(&index->ranges, entry->start,
				end < entry->limit ? end : entry->limit, i);
	}
	range_index_sort(&index->ranges);
}

struct symbol_index *symbol_index_new(Elf *main, Elf *debug)
{
	struct symbol_index *index = xcalloc(1, sizeof(*index));

	read_tables(index, main);
	if (debug)
		read_tables(index, debug);
	plt_names(main, add_plt_entry, index);
	keep_best(index);
	index_ranges(index);
	return index;
}

void symbol_index_free(struct symbol_index *index)
{
	if (!index)
		return;
	array_fini(&index->entries);
	range_index_fini(&index->ranges);
	strtab_fini(&index->plt_names);
	free(index);
}

bool symbol_index_find(const struct symbol_index *index, uint64_t vaddr, struct symbol_hit *out)
{
	const struct entry *found = NULL;
	const struct range *range = NULL;
	size_t room;
	const char *version;

	while ((range = range_index_find(&index->ranges, vaddr, range))) {
		const struct entry *entry = &index->entries.data[range->payload];

		if (!found || entry->size)
			found = entry;
		if (found->size)
			break;
	}
	if (!found)
		return false;
	room = found->name_room < NAME_BYTES_MAX ? found->name_room : NAME_BYTES_MAX;
	out->start = found->start;
	out->exported = !found->plt && found->binding != STB_LOCAL;
	out->name = found->name;
	out->name_bytes = strnlen(found->name, room);
	if (out->name_bytes == found->name_room)
		return false; /* runs out of its table */
	version = found->plt ? NULL : memchr(found->name, '@', out->name_bytes);
	if (version && version > found->name)
		out->name_bytes = version - found->name;
	return true;
}
