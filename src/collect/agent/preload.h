/* The environment by which a program loads the agent. */
#ifndef HTRACE_COLLECT_AGENT_PRELOAD_H
#define HTRACE_COLLECT_AGENT_PRELOAD_H

#include "base/error.h"
#include "collect/agent/arena.h"

/* Whether the agent can stand before what else is loaded, `list` of LD_PRELOAD; NULL: nothing. */
int preload_check(const char *list, struct error *error);
int preload_check_environment(char *const *envp, struct error *error);

/* `envp` with the agent in it, LD_PRELOAD where it was; the caller frees the list and *preload,
 * all other strings are borrowed. An empty LD_PRELOAD leaves a colon, so that the agent gives it
 * back. */
char **preload_environment(const struct agent_arena *memory, char *const *envp, char **preload);

#endif
