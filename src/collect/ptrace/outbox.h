/*
 * The records that were made and not yet handed over, in order. A tracee goes on as soon as its
 * record lies here; the sink sees it after that.
 */
#ifndef HTRACE_COLLECT_PTRACE_OUTBOX_H
#define HTRACE_COLLECT_PTRACE_OUTBOX_H

#include "collect/collector.h"

#include <stddef.h>

struct outbox {
	uint8_t *bytes;
	size_t used, capacity;
};

/* A zeroed struct outbox is an empty one. */
void outbox_fini(struct outbox *outbox);

/* Zeroed room for a record of `type` with `fixed` bytes known and at most `variable` after them;
 * borrowed until the next call. */
void *outbox_begin(struct outbox *outbox, enum event_type type, pid_t pid, pid_t tid, size_t fixed,
		   size_t variable);

/* The record begun last has `size` bytes (made a multiple of 8 here). */
void outbox_end(struct outbox *outbox, size_t size);

/* Hands everything over; returns how many records. */
uint64_t outbox_drain(struct outbox *outbox, const struct event_sink *sink);

#endif
