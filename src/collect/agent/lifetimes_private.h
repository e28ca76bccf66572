/*
 * What the files of the lifetimes share: records (lifetimes.c), beginnings (strangers.c), ends
 * (ends.c), execs (execs.c).
 */
#ifndef HTRACE_COLLECT_AGENT_LIFETIMES_PRIVATE_H
#define HTRACE_COLLECT_AGENT_LIFETIMES_PRIVATE_H

#include "collect/agent/lifetimes.h"

struct traced_process *lifetimes_find(const struct lifetimes *lifetimes, pid_t pid);

void lifetimes_emit(struct lifetimes *lifetimes, const struct event_header *event);

/* Hands the table that the process told last over, for the next event of `tid`. */
void lifetimes_emit_fds(struct lifetimes *lifetimes, struct traced_process *process, int32_t tid);

/* Only its memory: nothing is told. */
void lifetimes_free_process(struct traced_process *process);

/* ---- strangers.c ---- */

/* Tells that a parent has a child, with the table that the child told, and lets the child's
 * records be read. */
void lifetimes_announce(struct lifetimes *lifetimes, struct event_fork *fork, bool made_up);
/* The same where the parent has not told of it. */
void lifetimes_make_up_fork(struct lifetimes *lifetimes, pid_t parent, pid_t child, uint16_t flags,
			    uint64_t time_ns);
/* Those that have waited long enough. */
void lifetimes_accept_strangers(struct lifetimes *lifetimes);

/* ---- execs.c ---- */

void lifetimes_exec(struct lifetimes *lifetimes, struct traced_process *process, uint32_t slot,
		    struct event_exec *event);
/* The agent was put into a new program, and tells nothing of its beginning. */
void lifetimes_exec_untold(struct lifetimes *lifetimes, struct traced_process *process,
			   uint32_t slot, uint64_t time_ns);
void lifetimes_maps(struct lifetimes *lifetimes, struct traced_process *process,
		    struct arena_text *text);
void lifetimes_off(struct lifetimes *lifetimes, struct traced_process *process,
		   const struct arena_off *off);

/* The program that runs in it is not recorded; `gone`: and it has ended. */
void lifetimes_unseen(struct lifetimes *lifetimes, struct traced_process *process, bool gone);

/* Whether an execve became something that has no agent. */
void lifetimes_look_at_exec(struct lifetimes *lifetimes, struct traced_process *process);

/* ---- ends.c ---- */

/* Tells the end of a process of which everything was handed over, and forgets it. */
void lifetimes_end(struct lifetimes *lifetimes, struct traced_process *process);

/* Whether the process has ended, as its pidfd says. */
bool lifetimes_is_over(const struct traced_process *process);

#endif
