/* Owns a sorted array of ranges, with what a backward search needs to know where to stop. */
#include "symbol/range_index.h"

void range_index_fini(struct range_index *index)
{
	array_fini(&index->ranges);
}

void range_index_add(struct range_index *index, uint64_t low, uint64_t high, uint32_t payload)
{
	if (low < high)
		array_push(&index->ranges,
			   (struct range){.low = low, .high = high, .payload = payload});
}

static int compare(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	if (a->high != b->high)
		return a->high > b->high ? -1 : 1;
	return (a->payload > b->payload) - (a->payload < b->payload);
}

void range_index_sort(struct range_index *index)
{
	uint64_t max_high = 0;

	if (!index->ranges.count)
		return;
	qsort(index->ranges.data, index->ranges.count, sizeof(struct range), compare);
	array_each (range, &index->ranges) {
		if (range->high > max_high)
			max_high = range->high;
		range->max_high = max_high;
	}
}

/* How many ranges start at or below `address`. */
static size_t count_below(const struct range_index *index, uint64_t address)
{
	size_t low = 0, high = index->ranges.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (index->ranges.data[middle].low <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct range *range_index_find(const struct range_index *index, uint64_t address,
				     const struct range *after)
{
	const struct range *first = index->ranges.data;
	size_t left = after ? (size_t)(after - first) : count_below(index, address);

	while (left-- > 0) {
		const struct range *range = first + left;

		if (range->max_high <= address)
			return NULL;
		if (range->high > address)
			return range;
	}
	return NULL;
}
