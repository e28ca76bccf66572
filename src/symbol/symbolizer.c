/*
 * Owns what was found out: one result for each (image, address), the strings in it, and the open
 * files of each module. Knows nothing of ELF and DWARF.
 */
#include "symbol/symbolizer.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/strtab.h"
#include "symbol/demangle.h"
#include "symbol/module_symbols.h"
#include "symbol/source_path.h"

struct result {
	struct result *next; /* with the same hash */
	struct frame frame;
	uint32_t symbols_n;
	struct symbol symbols[];
};

struct known_module {
	struct module_symbols *symbols; /* NULL: its file is not open */
	bool without_symbols;
};

struct symbolizer {
	const struct image_table *images;
	void (*progress)(void *context, const char *module_path);
	void *context;
	struct debug_finder *finder;
	struct map modules; /* address of struct module -> struct known_module */
	struct map results; /* hash of the frame -> struct result */
	struct map names;   /* interned mangled name -> interned readable one */
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
	symbolizer->finder = debug_finder_new(NULL);
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
	map_each (entry, &symbolizer->modules) {
		struct known_module *known = (struct known_module *)(uintptr_t)entry->value;

		module_symbols_free(known->symbols);
		free(known);
	}
	map_fini(&symbolizer->results);
	map_fini(&symbolizer->modules);
	map_fini(&symbolizer->names);
	strtab_fini(&symbolizer->strings);
	debug_finder_free(symbolizer->finder);
	free(symbolizer);
}

static struct known_module *module_open(struct symbolizer *symbolizer, const struct module *module)
{
	struct known_module *known = map_get_pointer(&symbolizer->modules, (uintptr_t)module);

	if (known)
		return known;
	known = xcalloc(1, sizeof(*known));
	map_put_pointer(&symbolizer->modules, (uintptr_t)module, known);
	if (module->fd < 0) {
		symbolizer->stats.modules_unreadable++;
		return known;
	}
	if (symbolizer->progress)
		symbolizer->progress(symbolizer->context, module->path);
	known->symbols = module_symbols_new(symbolizer->finder, module);
	return known;
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

static struct result *look_up(struct symbolizer *symbolizer, const struct frame *frame)
{
	const struct image *image = image_table_get(symbolizer->images, frame->image);
	struct symbol least = {
	    .pc = frame->pc, .offset = frame->pc, .module = "[anon]", .module_path = "[anon]"};
	struct debug_frame frames[INLINES_DEPTH_MAX];
	struct known_module *known;
	struct result *result;
	uint64_t vaddr;
	uint32_t count = 0;

	if (!image)
		return result_new(frame, &least, 1);
	vaddr = frame->pc - image->bias;
	least.offset = vaddr;
	least.module = image->module->name;
	least.module_path = image->module->path;
	known = module_open(symbolizer, image->module);
	if (known->symbols && image->bias_known)
		count = module_symbols_find(known->symbols, vaddr - !frame->exact, frames);
	result = result_new(frame, &least, count ? count : 1);
	for (uint32_t i = 0; i < count; i++)
		fill(symbolizer, &result->symbols[i], &frames[i], vaddr);
	if (!result->symbols[result->symbols_n - 1].function && !known->without_symbols) {
		known->without_symbols = true;
		symbolizer->stats.modules_without_symbols++;
	}
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
