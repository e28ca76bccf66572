/*
 * How the two unwinders may differ and who is right: each class has a rule, checked on the stack's
 * own bytes and with libdw's view of the CFI, not with our unwinder's. docs/UNWINDING.md tells
 * more.
 */
#ifndef HTRACE_TESTS_DIFFERENCES_H
#define HTRACE_TESTS_DIFFERENCES_H

#include "base/map.h"
#include "unwind_capture.h"

enum difference {
	DIFFERENCE_NONE, /* same frames, same end */
	DIFFERENCE_LEAF, /* the frames: see difference_text() for this and the others */
	DIFFERENCE_NOT_CALLED,
	DIFFERENCE_LOST_CFA,
	DIFFERENCE_ENTRY, /* from here on the reason of the end only */
	DIFFERENCE_OUTERMOST,
	DIFFERENCE_NO_RULE,
	DIFFERENCE_LOST_REGISTER,
	DIFFERENCE_NOT_COPIED,
	DIFFERENCE_UNEXPLAINED,
	DIFFERENCES_N,
};

/* libdw's CFI of the files that were met. Zero it. */
struct differences {
	struct map files; /* struct module * -> struct cfi_file * */
	struct map calls; /* (image, pc) -> 1: it follows a call; 2: it does not */
};

void differences_fini(struct differences *differences);

enum difference difference_of(struct differences *differences, const struct capture *capture,
			      const struct comparison *comparison);

/*
 * Does a stack that is not complete end at a return address that no call precedes? Then our last
 * frame is made up.
 */
bool last_is_not_called(struct differences *differences, const struct capture *capture,
			const struct comparison *comparison);

/* The rule of the class, in one sentence. */
const char *difference_text(enum difference difference);

#endif
