/*
 * What a frame costs: both unwinders over the same stacks, captured from real programs that are
 * installed here. Prints ns a frame for one hot stack and for all stacks mixed.
 */
#include "base/alloc.h"
#include "base/array.h"
#include "unwind_capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES = 400, RUN_US_MAX = 1500, STARTS_MAX = 40, FRAMES_WANTED = 20 };

struct sample {
	struct event_syscall *event;
	struct address_space *space;
};

struct samples {
	ARRAY(struct sample) all;
	struct image_table *images;
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static unsigned sample_run(char *const argv[], struct samples *samples, unsigned wanted)
{
	static struct capture capture;
	struct address_space *space = NULL;
	unsigned taken = 0;
	bool started = capture_start(&capture, argv);

	image_table_free(capture.images);
	capture.images = samples->images;
	while (started && taken < wanted && capture_run(&capture, rand() % RUN_US_MAX)) {
		if (!capture_take(&capture))
			continue;
		/* Kept to the end of the program: the unwinders know it by its generation. */
		if (!space ||
		    address_space_generation(space) != address_space_generation(capture.space))
			space = address_space_dup(capture.space);
		array_push(
		    &samples->all,
		    (struct sample){xmemdup(&capture.event, capture.event.header.size), space});
		taken++;
	}
	capture.images = NULL;
	capture_end(&capture);
	return taken;
}

static void sample_program(char *const argv[], struct samples *samples)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < STARTS_MAX && taken < SAMPLES && !access(argv[0], X_OK); i++)
		taken += sample_run(argv, samples, SAMPLES - taken);
	printf("%-20s %u stacks\n", argv[0], taken);
}

static void measure(const char *what, const struct unwinder_ops *ops, struct unwinder *unwinder,
		    const struct sample *samples, size_t count, unsigned rounds)
{
	struct frame frames[STACK_FRAMES_MAX];
	uint64_t frames_total = 0, complete = 0;
	double start = now_ns(), ns;

	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < count; i++) {
			uint32_t frames_n;

			complete += ops->unwind(unwinder, samples[i].space, samples[i].event,
						frames, &frames_n) == STACK_END_COMPLETE;
			frames_total += frames_n;
		}
	ns = now_ns() - start;
	printf("%-6s %-5s %8.1f ns/frame %10.0f stacks/s  (%zu stacks, %.1f frames, %.1f%% "
	       "complete)\n",
	       what, ops->name, ns / frames_total, rounds * count / ns * 1e9, count,
	       (double)frames_total / rounds / count, 100.0 * complete / rounds / count);
}

/* A complete stack of about FRAMES_WANTED frames. */
static size_t find_hot(const struct samples *samples, struct unwinder *unwinder)
{
	struct frame frames[STACK_FRAMES_MAX];
	uint32_t frames_n;

	for (size_t i = 0; i < samples->all.count; i++)
		if (unwinder_cfi.unwind(unwinder, samples->all.data[i].space,
					samples->all.data[i].event, frames,
					&frames_n) == STACK_END_COMPLETE &&
		    frames_n == FRAMES_WANTED)
			return i;
	return 0;
}

static void measure_all(const struct samples *samples)
{
	const struct sample *all = samples->all.data;
	struct unwinder *cfi = unwinder_cfi.create(samples->images);
	struct unwinder *dwfl = unwinder_dwfl.create(samples->images);
	size_t count = samples->all.count, hot;

	measure("first", &unwinder_cfi, cfi, all, count, 1);
	measure("mixed", &unwinder_cfi, cfi, all, count, 50);
	hot = find_hot(samples, cfi);
	measure("hot", &unwinder_cfi, cfi, &all[hot], 1, 200000);
	measure("first", &unwinder_dwfl, dwfl, all, count, 1);
	measure("mixed", &unwinder_dwfl, dwfl, all, count, 2);
	measure("hot", &unwinder_dwfl, dwfl, &all[hot], 1, 2000);
	unwinder_cfi.destroy(cfi);
	unwinder_dwfl.destroy(dwfl);
}

int main(void)
{
	struct samples samples = {.images = image_table_new()};

	sample_program((char *[]){"/usr/bin/python3", "-c",
				  "import json\nfor i in range(3000): json.dumps([[i]] * 99)",
				  NULL},
		       &samples);
	sample_program((char *[]){"/usr/bin/git", "log", "-p", "--stat", NULL}, &samples);
	sample_program((char *[]){"/usr/bin/gdb", "-nx", "-batch", "-ex", "info functions main",
				  "/usr/bin/gdb", NULL},
		       &samples);
	sample_program(
	    (char *[]){"/usr/bin/clang", "-c", "-O2", "-o", "/dev/null", HTRACE_TEST_SOURCE, NULL},
	    &samples);
	sample_program(
	    (char *[]){"/usr/bin/node", "-e", "for (;;) JSON.stringify([1, {a: 2}])", NULL},
	    &samples);
	if (samples.all.count == 0) {
		printf("skipped: ptrace is not permitted\n");
		return 77;
	}
	measure_all(&samples);
	return 0;
}
