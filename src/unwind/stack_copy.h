/*
 * The pieces of stack that an event brought, read by target address. All that unwinding ever
 * reads of a target.
 */
#ifndef HTRACE_UNWIND_STACK_COPY_H
#define HTRACE_UNWIND_STACK_COPY_H

#include "event/codec.h"
#include "stack/stack_table.h"
#include "unwind/trail.h"

#include <stdbool.h>
#include <string.h>

struct stack_piece {
	uint64_t start;
	uint64_t size; /* bytes */
	const uint8_t *bytes;
	bool cut; /* the stack goes on where the piece ends */
};

struct stack_copy {
	struct stack_piece pieces[EVENT_STACKS_MAX];
	unsigned pieces_n;
	struct trail *trail; /* what decides the frames is added to it; borrowed; never NULL */
};

/* Borrows `trail`, begun anew, and the bytes of `event`, which event_check() has passed. */
static inline void stack_copy_init(struct stack_copy *copy, const struct event_syscall *event,
				   struct trail *trail)
{
	trail_begin(trail);
	copy->trail = trail;
	copy->pieces_n = 0;
	for (unsigned i = 0; i < event->stacks_n && i < EVENT_STACKS_MAX; i++)
		if (event->stacks[i].size >= sizeof(uint64_t))
			copy->pieces[copy->pieces_n++] = (struct stack_piece){
			    .start = event->stacks[i].start,
			    .size = event->stacks[i].size,
			    .bytes = event_stack_bytes(event, i),
			    .cut = event->stacks[i].flags & EVENT_STACK_CUT,
			};
}

/* The 8 bytes at `address`; false where no piece holds all of them. */
static inline bool stack_copy_read(const struct stack_copy *copy, uint64_t address, uint64_t *out)
{
	for (unsigned i = 0; i < copy->pieces_n; i++) {
		const struct stack_piece *piece = &copy->pieces[i];
		uint64_t offset = address - piece->start;

		if (offset <= piece->size - sizeof(*out)) {
			memcpy(out, piece->bytes + offset, sizeof(*out));
			return true;
		}
	}
	return false;
}

/* What ended a stack whose next read, at `address`, failed. */
static inline enum stack_end stack_copy_why(const struct stack_copy *copy, uint64_t address)
{
	/* No stack is larger: an address further off is no stack address but garbage. */
	const uint64_t stack_bytes_max = (uint64_t)1 << 30;

	for (unsigned i = 0; i < copy->pieces_n; i++) {
		const struct stack_piece *piece = &copy->pieces[i];
		uint64_t last = piece->start + piece->size - sizeof(uint64_t);

		if (piece->cut && address > last && address - last < stack_bytes_max)
			return STACK_END_TRUNCATED;
	}
	return STACK_END_BAD_READ;
}

#endif
