/*
 * Work that a forked copy of this process does while this one goes on: it sees everything as it was
 * at that moment. Bounded: so many at once, and each for so long.
 */
#ifndef HTRACE_CLI_ERRANDS_H
#define HTRACE_CLI_ERRANDS_H

#include "base/array.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	ERRANDS_MAX = 16,
	ERRAND_SECONDS_MAX = 120,
	ERRAND_TEXT_MAX = 4000,
};

struct errand {
	pid_t pid;
	int alive; /* a pipe that its end closes */
	uint64_t id;
};

/* A zeroed one is empty. */
struct errands {
	ARRAY(struct errand) running;
};

/* What an errand has to say in the end; at most ERRAND_TEXT_MAX bytes. */
struct errand_result {
	bool done; /* false: it failed, `text` says why */
	char text[ERRAND_TEXT_MAX + 1];
};

/* Does `work` in a copy. 0; -EBUSY: too many are at work; or a negative errno: no process could be
 * made. */
int errands_begin(struct errands *errands, uint64_t id,
		  void (*work)(void *context, struct errand_result *result), void *context);

/* Tells of those that have ended. Never waits. */
void errands_step(struct errands *errands,
		  void (*ended)(void *context, uint64_t id, const struct errand_result *result),
		  void *context);

/* Waits until all have ended, up to `seconds`; the others are ended, and told of as failed. */
void errands_end(struct errands *errands, unsigned seconds,
		 void (*ended)(void *context, uint64_t id, const struct errand_result *result),
		 void *context);

#endif
