/*
 * How many handles of a place were open at once, in each quarter of a time: the fewest and the
 * most. What leaks raises the fewest, again and again; what is merely busy does not.
 */
#ifndef HTRACE_TRACE_LEVEL_H
#define HTRACE_TRACE_LEVEL_H

#include "model/growth.h"

#include <stdbool.h>
#include <stdint.h>

enum { LEVEL_QUARTERS = 4, LEVEL_SAMPLES_MIN = 4 };

struct level {
	uint32_t fewest, most;
};

/* Of samples from from_ns to end_ns. False where a quarter has fewer than LEVEL_SAMPLES_MIN. */
bool level_read(const struct growth_times *times, const struct growth *growth, uint64_t from_ns,
		uint64_t end_ns, struct level out[static LEVEL_QUARTERS]);

#endif
