/*
 * The record that every collector hands over: what happened, in fixed widths, with nothing
 * interpreted. Shared with the BPF program, so it includes nothing but <stdint.h>.
 *
 * Order: the order in which a collector hands records over is the order in which things took
 * effect. A call that frees numbers (close, close_range) is recorded on ENTRY, before the kernel
 * acts; everything else on EXIT, after it has. A number is freed before it is given out again, so
 * the CLOSE of a number always comes before the OPEN that reuses it, on any CPU.
 */
#ifndef HTRACE_EVENT_EVENT_H
#define HTRACE_EVENT_EVENT_H

#include <stdint.h>

enum {
	EVENT_STACK_BYTES_MAX = 64 * 1024, /* what is copied of one stack at the most */
	EVENT_STACKS_MAX = 2,              /* a second piece lies below a sigaltstack */
	EVENT_DATA_BYTES_MAX = 64 * 1024,
	EVENT_SIZE_MAX = 2 * EVENT_STACK_BYTES_MAX + 4096,
};

enum event_type {
	EVENT_SYSCALL = 1, /* struct event_syscall */
	EVENT_DATA = 2,    /* struct event_data: belongs to the next other event of the same tid */
	EVENT_FORK = 3,    /* struct event_fork */
	EVENT_EXEC = 4,    /* struct event_exec */
	EVENT_EXIT = 5,    /* struct event_exit */
	EVENT_MAP = 6,     /* struct event_map */
	EVENT_LOST = 7,    /* struct event_lost */
};

struct event_header {
	uint32_t size;    /* bytes of the whole record, this header included; a multiple of 8 */
	uint16_t type;    /* enum event_type */
	uint16_t flags;   /* by type */
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	int32_t pid;      /* thread group */
	int32_t tid;
};

/* User registers at the call: those that unwinding needs. All 0: there are none. */
struct event_registers {
	uint64_t ip, sp, bp, bx, r12, r13, r14, r15;
};

enum event_stack_flags {
	EVENT_STACK_CUT = 1,       /* there was more of the stack than was copied */
	EVENT_STACK_ADDRESSES = 2, /* the bytes are return addresses (u64), innermost first,
				      instead of a copy of memory; `start` means nothing */
};

/* One piece of copied stack: `size` bytes that stood at address `start` of the target. */
struct event_stack {
	uint64_t start;
	uint32_t size;  /* bytes; a multiple of 8 */
	uint32_t flags; /* enum event_stack_flags */
};

enum event_phase {
	EVENT_ENTER = 1, /* result is not known yet */
	EVENT_LEAVE = 2, /* result is the call's: >= 0, or a negative errno */
};

enum event_syscall_flags {
	EVENT_SYSCALL_SIGNALLED = 1, /* a bad reference: the thread was sent the signal that the
					collector's options have for it */
};

/* header.flags: enum event_syscall_flags. */
struct event_syscall {
	struct event_header header;
	uint32_t number;   /* of the x86-64 table, __NR_* */
	uint16_t phase;    /* enum event_phase */
	uint16_t stacks_n; /* pieces in use; 0: no stack was taken */
	int64_t result;
	uint64_t args[6];
	uint64_t out[2];      /* what the call wrote, as enum plan_out says; where it failed with
				 EMFILE or ENFILE: the soft RLIMIT_NOFILE (0: not told), and 0 */
	uint64_t mappings;    /* collector's number of the mappings as they were; 0: it has none */
	uint32_t known_stack; /* not 0: the stack that a footprint was told for (collector.h) */
	uint32_t reserved;
	/* A record without pieces may end here. */
	struct event_registers registers;
	struct event_stack stacks[EVENT_STACKS_MAX];
	uint8_t bytes[]; /* the pieces, one after the other */
};

enum { EVENT_SYSCALL_SHORT_BYTES = 120 }; /* one that ends before `registers` */

enum event_data_kind {
	EVENT_DATA_PATH = 1,    /* a string that an argument points to, no NUL needed at its end */
	EVENT_DATA_CONTROL = 2, /* msg_control bytes as the kernel wrote them (cmsg(3)) */
	EVENT_DATA_FDS = 3,     /* bitmap of the open descriptors, bit n of word n/64 is number n */
	EVENT_DATA_POLLED = 4,  /* struct event_polled: descriptors that poll() found not open */
	EVENT_DATA_SETS = 5,    /* three bitmaps of EVENT_SET_BYTES: what select() was given */
};

enum {
	EVENT_POLLED_MAX = 8,  /* of one call, the first */
	EVENT_SET_BYTES = 128, /* the numbers below FD_SETSIZE */
};

/* struct pollfd of poll(2). */
struct event_polled {
	int32_t number;
	uint16_t events, revents;
};

enum event_data_flags {
	EVENT_DATA_CUT = 1, /* there was more; a bitmap that is cut says nothing of the rest */
};

/* header.flags: enum event_data_flags. */
struct event_data {
	struct event_header header;
	uint32_t kind; /* enum event_data_kind */
	uint32_t size; /* bytes in use of `bytes` */
	uint8_t bytes[];
};

enum event_fork_flags {
	EVENT_FORK_THREAD = 1, /* the child is a thread of the same process */
	EVENT_FORK_FILES = 2,  /* the child shares the parent's handle table (CLONE_FILES) */
	EVENT_FORK_VM = 4,     /* the child shares the parent's memory (vfork) */
};

/*
 * header.pid/tid: the parent. header.flags: enum event_fork_flags. EVENT_DATA_FDS before it is the
 * child's table. Threads that share everything may be left out.
 */
struct event_fork {
	struct event_header header;
	int32_t child_pid;
	int32_t child_tid;
};

enum event_exec_flags {
	EVENT_EXEC_FOREIGN = 1, /* the new program is not x86-64: its calls are not recorded */
	EVENT_EXEC_UNSEEN = 2,  /* it runs without the agent: its calls are not recorded */
};

/*
 * header.pid/tid: as they are after the exec (tid == pid). Its address space is empty: EVENT_MAPs
 * follow. EVENT_DATA_FDS before it is the table with close-on-exec done.
 */
struct event_exec {
	struct event_header header;
	int32_t old_tid; /* the thread that called execve */
	uint32_t reserved;
};

enum event_exit_flags {
	EVENT_EXIT_PROCESS = 1, /* the last thread: the process is over */
};

/* EVENT_DATA_FDS before it is what was open until now. Threads may be left out. */
struct event_exit {
	struct event_header header;
	int32_t status; /* as wait(2) gives it; with EVENT_EXIT_PROCESS. WIFSTOPPED(): the process
			   lives, but was let go, and is not traced any more */
	uint32_t reserved;
};

enum event_map_flags {
	EVENT_MAP_EXE = 1,     /* the program's own file */
	EVENT_MAP_VDSO = 2,    /* the vDSO; no path */
	EVENT_MAP_DELETED = 4, /* the file has no name any more */
};

/* An executable mapping appeared. It replaces whatever lay in [start, end). */
struct event_map {
	struct event_header header;
	uint64_t start, end;
	uint64_t file_offset; /* bytes */
	uint64_t inode;       /* 0: no file (JIT) */
	uint32_t device_major, device_minor;
	uint32_t path_size; /* bytes of path, no NUL counted */
	uint32_t reserved;
	char path[]; /* as the target sees it */
};

enum event_lost_flags {
	EVENT_LOST_FAILURES = 1, /* all of them were calls that failed for want of a handle
				    (PLAN_LEAVE_FULL): they changed no table */
};

/* Records that a collector could not hand over; whose they were is not known. header.flags: enum
 * event_lost_flags. */
struct event_lost {
	struct event_header header;
	uint64_t count;
};

_Static_assert(sizeof(struct event_header) == 24, "wire format");
_Static_assert(sizeof(struct event_registers) == 64, "wire format");
_Static_assert(sizeof(struct event_stack) == 16, "wire format");
_Static_assert(sizeof(struct event_syscall) == 216, "wire format");
_Static_assert(__builtin_offsetof(struct event_syscall, registers) == EVENT_SYSCALL_SHORT_BYTES,
	       "wire format");
_Static_assert(sizeof(struct event_data) == 32, "wire format");
_Static_assert(sizeof(struct event_polled) == 8, "as poll(2) has it");
_Static_assert(sizeof(struct event_fork) == 32, "wire format");
_Static_assert(sizeof(struct event_exec) == 32, "wire format");
_Static_assert(sizeof(struct event_exit) == 32, "wire format");
_Static_assert(sizeof(struct event_map) == 72, "wire format");
_Static_assert(sizeof(struct event_lost) == 32, "wire format");

#endif
