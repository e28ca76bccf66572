/* Owns the arithmetic of lifetimes: buckets, closers, quantiles. Knows no handle. */
#include "model/lifetimes.h"

static uint32_t bucket_of(uint64_t length_ns)
{
	uint64_t us = length_ns / 1000;
	uint32_t bucket = us ? 63 - (uint32_t)__builtin_clzll(us) : 0;

	return bucket < LIFETIME_BUCKETS ? bucket : LIFETIME_BUCKETS - 1;
}

static void count_closer(struct lifetimes *lifetimes, uint32_t stack_id)
{
	for (uint32_t i = 0; i < lifetimes->closers_n; i++) {
		if (lifetimes->closers[i].stack_id != stack_id)
			continue;
		lifetimes->closers[i].count++;
		return;
	}
	if (lifetimes->closers_n == CLOSERS_MAX)
		lifetimes->closed_elsewhere++;
	else
		lifetimes->closers[lifetimes->closers_n++] = (struct closer){stack_id, 1};
}

void lifetimes_add(struct lifetimes *lifetimes, uint64_t opened_ns, uint64_t closed_ns,
		   uint32_t stack_id)
{
	uint64_t length_ns = closed_ns > opened_ns ? closed_ns - opened_ns : 0;
	uint32_t *bucket = &lifetimes->buckets[bucket_of(length_ns)];

	count_closer(lifetimes, stack_id);
	if (!opened_ns)
		return;
	lifetimes->known++;
	if (length_ns > lifetimes->longest_ns)
		lifetimes->longest_ns = length_ns;
	if (*bucket < UINT32_MAX)
		++*bucket;
}

uint64_t lifetimes_quantile(const struct lifetimes *lifetimes, uint32_t thousandths)
{
	uint64_t allowed =
	    lifetimes->known / 1000 * thousandths + lifetimes->known % 1000 * thousandths / 1000;
	uint64_t outlived = 0; /* of those in buckets above this one */
	uint32_t bucket = LIFETIME_BUCKETS - 1;
	uint64_t end_ns;

	if (!lifetimes->known)
		return 0;
	while (bucket && outlived + lifetimes->buckets[bucket] <= allowed)
		outlived += lifetimes->buckets[bucket--];
	end_ns = 2000ull << bucket;
	return bucket == LIFETIME_BUCKETS - 1 || end_ns > lifetimes->longest_ns
		   ? lifetimes->longest_ns
		   : end_ns;
}
