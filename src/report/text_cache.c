/* Owns the texts. Memory follows the distinct keys, not how often they are asked for. */
#include "report/text_cache.h"

#include "base/alloc.h"

#include <stdlib.h>

static char *text_make(uint64_t key, void (*make)(const void *context, uint64_t key, FILE *stream),
		       const void *context)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return xstrdup("");
	make(context, key, stream);
	if (fclose(stream) || !text) {
		free(text);
		return xstrdup("");
	}
	return text;
}

const char *text_cache_get(struct text_cache *cache, uint64_t key,
			   void (*make)(const void *context, uint64_t key, FILE *stream),
			   const void *context)
{
	char *text = map_get_pointer(&cache->texts, key);

	if (!text) {
		text = text_make(key, make, context);
		map_put_pointer(&cache->texts, key, text);
	}
	return text;
}

void text_cache_fini(struct text_cache *cache)
{
	map_each (entry, &cache->texts)
		free((void *)(uintptr_t)entry->value);
	map_fini(&cache->texts);
}
