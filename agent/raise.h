/*
 * A signal that a thread sends itself at the call that was a bad reference. It acts where registers
 * and stack are the program's own, with a return address to the call on top: as if the call's code
 * had called hook_raise. So a debugger unwinds from there, also one that knows nothing of code that
 * was copied in.
 *
 * Meanwhile handlers run on the stack below: what has to be put back is not kept there but here, of
 * any thread, until it has come back. A handler that jumps away leaves it taken.
 */
#ifndef HTRACE_AGENT_RAISE_H
#define HTRACE_AGENT_RAISE_H

/* Offsets in struct raise, for hook.S. */
#define RAISE_TAKEN   0
#define RAISE_PID     8
#define RAISE_TID     16
#define RAISE_SIGNAL  24
#define RAISE_SITE_IP 32
#define RAISE_BELOW   40
#define RAISE_STUB    48
#define RAISE_AX      56
#define RAISE_DX      64
#define RAISE_SI      72
#define RAISE_DI      80

#ifndef __ASSEMBLER__

#include "agent.h"

struct raise {
	uint64_t taken;
	uint64_t pid, tid, signal; /* arguments of tgkill */
	uint64_t site_ip;
	uint64_t below; /* what stands below the caller's stack pointer, in its red zone */
	uint64_t stub;  /* where to return to */
	uint64_t ax, dx, si, di;
};

/* Of a call that has returned: whether it is a bad reference that is to be answered so. */
bool raise_wanted(const struct call_frame *frame, uint32_t number);
/* For hook_raise; NULL: too many are taken, and the signal has been sent from here. */
struct raise *raise_prepare(const struct call_frame *frame, uint64_t site_ip, uint64_t sp);

#endif
#endif
