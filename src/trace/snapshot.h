/*
 * A snapshot is a moment: "the handles open now become the state that diff compares with". What was
 * opened after it and is still open is the difference. So a snapshot needs no copy of the tables.
 */
#ifndef HTRACE_TRACE_SNAPSHOT_H
#define HTRACE_TRACE_SNAPSHOT_H

#include "model/model.h"

struct snapshot {
	uint64_t time_ns; /* CLOCK_MONOTONIC; 0: everything is newer */
	uint64_t
	    until_ns; /* a second one, to compare the two: what is younger is left out; 0: none */
};

static inline bool snapshot_after(const struct snapshot *snapshot, const struct handle *handle)
{
	return snapshot->until_ns && handle->opened.time_ns >= snapshot->until_ns;
}

static inline bool snapshot_before(const struct snapshot *snapshot, const struct handle *handle)
{
	return handle->origin == ORIGIN_BEFORE_TRACING ||
	       handle->opened.time_ns < snapshot->time_ns;
}

#endif
