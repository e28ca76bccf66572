/* Whether the agent can work in a program, as far as its file tells. */
#ifndef HTRACE_COLLECT_AGENT_PROGRAM_FILE_H
#define HTRACE_COLLECT_AGENT_PROGRAM_FILE_H

#include "base/error.h"

#include <stdbool.h>

/*
 * 0, or -ENOTSUP and why there is no way ("it is statically linked"). `runs`: somebody runs it
 * already, so that nobody will start it with another user's rights. A file that cannot be found or
 * is no program is 0: execve will say so.
 */
int program_file_takes_agent(const char *path, bool runs, struct error *error);

#endif
