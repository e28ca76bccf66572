/*
 * Where a file makes its system calls (docs/AGENT.md, "Sites"): found once here, so that the agent
 * in each process that maps the file need not search.
 */
#ifndef HTRACE_COLLECT_AGENT_SITES_H
#define HTRACE_COLLECT_AGENT_SITES_H

#include "event/arena.h"

/* Those of the file at `path`, as the plan wants them, in the next free place of the arena: 0, also
 * where it is there already; or a negative errno (-ENOSPC: no place is left). */
int sites_publish(struct arena *arena, const struct plan *plan, const char *path);

/* Those of the libc and the dynamic linker that this process runs with. */
void sites_publish_own(struct arena *arena, const struct plan *plan);

#endif
