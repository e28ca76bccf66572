/*
 * What is known of the names in each file, once for each build ID: the same library is often seen
 * at several paths (containers, copies) and in many processes.
 */
#ifndef HTRACE_SYMBOL_MODULE_CACHE_H
#define HTRACE_SYMBOL_MODULE_CACHE_H

#include "symbol/module_symbols.h"

struct module_cache;

struct module_cache *module_cache_new(void);
void module_cache_free(struct module_cache *cache);

/*
 * The names of `module`, which must outlive the cache; NULL: its file is not open. `progress` (may
 * be NULL) is called before its files are read. Files are the same when build ID, size and owner
 * are: who can write a file of that owner could as well write the one that is named.
 */
struct module_symbols *module_cache_get(struct module_cache *cache, const struct module *module,
					void (*progress)(void *context, const char *module_path),
					void *context);

#endif
