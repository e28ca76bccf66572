/* Texts that are made once and wanted often: what many traces or handles have in common. */
#ifndef HTRACE_REPORT_TEXT_CACHE_H
#define HTRACE_REPORT_TEXT_CACHE_H

#include "base/map.h"

#include <stdio.h>

/* A zeroed one is empty. */
struct text_cache {
	struct map texts; /* key -> char * */
};

/* What `make` writes for `key`, asked once. Borrowed, good until text_cache_fini(). */
const char *text_cache_get(struct text_cache *cache, uint64_t key,
			   void (*make)(const void *context, uint64_t key, FILE *stream),
			   const void *context);
void text_cache_fini(struct text_cache *cache);

#define cleanup_text_cache_fini text_cache_fini

#endif
