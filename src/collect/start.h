/* Starts a program that waits, before its exec, until tracing of it is on. */
#ifndef HTRACE_COLLECT_START_H
#define HTRACE_COLLECT_START_H

#include "base/error.h"
#include "collect/collector.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Forks; the child stops short of execve until `ready(context, pid)` has returned 0 here. Returns
 * 0 once execve has succeeded, or what it said (the child is then gone and was waited for).
 */
int start_program(const struct spawn *spawn,
		  int (*ready)(void *context, pid_t pid, struct error *error), void *context,
		  pid_t *pid, struct error *error);

/* The program, for a collector that does not trace it itself by ptrace. */
struct started_child {
	pid_t pid; /* 0: none */
	bool waited;
	int status; /* as wait(2) gives it, once it was waited for */
};

/* Looks whether it has ended, and does not wait. */
void started_child_look(struct started_child *child);
bool started_child_ended(const struct started_child *child, int *wait_status);
/* A signal has stopped it. */
bool started_child_stopped(const struct started_child *child);

#endif
