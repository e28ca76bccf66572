/*
 * Owns the agent's coming to, and going from, a process that runs: who does it, how often it is
 * tried. Knows of the agent that it has two entries, nothing of what they do.
 */
#include "collect/agent/inject.h"

#include "collect/agent/inject_parts.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

enum { RETRY_PAUSE_US = 100 * 1000 };

static const int64_t attempt_limit_ns = 250 * 1000000ll;
static const int64_t attempts_limit_ns = 2000 * 1000000ll;

/* One attempt, in a thread of its own: what is not let go when it ends is let go by its end. */
static void *attempt(void *context)
{
	struct visit *visit = context;
	struct stopped_threads threads;
	int result = threads_stop(&threads, visit->pid, attempt_limit_ns, visit->error);
	int64_t since = threads.since_ns;

	visit->tid = threads_choose(&threads);
	if (!result && !visit->tid)
		result =
		    error_set(visit->error, -EBUSY,
			      "process %d has no thread that could let the agent in", visit->pid);
	if (!result)
		result = visit_make(visit, &threads);
	threads_release(&threads);
	visit->injected.stopped_ns = since ? inject_now_ns() - since : 0;
	return (void *)(intptr_t)result;
}

/* Signals of this program are for its own thread. */
static int run_attempt(struct visit *visit)
{
	sigset_t all, before;
	pthread_t thread;
	void *result;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&thread, NULL, attempt, visit);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return error_set_errno(visit->error, -code, "cannot create a thread");
	pthread_join(thread, &result);
	return (intptr_t)result;
}

static int run_visit(struct visit *visit)
{
	int64_t deadline = inject_now_ns() + attempts_limit_ns;
	int result;

	while ((result = run_attempt(visit)) == -EBUSY && inject_now_ns() < deadline)
		usleep(RETRY_PAUSE_US);
	return result;
}

static int prepare(struct visit *visit, const char *agent_path)
{
	if (strlen(visit->variable) >= INJECT_VARIABLE_MAX)
		return error_set(visit->error, -E2BIG, "the agent's variable is too long");
	return agent_image_read(agent_path, &visit->image, visit->error);
}

static int finish(struct visit *visit, int result, struct injected *out)
{
	agent_image_fini(&visit->image);
	*out = visit->injected;
	return result < 0 ? result : (int)visit->result;
}

int agent_inject(pid_t pid, const char *agent_path, const char *variable, struct injected *out,
		 struct error *error)
{
	struct visit visit = {
	    .pid = pid, .variable = variable, .injected = {.pid = pid}, .error = error};
	struct procfs_status status;
	int result = remote_check(pid, &status, error);

	if (!result)
		result = prepare(&visit, agent_path);
	if (!result)
		result = run_visit(&visit);
	return finish(&visit, result, out);
}

int agent_withdraw(struct injected *injected, struct error *error)
{
	struct visit visit = {.pid = injected->pid, .injected = *injected, .error = error};
	struct procfs_status status;
	int result = remote_check(injected->pid, &status, error);

	if (!result)
		result = run_visit(&visit);
	injected->stopped_ns = visit.injected.stopped_ns;
	return result == -ESRCH ? 0 : result;
}

/* A stop where signals are taken; before the first instruction of a program that was just exec'd.
 */
static int settle(pid_t pid, struct error *error)
{
	struct remote_call call = {.pid = pid, .tid = pid};
	struct user_regs_struct registers;

	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       (void *)(intptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC));
	if (remote_settle(&call, error) < 0)
		return -ESRCH;
	if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
		return error_set(error, -ESRCH, "process %d ended", pid);
	if (registers.cs != 0x33)
		return error_set(error, -ENOEXEC,
				 "process %d is a 32-bit program: only x86-64 is supported", pid);
	return 0;
}

int agent_inject_stopped(pid_t pid, const char *agent_path, const char *variable,
			 struct injected *out, struct error *error)
{
	struct visit visit = {
	    .pid = pid, .tid = pid, .variable = variable, .injected = {.pid = pid}, .error = error};
	int64_t since = inject_now_ns();
	int result = prepare(&visit, agent_path);

	if (!result)
		result = settle(pid, error);
	if (!result)
		result = visit_make(&visit, NULL);
	visit.injected.stopped_ns = inject_now_ns() - since;
	return finish(&visit, result, out);
}
