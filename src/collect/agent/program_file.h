/* Whether the dynamic linker will load the agent into a program that is executed. */
#ifndef HTRACE_COLLECT_AGENT_PROGRAM_FILE_H
#define HTRACE_COLLECT_AGENT_PROGRAM_FILE_H

#include "base/error.h"

/*
 * 0, or -ENOTSUP and what keeps the dynamic linker from it ("it is statically linked"). A file that
 * cannot be found or is no program is 0: execve will say so.
 */
int program_file_takes_agent(const char *path, struct error *error);

#endif
