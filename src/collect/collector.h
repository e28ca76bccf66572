/*
 * What every collector is: a way to hand over events of chosen processes, and nothing else. It
 * knows no handles, no names, no reports. All calls to one collector come from one thread (ptrace
 * demands it).
 */
#ifndef HTRACE_COLLECT_COLLECTOR_H
#define HTRACE_COLLECT_COLLECTOR_H

#include "base/error.h"
#include "event/event.h"
#include "event/footprint.h"
#include "event/plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct collector_options {
	const struct plan *plan; /* borrowed for the collector's life */
	bool follow_children;
	uint32_t stack_bytes_max; /* of one stack; at most EVENT_STACK_BYTES_MAX */
	uint32_t ring_bytes;      /* a power of two; collectors without a ring ignore it */
	bool everything;          /* every process of the machine but this one and its children,
				     from create() on; children are followed */
	int bad_reference_signal; /* not 0: what the thread is sent, right at the call, by a bad
				     reference: EBADF of a number that is not open; its record
				     has EVENT_SYSCALL_SIGNALLED. SIGSTOP: the process stays
				     stopped, free for a debugger */
	const char *cgroup;       /* with `everything`: only processes that are or come into this
				     cgroup or one below it, and what they fork (which stays
				     traced wherever it goes); a path; NULL: all */
};

struct collector_stats {
	uint64_t events;
	uint64_t lost; /* records that did not fit; each was also told by an EVENT_LOST */
};

/* Where events go. `event` is checked (event/codec.h), and borrowed until `receive` returns. */
struct event_sink {
	void (*receive)(void *context, const struct event_header *event);
	void *context;
};

/* A program to start. */
struct spawn {
	const char *path; /* found in PATH already; for execve */
	char *const *argv;
	char *const *envp;
};

/*
 * How somebody else, a debugger that has stopped a process, lets a collector in there: steps, one
 * after the other. Memory that is mapped is private, without a file, and lies where it says
 * (MAP_FIXED_NOREPLACE).
 */
enum entry_step_kind { ENTRY_MAP = 1, ENTRY_PROTECT, ENTRY_WRITE, ENTRY_CALL };

struct entry_step {
	enum entry_step_kind kind;
	uint64_t at;
	uint64_t bytes; /* of a call: its one argument; it returns less than 0 where it fails */
	int protection; /* PROT_*, of mapping and protecting */
	const uint8_t *data; /* of writing */
};

struct entry_plan {
	const struct entry_step *steps;
	size_t n;
	uint64_t leave;      /* to be called, without an argument, when tracing has ended */
	uint64_t syscall_at; /* a `syscall` instruction in the process */
	/* Of calls: where their stack ends (a multiple of 16), and code of ours that does nothing,
	 * to return to. General registers are all that they change. */
	uint64_t stack_end, return_to;
};

struct collector; /* each implementation has its own */

struct collector_ops {
	const char *name; /* as in --collector= */

	/* Targets stand still while this process is stopped. */
	bool holds_targets;

	/*
	 * Whether a program (a path) or a running process (NULL and its pid) can be traced this
	 * way, as far as that can be known before: 0, or why not. NULL: any can.
	 */
	int (*suits)(const char *program_path, pid_t pid, struct error *error);

	/* Whether this machine and user permit it: 0, or why not. Must probe by doing. */
	int (*create)(const struct collector_options *options, struct collector **out,
		      struct error *error);

	/*
	 * After this no event of `pid` (with all its threads) is missed; its executable mappings
	 * come as EVENT_MAPs first. The target's handles are not told: read /proc/PID/fd after.
	 * With collector_options.everything: its end is told even if it never does anything, and
	 * `sink` may be NULL: its mappings do not come. -ESRCH: it has gone.
	 */
	int (*attach)(struct collector *collector, pid_t pid, const struct event_sink *sink,
		      struct error *error);

	/*
	 * Starts `spawn` as a child of this process, traced from its first instruction (the exec
	 * comes as EVENT_EXEC and EVENT_MAPs, from a later poll). The child keeps our descriptors
	 * that are not close-on-exec, our process group, signal mask and dispositions as they were
	 * when htrace was started. -ENOENT, -EACCES, ...: what execve said.
	 */
	int (*spawn)(struct collector *collector, const struct spawn *spawn, pid_t *pid,
		     struct error *error);

	/*
	 * Awaits a program that somebody else starts, a debugger or a script, with *variables in
	 * its environment: a list of "NAME=value" that ends with NULL, borrowed from the collector;
	 * where LD_PRELOAD has a value already, it goes behind a colon after ours. The first
	 * process that comes with them is traced as one of spawn's, from the program that has them
	 * (a shell, maybe) through every exec. `program` (NULL: unknown): its file, to tell before
	 * why it cannot be traced so. NULL: this collector cannot.
	 */
	int (*await)(struct collector *collector, const char *program,
		     const char *const **variables, struct error *error);

	/*
	 * As attach, of a process that a debugger has stopped, and goes on holding until it has
	 * done what *plan says (borrowed until the next call). NULL: this collector cannot.
	 */
	int (*adopt)(struct collector *collector, pid_t pid, const struct event_sink *sink,
		     struct entry_plan *plan, struct error *error);

	/*
	 * Hands over what there is, waiting up to timeout_ms for the first event; returns the
	 * number of events handed over, 0 when none came, -EINTR after a signal, -ECHILD when
	 * nothing is traced any more and everything was handed over. Handed over in one call is
	 * bounded, so that a caller can look at the clock.
	 */
	int (*poll)(struct collector *collector, int timeout_ms, const struct event_sink *sink,
		    struct error *error);

	/*
	 * `event`, which came with `mappings`, has the stack `stack` (not 0), and `footprint` is
	 * what decided it: such a stack may come as known_stack from now on. NULL: stacks are
	 * always copied.
	 */
	void (*learn_stack)(struct collector *collector, const struct event_syscall *event,
			    const struct footprint *footprint, uint32_t stack);

	/* Each number that may still come as known_stack, some more than once. NULL: none. */
	void (*known_stacks)(const struct collector *collector,
			     void (*each)(void *context, uint32_t stack), void *context);

	/* Why the last process that came with EVENT_EXEC_UNSEEN is not recorded, as a sentence;
	 * NULL: none came. Borrowed until the next poll. May be NULL. */
	const char *(*complaint)(const struct collector *collector);

	/* True once the spawned child has ended and was waited for; its wait(2) status. */
	bool (*child_ended)(const struct collector *collector, int *wait_status);

	/* Whether the spawned child is stopped by job control, and with it (*all) whatever else is
	 * traced. */
	bool (*child_stopped)(const struct collector *collector, bool *all);

	/* Stops tracing; targets run on as if they had never been traced. What was recorded before
	 * can still be polled. */
	void (*detach)(struct collector *collector);

	void (*stats)(const struct collector *collector, struct collector_stats *out);
	void (*destroy)(struct collector *collector); /* detaches first; NULL is permitted */
};

extern const struct collector_ops collector_agent;
extern const struct collector_ops collector_bpf;
extern const struct collector_ops collector_ptrace;

#endif
