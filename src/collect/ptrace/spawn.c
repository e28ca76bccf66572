/*
 * Starts a program under trace. The child waits until it is seized, puts the filter on itself and
 * calls execve; what execve says comes back through a pipe.
 *
 * The filter outlives the tracer: the kernel fails its calls with ENOSYS when nobody traces any
 * more (seccomp(2)), and a program that can no longer open, write or close may destroy its own
 * data. So a started program ends with a tracer that is killed (PTRACE_O_EXITKILL), and stays
 * traced, without records, when the collector is told to detach. Attached targets have no filter,
 * and go on in both cases. Nor has a program that may have to be let go for a debugger
 * (bad_reference.c): it stops at every call instead.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"
#include "collect/ptrace/seccomp_filter.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum {
	OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK |
		  PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
		  PTRACE_O_TRACEEXIT,
};

struct child_report {
	int32_t code; /* negative errno */
	int32_t in_execve;
};

static _Noreturn void report_and_exit(int fd, int code, bool in_execve)
{
	struct child_report report = {code, in_execve};

	if (write(fd, &report, sizeof(report)) < 0)
		_exit(126);
	_exit(127);
}

/* After fork: async-signal-safe functions only. Everything is as it was when we were started. */
static _Noreturn void child_main(const struct collector *collector, const struct spawn *spawn,
				 const struct seccomp_filter *filter, int go_fd, int report_fd)
{
	int result;
	char go;

	if (collector->affinity.cpu >= 0)
		sched_setaffinity(0, sizeof(cpu_set_t), &collector->affinity.original);
	poll_restore_signals(collector);
	if (read(go_fd, &go, 1) != 1)
		_exit(127); /* not seized */
	result = collector->filters ? seccomp_filter_install(filter) : 0;
	if (result < 0)
		report_and_exit(report_fd, result, false);
	execve(spawn->path, spawn->argv, spawn->envp);
	report_and_exit(report_fd, -errno, true);
}

/* The wait status of the exec stop, or 0 when the child has ended instead. */
static int wait_for_exec(pid_t pid)
{
	int status;

	for (;;) {
		if (waitpid(pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return 0;
		}
		if (!WIFSTOPPED(status))
			return 0;
		if (status >> 16 == PTRACE_EVENT_EXEC)
			return status;
		ptrace(PTRACE_CONT, pid, NULL,
		       (void *)(intptr_t)(status >> 16 ? 0 : WSTOPSIG(status)));
	}
}

static int spawn_failed(const struct spawn *spawn, int report_fd, struct error *error)
{
	struct child_report report;

	if (read(report_fd, &report, sizeof(report)) != sizeof(report))
		return error_set(error, -ECHILD, "%s was killed before it started", spawn->path);
	if (!report.in_execve)
		return error_set_errno(error, report.code, "cannot install a seccomp filter");
	return error_set_errno(error, report.code, "cannot run %s", spawn->path);
}

static int start(struct collector *collector, const struct spawn *spawn,
		 const struct seccomp_filter *filter, pid_t *pid, struct error *error)
{
	int go[2] = {-1, -1}, report[2] = {-1, -1};
	_cleanup_(close_fd) int go_read = -1, go_write = -1, report_read = -1, report_write = -1;
	int code;

	if (pipe2(go, O_CLOEXEC) < 0)
		return error_set_errno(error, -errno, "cannot create a pipe");
	go_read = go[0];
	go_write = go[1];
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_set_errno(error, -errno, "cannot create a pipe");
	report_read = report[0];
	report_write = report[1];
	*pid = fork();
	if (*pid < 0)
		return error_set_errno(error, -errno, "cannot fork");
	if (*pid == 0) {
		close(go_write);
		child_main(collector, spawn, filter, go_read, report_write);
	}
	close(take_fd(&report_write));
	if (ptrace(PTRACE_SEIZE, *pid, NULL,
		   (void *)(OPTIONS | (collector->filters ? PTRACE_O_EXITKILL : 0ul))) < 0) {
		code = -errno;
		close(take_fd(&go_write)); /* it ends by itself */
		waitpid(*pid, NULL, 0);
		return error_set_errno(error, code, "cannot trace process %d", *pid);
	}
	if (write(go_write, "g", 1) == 1)
		collector->spawned_exec_status = wait_for_exec(*pid);
	if (!collector->spawned_exec_status)
		return spawn_failed(spawn, report_read, error);
	return 0;
}

int ptrace_spawn(struct collector *collector, const struct spawn *spawn, pid_t *pid,
		 struct error *error)
{
	struct seccomp_filter filter;
	struct process *process;
	int result;

	collector->filters = collector->bad_reference_signal != SIGSTOP;
	seccomp_filter_build(&filter, collector->plan);
	result = start(collector, spawn, &filter, pid, error);
	seccomp_filter_fini(&filter);
	if (result < 0)
		return result;
	process = thread_group_add(collector, *pid);
	process->filtered = collector->filters;
	tracee_add(collector, *pid, process)->state = TRACEE_STOPPED;
	collector->spawned = *pid;
	return 0;
}
