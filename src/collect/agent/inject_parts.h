/* What the parts of the injection share; collect/agent/inject.h is what others see. */
#ifndef HTRACE_COLLECT_AGENT_INJECT_PARTS_H
#define HTRACE_COLLECT_AGENT_INJECT_PARTS_H

#include "base/array.h"
#include "base/error.h"
#include "collect/agent/inject.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>
#include <ucontext.h>

enum {
	INJECT_PAGE = 4096,
	INJECT_CONTROL_BYTES = 32 * 1024,
	INJECT_STACK_BYTES = 64 * 1024,
	INJECT_VARIABLE_MAX = 1024,
};

/* ---- inject_image.c: the agent's file ---- */

struct image_segment {
	uint64_t start, end; /* whole pages, from the image's base */
	int protection;
};

struct image_relocation {
	uint64_t offset; /* of the word that becomes base + addend */
	uint64_t addend;
};

struct agent_image {
	uint8_t *bytes; /* as in memory, before relocation */
	uint64_t size;  /* whole pages */
	ARRAY(struct image_segment) segments;
	ARRAY(struct image_relocation) relocations;
	uint64_t enter, leave; /* from the image's base */
	uint64_t identity[2];  /* of the content */
};

/* Checks everything. agent_image_fini() frees. */
int agent_image_read(const char *path, struct agent_image *out, struct error *error);
void agent_image_fini(struct agent_image *image);
/* Writes the words that depend on where the image lies. */
void agent_image_relocate(struct agent_image *image, uint64_t base);

/* ---- inject_place.c: the target's mappings ---- */

enum area_kind { AREA_OTHER, AREA_LIBC, AREA_LOADER, AREA_VDSO, AREA_HEAP, AREA_STACK };

struct area {
	uint64_t start, end;
	enum area_kind kind;
	bool executable, has_file;
};

struct areas {
	ARRAY(struct area) list; /* in address order */
};

int areas_read(pid_t pid, struct areas *out, struct error *error);
void areas_fini(struct areas *areas);

struct places {
	ARRAY(uint64_t) starts;
};

/* Where `bytes` could lie so that jumps reach from there to libc (or the program, where there is no
 * libc), the best first. array_fini(&out->starts) frees. */
void places_find(const struct areas *areas, uint64_t bytes, struct places *out);

/* Instructions of the target; 0: not found. */
struct gadgets {
	uint64_t call; /* `syscall`; followed by `ret` if `home` is known */
	uint64_t home; /* `mov $15,%rax; syscall`: rt_sigreturn(2) */
};

void areas_find_gadgets(pid_t pid, const struct areas *areas, struct gadgets *out);

/* ---- inject_threads.c: who stands still ---- */

struct stopped_thread {
	pid_t tid;
	bool stopped, gone;
	struct user_regs_struct registers;
};

struct stopped_threads {
	pid_t pid;
	ARRAY(struct stopped_thread) list;
	int64_t since_ns;
};

int64_t inject_now_ns(void);
bool thread_has_ended(pid_t tid); /* or is ending: it has no memory any more */
/* Whether a signal of a fault waits for the stopped thread `tid`. */
bool thread_has_fault(pid_t tid);
/* The stop that `tid` is in: its signal, the event in bits 8 and up; 0: it does not (yet) stop;
 * -ESRCH: it is gone. Takes nothing away: an exit is still there for whoever waits for it. */
int thread_peek(pid_t tid);
/* The same, but waits until there is something to tell or the deadline is over. */
int thread_wait(pid_t tid, int64_t deadline_ns);

/* Seizes and stops all threads; -EBUSY if one does not stop in time. The calling thread must end,
 * or call threads_release(), to let them go. */
int threads_stop(struct stopped_threads *threads, pid_t pid, int64_t limit_ns, struct error *error);
void threads_release(struct stopped_threads *threads);
/* The thread that is disturbed least by calling something; 0: there is none. */
pid_t threads_choose(const struct stopped_threads *threads);

/* ---- inject_home.c: how a thread gets back if we are killed ---- */

enum { HOME_XSTATE_MAX = 16 * 1024 };

/* A signal frame, as rt_sigreturn(2) takes it with the stack pointer at its begin. */
struct home_frame {
	ucontext_t context;
	uint8_t xstate[HOME_XSTATE_MAX] __attribute__((aligned(64)));
};

/* For a thread with these registers and signal mask, in zeroed memory that will lie at `at` (a
 * multiple of 64). How many bytes of it matter. */
size_t home_frame_fill(pid_t tid, const struct user_regs_struct *saved, uint64_t mask, uint64_t at,
		       struct home_frame *out);

/* ---- inject_call.c: a stopped thread does something for us ---- */

struct remote_call {
	pid_t pid, tid;
	struct gadgets gadgets;
	bool is_masked; /* signals are blocked */
	uint64_t stack; /* of system calls, where the way home lies; 0: there is none */
	uint8_t *below; /* what was there, */
	size_t below_bytes;
	bool in_call;  /* stopped at the return of a call, not where signals are taken */
	bool at_home;  /* it went back by itself */
	uint32_t held; /* signals that came meanwhile, to be sent again: bit n */
	uint64_t mask; /* blocked signals */
	struct user_regs_struct saved;
};

int remote_begin(struct remote_call *call, pid_t pid, pid_t tid, struct error *error);
/* From now on system calls find their way home from below the thread's stack, if that is possible.
 */
void remote_guard(struct remote_call *call);
/* 0 if the call was made, *result is what it returned. */
int remote_system_call(struct remote_call *call, long number, const uint64_t args[6],
		       int64_t *result, struct error *error);
/* The code that remote_function() starts in the target; position independent. */
uint64_t remote_code_bytes(void);
const void *remote_code(void);
/* A stopped thread that waits in the code at `code`, because whoever let it call something is gone,
 * puts itself back as soon as it goes on. */
void remote_hurry(pid_t tid, uint64_t code);
/* Lets the code at `code` call `function(argument)` on the stack above `control`, which has
 * INJECT_CONTROL_BYTES + INJECT_STACK_BYTES. A NULL `argument` is NULL there too. */
int remote_function(struct remote_call *call, uint64_t code, uint64_t control, uint64_t function,
		    const char *argument, int64_t *result, struct error *error);
/* From any stop to one where signals are taken: from there interrupted calls go on as they should.
 */
int remote_settle(struct remote_call *call, struct error *error);
/* Puts everything back. The thread still stops. */
void remote_end(struct remote_call *call);

/* ---- inject_visit.c: one coming or going ---- */

struct visit {
	pid_t pid, tid;           /* the thread that does it */
	struct agent_image image; /* of a coming */
	const char *variable;     /* NULL: leave */
	struct injected injected;
	int64_t result; /* of the agent */
	struct error *error;
};

/* The page before the image, by which it is found again. */
void visit_head_fill(const struct agent_image *image, uint8_t page[static INJECT_PAGE]);

/* All threads of the target stand still (NULL: there is only one). */
int visit_make(struct visit *visit, const struct stopped_threads *threads);

#endif
