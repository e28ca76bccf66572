/* What inject_target and the test share: a page of memory. */
#ifndef HTRACE_TESTS_INJECT_TARGET_H
#define HTRACE_TESTS_INJECT_TARGET_H

#include <stdatomic.h>
#include <stdint.h>

enum {
	TARGET_EXIT = 42,
	TARGET_CANNOT = 43,
	TARGET_KINDS = 13,
	TARGET_SHARED_BYTES = 4096,
};

struct target_shared {
	uint64_t agent_address; /* of `agent`, as the target sees it */
	_Atomic uint32_t ready, stop;
	_Atomic uint32_t wrong;                   /* things that must not be */
	_Atomic uint32_t wrong_line, wrong_errno; /* of the last */
	_Atomic uint32_t rounds[TARGET_KINDS];
	_Atomic uint64_t sent, received;
	_Atomic uint32_t vforked; /* pid of a child that its parent waits for */
	_Atomic int64_t agent[2]; /* written by inject_agent.c */
};

#endif
