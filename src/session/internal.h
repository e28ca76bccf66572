/* The session's parts, shared by its files only. */
#ifndef HTRACE_SESSION_INTERNAL_H
#define HTRACE_SESSION_INTERNAL_H

#include "session/session.h"

#include "base/map.h"
#include "os/address_space.h"
#include "os/procfs.h"
#include "trace/history.h"
#include "unwind/unwind.h"

/* A process while it lives. */
struct target {
	pid_t pid;
	struct address_space *space;
	bool foreign;      /* it became a program that is not x86-64 */
	bool exe_is_known; /* the model was told its path */
	bool has_nameless; /* it got a handle of which only /proc tells what it is */
	bool maps_unread;  /* `space` has only what changed since the target is known */
	uint64_t met_ns;   /* when we came upon it; 0: an event announced it */
};

/* The open handles of a process as /proc tells them. */
struct observation {
	ARRAY(struct observed_handle) handles;
	ARRAY(char *) names; /* what the handles' names point to */
};

/*
 * Looks at the process's folder; what *seen has of an earlier look, or the model of `session`
 * (NULL: none), is not looked at again. Returns a negative errno when the process is gone or may
 * not be looked at.
 */
int session_observe(const struct session *session, pid_t pid, struct observation *seen);
void session_observation_fini(struct observation *seen);

struct named_snapshot {
	char *name;
	struct snapshot snapshot;
};

struct session {
	const struct collector_ops *ops;
	struct collector *collector;
	char *fallback_reason;
	bool fallback_is_news;
	struct plan plan;
	struct collector_options collector_options;

	struct image_table *images;
	struct stack_table *stacks;
	struct unwinder *unwinder;
	struct history *history;
	struct model *model;
	struct symbolizer *symbolizer;

	struct map targets; /* pid -> struct target */
	struct map data;    /* tid -> struct event_data, waiting for its event */
	pid_t child;
	bool child_started; /* its exec was seen: what it did before was htrace's own code */
	struct observation inherited; /* what the child got from us */
	bool awaits;                  /* the first process that comes is the child */
	uint64_t awaited_inode;       /* of the program that it will become; 0: not known, or has */
	bool over;                    /* nothing is left to trace */
	bool stopped;
	uint64_t lost;
	uint64_t lost_mended;   /* value of `lost` at the last reconciliation */
	uint64_t mend_after_ns; /* not before this time again */
	uint64_t foreign_processes;
	uint64_t unseen_processes;       /* became a program that their agent cannot be put into */
	uint32_t stacks_max, images_max; /* as many of them make session_tidy() drop some */
	bool has_nameless;               /* a target has */
	uint64_t look_after_ns;          /* not before this time again */
	uint64_t last_event_ns;
	uint64_t sample_after_ns; /* not before this time again */
	struct watch *watch;      /* NULL: nobody is told at once */
	uint64_t every_ns;        /* between snapshots of its own; 0: it takes none */
	uint64_t every_next_ns, every_taken;
	struct snapshot snapshot; /* the last one */
	ARRAY(struct named_snapshot) snapshots;
	uint32_t traces_max;

	bool everything;             /* all processes are traced, known or not */
	char *cgroup;                /* ... of this one; NULL: all */
	struct procfs_fds newcomers; /* pids that nobody announced; their tables are not known */
	uint64_t lost_searched;      /* value of `lost` at the last look for processes missed */
	uint64_t greet_after_ns;     /* not before this time again */
	ARRAY(struct session_caught) caught; /* not taken yet */
	uint64_t caught_dropped;             /* that found no room there, or came before */
	struct map caught_places;            /* hashes of where they came from */
	uint32_t caught_stack;               /* of the last one that was taken */
	struct handle_op ops_buffer[HANDLE_OPS_MAX];
};

/* All of a zeroed session but its collector. session_free() frees it. */
void session_init(struct session *session, uint32_t traces_max);

/* view.c; those that it takes by itself are named "every-1", "every-2", ..., the newest kept */
void session_take_snapshots(struct session *session, uint64_t now_ns);
void session_snapshots_fini(struct session *session);

/* `event`, of which `ops` were applied, has EVENT_SYSCALL_SIGNALLED (caught.c). */
void session_catch(struct session *session, const struct event_syscall *event,
		   const struct handle_op *ops, size_t ops_n, uint32_t stack_id);
/* Calls `each` for the stacks of what was caught and is yet to be told. */
void session_caught_stacks(const struct session *session,
			   void (*each)(void *context, uint32_t stack_id), void *context);

/* Handles one event (dispatch.c). */
void session_receive(void *context, const struct event_header *event);

/* Drops stacks, images and files that nothing tells any more, when there are many. No stack_id may
 * be remembered over it but those that the model and the history know, and no module. */
void session_tidy(struct session *session);

/* Makes the target of a process that no event announced; its mappings are read when needed. */
struct target *session_target_add(struct session *session, pid_t pid, struct address_space *space);

/* The mappings of a target, for who needs all of them. */
struct address_space *session_space(struct session *session, struct target *target);

/* The target, made with the mappings that it has now where it was not known. */
struct target *session_target(struct session *session, pid_t pid);
void session_target_free(struct target *target);

/* The path of the program, from /proc where `path` is NULL. */
void session_learn_exe(struct session *session, struct target *target, const char *path);

/* Every file that targets execute is kept open. A program that we start has to be forked by then:
 * it would inherit the limit. */
void session_raise_descriptor_limit(void);

/* Tells the model which threads have tables of their own. */
void session_tell_own_tables(struct session *session, pid_t pid);

/* Learns what the handles are that processes received; not too often. */
void session_name_received(struct session *session);

/* Of a session over everything: an event came from a process that is not known (whole.c). */
void session_meet(struct session *session, const struct event_header *event);

/* After a loss: makes known who was not announced and has made no event since. */
void session_find_missed(struct session *session);

/* Learns the tables of those; not too often, unless `now`. */
void session_greet(struct session *session, bool now);

/* Where /proc has no such process any more and no event told its end, tells it. */
void session_vanished(struct session *session, pid_t pid);

/* Applies all events up to `until_ns`. */
void session_drain(struct session *session, uint64_t until_ns);

/* Compares these, all of them in turn, until nothing differs, a few times at most. */
void session_reconcile_processes(struct session *session, const struct procfs_fds *pids);

/* Compares one process (reconcile.c) until nothing differs, a few times at most. */
void session_reconcile_process(struct session *session, pid_t pid);

#endif
