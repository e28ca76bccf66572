/*
 * What a collector shall record of each system call: data that the model's table of calls
 * (model/fd_syscalls) makes and every collector obeys, in the kernel or outside. A collector knows
 * no call by name. Shared with the BPF program, so it includes nothing but <stdint.h>.
 */
#ifndef HTRACE_EVENT_PLAN_H
#define HTRACE_EVENT_PLAN_H

#include <stdint.h>

enum {
	PLAN_SYSCALLS_MAX = 512, /* x86-64 numbers end at 470 or so */
	PLAN_GUARD_VALUES_MAX = 64,
	PLAN_POLLED_MAX = 4096,
	PLAN_QUESTIONS_MAX = 8,
	PLAN_NO_ARG = 0xff,
};

/* When a record is made. */
enum plan_when {
	PLAN_ENTER = 1,        /* on entry, with a stack */
	PLAN_LEAVE_OK = 2,     /* on return with result >= 0, with a stack */
	PLAN_LEAVE_FAILED = 4, /* on return with result < 0, without a stack: it amends the ENTER.
				  Of a call with an fd_arg only -EBADF does: a collector that knows
				  on entry that the number is open, and stays so until the call
				  looks at it, may leave the record out */
	PLAN_LEAVE_EBADF = 8,  /* on return with -EBADF, with a stack: a bad reference */
	PLAN_LEAVE_FULL = 16,  /* on return with -EMFILE or -ENFILE, with a stack: no number, or no
				  file, was left to give out */
};

/* What is read from the target's memory on return into event_syscall.out. */
enum plan_out {
	PLAN_OUT_NONE = 0,
	PLAN_OUT_INT = 1,      /* args[out_arg] + out_offset points to an int: out[0] */
	PLAN_OUT_INT_PAIR = 2, /* ... to int[2]: out[0], out[1] */
	PLAN_OUT_CLONE3 = 3,   /* ... to struct clone_args: out[0] = flags,
				  out[1] = *(int *)pidfd where CLONE_PIDFD is set */
};

/* What is copied into an EVENT_DATA before the record. */
enum plan_data {
	PLAN_DATA_NONE = 0,
	PLAN_DATA_PATH = 1,           /* args[data_arg] points to a string */
	PLAN_DATA_CONTROL = 2,        /* ... to a struct msghdr; without control bytes on return
					 no record is made */
	PLAN_DATA_CONTROL_VECTOR = 3, /* ... to struct mmsghdr[result], likewise */
	PLAN_DATA_POLLED = 4, /* ... to struct pollfd[args[data_arg + 1]], of which the first
				 PLAN_POLLED_MAX are looked at: those with POLLNVAL; without one on
				 return no record is made */
	PLAN_DATA_SETS = 5,   /* args[data_arg] and the next two point to sets of
				 args[data_arg - 1] bits, or are 0: read on return with -EBADF */
};

/* A record is made only for a call whose argument passes the guard. */
enum plan_guard {
	PLAN_GUARD_NONE = 0,
	PLAN_GUARD_MASK = 1,  /* args[guard_arg] & guard_value != 0 */
	PLAN_GUARD_EQUAL = 2, /* (u32)args[guard_arg] == guard_value */
	PLAN_GUARD_SET = 3,   /* {number, (u32)args[guard_arg]} is one of the guard values */
};

struct syscall_plan {
	uint8_t when; /* enum plan_when; 0: the call is not of interest */
	uint8_t out;  /* enum plan_out */
	uint8_t out_arg;
	uint8_t data; /* enum plan_data */
	uint8_t data_arg;
	uint8_t fd_arg; /* the argument that is a descriptor, or PLAN_NO_ARG */
	uint8_t guard;  /* enum plan_guard; it governs all of `when` but PLAN_LEAVE_EBADF */
	uint8_t guard_arg;
	uint32_t guard_value;
	uint16_t out_offset; /* bytes */
	uint8_t fd_arg2;     /* another descriptor, where there is an fd_arg; or PLAN_NO_ARG */
	uint8_t reserved;
};

struct plan_guard_value {
	uint32_t number; /* system call */
	uint32_t value;
};

/* A call with (u32)args[1] == value and args[2] >= least does nothing but ask whether its number is
 * open: EBADF is the answer "no", and no bad reference. */
struct plan_question {
	uint32_t number; /* system call */
	uint32_t value;
	uint32_t least;
};

/* The whole plan, indexed by system call number. */
struct plan {
	struct syscall_plan calls[PLAN_SYSCALLS_MAX];
	struct plan_guard_value guard_values[PLAN_GUARD_VALUES_MAX];
	uint32_t guard_values_n;
	uint32_t questions_n;
	struct plan_question questions[PLAN_QUESTIONS_MAX];
};

_Static_assert(sizeof(struct syscall_plan) == 16, "shared with BPF");

#endif
