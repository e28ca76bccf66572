/*
 * What is said or written at once, while tracing goes on: that a process is out of handles, and the
 * reports of triggers (--trigger). Forked copies do the work, so that no event waits for a name.
 */
#ifndef HTRACE_CLI_NOTICES_H
#define HTRACE_CLI_NOTICES_H

#include "cli/commands.h"
#include "cli/errands.h"
#include "session/session.h"

enum { NOTICES_FILES_MAX = 1000 }; /* reports that one htrace writes by itself */

/* What became of one trigger. */
struct notice {
	uint64_t fired;       /* how often its condition came to hold */
	uint64_t written;     /* reports */
	uint64_t failed;      /* reports that could not be written */
	uint64_t fired_ns;    /* CLOCK_MONOTONIC, the last time; 0: never */
	char *file, *failure; /* the last ones; NULL: none */
};

struct notices {
	const struct options *options;
	struct session *session;
	struct errands errands;
	bool speaks;                            /* to standard error: run and attach do */
	uint64_t speaking_ns, messages, untold; /* since when, how many were told, and not */
	uint64_t begun;                         /* reports, of all triggers */
	struct notice of[TRIGGERS_MAX];
	ARRAY(char *) unsaid; /* what the console is to be told */
	/* What a session's console is told, a sentence; NULL: nobody is. */
	void (*say)(void *context, const char *text);
	void (*in_copy)(void *context); /* is called in each copy first; NULL: nothing is */
	void *context;
};

/* Watches `session`; the rest of *notices but these three is as the caller wants it. */
void notices_begin(struct notices *notices, const struct options *options, struct session *session);

/* Tells what has been written; to be called after each step of the session. */
void notices_step(struct notices *notices);

/* Waits for what is being written, some seconds at most. */
void notices_end(struct notices *notices);
void notices_fini(struct notices *notices);
#define cleanup_notices_fini notices_fini

/* The pattern of the reports' files as an absolute one, where there are triggers: for who is about
 * to leave the folder. NULL: there are none. The caller's. */
char *notices_pattern_dup(const struct options *options);

/* The file that `pattern` (%p pid, %n sequence, %t time in UTC, %% percent sign) means; NULL: it
 * has another letter behind a %. The caller's. */
char *notices_file_dup(const char *pattern, pid_t pid, uint64_t sequence, time_t now);

#endif
