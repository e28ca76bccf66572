/*
 * What is kept of the calls of a process that failed with EMFILE or ENFILE: how often, where, and
 * what held the handles when it began. Bounded. An episode begins with the first failure, and with
 * one after a quiet time.
 */
#ifndef HTRACE_MODEL_EXHAUSTED_H
#define HTRACE_MODEL_EXHAUSTED_H

#include "base/array.h"

#include <stdint.h>

enum {
	EXHAUSTED_PLACES_MAX = 64,
	EXHAUSTED_HOLDERS_MAX = 16,
};

/* Failures of one call with one error at one stack. */
struct exhausted_place {
	uint32_t call; /* system call number; fd_syscalls_name() */
	int32_t error; /* -EMFILE or -ENFILE */
	uint32_t stack_id;
	uint64_t count;
	uint64_t first_ns, last_ns;
};

/* Handles of one (type, opening stack, origin) that were open when the episode began. */
struct exhausted_holder {
	const char *type; /* NULL: not known */
	uint32_t stack_id;
	uint8_t origin; /* enum handle_origin */
	uint64_t open;
};

/* What the system says of its limits at that moment, told from outside; 0: not known. */
struct exhausted_limits {
	uint64_t process;     /* RLIMIT_NOFILE: numbers of the process are below it */
	uint64_t system_open; /* files of the machine, */
	uint64_t system;      /* and the most of them: fs.file-max */
};

/* Between two episodes, unless model_set_quiet() says otherwise. */
#define EXHAUSTED_QUIET_NS 60000000000ull

struct exhaustion {
	uint64_t count; /* of all failures */
	uint64_t first_ns, last_ns;
	uint64_t places_dropped; /* failures at other places than EXHAUSTED_PLACES_MAX */
	ARRAY(struct exhausted_place) places;

	/* The newest episode. */
	uint32_t episodes;
	uint32_t call; /* that failed first, */
	int32_t error; /* so, */
	int32_t tid;   /* in this thread */
	uint32_t stack_id;
	uint64_t began_ns;
	uint64_t open; /* handles of the process at that moment */
	struct exhausted_limits limits;
	uint32_t holders_n;
	struct exhausted_holder holders[EXHAUSTED_HOLDERS_MAX]; /* the most first */
};

#endif
