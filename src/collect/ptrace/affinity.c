/*
 * Keeps the tracing thread on the CPU of the tracee that stops most: a stop then is a switch
 * between two tasks and not a wake-up of another CPU, which costs ten times as much. Only this
 * thread moves; the target's affinity is never touched.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { STOPS_BETWEEN_LOOKS = 128 };

void affinity_init(struct affinity *affinity)
{
	affinity->cpu = -1;
	affinity->off = sched_getaffinity(0, sizeof(affinity->original), &affinity->original) < 0 ||
			CPU_COUNT(&affinity->original) < 2;
}

/* Field 39 of /proc/TID/stat, proc(5); -1 where there is none. */
static int processor_of(pid_t tid)
{
	_cleanup_(close_fd) int fd = -1;
	char text[1024], *at;
	ssize_t length;

	snprintf(text, sizeof(text), "/proc/%d/stat", tid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (length = read(fd, text, sizeof(text) - 1)) <= 0)
		return -1;
	text[length] = '\0';
	at = strrchr(text, ')'); /* field 2 may contain anything */
	for (int field = 2; at && field < 39; field++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at) : -1;
}

void affinity_stop_seen(struct affinity *affinity, pid_t tid)
{
	cpu_set_t set;
	int cpu;

	if (affinity->off || affinity->stops++ % STOPS_BETWEEN_LOOKS)
		return;
	cpu = processor_of(tid);
	if (cpu < 0 || cpu >= CPU_SETSIZE || cpu == affinity->cpu)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* A CPU that we may not use: stay where we are. */
	if (CPU_ISSET(cpu, &affinity->original) && sched_setaffinity(0, sizeof(set), &set) == 0)
		affinity->cpu = cpu;
}

void affinity_restore(struct affinity *affinity)
{
	if (affinity->cpu >= 0)
		sched_setaffinity(0, sizeof(affinity->original), &affinity->original);
	affinity->cpu = -1;
	affinity->stops = 0;
}
