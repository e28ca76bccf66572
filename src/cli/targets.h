/* Which process is meant where none was named. */
#ifndef HTRACE_CLI_TARGETS_H
#define HTRACE_CLI_TARGETS_H

#include "base/error.h"

#include <sys/types.h>

/*
 * $HTRACE_PID, else the process that a debugger among our ancestors is tracing. 0 with *pid; 0 and
 * *pid 0: neither; -EINVAL with a sentence.
 */
int target_around_us(pid_t *pid, struct error *error);

/*
 * The session that is meant with `pid` (0: not given; then target_around_us(), then the only one
 * that there is): its name, owned by the caller. NULL with a sentence.
 */
char *target_session(pid_t pid, struct error *error);

#endif
