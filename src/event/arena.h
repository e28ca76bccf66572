/*
 * The memory that the agents of one session share with its collector: what to record, what stacks
 * look like, and a ring for each thread. Sees no pointer, only offsets: each process maps it
 * elsewhere. Everybody who is traced may write all of it, so neither side believes what it reads:
 * the collector copies a record before it checks it, an agent checks each index and offset.
 */
#ifndef HTRACE_EVENT_ARENA_H
#define HTRACE_EVENT_ARENA_H

#include "event/event.h"
#include "event/known_stack.h"
#include "event/plan.h"

#include <stdint.h>

#define ARENA_MAGIC 0x6e65726165637274ull /* "trcearen" */
/* In the environment: ARENA_VARIABLE=PID:FD:TOKEN, decimal; the arena is /proc/PID/fd/FD. */
#define ARENA_VARIABLE "HTRACE_AGENT"
/* Behind the variable that a tracer tells agent_enter(): the program has not begun to run. */
#define ARENA_FRESH      ":fresh"
#define ARENA_AGENT_FILE "libhtrace-agent.so"

enum {
	ARENA_VERSION = 2,
	ARENA_SLOTS_MAX = 4096,
	ARENA_PATH_MAX = 1024,
	ARENA_FILES_MAX = 16,       /* whose sites are known */
	ARENA_FILE_SITES_MAX = 510, /* of one file; a static program may have some */
};

enum arena_slot_state {
	ARENA_SLOT_FREE = 0,
	ARENA_SLOT_TAKEN = 1, /* by an agent, with compare and swap, for one thread */
	ARENA_SLOT_LEFT = 2,  /* the thread is gone: free once the collector has read all of it */
};

/*
 * One thread's ring, at rings_offset + index * ring_bytes. A record (struct event_header first)
 * never wraps: an ARENA_PAD fills the end. The ring is zero where nothing was written; a record is
 * complete when its header.size, written last, is not zero. Whoever has read it makes it zero
 * again, then moves `tail`.
 */
struct arena_slot {
	uint32_t state; /* enum arena_slot_state */
	int32_t pid;
	int32_t tid;
	uint32_t reserved;
	uint64_t head;    /* bytes reserved since the beginning, by the thread and its handlers */
	uint64_t dropped; /* records that did not fit */
	uint64_t pad1[4];
	uint64_t tail; /* bytes read since the beginning, by the collector */
	uint64_t pad2[7];
};

/* What a site is followed by, and so how it can be watched (agent/patch.c). */
enum arena_site_kind {
	ARENA_SITE_COMPARED = 1,   /* mov $number,%eax; syscall; cmp $imm32,%rax or %eax */
	ARENA_SITE_BARE = 2,       /* mov $number,%eax; syscall; anything else */
	ARENA_SITE_ANY_NUMBER = 3, /* syscall(2): mov 8(%rsp),%r9; syscall; cmp; number is 0 */
	ARENA_SITE_EXIT = 4, /* mov $number,%reg; ...; mov %reg,%eax; syscall: exit, exit_group */
};

struct arena_site {
	uint32_t offset; /* in the file, of what site_search.h calls the mov */
	uint16_t number; /* of the system call */
	uint16_t kind;   /* enum arena_site_kind */
};

/* The sites of a file, found once for all processes that map it. The collector writes it. */
struct arena_file {
	uint64_t inode;
	uint64_t bytes; /* of the file; with the time, how the collector sees that it changed */
	int64_t modified_ns;
	uint32_t device_major, device_minor;
	uint32_t ready; /* 1, written last */
	uint32_t sites_n;
	struct arena_site sites[ARENA_FILE_SITES_MAX];
};

struct arena {
	uint64_t magic;
	uint32_t version;
	uint32_t active; /* 0: the collector is gone, nothing is to be recorded any more */
	uint64_t token;  /* that of ARENA_VARIABLE */
	uint64_t bytes;  /* of all */
	uint32_t slots_n;
	uint32_t ring_bytes; /* of each slot; a power of two */
	uint64_t slots_offset, rings_offset;
	uint32_t follow_children;
	uint32_t stack_bytes_max; /* of one copied stack */
	/* Futex: 1 while the collector sleeps. An agent whose ring fills, or whose process ends,
	 * makes it 0 and wakes the collector. */
	uint32_t sleeping;
	uint32_t bad_reference_signal; /* for a thread whose call was one; 0: none */
	uint32_t reserved;
	uint32_t in_ticks; /* event_header.time_ns is the CPU's time stamp counter */
	uint64_t mappings; /* the last event_syscall.mappings given out; atomically added to */
	uint64_t dropped;  /* records of threads that found no slot */
	char preload[ARENA_PATH_MAX]; /* absolute path of the agent; empty: no program gets it */
	char variable[128];           /* "HTRACE_AGENT=..." */
	struct plan plan;
	struct arena_file files[ARENA_FILES_MAX];
	struct known_stack known_stacks[KNOWN_STACKS_N];
};

/* Records between the agent and its collector, besides those of event.h. */
enum arena_record {
	ARENA_PAD = 0x100,         /* the first 8 bytes of struct event_header; size counts */
	ARENA_CHILD = 0x101,       /* struct arena_child: first of a forked process's first ring */
	ARENA_WILL_EXEC = 0x102,   /* struct event_header: execve is about to be called */
	ARENA_EXEC_FAILED = 0x103, /* struct event_header: and has come back */
	ARENA_WILL_EXIT = 0x104,   /* struct arena_number: status as wait(2) gives it */
	ARENA_MAPS = 0x105,        /* struct arena_text: a piece of /proc/self/maps, lines whole */
	ARENA_OFF = 0x106,         /* struct arena_off: this process is not recorded (any more) */
	ARENA_READY = 0x107,       /* struct arena_number: patched sites; all is told from now on */
};

struct arena_child {
	struct event_header header;
	int32_t parent_pid;
	uint32_t reserved;
};

struct arena_number {
	struct event_header header;
	int64_t value;
};

struct arena_text {
	struct event_header header;
	uint32_t size; /* bytes of text */
	uint32_t reserved;
	char text[];
};

enum arena_off_reason {
	ARENA_OFF_MAPS = 1,      /* /proc/self/maps cannot be read */
	ARENA_OFF_NO_SITES = 2,  /* nothing that it knows to patch: no glibc (musl, Go) */
	ARENA_OFF_PROTECT = 3,   /* text may not be made writable */
	ARENA_OFF_FAR = 4,       /* no memory within reach of a jump */
	ARENA_OFF_NAMESPACE = 5, /* it is in another PID namespace than its parent */
};

struct arena_off {
	struct event_header header;
	uint32_t reason; /* enum arena_off_reason */
	int32_t error;   /* negative errno, or 0 */
};

_Static_assert(sizeof(struct arena_slot) == 128, "shared memory");
_Static_assert(sizeof(struct arena_site) == 8, "shared memory");

static inline struct arena_slot *arena_slot(struct arena *arena, uint64_t slots_offset,
					    uint32_t index)
{
	return (struct arena_slot *)((uint8_t *)arena + slots_offset) + index;
}

#endif
