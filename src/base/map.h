/*
 * A hash table from 64-bit keys to 64-bit values (a number or a pointer), open addressing with
 * tombstone-free deletion. Values are not owned.
 */
#ifndef HTRACE_BASE_MAP_H
#define HTRACE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry {
	uint64_t key;
	uint64_t value;
	bool used;
};

struct map {
	struct map_entry *entries;
	size_t count;
	size_t capacity; /* 0 or a power of two */
};

/* A zeroed struct map is an empty one. map_fini() frees the table, not what the values point to. */
void map_fini(struct map *map);

/* The slot of `key`, or NULL. Good until the next map_put or map_remove. */
uint64_t *map_get(const struct map *map, uint64_t key);

/* The slot of `key`, made with value 0 where there was none. */
uint64_t *map_put(struct map *map, uint64_t key);

/* Removes `key`; returns false where it was not there. */
bool map_remove(struct map *map, uint64_t key);

static inline void *map_get_pointer(const struct map *map, uint64_t key)
{
	uint64_t *slot = map_get(map, key);

	return slot ? (void *)(uintptr_t)*slot : NULL;
}

static inline void map_put_pointer(struct map *map, uint64_t key, const void *pointer)
{
	*map_put(map, key) = (uintptr_t)pointer;
}

/* Every entry, in no order; nothing may be put or removed meanwhile. */
#define map_each(entry, map)                                                                       \
	for (struct map_entry *entry = (map)->entries;                                             \
	     (map)->capacity && entry < (map)->entries + (map)->capacity; entry++)                 \
		if (entry->used)

#endif
