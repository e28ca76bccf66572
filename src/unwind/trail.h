/*
 * The trail of an unwinding: which words of the stack, and which registers of the event, decided
 * its frames. Of what a rule restores only that counts which a later frame is found by: a saved
 * rbx that nobody uses may hold anything.
 */
#ifndef HTRACE_UNWIND_TRAIL_H
#define HTRACE_UNWIND_TRAIL_H

#include "event/event.h"
#include "event/footprint.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Where the value of a register is from: a number below TRAIL_DERIVED is that register (DWARF) as
 * the event had it, TRAIL_DERIVED was computed from what is on the trail already, anything above
 * is the address of the stack word that was read.
 */
enum { TRAIL_DERIVED = 32 };

struct trail {
	uint64_t addresses[FOOTPRINT_WORDS_MAX];
	uint32_t words_n;
	uint32_t registers; /* bit n: DWARF register n of the event */
	bool incomplete;    /* more was looked at than is told here */
};

static inline void trail_begin(struct trail *trail)
{
	trail->words_n = 0;
	trail->registers = 0;
	trail->incomplete = false;
}

/* The word at `address` has decided something. */
static inline void trail_add_word(struct trail *trail, uint64_t address)
{
	if (trail->words_n < FOOTPRINT_WORDS_MAX)
		trail->addresses[trail->words_n++] = address;
	else
		trail->incomplete = true;
}

/* A value from `source` has decided something. */
static inline void trail_add(struct trail *trail, uint64_t source)
{
	if (source > TRAIL_DERIVED)
		trail_add_word(trail, source);
	else if (source < TRAIL_DERIVED)
		trail->registers |= 1u << source;
}

/*
 * The footprint of the trail that was left on `event`'s stack; false where it has none: it is
 * incomplete, the stack came in two pieces, or a word lies too far from sp.
 */
bool trail_footprint(const struct trail *trail, const struct event_syscall *event,
		     struct footprint *out);

#endif
