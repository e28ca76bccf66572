/*
 * Stacks of real programs for the tests of unwinding: a program runs under ptrace, and each stop
 * becomes an event as a collector would make it, with the address space of that moment.
 */
#ifndef HTRACE_TESTS_UNWIND_CAPTURE_H
#define HTRACE_TESTS_UNWIND_CAPTURE_H

#include "event/event.h"
#include "os/address_space.h"
#include "os/image.h"
#include "unwind/unwind.h"

#include <stdbool.h>
#include <sys/types.h>

struct capture {
	pid_t pid;
	pid_t tid;    /* the thread that is caught; `pid` but for programs of several threads */
	bool running; /* false: it is stopped, or `gone` */
	bool gone;
	int signal; /* to be delivered when it goes on */
	struct image_table *images;
	struct address_space *space;
	uint64_t maps_hash;              /* of the executable mappings, of which `space` is */
	uint64_t stack_start, stack_end; /* the main thread's stack */
	uint32_t bytes_max;              /* of a stack; at most EVENT_STACK_BYTES_MAX */
	union {
		struct event_syscall event;
		uint8_t bytes[EVENT_SIZE_MAX];
	};
};

/* For a program that somebody else traces; `capture->tid` is to be set to the thread that stopped.
 */
void capture_init(struct capture *capture, pid_t pid);

/* The cmocka test `label`: `function` with the program, path first, and its arguments as state. */
#define CAPTURE_TEST(function, label, ...)                                                         \
	{                                                                                          \
		.name = label, .test_func = function, .initial_state = (char *[])                  \
		{                                                                                  \
			__VA_ARGS__, NULL                                                          \
		}                                                                                  \
	}

/* Starts `argv`, stopped at its first instruction; false where ptrace is not permitted. */
bool capture_start(struct capture *capture, char *const argv[]);
void capture_end(struct capture *capture);

/* Lets it run for `us` microseconds, or until a signal stops it. False: it is gone. */
bool capture_run(struct capture *capture, unsigned us);

/* Lets it run until a stop of its own. False: it is gone. */
bool capture_continue(struct capture *capture);

/* One instruction. False: it is gone. */
bool capture_step(struct capture *capture);

/* Where it stands; 0: it is gone. */
uint64_t capture_ip(const struct capture *capture);

/* Makes capture->event of the stopped program; false where its stack cannot be read. */
bool capture_take(struct capture *capture);

/* What two unwinders made of one event. */
struct comparison {
	struct frame cfi[STACK_FRAMES_MAX], dwfl[STACK_FRAMES_MAX];
	uint32_t cfi_n, dwfl_n;
	enum stack_end cfi_end, dwfl_end;
};

enum verdict {
	VERDICT_EQUAL,
	VERDICT_LONGER, /* dwfl's frames, and more */
	VERDICT_LEAF,   /* dwfl's frames, and one more: the caller of a leaf without CFI or frame,
			   which the frame pointer cannot know (it is still the caller's) */
	VERDICT_GUESS,  /* cfi's frames, and one more that dwfl has from a frame pointer, in code
			   without  CFI: no call stands before it, so nobody can return there */
	VERDICT_UNEQUAL,
};

enum verdict capture_compare(struct capture *capture, struct unwinder *cfi, struct unwinder *dwfl,
			     struct comparison *out);
void comparison_print(const struct capture *capture, const struct comparison *comparison);

#endif
