/*
 * Owns what was found out: one result for each (image, address), and the strings in it. Knows
 * nothing of ELF and DWARF.
 */
#include "symbol/symbolizer.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/strtab.h"
#include "symbol/demangle.h"
#include "symbol/module_cache.h"
#include "symbol/source_path.h"

struct result {
	struct result *next;       /* with the same hash */
	struct result *next_place; /* with the same hash of its place */
	struct frame frame;
	const struct module_symbols *file; /* its place: in that file ... */
	uint64_t vaddr;                    /* ... that address; NULL and 0: no file names it */
	uint32_t symbols_n;
	struct symbol symbols[];
};

struct symbolizer {
	const struct image_table *images;
	void (*progress)(void *context, const char *module_path);
	void *context;
	struct module_cache *files;
	struct map results;         /* hash of the frame -> struct result */
	struct map places;          /* hash of the place -> struct result, whatever its image */
	struct map names;           /* interned mangled name -> interned readable one */
	struct map unreadable;      /* addresses of the struct modules that are counted so ... */
	struct map without_symbols; /* ... and so */
	struct strtab strings;
	struct symbolizer_stats stats;
};

struct symbolizer *symbolizer_new(const struct image_table *images,
				  void (*progress)(void *context, const char *module_path),
				  void *context)
{
	struct symbolizer *symbolizer = xcalloc(1, sizeof(*symbolizer));

	symbolizer->images = images;
	symbolizer->progress = progress;
	symbolizer->context = context;
	symbolizer->files = module_cache_new();
	return symbolizer;
}

static void result_free(struct result *result)
{
	while (result) {
		struct result *next = result->next;

		free(result);
		result = next;
	}
}

void symbolizer_free(struct symbolizer *symbolizer)
{
	if (!symbolizer)
		return;
	map_each (entry, &symbolizer->results)
		result_free((struct result *)(uintptr_t)entry->value);
	map_fini(&symbolizer->results);
	map_fini(&symbolizer->places);
	map_fini(&symbolizer->names);
	map_fini(&symbolizer->unreadable);
	map_fini(&symbolizer->without_symbols);
	strtab_fini(&symbolizer->strings);
	module_cache_free(symbolizer->files);
	free(symbolizer);
}

/* Counts a module once. */
static void count_module(struct map *counted, const struct module *module, uint32_t *count)
{
	uint64_t *slot = map_put(counted, (uintptr_t)module);

	if (*slot)
		return;
	*slot = 1;
	++*count;
}

static struct module_symbols *open_module(struct symbolizer *symbolizer,
					  const struct module *module)
{
	struct module_symbols *file =
	    module_cache_get(symbolizer->files, module, symbolizer->progress, symbolizer->context);

	if (!file)
		count_module(&symbolizer->unreadable, module,
			     &symbolizer->stats.modules_unreadable);
	return file;
}

/* The same few names come again and again, and taking one apart is slow. */
static const char *readable_name(struct symbolizer *symbolizer, const char *mangled)
{
	const char *key = strtab_intern(&symbolizer->strings, mangled);
	const char *name = map_get_pointer(&symbolizer->names, (uintptr_t)key);
	char *text;

	if (name)
		return name;
	text = demangle_dup(mangled);
	name = strtab_intern(&symbolizer->strings, text);
	free(text);
	map_put_pointer(&symbolizer->names, (uintptr_t)key, name);
	return name;
}

static void fill(struct symbolizer *symbolizer, struct symbol *symbol,
		 const struct debug_frame *found, uint64_t vaddr)
{
	if (found->name) {
		symbol->function = found->linkage
				       ? readable_name(symbolizer, found->name)
				       : strtab_intern(&symbolizer->strings, found->name);
		symbol->offset = vaddr - found->start;
	}
	if (found->file) {
		char *path = source_path_dup(found->folder, found->file);

		symbol->file = strtab_intern(&symbolizer->strings, path);
		free(path);
	}
	symbol->line = found->file ? found->line : 0;
}

static struct result *result_new(const struct frame *frame, const struct symbol *model,
				 uint32_t symbols_n)
{
	struct result *result =
	    xcalloc(1, sizeof(*result) + symbols_n * sizeof(result->symbols[0]));

	result->frame = *frame;
	result->symbols_n = symbols_n;
	for (uint32_t i = 0; i < symbols_n; i++) {
		result->symbols[i] = *model;
		result->symbols[i].inlined = i + 1 < symbols_n;
	}
	return result;
}

static uint64_t place_hash(const struct module_symbols *file, uint64_t vaddr, bool exact)
{
	return hash_combine(hash_u64(vaddr), (uintptr_t)file ^ exact);
}

/* What was found for the same place of the same file in another image. */
static const struct result *find_place(const struct symbolizer *symbolizer,
				       const struct module_symbols *file, uint64_t vaddr,
				       bool exact)
{
	const struct result *result =
	    map_get_pointer(&symbolizer->places, place_hash(file, vaddr, exact));

	while (result &&
	       (result->file != file || result->vaddr != vaddr || result->frame.exact != exact))
		result = result->next_place;
	return result;
}

static struct result *name_place(struct symbolizer *symbolizer, struct module_symbols *file,
				 const struct frame *frame, const struct symbol *least,
				 uint64_t vaddr)
{
	const struct result *known = find_place(symbolizer, file, vaddr, frame->exact);
	uint64_t hash = place_hash(file, vaddr, frame->exact);
	struct debug_frame frames[INLINES_DEPTH_MAX];
	struct result *result;
	uint32_t count;

	if (known) {
		result = result_new(frame, least, known->symbols_n);
		for (uint32_t i = 0; i < known->symbols_n; i++) {
			struct symbol *symbol = &result->symbols[i];

			symbol->function = known->symbols[i].function;
			symbol->offset = known->symbols[i].offset;
			symbol->file = known->symbols[i].file;
			symbol->line = known->symbols[i].line;
		}
		return result;
	}
	count = module_symbols_find(file, vaddr - !frame->exact, frames);
	result = result_new(frame, least, count ? count : 1);
	for (uint32_t i = 0; i < count; i++)
		fill(symbolizer, &result->symbols[i], &frames[i], vaddr);
	result->file = file;
	result->vaddr = vaddr;
	result->next_place = map_get_pointer(&symbolizer->places, hash);
	map_put_pointer(&symbolizer->places, hash, result);
	return result;
}

static struct result *look_up(struct symbolizer *symbolizer, const struct frame *frame)
{
	const struct image *image = image_table_get(symbolizer->images, frame->image);
	struct symbol least = {
	    .pc = frame->pc, .offset = frame->pc, .module = "[anon]", .module_path = "[anon]"};
	struct module_symbols *file;
	struct result *result;

	if (!image)
		return result_new(frame, &least, 1);
	least.offset = frame->pc - image->bias;
	least.module = image->module->name;
	least.module_path = image->module->path;
	file = open_module(symbolizer, image->module);
	result = file && image->bias_known
		     ? name_place(symbolizer, file, frame, &least, least.offset)
		     : result_new(frame, &least, 1);
	if (!result->symbols[result->symbols_n - 1].function)
		count_module(&symbolizer->without_symbols, image->module,
			     &symbolizer->stats.modules_without_symbols);
	return result;
}

uint32_t symbolizer_lookup(struct symbolizer *symbolizer, const struct frame *frame,
			   const struct symbol **out)
{
	uint64_t hash =
	    hash_combine(hash_u64(frame->pc), (uint64_t)frame->image << 1 | frame->exact);
	struct result *first = map_get_pointer(&symbolizer->results, hash), *result = first;

	while (result && (result->frame.pc != frame->pc || result->frame.image != frame->image ||
			  result->frame.exact != frame->exact))
		result = result->next;
	if (!result) {
		result = look_up(symbolizer, frame);
		result->next = first;
		map_put_pointer(&symbolizer->results, hash, result);
	}
	*out = result->symbols;
	return result->symbols_n;
}

void symbolizer_stats(const struct symbolizer *symbolizer, struct symbolizer_stats *out)
{
	*out = symbolizer->stats;
}
