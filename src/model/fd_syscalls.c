/*
 * Owns the plan, and what the data of fd_syscalls_table.c say of a call. Keeps no state: what is
 * open is the model's business.
 */
#include "model/fd_syscalls.h"

#include "model/fd_syscalls_private.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static const struct fd_syscall *rows[PLAN_SYSCALLS_MAX];

static void rows_fill(void)
{
	for (size_t i = 0; i < fd_syscalls_table_n; i++)
		rows[fd_syscalls_table[i].number] = &fd_syscalls_table[i];
}

const struct fd_syscall *fd_syscalls_row(uint32_t number)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, rows_fill);
	return number < PLAN_SYSCALLS_MAX ? rows[number] : NULL;
}

const char *fd_syscalls_name(uint32_t number)
{
	const struct fd_syscall *row = fd_syscalls_row(number);

	return row ? row->name : NULL;
}

const char *fd_syscalls_other_limit(uint32_t number, int32_t error)
{
	const struct fd_syscall *row = fd_syscalls_row(number);

	if (!row)
		return NULL;
	return error == -EMFILE ? row->emfile : error == -ENFILE ? row->enfile : NULL;
}

uint8_t fd_syscalls_when(const struct fd_syscall *row)
{
	switch (row->does) {
	case FD_NOTHING:
	case FD_POLL:
	case FD_SELECT:
		return 0;
	case FD_CLOSE:
	case FD_CLOSE_RANGE:
		return PLAN_ENTER | PLAN_LEAVE_FAILED;
	case FD_UNSHARE:
		return PLAN_LEAVE_OK;
	default:
		return PLAN_LEAVE_OK | PLAN_LEAVE_FULL;
	}
}

static uint8_t plan_when_bad(const struct fd_syscall *row)
{
	switch (row->does) {
	case FD_POLL:
		return PLAN_LEAVE_OK;
	case FD_SELECT:
		return PLAN_LEAVE_EBADF;
	case FD_CLOSE: /* its ENTER has the stack already, and its failure is recorded anyway */
		return 0;
	default:
		return row->fd_arg != PLAN_NO_ARG ? PLAN_LEAVE_EBADF : 0;
	}
}

void fd_syscalls_plan(struct plan *out, bool bad_references)
{
	*out = (struct plan){0};
	for (size_t i = 0; i < PLAN_SYSCALLS_MAX; i++)
		out->calls[i].fd_arg = out->calls[i].fd_arg2 = PLAN_NO_ARG;
	for (size_t i = 0; i < fd_syscalls_table_n; i++) {
		const struct fd_syscall *row = &fd_syscalls_table[i];

		out->calls[row->number] = (struct syscall_plan){
		    .when = fd_syscalls_when(row),
		    .out = row->out,
		    .out_arg = row->out_arg,
		    .out_offset = row->out_offset,
		    .data = row->data,
		    .data_arg = row->data_arg,
		    .fd_arg = row->fd_arg,
		    .fd_arg2 = row->fd_arg2,
		    .guard = row->guard,
		    .guard_arg = row->guard_arg,
		    .guard_value = row->guard_value,
		};
		if (bad_references)
			out->calls[row->number].when |= plan_when_bad(row);
	}
	for (size_t i = 0; i < fd_requests_table_n; i++) {
		const struct fd_request *request = &fd_requests_table[i];

		if (request->does != REQUEST_ELSEWHERE && request->does != REQUEST_TAKES)
			out->guard_values[out->guard_values_n++] =
			    (struct plan_guard_value){request->number, request->value};
	}
	for (size_t i = 0; i < fd_questions_table_n; i++)
		out->questions[out->questions_n++] = fd_questions_table[i];
}

const char *fd_syscalls_fixed_name(const char *type)
{
	/* The kernel's anon_inode_getfd() and anon_inode_getfile() calls. A pidfd and a bpf handle
	 * have several names. */
	static const struct {
		const char *type, *name;
	} names[] = {
	    {"eventfd", "anon_inode:[eventfd]"},   {"epoll", "anon_inode:[eventpoll]"},
	    {"timerfd", "anon_inode:[timerfd]"},   {"signalfd", "anon_inode:[signalfd]"},
	    {"inotify", "anon_inode:inotify"},     {"fanotify", "anon_inode:[fanotify]"},
	    {"io_uring", "anon_inode:[io_uring]"}, {"userfaultfd", "anon_inode:[userfaultfd]"},
	    {"perf", "anon_inode:[perf_event]"},   {"fscontext", "anon_inode:[fscontext]"},
	};

	for (size_t i = 0; type && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(type, names[i].type))
			return names[i].name;
	return NULL;
}
