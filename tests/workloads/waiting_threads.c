/*
 * Threads that wait in the kernel, each in another call, and say whether the call came back as it
 * should: a sleep and a poll after their time, a read with what was written, a wait for a
 * condition. Then each opens a handle and forgets it. Meant to be stopped and disturbed meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { SLEEP_MS = 2500, POLL_MS = 2000, SLOW_MS = 20000 };

static int pipe_ends[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static bool is_woken;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s did not go on as it should (errno %d)\n", what, errno);
	exit(1);
}

static bool took(long begin_ms, long wanted_ms)
{
	long took_ms = now_ms() - begin_ms;

	return took_ms >= wanted_ms && took_ms < wanted_ms + SLOW_MS;
}

static __attribute__((noinline)) void forget_one(void)
{
	check(eventfd(0, EFD_CLOEXEC) >= 0, "eventfd");
}

static void *run_read(void *context)
{
	char byte = 0;

	check(read(pipe_ends[0], &byte, 1) == 1 && byte == 'x', "read");
	forget_one();
	return NULL;
}

static void *run_poll(void *context)
{
	struct pollfd nothing = {.fd = -1};
	long begin_ms = now_ms();

	check(poll(&nothing, 1, POLL_MS) == 0 && took(begin_ms, POLL_MS), "poll");
	forget_one();
	return NULL;
}

static void *run_wait(void *context)
{
	pthread_mutex_lock(&lock);
	while (!is_woken)
		check(pthread_cond_wait(&woken, &lock) == 0, "pthread_cond_wait");
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(void)
{
	static void *(*const runs[])(void *) = {run_read, run_poll, run_wait};
	struct timespec pause = {SLEEP_MS / 1000, SLEEP_MS % 1000 * 1000000};
	pthread_t threads[3];
	long begin_ms = now_ms();

	check(pipe(pipe_ends) == 0, "pipe");
	for (int i = 0; i < 3; i++)
		check(pthread_create(&threads[i], NULL, runs[i], NULL) == 0, "pthread_create");
	check(nanosleep(&pause, NULL) == 0 && took(begin_ms, SLEEP_MS), "nanosleep");
	forget_one();
	check(write(pipe_ends[1], "x", 1) == 1, "write");
	pthread_mutex_lock(&lock);
	is_woken = true;
	pthread_cond_signal(&woken);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	puts("all calls went on");
	return 0;
}
