/* Owns the arithmetic of lifetimes: buckets, closers, quantiles. Knows no handle. */
#include "model/lived.h"

static uint32_t bucket_of(uint64_t length_ns)
{
	uint64_t us = length_ns / 1000;
	uint32_t bucket = us ? 63 - (uint32_t)__builtin_clzll(us) : 0;

	return bucket < LIVED_BUCKETS ? bucket : LIVED_BUCKETS - 1;
}

static void count_closer(struct lived *lived, uint32_t stack_id)
{
	for (uint32_t i = 0; i < lived->closers_n; i++) {
		if (lived->closers[i].stack_id != stack_id)
			continue;
		lived->closers[i].count++;
		return;
	}
	if (lived->closers_n == CLOSERS_MAX)
		lived->closed_elsewhere++;
	else
		lived->closers[lived->closers_n++] =
		    (struct closer){.stack_id = stack_id, .count = 1};
}

void lived_add(struct lived *lived, uint64_t opened_ns, uint64_t closed_ns, uint32_t stack_id)
{
	uint64_t length_ns = closed_ns > opened_ns ? closed_ns - opened_ns : 0;
	uint32_t *bucket = &lived->buckets[bucket_of(length_ns)];

	count_closer(lived, stack_id);
	if (!opened_ns)
		return;
	lived->known++;
	if (length_ns > lived->longest_ns)
		lived->longest_ns = length_ns;
	if (*bucket < UINT32_MAX)
		++*bucket;
}

uint64_t lived_quantile(const struct lived *lived, uint32_t thousandths)
{
	uint64_t allowed =
	    lived->known / 1000 * thousandths + lived->known % 1000 * thousandths / 1000;
	uint64_t outlived = 0; /* of those in buckets above this one */
	uint32_t bucket = LIVED_BUCKETS - 1;
	uint64_t end_ns;

	if (!lived->known)
		return 0;
	while (bucket && outlived + lived->buckets[bucket] <= allowed)
		outlived += lived->buckets[bucket--];
	end_ns = 2000ull << bucket;
	return bucket == LIVED_BUCKETS - 1 || end_ns > lived->longest_ns ? lived->longest_ns
									 : end_ns;
}

uint64_t lived_longer(const struct lived *lived, uint64_t length_ns)
{
	uint64_t count = 0;

	if (lived->longest_ns < length_ns)
		return 0;
	for (uint32_t bucket = LIVED_BUCKETS; --bucket > bucket_of(length_ns);)
		count += lived->buckets[bucket];
	return count ?: 1; /* the longest */
}
