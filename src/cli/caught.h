/*
 * Tells of bad references whose threads were sent a signal (--on-bad-reference): who, which call,
 * where, and how to go on. The place is named by a forked copy, so that names never keep events
 * waiting, and left out where that takes long: somebody's program stands still meanwhile.
 */
#ifndef HTRACE_CLI_CAUGHT_H
#define HTRACE_CLI_CAUGHT_H

#include "cli/errands.h"
#include "session/session.h"

#include <stdbool.h>

struct caught_told {
	struct session_caught caught;
	char *text; /* a sentence, without its full stop; owned by struct catching */
};

/* A zeroed one with `session`, `signal` and `say` set is ready. */
struct catching {
	struct session *session;
	int signal; /* that is sent */
	/* Is told each in turn. */
	void (*say)(void *context, const char *text);
	void (*in_copy)(void *context); /* is called in the copy that names; NULL: nothing is */
	void *context;

	uint64_t dropped;          /* that are told by their number */
	uint64_t latest_ns;        /* when the last one came; 0: none has */
	struct session_caught now; /* that is being named */
	struct errands errands;
	uint64_t naming;         /* number of the errand that names it */
	uint64_t until_ns;       /* then it goes without; 0: nothing is being named */
	struct caught_told last; /* text NULL: there was none */
};

/* To be called after each step of the session. */
void catching_step(struct catching *catching);
/* Tells what there is. */
void catching_end(struct catching *catching);

/* For `say`: a line on standard error. */
void catching_say_error(void *context, const char *text);

/* Whether the process of the last one still stands still. */
bool catching_stands_still(const struct catching *catching);

#endif
