/*
 * Remembers the rule of each pc: a direct-mapped table, so that a hit is one comparison and no
 * allocation. An entry of an older generation stays good if the same image still lies there.
 */
#ifndef HTRACE_UNWIND_RULE_CACHE_H
#define HTRACE_UNWIND_RULE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

enum { RULE_CACHE_ENTRIES = 1 << 15 };

struct rule_cache_entry {
	uint64_t pc;         /* the address that was looked up */
	uint64_t generation; /* of the address space; 0: the entry is empty */
	uint32_t image;      /* os/image.h; 0: executable memory without a file */
	uint16_t rule;       /* id in the rule table */
	bool executable;     /* false: no executable mapping holds pc; `image` and `rule` are 0 */
};

struct rule_cache {
	struct rule_cache_entry *entries;
};

void rule_cache_init(struct rule_cache *cache);
void rule_cache_fini(struct rule_cache *cache);
void rule_cache_clear(struct rule_cache *cache);

/* The only place where `pc` may be; the caller compares and, on a miss, overwrites. */
static inline struct rule_cache_entry *rule_cache_slot(const struct rule_cache *cache, uint64_t pc)
{
	/* Multiplicative hashing (Knuth 6.4): the high bits of the product are well mixed. */
	return &cache->entries[pc * 0x9e3779b97f4a7c15u >> 49];
}

_Static_assert(RULE_CACHE_ENTRIES == 1 << (64 - 49), "rule_cache_slot() takes 15 bits");

#endif
