/*
 * What the files of this folder share: the collector, its processes and their threads. A tracee is
 * one thread; a process is what its threads have in common.
 */
#ifndef HTRACE_COLLECT_PTRACE_TRACER_H
#define HTRACE_COLLECT_PTRACE_TRACER_H

#include "base/array.h"
#include "base/map.h"
#include "collect/collector.h"
#include "collect/ptrace/outbox.h"

#include <sched.h>
#include <signal.h>
#include <sys/user.h>
#include <time.h>

enum {
	/* Beside enum plan_when: executable memory may appear. Needed for tracing itself. */
	WANT_MAPS = 0x80,
	STACK_RANGES = 4,
};

/* A mapping that stacks lie in; start == end: none. */
struct stack_range {
	uint64_t start, end;
};

/* An executable mapping that was handed over already. */
struct known_mapping {
	uint64_t start, end, file_offset, inode;
};

struct process {
	pid_t pid;
	uint32_t threads;  /* tracees of it */
	uint32_t alive;    /* of these, those that have not begun to exit */
	bool filtered;     /* calls stop by our seccomp filter; without a tracer they would fail */
	bool muted;        /* traced only because of that filter: nothing is recorded */
	bool foreign;      /* not x86-64 */
	bool shares_table; /* with another process (CLONE_FILES) */
	bool let_go;       /* for a debugger: each thread is detached at its next stop */
	ARRAY(struct known_mapping) mappings;
	ARRAY(uint64_t) exit_fds; /* bitmap of what was open when the last thread began to exit */
	pid_t exit_tid;           /* whose table that is; 0: not known */
};

enum tracee_state {
	TRACEE_RUNNING = 0,   /* or about to: a stop of it is still to come */
	TRACEE_STOPPED = 1,   /* a stop of it is being handled, or is put off */
	TRACEE_LISTENING = 2, /* in a group-stop: waits for SIGCONT as it would untraced */
};

struct tracee {
	pid_t tid;
	struct process *process; /* NULL: held until the event of its creation is seen */
	enum tracee_state state;
	bool exiting;
	int held_status; /* what waitpid() said when it was held */
	int64_t held_since_ns;
	uint8_t wanted; /* of the call that is followed to its return; 0: none is */
	uint32_t number;
	uint64_t args[6];
	struct stack_range ranges[STACK_RANGES];
	uint32_t range_next;
};

/* Follows the CPU of the tracees; affinity.c. */
struct affinity {
	bool off;
	int cpu; /* where this thread is pinned; -1: nowhere */
	uint32_t stops;
	cpu_set_t original;
};

struct collector {
	const struct plan *plan;
	bool follow_children;
	bool detaching;
	bool no_kcmp;
	int bad_reference_signal; /* as collector_options says */
	uint32_t stack_bytes_max;
	struct map tracees;   /* tid -> struct tracee */
	struct map processes; /* pid -> struct process */
	struct outbox outbox;
	struct collector_stats stats;
	struct affinity affinity;
	timer_t timer;                 /* ends a waitpid() that takes too long */
	struct sigaction timer_action; /* what its signal did before */
	sigset_t mask;                 /* of this thread, before */
	uint32_t held;                 /* tracees without a process */
	pid_t spawned;
	bool filters;            /* what it starts has our filter */
	int spawned_exec_status; /* wait status of the exec stop that the next poll handles, or 0 */
	bool child_ended;
	int child_status;
};

/* tracee.c */
struct tracee *tracee_find(const struct collector *collector, pid_t tid);
struct tracee *tracee_add(struct collector *collector, pid_t tid, struct process *process);
void tracee_join(struct tracee *tracee, struct process *process);
void tracee_remove(struct collector *collector, struct tracee *tracee);
void tracee_exits(struct tracee *tracee);
struct process *thread_group_find(const struct collector *collector, pid_t pid);
struct process *thread_group_add(struct collector *collector, pid_t pid);
void thread_group_remove(struct collector *collector, struct process *process);

/* Lets a stopped tracee go on, with `signal` (0: none); detaches it instead where that is due. */
void tracee_resume(struct collector *collector, struct tracee *tracee, int signal);

/* User registers of a stopped tracee; false where it is gone. */
bool tracee_registers(const struct tracee *tracee, struct user_regs_struct *out);
uint64_t tracee_event_message(const struct tracee *tracee);

/* stops.c: handles what waitpid() said of `tid`. */
void stops_handle(struct collector *collector, pid_t tid, int status);

/* No stop is pending: who is still held after a while has lost its parent before that could tell of
 * it, and goes on. */
void stops_release_held(struct collector *collector);

/* poll.c */
enum { POLL_INTERRUPTED = -1, POLL_TIMED_OUT = 0, POLL_HANDLED = 1, POLL_NO_TRACEE = 2 };
int64_t poll_now_ns(void);
int poll_create_timer(struct collector *collector, struct error *error);
void poll_delete_timer(struct collector *collector);

/* In a forked child: signals as they were before. */
void poll_restore_signals(const struct collector *collector);

int ptrace_poll(struct collector *collector, int timeout_ms, const struct event_sink *sink,
		struct error *error);

/* lifetimes.c: the stops that begin and end threads and processes. */
void lifetime_fork(struct collector *collector, struct tracee *parent, int event);
void lifetime_record_fork(struct collector *collector, pid_t pid, pid_t tid, pid_t child_pid,
			  pid_t child_tid, uint16_t flags);
void lifetime_exec(struct collector *collector, struct tracee *tracee);
void lifetime_exit_begins(struct collector *collector, struct tracee *tracee);
void lifetime_ended(struct collector *collector, struct tracee *tracee, int status);
/* The last thread of a process that is let go is about to be detached. */
void lifetime_let_go(struct collector *collector, const struct process *process);

/* capture.c: one record of a call, with its data before it. */
void capture_enter(struct collector *collector, struct tracee *tracee);
void capture_leave(struct collector *collector, struct tracee *tracee,
		   const struct user_regs_struct *registers, bool signalled);

/* bad_reference.c: whether the call that has just returned is one that gets the signal. */
bool bad_reference_signalled(struct collector *collector, const struct tracee *tracee,
			     int64_t result);
/* Lets the tracee go on from such a call. It may be gone then, and its process with it. */
void bad_reference_resume(struct collector *collector, struct tracee *tracee);

/* stack.c: appends the pieces of the stack at `registers` to `event`, which lies at the end of the
 * outbox and has room for them. */
uint32_t stack_copy(struct collector *collector, struct tracee *tracee,
		    const struct user_regs_struct *registers, struct event_syscall *event);

/* maps.c: hands over the executable mappings that are new. */
void maps_update(struct collector *collector, struct process *process, pid_t tid);
void maps_anonymous(struct collector *collector, struct process *process, pid_t tid, uint64_t start,
		    uint64_t size);

/* fds.c */
bool fds_is_open(struct collector *collector, const struct tracee *tracee, int32_t fd);
bool fds_bitmap(pid_t tid, uint64_t **words, size_t *count);
void fds_record(struct collector *collector, pid_t pid, pid_t tid, const uint64_t *words,
		size_t count);

/* affinity.c */
void affinity_init(struct affinity *affinity);
void affinity_stop_seen(struct affinity *affinity, pid_t tid);
void affinity_restore(struct affinity *affinity);

/* spawn.c, attach.c */
int ptrace_spawn(struct collector *collector, const struct spawn *spawn, pid_t *pid,
		 struct error *error);
int ptrace_attach(struct collector *collector, pid_t pid, const struct event_sink *sink,
		  struct error *error);
void ptrace_detach(struct collector *collector);
int ptrace_probe(struct error *error);
void tracees_wait(struct collector *collector, pid_t pid);

#endif
