/*
 * A program of many threads that says how long it stood still: SAMPLERS of its THREADS sleep for a
 * quarter of a millisecond, again and again, and keep the longest time between two looks at the
 * clock. The others wait, or open and close now and then. A line of input asks for the longest time
 * in milliseconds of all samplers since the last line; the end of the input ends it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 1000, SAMPLE_US = 250, WORK_US = 20000 };

static atomic_long longest_ns;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *sample(void *argument)
{
	int64_t before = now_ns();

	for (;;) {
		usleep(SAMPLE_US);

		int64_t now = now_ns();
		long gap = (long)(now - before), longest = longest_ns;

		while (gap > longest && !atomic_compare_exchange_weak(&longest_ns, &longest, gap))
			;
		before = now;
	}
	return argument;
}

static void *work(void *argument)
{
	for (;;) {
		close(eventfd(0, EFD_CLOEXEC));
		usleep(WORK_US);
	}
	return argument;
}

static void *wait_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

/* The samplers are spread over the threads: whoever stops them goes from the first to the last. */
static void start_threads(int threads_n, int samplers_n)
{
	int every = threads_n / samplers_n;

	for (int i = 1; i < threads_n; i++) {
		pthread_t thread;
		void *(*run)(void *) = i % every == every / 2 ? sample
				       : i % 2                ? work
							      : wait_for_ever;

		if (pthread_create(&thread, NULL, run, NULL) != 0) {
			fprintf(stderr, "standing: cannot start thread %d\n", i);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	int threads_n = argc > 1 ? atoi(argv[1]) : 100;
	int samplers_n = argc > 2 ? atoi(argv[2]) : 8;
	char line[16];

	if (threads_n < 2 || threads_n > THREADS_MAX || samplers_n < 1 ||
	    samplers_n > threads_n / 2) {
		fprintf(stderr, "usage: standing [THREADS [SAMPLERS]]\n");
		return 2;
	}
	start_threads(threads_n, samplers_n);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin) != NULL)
		printf("%.3f\n", (double)atomic_exchange(&longest_ns, 0) / 1e6);
	return 0;
}
