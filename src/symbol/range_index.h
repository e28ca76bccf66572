/* Address ranges that may overlap, and which of them hold an address. Knows not what they mean. */
#ifndef HTRACE_SYMBOL_RANGE_INDEX_H
#define HTRACE_SYMBOL_RANGE_INDEX_H

#include "base/array.h"

#include <stdint.h>

struct range {
	uint64_t low, high; /* [low, high) */
	uint64_t max_high;  /* the greatest `high` of this range and those before it */
	uint32_t payload;
};

/* A zeroed one is empty. */
struct range_index {
	ARRAY(struct range) ranges;
};

void range_index_fini(struct range_index *index);

/* Empty and reversed ranges are left out. range_index_sort() must follow before a find. */
void range_index_add(struct range_index *index, uint64_t low, uint64_t high, uint32_t payload);
void range_index_sort(struct range_index *index);

/*
 * The ranges that hold `address`, one a call, the one that starts last (of those the shortest,
 * of equal ones that of the greatest payload) first: `after` is NULL, then the range that the call
 * before returned. NULL: no more.
 */
const struct range *range_index_find(const struct range_index *index, uint64_t address,
				     const struct range *after);

#endif
