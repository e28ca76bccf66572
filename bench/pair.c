/*
 * What one handle costs: eventfd() and close(), called 16 frames deep, as often as the argument
 * says, in as many threads at once as the second one says. Prints the time of its own loop, so that
 * start-up (its own, a tracer's) is not in it, and the CPU time of all of it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 16, THREADS_MAX = 64 };

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int pair(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

/* The work after the call keeps each level a real frame: no tail call, no loop. */
__attribute__((noinline, noclone)) static int descend(int depth)
{
	int result = depth > 1 ? descend(depth - 1) : pair();

	__asm__ volatile("" : "+r"(result));
	return result;
}

static void repeat(long pairs)
{
	for (long i = 0; i < pairs; i++) {
		if (descend(DEPTH) != 0) {
			perror("pair");
			exit(1);
		}
	}
}

static void *thread(void *pairs)
{
	repeat(*(long *)pairs);
	return NULL;
}

static void repeat_in_threads(long pairs, int threads_n)
{
	pthread_t threads[THREADS_MAX];

	for (int i = 0; i < threads_n; i++) {
		if (pthread_create(&threads[i], NULL, thread, &pairs) != 0) {
			fprintf(stderr, "pair: cannot start thread %d\n", i);
			exit(1);
		}
	}
	for (int i = 0; i < threads_n; i++)
		pthread_join(threads[i], NULL);
}

static double cpu_s(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	long pairs = argc > 1 ? atol(argv[1]) : 100000;
	int threads_n = argc > 2 ? atoi(argv[2]) : 1;

	if (pairs < 1 || threads_n < 1 || threads_n > THREADS_MAX) {
		fprintf(stderr, "usage: pair [PAIRS [THREADS]]\n");
		return 2;
	}
	repeat(pairs / 20 + 1); /* a tracer's first look at each file is not what a pair costs */

	double begin = now_ns();
	if (threads_n == 1)
		repeat(pairs);
	else
		repeat_in_threads(pairs, threads_n);
	printf("%.1f ns/unit, %ld units, %.3f s CPU\n", (now_ns() - begin) / (double)pairs,
	       pairs * threads_n, cpu_s());
	return 0;
}
