/*
 * Puts the agent into a program that runs already, and lets it enter and leave. All threads of the
 * target stand still meanwhile. Whatever fails, and even when this program is killed in the middle,
 * the target runs on: its registers, signal masks, interrupted calls and job control as they were.
 */
#ifndef HTRACE_COLLECT_AGENT_INJECT_H
#define HTRACE_COLLECT_AGENT_INJECT_H

#include "base/array.h"
#include "base/error.h"
#include "collect/collector.h"

#include <stdint.h>
#include <sys/types.h>

struct injected {
	pid_t pid;
	uint64_t base;         /* of the image in the target */
	uint64_t bytes;        /* of the image */
	uint64_t enter, leave; /* addresses of agent_enter and agent_leave */
	uint64_t stopped_ns;   /* how long the target's threads stood still, the last time */
};

/*
 * Stops all threads of `pid`, copies the agent file `agent_path` into it (or finds the image of an
 * earlier time), calls agent_enter(variable), lets all go on. Number of patched sites, or a
 * negative errno: -EBUSY where a thread would not stop within two seconds.
 */
int agent_inject(pid_t pid, const char *agent_path, const char *variable, struct injected *out,
		 struct error *error);

/* Calls agent_leave() and notes stopped_ns. A target that is gone, or has become another program,
 * is no error. */
int agent_withdraw(struct injected *injected, struct error *error);

/*
 * The same for a process with one thread, which the calling thread traces (PTRACE_SEIZE) and which
 * has just stopped, at PTRACE_EVENT_EXEC or elsewhere. Not one instruction of its own is executed;
 * it is stopped again when this returns.
 */
int agent_inject_stopped(pid_t pid, const char *agent_path, const char *variable,
			 struct injected *out, struct error *error);

/* What a debugger has to do to let the agent in (collector_ops.adopt). */
struct agent_image;
struct agent_plan {
	struct agent_image *image;
	uint8_t head[4096];
	ARRAY(struct entry_step) steps; /* point into this, and to `variable` */
	struct entry_plan told;
};

/* For a process that stands still. agent_plan_fini() frees. */
int agent_plan_make(pid_t pid, const char *agent_path, const char *variable, struct agent_plan *out,
		    struct error *error);
void agent_plan_fini(struct agent_plan *plan);

struct agent_start;

/*
 * For a child that is about to exec a program: begins to trace it (by a thread of its own), injects
 * when the exec has happened, before the new program's first instruction, and lets go. Meant to be
 * called by start_program()'s `ready`; the strings are copied. NULL: refused, error says why.
 */
struct agent_start *agent_start_begin(pid_t pid, const char *agent_path, const char *variable,
				      struct error *error);

/* Waits until that is done, and frees `start`. As agent_inject(); -ESRCH: it ended without an exec.
 */
int agent_start_end(struct agent_start *start, struct injected *out, struct error *error);

#endif
