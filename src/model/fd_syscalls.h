/*
 * What each Linux system call does to file descriptors, as a table of data. The only place in
 * htrace that knows descriptors from other handles: it tells collectors what to record (the plan)
 * and turns what they recorded into handle operations, which are all that the model sees.
 */
#ifndef HTRACE_MODEL_FD_SYSCALLS_H
#define HTRACE_MODEL_FD_SYSCALLS_H

#include "event/event.h"
#include "event/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum handle_op_kind {
	HANDLE_OPEN = 1,         /* `number` now stands for a new object of `type` */
	HANDLE_DUPLICATE = 2,    /* `number` (closed first if it was open) is a copy of `source` */
	HANDLE_RECEIVE = 3,      /* `number` came from another process over a socket */
	HANDLE_CLOSE = 4,        /* entry of close(number): it takes effect now */
	HANDLE_CLOSE_FAILED = 5, /* return of that call with `error`; amends the HANDLE_CLOSE of the
				    same thread */
	HANDLE_CLOSE_RANGE = 6,  /* entry: all of number..last */
	HANDLE_CLOEXEC = 7,      /* `cloexec` of number..last becomes as given */
	HANDLE_UNSHARE = 8,      /* the thread's table becomes its own copy */
	HANDLE_BAD_REFERENCE = 9, /* the call said EBADF about `number` */
	HANDLE_RECONCILE = 10,    /* what happened cannot be told: compare with the truth */
	HANDLE_EXHAUSTED = 11,    /* the call failed with `error` (-EMFILE, -ENFILE): there was no
				     room for another handle */
};

struct handle_op {
	enum handle_op_kind kind;
	int32_t number;
	int32_t last;   /* of a range, inclusive */
	int32_t source; /* HANDLE_DUPLICATE */
	int32_t error;  /* HANDLE_CLOSE_FAILED, _EXHAUSTED: negative errno */
	bool cloexec;
	bool asks;        /* HANDLE_BAD_REFERENCE: the call does nothing but ask about `number` */
	bool alike;       /* HANDLE_OPEN: of the same kind of `type` as `source`, if that is one */
	const char *type; /* "file", "socket", "eventfd", ...: static; NULL: not known */
	const char *name; /* path given to the call, or NULL; borrowed from the event */
	uint32_t name_bytes;
};

enum { HANDLE_OPS_MAX = 1024 };

/* Fills the plan. `bad_references`: also record EBADF of every descriptor-taking call. */
void fd_syscalls_plan(struct plan *out, bool bad_references);

/*
 * What `event` did, in order; `data` (may be NULL) is the EVENT_DATA that came before it. Returns
 * the number of operations written to `out`; 0 for calls that are none of its business. Nothing in
 * the event is trusted but what event_check() checked.
 */
size_t fd_syscalls_decode(const struct event_syscall *event, const struct event_data *data,
			  struct handle_op out[static HANDLE_OPS_MAX]);

/* The name that /proc/PID/fd shows for every handle of `type`, where it is one and the same
 * ("anon_inode:[eventfd]"); else NULL. Static. */
const char *fd_syscalls_fixed_name(const char *type);

/*
 * Which other limit than that of handles `error` (-EMFILE, -ENFILE) of the call `number` can mean
 * ("fs.inotify.max_user_instances"), or NULL: none is known. Static.
 */
const char *fd_syscalls_other_limit(uint32_t number, int32_t error);

/* The call's name ("openat"), or NULL; static. */
const char *fd_syscalls_name(uint32_t number);

#endif
