/* The rows of the table of system calls: private to fd_syscalls.c and its data. */
#ifndef HTRACE_MODEL_FD_SYSCALLS_TABLE_H
#define HTRACE_MODEL_FD_SYSCALLS_TABLE_H

#include "event/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a call does when it succeeds. */
enum fd_effect {
	FD_NOTHING = 0,     /* it only takes a descriptor */
	FD_OPEN = 1,        /* the result is new */
	FD_OPEN_IF_NEW = 2, /* ... where the guarded argument says so (signalfd, landlock, ...) */
	FD_OPEN_OUT = 3,    /* out[0] is new */
	FD_OPEN_PAIR = 4,   /* out[0] and out[1] are new */
	FD_OPEN_CLONE = 5,  /* out[0] is a pidfd, in the parent */
	FD_OPEN_CLONE3 = 6, /* out[1] is one, where out[0] has CLONE_PIDFD */
	FD_DUP = 7,         /* the result is a copy of args[0] */
	FD_DUP_ONTO = 8,    /* ... and equal numbers do nothing */
	FD_RECEIVE = 9,     /* the control messages say */
	FD_CLOSE = 10,
	FD_CLOSE_RANGE = 11,
	FD_UNSHARE = 12,
	FD_FCNTL = 13,
	FD_IOCTL = 14,
	FD_POLL = 15,   /* the data says which numbers are not open */
	FD_SELECT = 16, /* with -EBADF: some number of its sets is not open */
};

/* Where close-on-exec of a new descriptor comes from. */
enum fd_cloexec {
	CLOEXEC_NEVER = 0,
	CLOEXEC_ALWAYS = 1,
	CLOEXEC_ARG = 2, /* args[cloexec_arg] & cloexec_mask */
	CLOEXEC_OUT = 3, /* out[cloexec_arg] & cloexec_mask */
};

struct fd_syscall {
	uint16_t number;
	uint8_t does;   /* enum fd_effect */
	uint8_t fd_arg; /* descriptors that it takes, or PLAN_NO_ARG */
	uint8_t fd_arg2;
	uint8_t fd2_guard_arg; /* fd_arg2 is a descriptor only where bit args[fd2_guard_arg] of */
	uint32_t fd2_values;   /* this is set; 0: always */
	uint8_t cloexec;       /* enum fd_cloexec */
	uint8_t cloexec_arg;
	uint32_t cloexec_mask;
	const char *name;
	const char *type;            /* of what it opens; NULL: not known */
	const char *emfile, *enfile; /* what else these can mean; NULL: nothing */
	uint8_t out, out_arg;
	uint8_t data, data_arg;
	uint8_t guard, guard_arg;
	uint16_t out_offset;
	bool alike; /* what it opens is of the kind that args[0] is */
	uint32_t guard_value;
};

/* The values of fcntl's command, ioctl's request and bpf's command that are of interest. */
enum fd_request_effect {
	REQUEST_OPEN = 1,     /* the result is new */
	REQUEST_OPEN_OUT = 2, /* out[out_index] is */
	REQUEST_DUP = 3,      /* the result is a copy of args[0] */
	REQUEST_SET_FD = 4,   /* args[2] & FD_CLOEXEC */
	REQUEST_SET_CLOEXEC = 5,
	REQUEST_CLEAR_CLOEXEC = 6,
	REQUEST_ELSEWHERE = 7, /* opens one in another process: reconciliation finds it */
	REQUEST_TAKES = 8,     /* args[2] is a descriptor, too */
};

struct fd_request {
	uint16_t number; /* system call */
	uint8_t does;    /* enum fd_request_effect */
	uint8_t cloexec; /* enum fd_cloexec */
	uint8_t cloexec_arg;
	uint8_t out_index;
	uint8_t none_mask; /* REQUEST_OPEN_OUT: with one of these in out[1] it opens nothing */
	uint32_t value;
	uint32_t cloexec_mask;
	const char *type;
};

extern const struct plan_question fd_questions_table[];
extern const size_t fd_questions_table_n;
extern const struct fd_syscall fd_syscalls_table[];
extern const size_t fd_syscalls_table_n;
extern const struct fd_request fd_requests_table[];
extern const size_t fd_requests_table_n;

#endif
