/*
 * What one handle costs: eventfd() and close(), called 16 frames deep, as often as the argument
 * says. Prints the time of its own loop, so that start-up (its own, a tracer's) is not in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 16 };

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

int main(int argc, char **argv)
{
	long pairs = argc > 1 ? atol(argv[1]) : 100000;

	if (pairs < 1) {
		fprintf(stderr, "usage: pair [PAIRS]\n");
		return 2;
	}
	repeat(pairs / 20 + 1); /* a tracer's first look at each file is not what a pair costs */

	double begin = now_ns();
	repeat(pairs);
	printf("%.1f ns/unit\n", (now_ns() - begin) / (double)pairs);
	return 0;
}
