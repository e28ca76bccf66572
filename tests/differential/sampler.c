/* Owns the threads of the traced program and what stops them; judges nothing. */
#include "sampler.h"

#include "os/procfs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	OPTIONS = PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC,
	PICKS_MAX = 6,
	WAIT_NS = 10000,
	WAITS_MAX = 5000,
};

static bool has_thread(const struct sampler *sampler, pid_t tid)
{
	array_each (known, &sampler->threads) {
		if (*known == tid)
			return true;
	}
	return false;
}

static void remove_thread(struct sampler *sampler, pid_t tid)
{
	array_each (known, &sampler->threads) {
		if (*known == tid) {
			*known = sampler->threads.data[--sampler->threads.count];
			return;
		}
	}
}

bool sampler_start(struct sampler *sampler, char *const argv[])
{
	*sampler = (struct sampler){0};
	if (!capture_start(&sampler->capture, argv))
		return false;
	ptrace(PTRACE_SETOPTIONS, sampler->capture.pid, 0, OPTIONS | PTRACE_O_EXITKILL);
	array_push(&sampler->threads, sampler->capture.pid);
	return true;
}

/* Those that there are now; a thread that one of them makes from now on is traced from its start.
 */
static size_t seize_threads(struct sampler *sampler)
{
	struct procfs_fds tids = {0};
	size_t seized = 0;

	procfs_threads(sampler->capture.pid, &tids, NULL);
	array_each (tid, &tids.numbers) {
		if (has_thread(sampler, *tid) || ptrace(PTRACE_SEIZE, *tid, 0, OPTIONS) < 0)
			continue;
		array_push(&sampler->threads, *tid);
		seized++;
	}
	procfs_fds_fini(&tids);
	return seized;
}

bool sampler_attach(struct sampler *sampler, pid_t pid)
{
	*sampler = (struct sampler){.attached = true};
	capture_init(&sampler->capture, pid);
	while (seize_threads(sampler))
		;
	return sampler->threads.count > 0;
}

void sampler_end(struct sampler *sampler)
{
	struct capture *capture = &sampler->capture;

	/* A leader is reported only after all its threads were. What is not ours goes on when its
	 * tracer ends. */
	if (!sampler->attached && !capture->gone) {
		kill(capture->pid, SIGKILL);
		while (waitpid(-1, NULL, __WALL) > 0)
			;
	}
	capture->gone = true;
	capture_end(capture);
	array_fini(&sampler->threads);
}

static bool is_running(const struct sampler *sampler, pid_t tid)
{
	char path[64], text[256], state = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", sampler->capture.pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = 0;
	/* pid (name) state: the name may hold anything. */
	if (strrchr(text, ')'))
		sscanf(strrchr(text, ')'), ") %c", &state);
	return state == 'R';
}

/* A thread at random, rather one that runs: those that wait have the same stack every time. */
static pid_t pick_thread(const struct sampler *sampler)
{
	pid_t tid = 0;

	for (unsigned i = 0; i < PICKS_MAX; i++) {
		tid = sampler->threads.data[rand() % sampler->threads.count];
		if (sampler->threads.count == 1 || is_running(sampler, tid))
			break;
	}
	return tid;
}

/* What stopped is not what we asked to stop: it goes on, with its signal if that was it. */
static void pass_stop(struct sampler *sampler, pid_t tid, int status)
{
	int signal = status >> 16 ? 0 : WSTOPSIG(status);

	if (!has_thread(sampler, tid))
		array_push(&sampler->threads, tid);
	ptrace(PTRACE_CONT, tid, 0, signal);
}

/* Takes note of what a thread did; true: it is the stop of `wanted` that we asked for. */
static bool note_wait(struct sampler *sampler, pid_t tid, int status, pid_t wanted)
{
	if (WIFSTOPPED(status)) {
		if (tid == wanted && status >> 16 == PTRACE_EVENT_STOP &&
		    WSTOPSIG(status) == SIGTRAP)
			return true;
		pass_stop(sampler, tid, status);
		return false;
	}
	remove_thread(sampler, tid);
	sampler->capture.gone |= tid == sampler->capture.pid;
	return false;
}

/* What has happened up to now, without waiting. */
static void pass_stops(struct sampler *sampler)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0)
		note_wait(sampler, tid, status, 0);
}

/* Stops `wanted`; false where it is gone, or does not stop within WAITS_MAX (in vfork, say). */
static bool stop_thread(struct sampler *sampler, pid_t wanted)
{
	if (ptrace(PTRACE_INTERRUPT, wanted, 0, 0) < 0)
		return false;
	for (unsigned i = 0; i < WAITS_MAX && has_thread(sampler, wanted); i++) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);

		if (tid < 0)
			return false;
		if (tid == 0)
			nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
		else if (note_wait(sampler, tid, status, wanted))
			return true;
	}
	return false;
}

bool sampler_next(struct sampler *sampler, unsigned us)
{
	struct capture *capture = &sampler->capture;

	do {
		pid_t tid;

		if (!capture->running && !capture->gone) {
			ptrace(PTRACE_CONT, capture->tid, 0, capture->signal);
			capture->signal = 0;
			capture->running = true;
		}
		nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
		pass_stops(sampler);
		if (capture->gone || sampler->threads.count == 0)
			return false;
		tid = pick_thread(sampler);
		if (!stop_thread(sampler, tid))
			continue;
		capture->tid = tid;
		capture->running = false;
	} while (capture->running || !capture_take(capture));
	return true;
}
