/*
 * What the parts of the agent share. It lives in a program that knows nothing of it: it calls no
 * function of libc, takes no lock, allocates nothing on the way of a call, uses no vector register,
 * and may be interrupted anywhere by a signal whose handler comes here again. It keeps no
 * descriptor open, and never ends its host: what fails turns it off.
 */
#ifndef HTRACE_AGENT_H
#define HTRACE_AGENT_H

#include "event/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The compiler calls these two (memory.c); nothing else of <string.h> exists here. */
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

enum {
	AGENT_PAGE = 4096,
	AGENT_THREADS_MAX = 4096, /* a power of two */
	AGENT_SCRATCH_BYTES = 64 * 1024,
	AGENT_LIKELY_WAYS = 64,
};

/* The registers of the code that called, as hook.S saves them; restored from here afterwards. */
struct call_frame {
	uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	uint64_t stub; /* return address into the stub */
};

static inline uint64_t call_argument(const struct call_frame *frame, uint8_t index)
{
	switch (index) {
	case 0:
		return frame->di;
	case 1:
		return frame->si;
	case 2:
		return frame->dx;
	case 3:
		return frame->r10;
	case 4:
		return frame->r8;
	default:
		return frame->r9;
	}
}

/* A thread's own; in private memory that a forked child finds empty (MADV_WIPEONFORK). */
struct agent_thread {
	uint64_t fs_base;    /* whose it is; 0: nobody's */
	uint32_t generation; /* of agent.arena, when slot and ring were taken; written last */
	uint32_t ring_bytes;
	uint64_t seat; /* generation and number of the slot, taken in one step (thread.c) */
	struct arena_slot *slot;
	uint8_t *ring;
	int32_t pid, tid; /* of the thread; after a vfork those of the child, until it is gone */
	int32_t own_pid, own_tid;
	uint64_t stack_low, stack_high; /* all of it may be read; low sinks as the stack grows */
	uint32_t stack_tries;           /* how often it was looked for in vain */
	bool starved;                   /* waited in vain for room in the ring */
	uint32_t open_bytes, open_skipped;
	uint64_t open_at, open_sp; /* a call's record that is not complete yet (ring.c) */
	uint64_t child_sp;         /* where a thread that it starts begins; agent.own_tables */
	bool vforked;              /* a child that shares our memory runs in our place */
	/* While execve has our copy of the environment: the caller's, and the copy. */
	uint64_t execve_envp, execve_memory, execve_bytes;
	/* Where in its set of known stacks one was found last, for some sets (known.c). */
	uint8_t likely_ways[AGENT_LIKELY_WAYS];
};

/* *agent.alive; 0 in a forked child that has not noticed. */
enum {
	AGENT_ALIVE = 1,
	AGENT_BECOMES = 2, /* the child's own tables are not made yet */
};

/* Of this process; a forked child has a copy. */
struct agent {
	/* Whoever was interrupted in the middle of a record may use it much later: once set, this
	 * stays mapped where it is, and `on` says whether it is of use. */
	struct arena *arena;
	uint64_t arena_bytes;
	bool on;
	uint32_t generation; /* of the arena; a thread's slot is of one */
	uint8_t *rings;
	struct arena_slot *slots;
	uint32_t slots_n, ring_bytes; /* checked copies of the arena's */
	uint64_t slots_offset;
	uint64_t mappings;                       /* number of our mappings as they are */
	bool in_ticks;                           /* arena.in_ticks */
	int (*clock)(int clock, int64_t out[2]); /* the vDSO's clock_gettime; NULL: there is none */
	struct agent_thread *threads; /* AGENT_THREADS_MAX, hashed by fs_base; wiped by a fork */
	uint32_t *alive;              /* wiped by a fork */
	uint8_t *scratch;             /* AGENT_SCRATCH_BYTES; for what happens alone: start, fork */
	char preload[ARENA_PATH_MAX]; /* checked copies of the arena's, for children */
	char variable[128];
	int32_t pid;
	bool no_slots;   /* it was waited for one in vain */
	bool own_tables; /* some thread has descriptors of its own: who started whom matters */
	bool
	    check_tid; /* a child shares our memory and runs beside us: ask the kernel who we are */
};

extern struct agent agent;

/* ---- patch.c, hook.S, stubs: where control leaves the program ---- */

/*
 * Called by the stubs. `site_ip` is the address behind the `syscall` instruction, `sp` the caller's
 * stack pointer. Before: the call has not been made; registers in `frame` may be changed. Some
 * stubs tell more than the plan wants (syscall(2), a `syscall` without a compare behind it): both
 * functions look there first. Of exit, arguments are not there yet; exit_group has its status in
 * di.
 */
void agent_before(struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp);
/* After: frame->ax is the result. NULL; or what hook_raise (hook.S) does before it returns. */
struct raise *agent_after(struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp);

/*
 * Patches the sites of the mapping [start, end) of a file at file_offset: the number of patched
 * sites or a negative errno, *reason then says which enum arena_off_reason. The mapping is private,
 * readable and executable (r-xp). `file` has the sites where the arena knows them; NULL: they are
 * searched for. Nobody else may be running code there, or all other threads stand still. Patching
 * what is patched already is fine: 0 sites. The agent's own mapping has none.
 */
int patch_mapping(uint64_t start, uint64_t end, uint64_t file_offset, const struct arena_file *file,
		  uint32_t *reason);
/* Puts every byte back; the stubs stay, for whoever is in them. Returns a negative errno if text
 * could not be written. */
int patch_restore(void);
/* Sites that were wanted and had to be left alone so far: no stub left, or not to be moved. */
extern uint32_t patch_sites_left;

/* ---- thread.c ---- */

/* The calling thread, which is made known where it is new; NULL: it is not to be recorded. */
struct agent_thread *thread_current(void);
/* A clone that came back in a new thread of this process, with an FS base of its own, which may
 * have been another's that is gone. */
struct agent_thread *thread_started(uint64_t sp);
/* The thread that is starting one with its stack pointer at child_sp; 0: it is not known. */
int32_t thread_that_starts(uint64_t child_sp);
void thread_ends(struct agent_thread *thread);

/* ---- ring.c ---- */

/* Room for a record of `bytes` (a multiple of 8, header included), zero but for header.time_ns,
 * which is now; NULL, and counted, if there is none. Complete only after ring_commit(). May be
 * interrupted by another one. A ring's records are in the order of their times. */
void *ring_reserve(struct agent_thread *thread, uint32_t bytes);
/* The same for a call: it leaves the last of the ring to what is worse to lose, and is given up
 * where a signal handler jumps out of it. To be completed by ring_commit_call(). */
void *ring_reserve_call(struct agent_thread *thread, uint32_t bytes);
void ring_commit_call(struct agent_thread *thread, void *record, uint32_t type, uint32_t bytes);
/* header.size must not have been written yet: the record is there from now on. */
void ring_commit(void *record, uint32_t type, uint32_t bytes);
/* A moment for a collector that is late, a few times (*waits counts), but not again once it was
 * *in_vain: false, then. The caller makes that false when there was room after all. */
bool ring_wait(bool *in_vain, uint32_t *waits);
/* For what should be known at once: a process ends. */
void ring_wake_collector(void);
/* The rest of a reservation is not needed: `bytes` at its end, which were not written to. */
void ring_give_back(struct agent_thread *thread, void *rest, uint32_t bytes);
/* Never mind: nothing is told of the `bytes` that were reserved. */
void ring_cancel(void *record, uint32_t bytes);

/* ---- record.c, stack.c, clock.c ---- */

uint64_t clock_now(void); /* CLOCK_MONOTONIC in ns, or ticks: arena.in_ticks */
/* clock_gettime of the vDSO that is mapped at `base`; NULL where it is not found. */
int (*vdso_find_clock(uint64_t base))(int clock, int64_t out[2]);
/* header but for size and type: flags, who, and the time where ring_reserve() has left none. */
void record_header(struct event_header *header, const struct agent_thread *thread, uint16_t flags);
/* ring_reserve(), and the header of what comes there but for size and type. */
void *record_begin(struct agent_thread *thread, uint32_t bytes, uint16_t flags);
/* An EVENT_SYSCALL, with its EVENT_DATA before it; `with_stack` as the plan says; enum
 * event_syscall_flags. */
void record_call(struct agent_thread *thread, const struct call_frame *frame, uint32_t number,
		 uint64_t site_ip, uint64_t sp, enum event_phase phase, bool with_stack,
		 uint16_t flags);

/* Bytes from `sp` on that can be read without a fault, now and until the call returns. */
uint64_t stack_readable(struct agent_thread *thread, uint64_t sp);
/* `sp` is where a new pthread begins: what is above it is its stack. */
void stack_begins(struct agent_thread *thread, uint64_t sp);
/* Copies memory that may not be there: bytes copied. */
uint64_t safe_copy(void *to, uint64_t from, uint64_t bytes);

/* ---- lifetime.c: what agent_before/after hand on for clone, fork, vfork, execve, exit, mmap ----
 */

/* Both look the thread up themselves: who comes out of a clone is not who went in. */
void lifetime_before(struct call_frame *frame, uint32_t number);
void lifetime_after(struct call_frame *frame, uint32_t number, uint64_t sp);
/* The wiped memory says that this process is a fork's child: it becomes one of its own. */
bool lifetime_forked(void);
/* A bitmap of the descriptors that are open in this process, as EVENT_DATA_FDS. */
void lifetime_tell_fds(struct agent_thread *thread);

/* ---- start.c ---- */

/* Says why, and puts the bytes back: nothing more is recorded in this process. */
void agent_off(enum arena_off_reason reason, int error);

/*
 * For a tracer that has copied the agent's image into a process whose threads all stand still: one
 * of them calls these on a stack of its own (32 KiB), and nobody else runs meanwhile. `variable` is
 * the value of ARENA_VARIABLE. Number of patched sites, or a negative errno. Entering again after
 * leaving is fine, with another arena too.
 */
__attribute__((visibility("default"))) int64_t agent_enter(const char *variable);
__attribute__((visibility("default"))) int64_t agent_leave(void);

#endif
