/*
 * Who holds which handle, since when, opened where. Blind: it sees integers and static strings
 * only, reads no /proc, unwinds nothing and names nothing.
 *
 * Linux has handle tables per *task*: threads normally share one, and so can processes
 * (CLONE_FILES). So a model has tasks (tid), each points to a table; a table has handles; a process
 * (pid) has the counts, places and bad references that a report shows.
 *
 * Memory follows the largest number of handles open at once, distinct opening places and distinct
 * bad references, never the number of events.
 */
#ifndef HTRACE_MODEL_MODEL_H
#define HTRACE_MODEL_MODEL_H

#include "base/array.h"
#include "event/event.h"
#include "model/crossing.h"
#include "model/exhausted.h"
#include "model/fd_syscalls.h"
#include "model/growth.h"
#include "model/lived.h"

#include <stdbool.h>
#include <stdint.h>

enum handle_origin {
	ORIGIN_OPENED = 0,         /* its opening was seen in this process */
	ORIGIN_BEFORE_TRACING = 1, /* it was there when tracing of the process began */
	ORIGIN_INHERITED = 2, /* from the parent by fork, or over exec; keeps the parent's opening
				 stack where that was seen */
	ORIGIN_RECEIVED = 3,  /* over a socket; its stack is the recvmsg's */
	ORIGIN_UNKNOWN = 4,   /* events were lost, or no system call of the process made it */
};

/* One moment of a handle's life. time_ns 0: it was not seen. Packed: there are many. */
struct handle_moment {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	int32_t pid, tid; /* who did it */
	uint32_t stack_id;
} __attribute__((packed, aligned(4)));

/* What closed a handle. */
enum close_cause {
	CLOSED_BY_CALL = 0, /* close, close_range */
	CLOSED_BY_DUP = 1,  /* dup2, dup3 onto it */
	CLOSED_BY_EXEC = 2, /* close-on-exec */
	CLOSED_UNSEEN = 3,  /* it was found gone */
};

/*
 * What was known of a handle's type when it was opened. Its place is told by that: what only a look
 * at the living process tells later (a path leads to a directory, what was received is a pipe) must
 * not tear apart those that were looked at and those that were closed before anybody could.
 */
enum opened_as {
	OPENED_AS_TYPE = 0, /* all of it */
	OPENED_AS_UNKNOWN = 1,
	OPENED_AS_FILE = 2,   /* by a path, whatever that leads to */
	OPENED_AS_SOCKET = 3, /* of a kind that was not told */
	OPENED_AS_DEVICE = 4, /* by a path in the folder of devices */
};

enum { PLACE_NONE = 0xffffffff };

/* What is known of one number of one table: the handle that is open, and the last that was. */
struct handle {
	int32_t number;
	uint32_t place; /* index into process.places of the process that counts it (model_place());
			   PLACE_NONE: before tracing, or opened by another process */
	const char *type;    /* as much of it as is known (model/handle_type.h); NULL: nothing */
	const char *name;    /* owned by the model; NULL: not known */
	uint64_t touched_ns; /* the last event about this number */
	struct handle_moment opened;
	bool open : 1;
	bool cloexec : 1;
	uint8_t doubt : 2; /* the model's: the last comparison with the truth found a difference */
	bool awaited : 1;  /* the model's: its opening by the parent is not recorded yet */
	bool observed : 1; /* its name, type and cloexec were read from outside since it was opened
			    */
	enum handle_origin origin : 8; /* of the open one, or of the last one */
	enum close_cause closed_by : 8;
	enum opened_as opened_as : 3;
};

/* The handle that a number stood for before: kept where there was one, beside struct handle. */
struct handle_past {
	struct handle_moment closed; /* the last close of the number; time_ns 0: never */
	struct handle_moment opened; /* the opening of the handle that it closed */
};

/* The part of a handle's type that its place is told by; NULL: nothing was known of it. */
const char *handle_class(const struct handle *handle);

/* One opening place: a (class, opening stack, origin) of one process. */
struct place {
	const char *type; /* the class of its handles (handle_class()); NULL: not known */
	uint32_t stack_id;
	enum handle_origin origin;
	uint64_t opened, closed;    /* counts since tracing began; open now = opened - closed */
	uint64_t open_most;         /* largest number open at once */
	uint64_t first_ns, last_ns; /* first and last opening */
	struct lived *ends;         /* of those that were closed; NULL: none was. The model's */
	struct growth *growth;      /* at the process's samples; NULL: none was open at one */
};

enum bad_reference_kind {
	BAD_DOUBLE_CLOSE = 1,    /* close of a number that was closed before */
	BAD_USE_AFTER_CLOSE = 2, /* any other call on such a number */
	BAD_NEVER_OPENED = 3,    /* the number was never seen open */
	BAD_STALE_CLOSE = 4,     /* a close of a number that stands for somebody else's handle by
				    now: it succeeded, and is inferred (docs/BAD_REFERENCES.md) */
};

/* Equal ones (handle, call, kind, asks, the three stacks) are one with a count. */
struct bad_reference {
	int32_t number;
	uint32_t call; /* system call number; fd_syscalls_name() */
	enum bad_reference_kind kind;
	bool asks; /* the call does nothing but ask about the number: fcntl(F_GETFD, F_GETFL),
		      poll() of no events without waiting */
	uint64_t count;
	struct handle_moment now;    /* the latest */
	struct handle_moment closed; /* time_ns 0: not seen */
	struct handle_moment opened;
	/* BAD_STALE_CLOSE: `closed` is the close of an earlier owner of the number, `opened` the
	 * opening of the handle that `now` has closed. */
	bool inferred;
	bool passed_on;               /* noticed: the handle's owner closed the number's next one */
	uint32_t noticed_call;        /* what the handle's owner did, which was told EBADF */
	struct handle_moment earlier; /* the opening of that earlier owner */
	struct handle_moment noticed;
	uint64_t closed_elsewhere; /* handles from the same place as `opened`, closed by others */
};

/* A process that was traced; stays after its exit for the report. Read-only outside the model. */
struct process {
	int32_t pid, parent;
	const char *exe;   /* path of its program; NULL: not told. Owned by the model */
	uint64_t start_ns; /* when tracing of it began */
	bool exited;
	int32_t exit_status; /* as wait(2) gives it; WIFSTOPPED(): it lives, but was let go */
	uint64_t exit_ns;
	bool incomplete; /* an event that concerned it may have been lost: its table needs
			    reconciling */
	uint64_t events;
	uint64_t truncated_stacks; /* counted by model_stack_ended() */
	uint64_t stack_ends[8];    /* by enum stack_end */
	uint64_t reconciled;       /* handles that a comparison with the truth added or removed */
	ARRAY(struct place) places;
	ARRAY(struct bad_reference) bad_references;
	uint64_t bad_references_dropped;   /* distinct ones beyond BAD_REFERENCES_MAX */
	struct growth_times *growth_times; /* when it was sampled; NULL: not yet */
	struct exhaustion *exhausted;      /* NULL: no call failed for want of a handle */
};

enum { BAD_REFERENCES_MAX = 4096 };

enum trace_kind { TRACE_OPEN = 1, TRACE_CLOSE = 2, TRACE_BAD_REFERENCE = 3 };

enum { TRACE_CALL_NONE = 0xffff };

/* One step in a handle's life. There are many. */
struct trace {
	enum trace_kind kind : 8;
	uint8_t detail : 7; /* CLOSE: enum close_cause; BAD_REFERENCE: enum bad_reference_kind */
	bool asks : 1;      /* BAD_REFERENCE: as in struct bad_reference */
	uint16_t call;      /* system call number; TRACE_CALL_NONE: none, or not known */
	int32_t pid;        /* the process that did it */
	int32_t number;
	struct handle_moment moment;
	uint64_t before_ns; /* CLOSE: when what it closed had been opened; BAD_REFERENCE: when the
			       number had been closed; 0: not known */
};

/* Is told every trace as it happens (trace/history.h keeps them). */
struct model_observer {
	void (*trace)(void *context, const struct trace *trace);
	void *context;
};

/* Who did something, when, with what stack (STACK_NONE where none was taken). */
struct actor {
	int32_t pid, tid;
	uint64_t time_ns;
	uint32_t stack_id;
	uint32_t call; /* system call number, 0xffffffff: none */
};

/* The truth about one open handle, read outside (from /proc/PID/fd). */
struct observed_handle {
	int32_t number;
	bool cloexec;
	const char *type;  /* static */
	const char *name;  /* copied */
	bool known;        /* only the number was looked at: what it is was observed before */
	uint64_t since_ns; /* the look began; 0: with the comparison */
};

struct model;

struct model *model_new(const struct model_observer *observer); /* NULL: nobody listens */
void model_free(struct model *model);

/*
 * Tells stacks that are alike where it matters: the same number, not 0, for those whose innermost
 * frames are equal. `context` stays the caller's. Without it only equal stacks are alike.
 */
void model_set_near(struct model *model, uint32_t (*near)(const void *context, uint32_t stack_id),
		    const void *context);

/* Tracing of `pid` begins at `time_ns`; what it has open is told by model_observe(). `thread`s with
 * tables of their own are told by model_own_table(). */
struct process *model_attach(struct model *model, int32_t pid, int32_t parent, uint64_t time_ns);
void model_own_table(struct model *model, int32_t pid, int32_t tid);

/* From now on processes that model_attach() made known are forgotten after their end as forked ones
 * are: there are many, and nobody has asked for one of them. */
void model_forget_attached(struct model *model);

/* The path of the program that the living process `pid` runs; copied. */
void model_set_exe(struct model *model, int32_t pid, const char *exe);

/* What one operation does. Events of a pid that is not known attach it as incomplete. */
void model_apply(struct model *model, const struct actor *actor, const struct handle_op *op);

/*
 * fork and thread creation. `fds` (NULL: not told) is the bitmap EVENT_DATA_FDS of the child's
 * table: where it differs from the parent's as we know it (a call of another thread was under way),
 * it is right. A number that it holds and the parent has not yet: the opening arrives soon with the
 * parent's event, and is then taken over by the child too. One that the parent has just closed: the
 * child holds it, opened where that was opened.
 */
void model_fork(struct model *model, const struct actor *parent, int32_t child_pid,
		int32_t child_tid, uint16_t fork_flags, const struct event_data *fds);

/* exec: the table becomes the task's own, close-on-exec numbers are closed; `fds` as above. Origins
 * become ORIGIN_INHERITED. */
void model_exec(struct model *model, const struct actor *actor, int32_t old_tid,
		const struct event_data *fds);

/* The end of a thread (its own table goes), or of a process: what it has open stays for the
 * report; `fds` (NULL: not told) corrects it first: what only it holds is ORIGIN_UNKNOWN. */
void model_exit(struct model *model, const struct actor *actor, uint16_t exit_flags, int32_t status,
		const struct event_data *fds);

/* Events were lost: every living process is incomplete. */
void model_lost(struct model *model);

/* Samples the processes that are due, how many handles each place has open: to be called often. The
 * first samples of a process come `every_ns` after one another. */
void model_sample(struct model *model, uint64_t now_ns);
void model_set_every(struct model *model, uint64_t every_ns);

/* A failure for want of a handle begins a new episode when there was none for so long; default
 * EXHAUSTED_QUIET_NS. What limits there are at the beginning of one is told by the caller. */
void model_set_quiet(struct model *model, uint64_t quiet_ns);
void model_exhausted_limits(struct model *model, int32_t pid,
			    const struct exhausted_limits *limits);

void model_stack_ended(struct model *model, int32_t pid, int end);

/*
 * Comparison with the truth. The caller reads /proc/PID/fd between begin_ns and end_ns, applies all
 * events up to end_ns, then calls this. Numbers that an event touched since begin_ns, or since they
 * were looked at, are left alone (the next comparison decides). A number that the truth has and the
 * table lacks (or the reverse) is only changed when two comparisons in a row found the same. Names
 * and types are filled in. Returns how many numbers differ or were skipped: 0 means that the table
 * is the truth.
 */
uint32_t model_observe(struct model *model, int32_t pid, const struct observed_handle *handles,
		       size_t handles_n, uint64_t begin_ns, uint64_t end_ns);

/* The `before_tracing` handles of a process are those first observed at attach: after the first
 * model_observe() that returns 0, or this call, new unknown handles are ORIGIN_UNKNOWN. */
void model_attached(struct model *model, int32_t pid);

/* Reading. Pointers are borrowed and good until the next change. */
size_t model_processes(const struct model *model); /* in order of their start */
const struct process *model_process_at(const struct model *model, size_t index);
const struct process *model_process(const struct model *model, int32_t pid);

/* Calls `each` for the open handles of a process in ascending order of number: those of its
 * leader's table (tables of single threads follow). */
void model_open_handles(const struct model *model, const struct process *process,
			void (*each)(void *context, const struct handle *handle), void *context);

/* How many these are; takes no time. */
uint64_t model_open_count(const struct model *model, const struct process *process);

/*
 * Likewise for every record of `number` (-1: of all numbers) in these tables, open or closed
 * before: what was closed before is known until the process ends.
 */
void model_known_handles(const struct model *model, const struct process *process, int32_t number,
			 void (*each)(void *context, const struct handle *handle), void *context);

/* The number's record in the leader's table, open or closed before; NULL: never seen. */
const struct handle *model_handle(const struct model *model, const struct process *process,
				  int32_t number);

/* It is open, and what it is was observed: the number is all that another look needs to find. */
bool model_was_observed(const struct model *model, const struct process *process, int32_t number);

/* The past of a handle that one of these two gave. Never NULL. */
const struct handle_past *model_handle_past(const struct handle *handle);

/* The place that counts an open handle of `process`; NULL: none does (see handle.place). */
const struct place *model_place(const struct model *model, const struct process *process,
				const struct handle *handle);

/* What went over exec since tracing began, but what a program had that was started by somebody who
 * is not traced. */
const struct crossings *model_crossings(const struct model *model);

/*
 * Forked processes that ended with nothing to tell (nothing open that they had opened, no bad
 * reference, nothing lost) are forgotten, and so are those that had, beyond PROCESSES_ENDED_MAX:
 * here is what they add to the totals.
 */
enum { PROCESSES_ENDED_MAX = 1024 };

struct forgotten {
	uint64_t processes;
	uint64_t untold;         /* of them had something to tell */
	uint64_t untold_handles; /* that those had opened and left open */
	uint64_t events;
	uint64_t truncated_stacks;
	uint64_t stack_ends[8]; /* by enum stack_end */
	uint64_t reconciled;
};

const struct forgotten *model_forgotten_totals(const struct model *model);
uint64_t model_forgotten(const struct model *model); /* their number */

/* Calls `each` for every stack_id that the model may still tell, some of them more than once. */
void model_stacks_each(const struct model *model, void (*each)(void *context, uint32_t stack_id),
		       void *context);

size_t model_bytes(const struct model *model);

#endif
