/* How the agent gets into a program, as far as its file tells. */
#ifndef HTRACE_COLLECT_AGENT_PROGRAM_FILE_H
#define HTRACE_COLLECT_AGENT_PROGRAM_FILE_H

#include "base/error.h"

#include <stdbool.h>

enum program_way {
	PROGRAM_PRELOAD = 1, /* the dynamic linker loads it */
	PROGRAM_INJECT = 2,  /* statically linked with glibc: it has to be put there */
};

/*
 * 0 and the way; or -ENOTSUP and why there is none ("it is a Go program"). `runs`: somebody runs it
 * already, so that nobody will start it with another user's rights. A file that cannot be found or
 * is no program is PROGRAM_PRELOAD: execve will say so.
 */
int program_file_way(const char *path, bool runs, enum program_way *way, struct error *error);

#endif
