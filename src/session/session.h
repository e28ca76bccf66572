/*
 * One session of tracing: it owns a collector and everything that its events become (stacks,
 * images, model, history), and wires them: collector -> unwind -> model -> trace. It lives on
 * between commands and knows nothing of terminals or formats.
 */
#ifndef HTRACE_SESSION_SESSION_H
#define HTRACE_SESSION_SESSION_H

#include "base/error.h"
#include "collect/collector.h"
#include "report/report.h"
#include "session/trigger.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SESSION_RING_BYTES = 16 << 20,
	SESSION_TRACES_MAX = 4096, /* as !htrace -enable does without a number */
};

struct session_options {
	const char *collector; /* "auto", or the name of one */
	const char *program;   /* that will be started, for "auto"; NULL: none */
	pid_t pid;             /* that will be attached to, likewise; 0: none */
	bool awaits;           /* session_await() will be called: a collector that can */
	bool adopts;           /* session_adopt() likewise */
	bool follow_children;
	uint32_t traces_max;      /* kept in the history */
	uint32_t ring_bytes;      /* 0: SESSION_RING_BYTES */
	bool everything;          /* for session_attach_all(): "auto" is bpf then */
	int bad_reference_signal; /* collector_options has it; 0: bad references are only recorded
				   */
	const char *cgroup; /* with `everything`: only what is in it (os/cgroup.h); NULL: all */
	uint64_t every_ns;  /* between snapshots that it takes by itself; 0: none */
};

struct session;

/* Chooses the collector and sets it up; nothing is traced yet. */
int session_new(const struct session_options *options, struct session **out, struct error *error);
void session_free(struct session *session); /* targets run on */

/* The collector in use, and with "auto" why a better one is not, where that is worth telling (NULL:
 * it is the best, or the user is not permitted more). */
const char *session_collector(const struct session *session);
const char *session_fallback_reason(const struct session *session);

/* Why the last process that could not be traced is not, as a sentence; NULL: there is none.
 * Borrowed until the next step. */
const char *session_complaint(const struct session *session);

/* Traces a running process; its table is known and the first snapshot taken when this returns.
 * -ESRCH, -EPERM, -EINVAL (kernel thread), -ENOEXEC (not x86-64), ... */
int session_attach(struct session *session, pid_t pid, struct error *error);

/* The same for a process that a debugger holds, by the agent: what the debugger has to do there
 * before it lets the process go on is borrowed until the next call. */
int session_adopt(struct session *session, pid_t pid, struct entry_plan *plan, struct error *error);

/*
 * Traces every process of the machine but this one, or of one cgroup, and those that come later
 * (session_options.everything). The tables of those that exist are known and the first snapshot
 * taken when this returns.
 */
int session_attach_all(struct session *session, struct error *error);

/* Starts a program; errors of execve are returned as they are. */
int session_run(struct session *session, const struct spawn *spawn, struct error *error);

/*
 * Awaits a program that somebody else starts with `variables` in its environment
 * (collector_ops.await): the first process that comes with them is the target, the session's
 * "child" from then on. `program`: its path, NULL where that is not known. Until it comes there is
 * nothing to report, and session_step() returns 0.
 */
int session_await(struct session *session, const char *program, const char *const **variables,
		  struct error *error);

/*
 * Handles what there is, waiting up to timeout_ms for it. Returns like collector_ops.poll: number
 * of events, 0, -EINTR, or -ECHILD when nothing is left to trace.
 */
int session_step(struct session *session, int timeout_ms, struct error *error);

/* The wait(2) status of the program that session_run() started, once it has ended. */
bool session_child_ended(const struct session *session, int *wait_status);
pid_t session_child(const struct session *session); /* 0: none, or none yet (session_await) */

/* Whether targets stand still while this process is stopped. */
bool session_holds_targets(const struct session *session);

/* Whether that program is stopped by job control, and (*all) whatever would stand still is too. */
bool session_child_stopped(const struct session *session, bool *all);

/*
 * Who is told at once, in the middle of events or in a step: that calls of a process fail for want
 * of a handle, and that the condition of triggers[n] holds for one; again only when that was not so
 * for quiet_ns (0: a minute). May ask for a report, and fork, but must change nothing.
 */
struct session_watch {
	const struct trigger *triggers; /* at most TRIGGERS_MAX; borrowed for the session's life */
	size_t triggers_n;
	uint64_t quiet_ns;
	void (*exhausted)(void *context, const struct process *process);
	void (*triggered)(void *context, const struct process *process, size_t trigger);
	void *context;
};
void session_set_watch(struct session *session, const struct session_watch *watch);

/* The handles open now become the state that the report compares with, also under `name` (NULL:
 * none; copied; what had it before gives way). */
void session_snapshot(struct session *session, const char *name);

/* The snapshot with that name; NULL: the last one. False: there is none. */
bool session_find_snapshot(const struct session *session, const char *name, struct snapshot *out);

/* Compares every living process's table with /proc/PID/fd, and mends it. */
void session_reconcile(struct session *session);

/*
 * What there is to tell since `snapshot` (NULL: the last one), after session_reconcile(). Borrowed
 * from the session, until its next step, but for what report_fini() frees. `progress`: as
 * symbolizer_new().
 */
void session_report(struct session *session, const struct snapshot *snapshot, struct report *out,
		    void (*progress)(void *context, const char *module_path), void *context);

/* A process of the session, alive or not; NULL: it has none. Borrowed until the next step. */
const struct process *session_process(const struct session *session, pid_t pid);

/* A bad reference whose thread was sent session_options.bad_reference_signal. */
struct session_caught {
	uint64_t time_ns;
	pid_t pid, tid;
	int32_t number;
	uint32_t call;                /* system call number */
	enum bad_reference_kind kind; /* 0: the number is not open, and more is not known */
	uint32_t stack_id;            /* of the call; STACK_NONE: there is none */
};

/* The oldest that was not taken yet; false: there is none. Its stack is kept until the next one is
 * taken. *dropped: so many more have come since the last time, more than are kept, or (where the
 * signal is not SIGSTOP) from the same place as an earlier one. */
bool session_next_caught(struct session *session, struct session_caught *out, uint64_t *dropped);

/* How many handles of it are open. */
uint64_t session_open_count(const struct session *session, const struct process *process);

/* What a session says of itself. */
struct session_status {
	uint64_t events, lost_events;
	uint64_t processes, processes_alive;
	uint64_t open_handles; /* of those that are alive */
	uint64_t exhausted;    /* calls that failed for want of a handle */
	uint64_t traces;       /* ever; */
	uint32_t traces_kept, traces_max;
	uint32_t snapshots; /* with a name */
};
void session_status(const struct session *session, struct session_status *out);

/* Stops tracing: targets run on. What was collected stays. */
void session_stop(struct session *session);

/*
 * After session_stop(): where targets cannot live without their tracer (ptrace, a program that
 * session_run() started), stays with them until they end. Returns at once otherwise.
 */
void session_outlive_targets(struct session *session);

#endif
