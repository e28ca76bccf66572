/* Owns linear probing with backward-shift deletion; knows nothing of what keys mean. */
#include "base/map.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <stdlib.h>

void map_fini(struct map *map)
{
	free(map->entries);
	*map = (struct map){0};
}

static size_t map_home(const struct map *map, uint64_t key)
{
	return hash_u64(key) & (map->capacity - 1);
}

uint64_t *map_get(const struct map *map, uint64_t key)
{
	if (!map->count)
		return NULL;
	for (size_t i = map_home(map, key); map->entries[i].used; i = (i + 1) & (map->capacity - 1))
		if (map->entries[i].key == key)
			return &map->entries[i].value;
	return NULL;
}

static void map_grow(struct map *map)
{
	struct map old = *map;

	map->capacity = old.capacity ? old.capacity * 2 : 16;
	map->count = 0;
	map->entries = xcalloc(map->capacity, sizeof(*map->entries));
	map_each (entry, &old)
		*map_put(map, entry->key) = entry->value;
	map_fini(&old);
}

uint64_t *map_put(struct map *map, uint64_t key)
{
	uint64_t *slot = map_get(map, key);
	size_t i;

	if (slot)
		return slot;
	if (map->capacity == 0 || map->count * 4 >= map->capacity * 3)
		map_grow(map);
	for (i = map_home(map, key); map->entries[i].used; i = (i + 1) & (map->capacity - 1))
		;
	map->entries[i] = (struct map_entry){.key = key, .used = true};
	map->count++;
	return &map->entries[i].value;
}

bool map_remove(struct map *map, uint64_t key)
{
	uint64_t *slot = map_get(map, key);
	size_t mask = map->capacity - 1;
	size_t hole, next;

	if (!slot)
		return false;
	hole = (size_t)((struct map_entry *)((char *)slot - offsetof(struct map_entry, value)) -
			map->entries);
	for (next = (hole + 1) & mask; map->entries[next].used; next = (next + 1) & mask) {
		size_t home = map_home(map, map->entries[next].key);

		/* It may fill the hole unless its home lies cyclically in (hole, next]. */
		if (((next - home) & mask) >= ((next - hole) & mask)) {
			map->entries[hole] = map->entries[next];
			hole = next;
		}
	}
	map->entries[hole].used = false;
	map->count--;
	return true;
}
