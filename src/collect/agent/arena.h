/* The memory that a session shares with the agents of its targets, and what they are told there. */
#ifndef HTRACE_COLLECT_AGENT_ARENA_H
#define HTRACE_COLLECT_AGENT_ARENA_H

#include "base/error.h"
#include "collect/collector.h"
#include "event/arena.h"

struct agent_arena {
	struct arena *arena; /* mapped */
	int fd;
	size_t bytes;
	/* What was written there, for it may have been changed since. */
	char preload[ARENA_PATH_MAX];
	char variable[sizeof(((struct arena *)0)->variable)]; /* "HTRACE_AGENT=..." */
};

/* The name of the memory in /proc/PID/maps is "/memfd:" and this. */
#define AGENT_ARENA_NAME "htrace-agent"

/* Makes it, with the agent's file found, and the sites of this process's own libc told.
 * agent_arena_fini() ends it; a zeroed one with fd -1 may be given to it. */
int agent_arena_init(struct agent_arena *memory, const struct collector_options *options,
		     struct error *error);
void agent_arena_fini(struct agent_arena *memory);

/* The agent's file; -ENOENT: not there, and where it was looked for. */
int agent_find(char path[static ARENA_PATH_MAX], struct error *error);

#endif
