/* Starts a program that waits, before its exec, until tracing of it is on. */
#ifndef HTRACE_COLLECT_START_H
#define HTRACE_COLLECT_START_H

#include "base/error.h"
#include "collect/collector.h"

#include <sys/types.h>

/*
 * Forks; the child stops short of execve until `ready(context, pid)` has returned 0 here. Returns
 * 0 once execve has succeeded, or what it said (the child is then gone and was waited for).
 */
int start_program(const struct spawn *spawn,
		  int (*ready)(void *context, pid_t pid, struct error *error), void *context,
		  pid_t *pid, struct error *error);

#endif
