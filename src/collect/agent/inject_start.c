/* Owns the wait for a child's exec, and the agent's way into the program that it becomes. */
#include "collect/agent/inject.h"

#include "collect/agent/inject_parts.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* The thread that traces the child, and what it finds. */
struct agent_start {
	pid_t pid;
	char *agent_path, *variable;
	pthread_t thread;
	sem_t seized; /* or refused */
	int result;
	struct injected injected;
	struct error error;
};

static bool stops_job(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Lets everything pass until the exec. False: there is none. */
static bool wait_for_exec(pid_t pid)
{
	siginfo_t info;

	for (;;) {
		int stop, event;

		if (waitid(P_PID, pid, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		stop = thread_peek(pid);
		event = stop >> 8;
		if (stop < 0)
			return false;
		if (event == PTRACE_EVENT_EXEC)
			return true;
		if (event == PTRACE_EVENT_STOP && stops_job(stop & 0x7f))
			ptrace(PTRACE_LISTEN, pid, NULL, NULL);
		else
			ptrace(PTRACE_CONT, pid, NULL, (void *)(intptr_t)(event ? 0 : stop & 0x7f));
	}
}

static void *start_run(void *context)
{
	struct agent_start *start = context;
	struct procfs_status status = {0};
	bool seized = ptrace(PTRACE_SEIZE, start->pid, NULL, (void *)PTRACE_O_TRACEEXEC) == 0;
	int code = -errno;

	if (!seized && (procfs_status(start->pid, &status, &start->error) < 0))
		start->result = -ESRCH;
	else if (!seized && code == -EPERM)
		start->result = remote_refused(start->pid, &status, &start->error);
	else if (!seized)
		start->result =
		    error_set_errno(&start->error, code, "cannot trace process %d", start->pid);
	sem_post(&start->seized);
	if (!seized)
		return NULL;
	if (!wait_for_exec(start->pid)) {
		start->result = error_set(&start->error, -ESRCH, "process %d ended without an exec",
					  start->pid);
		return NULL;
	}
	start->result = agent_inject_stopped(start->pid, start->agent_path, start->variable,
					     &start->injected, &start->error);
	ptrace(PTRACE_DETACH, start->pid, NULL, NULL);
	return NULL;
}

static void start_free(struct agent_start *start)
{
	sem_destroy(&start->seized);
	free(start->agent_path);
	free(start->variable);
	free(start);
}

struct agent_start *agent_start_begin(pid_t pid, const char *agent_path, const char *variable,
				      struct error *error)
{
	struct agent_start *start = xcalloc(1, sizeof(*start));
	sigset_t all, before;
	int code;

	start->pid = pid;
	start->agent_path = xstrdup(agent_path);
	start->variable = xstrdup(variable);
	sem_init(&start->seized, 0, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&start->thread, NULL, start_run, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code) {
		error_set_errno(error, -code, "cannot create a thread");
		start_free(start);
		return NULL;
	}
	while (sem_wait(&start->seized) < 0)
		;
	if (start->result) {
		pthread_join(start->thread, NULL);
		if (error)
			*error = start->error;
		start_free(start);
		return NULL;
	}
	return start;
}

int agent_start_end(struct agent_start *start, struct injected *out, struct error *error)
{
	int result;

	pthread_join(start->thread, NULL);
	result = start->result;
	*out = start->injected;
	if (result < 0 && error)
		*error = start->error;
	start_free(start);
	return result;
}
