/*
 * Owns forked copies at work. Each is a grandchild, so that nobody here has to wait for it (ptrace
 * waits for all children): a pipe tells its pid, what it has to say, and its end.
 */
#include "cli/errands.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct errand_result) <= 4096, "a pipe takes it at once (PIPE_BUF)");

static void __attribute__((noreturn))
do_work(int to, void (*work)(void *context, struct errand_result *result), void *context)
{
	static struct errand_result result;
	pid_t pid = getpid();

	if (write(to, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	/* What ends htrace and its program ends this too, but not before it is done. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	alarm(ERRAND_SECONDS_MAX);
	work(context, &result);
	_exit(write(to, &result, sizeof(result)) != sizeof(result));
}

/* The grandchild's pid, or a negative errno. */
static pid_t read_pid(int from)
{
	pid_t pid;
	ssize_t got;

	do
		got = read(from, &pid, sizeof(pid));
	while (got < 0 && errno == EINTR);
	return got == sizeof(pid) ? pid : -ECHILD;
}

/* The child between: it makes the grandchild and ends. */
static void __attribute__((noreturn))
make_worker(int to, void (*work)(void *context, struct errand_result *result), void *context)
{
	pid_t pid = fork();

	if (pid == 0)
		do_work(to, work, context);
	pid = pid < 0 ? -errno : pid;
	_exit(pid < 0 && write(to, &pid, sizeof(pid)) < 0);
}

int errands_begin(struct errands *errands, uint64_t id,
		  void (*work)(void *context, struct errand_result *result), void *context)
{
	struct errand errand = {.id = id};
	int pipes[2];
	pid_t child;

	if (errands->running.count >= ERRANDS_MAX)
		return -EBUSY;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0) {
		close(pipes[0]);
		make_worker(pipes[1], work, context);
	}
	errand.pid = child < 0 ? -errno : 0;
	close(pipes[1]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (child > 0)
		errand.pid = read_pid(pipes[0]);
	if (errand.pid < 0) {
		close(pipes[0]);
		return errand.pid;
	}
	errand.alive = pipes[0];
	fcntl(errand.alive, F_SETFL, O_NONBLOCK);
	array_push(&errands->running, errand);
	return 0;
}

/* Whether it has ended. */
static bool look_at(struct errands *errands, size_t index,
		    void (*ended)(void *context, uint64_t id, const struct errand_result *result),
		    void *context)
{
	struct errand errand = errands->running.data[index];
	static struct errand_result result;
	ssize_t got = read(errand.alive, &result, sizeof(result));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got != sizeof(result)) {
		result.done = false;
		strcpy(result.text, "the process that wrote it died");
	}
	result.text[ERRAND_TEXT_MAX] = '\0';
	close(errand.alive);
	errands->running.data[index] = errands->running.data[--errands->running.count];
	ended(context, errand.id, &result);
	return true;
}

void errands_step(struct errands *errands,
		  void (*ended)(void *context, uint64_t id, const struct errand_result *result),
		  void *context)
{
	for (size_t i = 0; i < errands->running.count;)
		if (!look_at(errands, i, ended, context))
			i++;
}

void errands_end(struct errands *errands, unsigned seconds,
		 void (*ended)(void *context, uint64_t id, const struct errand_result *result),
		 void *context)
{
	uint64_t until_ns = clock_now_ns() + seconds * 1000000000ull;

	while (errands->running.count) {
		struct pollfd wait = {.fd = errands->running.data[0].alive, .events = POLLIN};

		errands_step(errands, ended, context);
		if (!errands->running.count)
			break;
		if (clock_now_ns() >= until_ns)
			array_each (errand, &errands->running)
				kill(errand->pid, SIGKILL); /* its pipe says that it lives */
		wait.fd = errands->running.data[0].alive;
		poll(&wait, 1, 100);
	}
	array_fini(&errands->running);
}
