/*
 * Owns the look into pipes: how much waits in them, and how much they take. The kernel tells that
 * only through a descriptor. Opening one would count as a reader or a writer, and might hide an end
 * of file; so a copy of the target's own is taken (pidfd_getfd(2)), which counts as nobody new, and
 * given back within microseconds, with signals that could stop us in between kept away.
 */
#include "detail/private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum { PIPES_MAX = 4096, SYS_PIDFD_OPEN = 434, SYS_PIDFD_GETFD = 438 };

static void look_into(struct detail *detail, int process)
{
	int fd = syscall(SYS_PIDFD_GETFD, process, detail->number, 0);
	int bytes, capacity;

	if (fd < 0)
		return;
	capacity = fcntl(fd, F_GETPIPE_SZ);
	if (capacity < 0 || ioctl(fd, FIONREAD, &bytes))
		capacity = -1;
	close(fd);
	if (capacity < 0)
		return;
	detail->pipe_known = true;
	detail->pipe_bytes = bytes;
	detail->pipe_capacity = capacity;
}

static void take_over(struct detail *detail, const struct detail *known)
{
	detail->pipe_known = known->pipe_known;
	detail->pipe_bytes = known->pipe_bytes;
	detail->pipe_capacity = known->pipe_capacity;
}

void details_look_into_pipes(struct details *details)
{
	struct map seen = {0}; /* object -> index + 1 */
	int32_t pid = 0;
	int process = -1;
	sigset_t stops, before;

	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &stops, &before);
	array_each (wanted, &details->wanted) {
		struct detail *detail = &wanted->detail;
		uint64_t *slot;

		if (!wanted->is_pipe || !wanted->link || !detail->has_file ||
		    seen.count >= PIPES_MAX || details_time_is_up(details))
			continue;
		if (pid != detail->pid) {
			if (process >= 0)
				close(process);
			pid = detail->pid;
			process = syscall(SYS_PIDFD_OPEN, pid, 0);
		}
		slot = map_put(&seen, detail->object);
		if (*slot)
			take_over(detail, &details->wanted.data[*slot - 1].detail);
		else if (process >= 0)
			look_into(detail, process);
		*slot = wanted - details->wanted.data + 1;
		if (detail->pipe_known) {
			detail->cost = COST_MEMORY;
			detail->cost_bytes = detail->pipe_bytes;
		}
	}
	if (process >= 0)
		close(process);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	map_fini(&seen);
}
