/*
 * How many handles of each opening place were open over time: up to GROWTH_POINTS samples of a
 * process, about evenly spaced. When there are so many every other one is dropped and the step
 * doubled, so they always span all of the time watched. Taken outside the path of events.
 */
#ifndef HTRACE_MODEL_GROWTH_H
#define HTRACE_MODEL_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

enum { GROWTH_POINTS = 64 };

/* Between two samples at first, unless model_set_every() says otherwise. */
#define GROWTH_STEP_NS 100000000ull

/* When a process was sampled, oldest first, and how many handles that it opened under tracing were
 * open then. */
struct growth_times {
	uint64_t step_ns; /* between two, as planned */
	uint64_t next_ns; /* not before this time again */
	uint32_t n;
	uint32_t open[GROWTH_POINTS]; /* UINT32_MAX: that many or more */
	uint64_t times_ns[GROWTH_POINTS];
};

/* One place's handles at those times; what is at n and behind means nothing. */
struct growth {
	uint32_t open[GROWTH_POINTS];
};

/* Drops every other sample: of the times, then of each place that has some. */
void growth_times_thin(struct growth_times *times);
void growth_thin(struct growth *growth);

#endif
