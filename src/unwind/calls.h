/*
 * What stands before a return address: a call, if anything called. Read from the file that is
 * mapped there, once for each address.
 */
#ifndef HTRACE_UNWIND_CALLS_H
#define HTRACE_UNWIND_CALLS_H

#include "os/address_space.h"
#include "os/image.h"

#include <stdbool.h>
#include <stdint.h>

enum { CALLS_LOG2 = 10 };

struct call {
	uint64_t address, generation; /* 0: the entry is empty */
	uint64_t target;              /* 0: there is no direct call */
	bool none;                    /* there is no call at all; false where there is no file */
};

/* Direct-mapped; a zeroed one is empty. */
struct calls {
	struct call entries[1 << CALLS_LOG2];
};

/* What precedes `address` in `space`. Good until the next one is asked for. */
const struct call *call_before(struct calls *calls, const struct image_table *images,
			       const struct address_space *space, uint64_t address);

#endif
