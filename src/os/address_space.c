/* Owns a sorted array of disjoint mappings; knows nothing of files behind image ids. */
#include "os/address_space.h"

#include "base/array.h"

#include <string.h>

struct address_space {
	ARRAY(struct mapping) mappings; /* ascending, disjoint */
	uint64_t generation;
};

static uint64_t next_generation(void)
{
	static uint64_t last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

struct address_space *address_space_new(void)
{
	struct address_space *space = xcalloc(1, sizeof(*space));

	space->generation = next_generation();
	return space;
}

struct address_space *address_space_dup(const struct address_space *space)
{
	struct address_space *copy = xcalloc(1, sizeof(*copy));

	copy->generation = space->generation;
	array_each (mapping, &space->mappings)
		array_push(&copy->mappings, *mapping);
	return copy;
}

void address_space_free(struct address_space *space)
{
	if (!space)
		return;
	array_fini(&space->mappings);
	free(space);
}

void address_space_clear(struct address_space *space)
{
	space->mappings.count = 0;
	space->generation = next_generation();
}

/* Index of the first mapping that ends above `address`. */
static size_t first_above(const struct address_space *space, uint64_t address)
{
	size_t low = 0, high = space->mappings.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (space->mappings.data[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void address_space_map(struct address_space *space, uint64_t start, uint64_t end, uint32_t image)
{
	const struct mapping *same = address_space_find(space, start);
	ARRAY(struct mapping) changed = {0};

	if (start >= end)
		return;
	if (same && same->start == start && same->end == end && same->image == image)
		return;
	array_reserve(&changed, space->mappings.count + 2);
	array_each (old, &space->mappings) {
		if (old->start < start)
			array_push(&changed,
				   (struct mapping){old->start, old->end < start ? old->end : start,
						    old->image});
	}
	array_push(&changed, (struct mapping){start, end, image});
	array_each (old, &space->mappings) {
		if (old->end > end)
			array_push(&changed, (struct mapping){old->start > end ? old->start : end,
							      old->end, old->image});
	}
	array_fini(&space->mappings);
	memcpy(&space->mappings, &changed, sizeof(changed));
	space->generation = next_generation();
}

const struct mapping *address_space_find(const struct address_space *space, uint64_t pc)
{
	size_t i = first_above(space, pc);

	if (i == space->mappings.count || space->mappings.data[i].start > pc)
		return NULL;
	return &space->mappings.data[i];
}

const struct mapping *address_space_mappings(const struct address_space *space, size_t *count)
{
	*count = space->mappings.count;
	return space->mappings.data;
}

uint64_t address_space_generation(const struct address_space *space)
{
	return space->generation;
}
