/*
 * Handles that programs received over exec, because nobody had set close-on-exec: by the place that
 * opened them, with counts and the first few receivers. The processes may have ended and been
 * forgotten: this stays. Memory follows the number of places, up to a limit.
 */
#ifndef HTRACE_MODEL_CROSSING_H
#define HTRACE_MODEL_CROSSING_H

#include "base/array.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	/* Places. Another one is kept instead of that which reached fewest programs, longest ago.
	 */
	CROSSINGS_MAX = 1024,
	CROSSINGS_STANDARD_MAX = 256, /* likewise, of numbers 0 to 2 */
	CROSSING_EXAMPLES_MAX = 16,
	CROSSING_EXAMPLES_OF_ONE = 8, /* of these, of one exec */
	CROSSING_PROGRAMS_MAX = 4,
	CROSSING_NUMBERS_MAX = 8,
};

/* One handle that one program received. */
struct crossing_example {
	int32_t pid; /* of the program */
	int32_t number;
	int32_t opened_pid, opened_tid; /* 0: it was not seen */
	uint64_t opened_ns;             /* 0: it was not seen */
	uint64_t exec_ns;
	const char *exe;  /* the program's path; NULL: not known */
	const char *type; /* NULL: not known */
	const char *name; /* of the handle; NULL: not known */
};

struct crossing_program {
	const char *exe;
	uint64_t execs;
};

/* What one place opened. What nobody saw being opened is told by its name, without one by its
 * number.
 */
struct crossing {
	const char *type;  /* that all of them share (handle_type_common()); NULL: not known */
	const char *class; /* handle_class(), which the place is told by */
	uint32_t stack_id; /* STACK_NONE: the opening was not seen */
	bool standard;     /* numbers 0 to 2, which are meant to stay open */
	bool several_openers;
	int32_t opener_pid;     /* of the first one; 0: not known */
	const char *opener_exe; /* what it ran then; NULL: not known */
	uint64_t handles;       /* that programs received, and how many programs did */
	uint64_t execs;
	uint64_t first_ns, last_ns; /* of these execs */
	uint32_t numbers_n;         /* that it had there, ascending; */
	int32_t numbers[CROSSING_NUMBERS_MAX];
	bool more_numbers; /* than these */
	uint32_t programs_n;
	struct crossing_program programs[CROSSING_PROGRAMS_MAX]; /* in the order of their exec */
	ARRAY(struct crossing_example) examples;                 /* the first ones */
	/* The model's: never used twice; in its index; the number of the last exec. */
	uint64_t id, key, last_exec;
};

/* Adds to one what is told of another. */
void crossing_add_number(struct crossing *place, int32_t number);
void crossing_add_program(struct crossing *place, const char *exe, uint64_t execs);

struct crossings {
	ARRAY(struct crossing) places;
	uint64_t execs;     /* that were seen, */
	uint64_t receivers; /* and those that received more than numbers 0 to 2 */
	uint64_t dropped;   /* handles of places that are not kept */
};

#endif
