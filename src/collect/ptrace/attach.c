/*
 * Begins and ends the tracing of processes that run already: all their threads, and what they
 * create meanwhile. No filter is used here, so that a target loses nothing with its tracer.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

enum {
	OPTIONS =
	    PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT,
	OPTIONS_CHILDREN = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK,
	/* A thread in an uninterruptible call (vfork, a hanging disk) stops when it leaves it. */
	STOP_WAIT_NS = 500 * 1000 * 1000,
	DETACH_WAIT_NS = 2000 * 1000 * 1000,
	PAUSE_US = 200,
};

/* Seizes the threads that are not yet; returns how many there were, or a negative errno. */
static int seize_new(struct collector *collector, struct process *process, struct error *error)
{
	intptr_t options = OPTIONS | (collector->follow_children ? OPTIONS_CHILDREN : 0);
	struct procfs_fds threads;
	int result = procfs_threads(process->pid, &threads, error), count = 0;

	if (result < 0)
		return result;
	array_each (tid, &threads.numbers) {
		if (tracee_find(collector, *tid))
			continue;
		if (ptrace(PTRACE_SEIZE, *tid, NULL, (void *)options) < 0) {
			/* Ended meanwhile, or (EPERM) seized already through its creator. */
			result = -errno;
			continue;
		}
		tracee_add(collector, *tid, process);
		ptrace(PTRACE_INTERRUPT, *tid, NULL, NULL);
		count++;
	}
	array_fini(&threads.numbers);
	return count || process->threads ? count : result;
}

/* Handles a stop of each tracee of the process, or lets time pass. */
void tracees_wait(struct collector *collector, pid_t pid)
{
	int64_t deadline = poll_now_ns() + STOP_WAIT_NS;
	struct procfs_fds threads;

	if (procfs_threads(pid, &threads, NULL) < 0)
		return;
	array_each (tid, &threads.numbers) {
		int status, got;

		if (!tracee_find(collector, *tid))
			continue;
		while ((got = waitpid(*tid, &status, __WALL | WNOHANG)) == 0 &&
		       poll_now_ns() < deadline)
			usleep(PAUSE_US);
		if (got > 0)
			stops_handle(collector, *tid, status);
	}
	array_fini(&threads.numbers);
}

int ptrace_attach(struct collector *collector, pid_t pid, const struct event_sink *sink,
		  struct error *error)
{
	struct procfs_status status;
	struct process *process;
	int result = remote_check(pid, &status, error);

	if (result < 0)
		return result;
	if (thread_group_find(collector, pid))
		return error_set(error, -EALREADY, "process %d is traced already", pid);
	collector->detaching = false;
	process = thread_group_add(collector, pid);
	do {
		result = seize_new(collector, process, error);
	} while (result > 0);
	if (!process->threads) {
		thread_group_remove(collector, process);
		if (procfs_status(pid, &status, NULL) < 0 || status.zombie || result == -ESRCH)
			return error_set(error, -ESRCH, "process %d ended during attach", pid);
		return result == -EPERM
			   ? remote_refused(pid, &status, error)
			   : error_set_errno(error, result, "cannot trace process %d", pid);
	}
	maps_update(collector, process, pid);
	tracees_wait(collector, pid);
	/* Again, for what appeared before every thread was traced. */
	if (thread_group_find(collector, pid))
		maps_update(collector, process, pid);
	collector->stats.events += outbox_drain(&collector->outbox, sink);
	if (!thread_group_find(collector, pid))
		return error_set(error, -ESRCH, "process %d ended during attach", pid);
	return 0;
}

/* True when nobody is left that can be detached. */
static bool interrupt_all(struct collector *collector, bool *filtered)
{
	bool none = true;

	map_each (entry, &collector->tracees) {
		struct tracee *tracee = (struct tracee *)(uintptr_t)entry->value;

		if (tracee->process && tracee->process->filtered) {
			tracee->process->muted = true;
			*filtered = true;
			continue;
		}
		none = false;
		ptrace(PTRACE_INTERRUPT, tracee->tid, NULL, NULL);
	}
	return none;
}

/*
 * A tracee can be detached only while it stops: each is interrupted, and its next stop, whatever it
 * is, is handled as ever and ends with the detaching (tracee_resume). Signals go with it.
 */
void ptrace_detach(struct collector *collector)
{
	int64_t deadline = poll_now_ns() + DETACH_WAIT_NS;
	bool filtered = false;
	int status;
	pid_t tid;

	collector->detaching = true;
	while (!interrupt_all(collector, &filtered) && poll_now_ns() < deadline) {
		while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0)
			stops_handle(collector, tid, status);
		stops_release_held(collector);
		if (!collector->tracees.count)
			break;
		usleep(PAUSE_US);
	}
	affinity_restore(&collector->affinity);
}

/* Whether ptrace is permitted at all, tried on a child. */
int ptrace_probe(struct error *error)
{
	struct {
		uint64_t words[16];
	} info;
	int status, result = 0;
	pid_t pid = fork();

	if (pid < 0)
		return error_set_errno(error, -errno, "cannot fork");
	if (pid == 0)
		for (;;)
			pause();
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
		result = error_set_errno(error, -errno, "ptrace is not permitted here");
	else if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 ||
		 waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
		 ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) < 0)
		result = error_set(error, -ENOSYS,
				   "this kernel has no PTRACE_GET_SYSCALL_INFO (Linux 5.3)");
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
		;
	return result;
}
