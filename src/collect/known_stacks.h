/*
 * The table of known stacks, which a collector's fast half (the BPF program, the agents) looks at:
 * its slow half. What was written there is never read back: somebody else may have changed it.
 */
#ifndef HTRACE_COLLECT_KNOWN_STACKS_H
#define HTRACE_COLLECT_KNOWN_STACKS_H

#include "base/array.h"
#include "base/map.h"
#include "event/known_stack.h"

#include <stdbool.h>

/* A stack that is recognised no more; records that were made before may still name it. */
struct retired_stack {
	uint64_t until; /* a position (known_stacks_add()); from there on none does */
	uint32_t stack;
};

/* What an entry holds, for us to believe. */
struct known_place {
	uint64_t mappings, ip, sp;
	uint32_t stack; /* 0: the entry is empty */
	uint32_t version;
};

struct known_stacks {
	struct known_stack *entries; /* KNOWN_STACKS_N, borrowed, shared with the fast half */
	struct known_place *places;  /* of each entry */
	struct map names;            /* stack -> in so many entries and retired ones */
	uint32_t turn;               /* which one of a full set has to go next */
	ARRAY(struct retired_stack) retired;
	size_t retired_most; /* so many are looked through for those that are over */
};

/* `entries` are zero, and must live as long. */
void known_stacks_init(struct known_stacks *stacks, struct known_stack *entries);
void known_stacks_fini(struct known_stacks *stacks);

/*
 * From now on stacks with `footprint`, while `mappings` is current, are recognised as `stack`
 * (not 0). One that gives way for it may still be named by records before position `until`; what
 * lies before position `reached` has been read. Positions are the caller's, and only grow.
 */
void known_stacks_add(struct known_stacks *stacks, uint64_t mappings,
		      const struct footprint *footprint, uint32_t stack, uint64_t reached,
		      uint64_t until);

/* Whether a record may still name `stack`. */
bool known_stacks_has(const struct known_stacks *stacks, uint32_t stack);

/* Each number of a stack that a record may still name, some more than once. */
void known_stacks_each(const struct known_stacks *stacks,
		       void (*each)(void *context, uint32_t stack), void *context);

#endif
