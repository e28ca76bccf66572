/* Owns the memory of the cache; what is in it is the unwind loop's. */
#include "unwind/rule_cache.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

void rule_cache_init(struct rule_cache *cache)
{
	cache->entries = xcalloc(RULE_CACHE_ENTRIES, sizeof(*cache->entries));
}

void rule_cache_fini(struct rule_cache *cache)
{
	free(cache->entries);
	cache->entries = NULL;
}

void rule_cache_clear(struct rule_cache *cache)
{
	memset(cache->entries, 0, RULE_CACHE_ENTRIES * sizeof(*cache->entries));
}
