/* Owns one module_symbols for each different file, and the decision which files are the same. */
#include "symbol/module_cache.h"

#include "base/hash.h"
#include "base/map.h"

#include <string.h>
#include <sys/stat.h>

/* A file of which the names are known, for all modules that are the same. */
struct binary {
	struct binary *next; /* with the same hash */
	const struct module *module;
	struct module_symbols *symbols;
	off_t bytes;
	uid_t owner;
};

struct module_cache {
	struct debug_finder *finder;
	struct map by_module;   /* address of struct module -> struct binary */
	struct map by_build_id; /* hash of the build ID -> struct binary */
};

struct module_cache *module_cache_new(void)
{
	struct module_cache *cache = xcalloc(1, sizeof(*cache));

	cache->finder = debug_finder_new(NULL);
	return cache;
}

void module_cache_free(struct module_cache *cache)
{
	if (!cache)
		return;
	map_each (entry, &cache->by_build_id) {
		struct binary *binary = (struct binary *)(uintptr_t)entry->value;

		while (binary) {
			struct binary *next = binary->next;

			module_symbols_free(binary->symbols);
			free(binary);
			binary = next;
		}
	}
	map_fini(&cache->by_module);
	map_fini(&cache->by_build_id);
	debug_finder_free(cache->finder);
	free(cache);
}

static bool is_same(const struct binary *binary, const struct module *module,
		    const struct stat *status)
{
	const struct elf_file *known = &binary->module->elf, *file = &module->elf;

	return file->build_id_bytes > 0 && known->build_id_bytes == file->build_id_bytes &&
	       !memcmp(known->build_id, file->build_id, file->build_id_bytes) &&
	       binary->bytes == status->st_size && binary->owner == status->st_uid;
}

/* Where files without a build ID are told apart: by the module. */
static uint64_t hash_of(const struct module *module)
{
	return module->elf.build_id_bytes
		   ? hash_bytes(module->elf.build_id, module->elf.build_id_bytes, 0)
		   : hash_u64((uintptr_t)module);
}

struct module_symbols *module_cache_get(struct module_cache *cache, const struct module *module,
					void (*progress)(void *context, const char *module_path),
					void *context)
{
	struct binary *binary = map_get_pointer(&cache->by_module, (uintptr_t)module), *first;
	struct stat status;

	if (binary)
		return binary->symbols;
	if (module->fd < 0 || fstat(module->fd, &status) < 0)
		return NULL;
	first = map_get_pointer(&cache->by_build_id, hash_of(module));
	for (binary = first; binary && !is_same(binary, module, &status);)
		binary = binary->next;
	if (!binary) {
		if (progress)
			progress(context, module->path);
		binary = xcalloc(1, sizeof(*binary));
		*binary = (struct binary){
		    .next = first,
		    .module = module,
		    .symbols = module_symbols_new(cache->finder, module),
		    .bytes = status.st_size,
		    .owner = status.st_uid,
		};
		map_put_pointer(&cache->by_build_id, hash_of(module), binary);
	}
	map_put_pointer(&cache->by_module, (uintptr_t)module, binary);
	return binary->symbols;
}
