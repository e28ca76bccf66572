/*
 * The CPU's time stamp counter as a clock: half the price of clock_gettime(2), for an agent that
 * asks at each call. Agents record ticks, the collector makes nanoseconds of them.
 */
#ifndef HTRACE_COLLECT_AGENT_TICKS_H
#define HTRACE_COLLECT_AGENT_TICKS_H

#include <stdbool.h>
#include <stdint.h>

struct ticks {
	uint64_t base, base_ns; /* a moment, in both */
	uint64_t ns_per_tick;   /* times 2^32 */
};

/* Whether the kernel itself keeps time by the counter, and so has found that it is steady and the
 * same on all CPUs. */
bool ticks_are_steady(void);

uint64_t ticks_now(void);

/* Takes about 2 ms. */
void ticks_init(struct ticks *ticks);

/* Goes along with CLOCK_MONOTONIC, whose rate changes a little; to be called now and then. */
void ticks_follow(struct ticks *ticks);

/* CLOCK_MONOTONIC, as good as the last ticks_follow(). What is later is not earlier in the result.
 */
uint64_t ticks_ns(const struct ticks *ticks, uint64_t at);

#endif
