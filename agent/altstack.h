/* The stack of signal handlers (sigaltstack(2)), and what lies below it: what they interrupted. */
#ifndef HTRACE_AGENT_ALTSTACK_H
#define HTRACE_AGENT_ALTSTACK_H

#include "system.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether we run on it. */
static inline bool altstack_in_use(stack_t *now)
{
	now->ss_flags = SS_DISABLE;
	system_call3(__NR_sigaltstack, 0, (uint64_t)now, 0);
	return now->ss_flags & SS_ONSTACK;
}

/*
 * The stack pointer of who was interrupted, from a copy of the `bytes` above our own; 0: it is not
 * there. The kernel saved uc_stack {ss_sp, ss_flags, ss_size} in the signal frame, followed by the
 * registers r8-r15, di, si, bp, bx, dx, ax, cx, sp (asm/sigcontext.h): sp is 18 words on.
 */
static inline uint64_t altstack_interrupted(const stack_t *now, const uint64_t *copy,
					    uint64_t bytes)
{
	enum { SAVED_SP_WORD = 18 };

	for (uint64_t i = 0; i + SAVED_SP_WORD < bytes / 8; i++)
		if (copy[i] == (uint64_t)now->ss_sp && copy[i + 2] == now->ss_size)
			return copy[i + SAVED_SP_WORD];
	return 0;
}

#endif
