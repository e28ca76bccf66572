/* Owns how a process is seen to end, whatever ended it, and with which status. */
#include "collect/agent/lifetimes_private.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* linux/pidfd.h, kernel 6.13; the exit status since 6.15. */
struct pidfd_facts {
	uint64_t mask, cgroup;
	uint32_t ids[11]; /* pid, tgid, ppid, eight of user and group */
	int32_t exit_code;
	uint32_t later[4];
};

_Static_assert(sizeof(struct pidfd_facts) == 80, "linux/pidfd.h");

enum { PIDFD_FACTS_EXIT = 1 << 3 };

#define PIDFD_GET_FACTS _IOWR(0xFF, 11, struct pidfd_facts)

bool lifetimes_is_over(const struct traced_process *process)
{
	struct pollfd pidfd = {process->pidfd, POLLIN, 0};

	return process->pidfd < 0 || poll(&pidfd, 1, 0) > 0;
}

/* What to poll for the ends of those that live. */
static struct pollfd *pidfds_of(struct lifetimes *lifetimes, nfds_t *n)
{
	lifetimes->pidfds.count = 0;
	map_each (entry, &lifetimes->processes) {
		const struct traced_process *process = (void *)(uintptr_t)entry->value;

		if (!process->ended)
			array_push(&lifetimes->pidfds, (struct pollfd){process->pidfd, POLLIN, 0});
	}
	*n = lifetimes->pidfds.count;
	return lifetimes->pidfds.data;
}

void lifetimes_look(struct lifetimes *lifetimes)
{
	nfds_t n;
	struct pollfd *pidfds = pidfds_of(lifetimes, &n), *pidfd = pidfds;

	lifetimes->added = false;
	if (n && poll(pidfds, n, 0) < 0)
		n = 0;
	map_each (entry, &lifetimes->processes) {
		struct traced_process *process = (void *)(uintptr_t)entry->value;

		/* In the same order as they were put there. */
		if (process->ended || !n)
			continue;
		if (process->pidfd < 0 || pidfd->revents) {
			process->ended = true;
			process->ended_ns = clock_now_ns();
		}
		pidfd++;
	}
	started_child_look(&lifetimes->child);
}

/* The status of a zombie: the last number of /proc/PID/stat (proc(5)). */
static bool zombie_status(pid_t pid, int *status)
{
	_cleanup_(fclose) FILE *file = NULL;
	char path[64], line[1024];
	const char *state, *last;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return false;
	state = strrchr(line, ')');
	if (!state || strlen(state) < 3 || (state[2] != 'Z' && state[2] != 'X'))
		return false;
	last = strrchr(state, ' ');
	return last && sscanf(last, "%d", status) == 1;
}

/* The status of a process that was waited for. */
static bool reaped_status(int pidfd, int *status)
{
	struct pidfd_facts facts = {.mask = PIDFD_FACTS_EXIT};

	if (ioctl(pidfd, PIDFD_GET_FACTS, &facts) < 0 || !(facts.mask & PIDFD_FACTS_EXIT))
		return false;
	*status = facts.exit_code;
	return true;
}

/* The kernel knows better than the process, which may have been killed on its way out. */
static int exit_status(const struct lifetimes *lifetimes, const struct traced_process *process)
{
	int status;

	if (process->pid == lifetimes->child.pid && lifetimes->child.waited)
		return lifetimes->child.status;
	/* It may be waited for between the two looks. */
	if (process->pidfd >= 0 &&
	    (reaped_status(process->pidfd, &status) || zombie_status(process->pid, &status) ||
	     reaped_status(process->pidfd, &status)))
		return status;
	return process->status_known ? process->status : 0;
}

void lifetimes_end(struct lifetimes *lifetimes, struct traced_process *process)
{
	struct event_exit event = {
	    .header = {.size = sizeof(event),
		       .type = EVENT_EXIT,
		       .flags = EVENT_EXIT_PROCESS,
		       .time_ns = process->ended_ns ?: clock_now_ns(),
		       .pid = process->pid,
		       .tid = process->pid},
	};

	started_child_look(&lifetimes->child);
	if (process->exec_ns)
		lifetimes_unseen(lifetimes, process, true);
	if (process->exit_tid) {
		event.header.tid = process->exit_tid;
		lifetimes_emit_fds(lifetimes, process, process->exit_tid);
	}
	event.status = exit_status(lifetimes, process);
	lifetimes_emit(lifetimes, &event.header);
	rings_free_process(lifetimes->rings, process->pid);
	map_remove(&lifetimes->processes, process->pid);
	lifetimes_free_process(process);
}
