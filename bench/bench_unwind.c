/*
 * What a frame costs: our unwinder, elfutils' and libunwind's over the same stacks, captured from
 * real programs that are installed here. Interleaves the three, takes medians, and prints lines
 * that bench/unwind.py reads:
 *
 *   samples PROGRAM STACKS        of each program; 0: it is not installed
 *   stacks STACKS FRAMES SPACES   in all: number, frames a stack, address spaces
 *   way NAME HOT_NS_PER_FRAME MIXED_NS_PER_FRAME MIXED_STACKS_PER_S EQUAL_SHARE
 *
 * "hot" is one stack again and again, "mixed" all of them in random order. EQUAL_SHARE is that of
 * the stacks of which a way has the very frames that ours has.
 */
#include "base/alloc.h"
#include "base/array.h"
#include "unwind_capture.h"
#ifdef HTRACE_HAVE_LIBUNWIND
#include "unwinder_libunwind.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	SAMPLES = 400, /* of each program */
	STARTS_MAX = 12,
	STOPS_MAX = 2000, /* of each start */
	SPACES_MAX = 5,   /* address spaces of each program */
	WARM_UP_US = 60000,
	RUN_US_MAX = 1500,
	FRAMES_WANTED = 20, /* of the hot stack */
	ROUNDS = 9,
	SEED = 1,
};

struct sample {
	struct event_syscall *event;
	struct address_space *space;
};

struct samples {
	ARRAY(struct sample) all;
	ARRAY(struct address_space *) spaces;
	struct image_table *images;
};

/* How much work one round is: a slow way needs fewer passes to last as long. */
struct way {
	const struct unwinder_ops *ops;
	unsigned mixed_passes, hot_passes;
	struct unwinder *unwinder;
	double mixed_ns[ROUNDS], hot_ns[ROUNDS]; /* a stack */
	double equal;
};

static struct way ways[] = {
    {.ops = &unwinder_cfi, .mixed_passes = 20, .hot_passes = 50000},
    {.ops = &unwinder_dwfl, .mixed_passes = 1, .hot_passes = 2000},
#ifdef HTRACE_HAVE_LIBUNWIND
    {.ops = &unwinder_libunwind, .mixed_passes = 1, .hot_passes = 2000},
#endif
};

enum { WAYS_N = sizeof(ways) / sizeof(*ways) };

/* Of CPU time: what else runs on the machine is none of our cost. */
static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

/* The address space of the capture, kept to the end of the program; NULL: one too many. */
static struct address_space *keep_space(struct samples *samples, size_t spaces_max,
					const struct capture *capture)
{
	array_each (space, &samples->spaces) {
		if (address_space_generation(*space) == address_space_generation(capture->space))
			return *space;
	}
	if (samples->spaces.count == spaces_max)
		return NULL;
	array_push(&samples->spaces, address_space_dup(capture->space));
	return samples->spaces.data[samples->spaces.count - 1];
}

static unsigned sample_run(char *const argv[], struct samples *samples, unsigned wanted,
			   size_t spaces_max)
{
	static struct capture capture;
	unsigned taken = 0, stops = 0, run_us = WARM_UP_US;
	bool started = capture_start(&capture, argv);

	image_table_free(capture.images);
	capture.images = samples->images;
	for (; started && taken < wanted && stops < STOPS_MAX && capture_run(&capture, run_us);
	     stops++, run_us = rand() % RUN_US_MAX) {
		struct address_space *space;

		if (!capture_take(&capture) || !(space = keep_space(samples, spaces_max, &capture)))
			continue;
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
	size_t spaces_max = samples->spaces.count + SPACES_MAX;
	unsigned taken = 0;

	for (unsigned i = 0; i < STARTS_MAX && taken < SAMPLES && !access(argv[0], X_OK); i++)
		taken += sample_run(argv, samples, SAMPLES - taken, spaces_max);
	printf("samples %s %u\n", argv[0], taken);
}

static void sample_programs(struct samples *samples)
{
	sample_program((char *[]){"/usr/bin/python3", "-c",
				  "import json\nfor i in range(9000): json.dumps([[i]] * 99)",
				  NULL},
		       samples);
	sample_program((char *[]){"/usr/bin/git", "log", "-p", "--stat", NULL}, samples);
	sample_program((char *[]){"/usr/bin/gdb", "-nx", "-batch", "-ex", "info functions main",
				  "/usr/bin/gdb", NULL},
		       samples);
	sample_program((char *[]){"/usr/bin/clang", "-c", "-O2", "-o", "/dev/null", "-D_GNU_SOURCE",
				  HTRACE_TEST_INCLUDE, HTRACE_TEST_SOURCE, NULL},
		       samples);
	sample_program(
	    (char *[]){"/usr/bin/node", "-e", "for (;;) JSON.stringify([1, {a: 2}])", NULL},
	    samples);
	sample_program((char *[]){"/bin/bash", "-c",
				  "for ((i = 0; i < 999999; i++)); do x=${i//9/8}; done", NULL},
		       samples);
	sample_program((char *[]){"/usr/bin/perl", "-e",
				  "for (1..9999999) { $h{$_ % 997} = join ',', sort 1..9 }", NULL},
		       samples);
	for (size_t i = samples->all.count; i > 1; i--) {
		size_t other = rand() % i;
		struct sample saved = samples->all.data[i - 1];

		samples->all.data[i - 1] = samples->all.data[other];
		samples->all.data[other] = saved;
	}
}

/* ns a stack. */
static double measure(const struct way *way, const struct sample *samples, size_t count,
		      unsigned passes)
{
	struct frame frames[STACK_FRAMES_MAX];
	double start = now_ns();
	uint32_t frames_n;

	for (unsigned pass = 0; pass < passes; pass++)
		for (size_t i = 0; i < count; i++)
			way->ops->unwind(way->unwinder, samples[i].space, samples[i].event, frames,
					 &frames_n);
	return (now_ns() - start) / passes / count;
}

static bool is_equal(const struct frame *a, uint32_t a_n, const struct frame *b, uint32_t b_n)
{
	for (uint32_t i = 0; i < a_n && i < b_n; i++)
		if (a[i].pc != b[i].pc)
			return false;
	return a_n == b_n;
}

/*
 * Compares the ways, and with it fills their caches. Returns the hot stack: one of about
 * FRAMES_WANTED frames, on which all agree.
 */
static const struct sample *compare(const struct samples *samples, double *frames_a_stack)
{
	static struct frame ours[STACK_FRAMES_MAX], theirs[STACK_FRAMES_MAX];
	unsigned equal[WAYS_N] = {0}, hot_distance = UINT32_MAX;
	const struct sample *hot = samples->all.data;
	uint64_t frames = 0;

	array_each (sample, &samples->all) {
		uint32_t ours_n, theirs_n;
		bool all_equal = true;

		ways[0].ops->unwind(ways[0].unwinder, sample->space, sample->event, ours, &ours_n);
		frames += ours_n;
		for (unsigned i = 0; i < WAYS_N; i++) {
			bool same;

			ways[i].ops->unwind(ways[i].unwinder, sample->space, sample->event, theirs,
					    &theirs_n);
			same = is_equal(ours, ours_n, theirs, theirs_n);
			equal[i] += same;
			all_equal &= same;
		}
		if (all_equal && (unsigned)abs((int)ours_n - FRAMES_WANTED) < hot_distance) {
			hot_distance = abs((int)ours_n - FRAMES_WANTED);
			hot = sample;
		}
	}
	for (unsigned i = 0; i < WAYS_N; i++)
		ways[i].equal = (double)equal[i] / samples->all.count;
	*frames_a_stack = (double)frames / samples->all.count;
	return hot;
}

static int compare_doubles(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare_doubles);
	return values[ROUNDS / 2];
}

static void measure_all(const struct samples *samples)
{
	struct frame frames[STACK_FRAMES_MAX];
	const struct sample *hot;
	double frames_a_stack;
	uint32_t hot_frames;

	for (unsigned i = 0; i < WAYS_N; i++)
		ways[i].unwinder = ways[i].ops->create(samples->images);
	hot = compare(samples, &frames_a_stack);
	ways[0].ops->unwind(ways[0].unwinder, hot->space, hot->event, frames, &hot_frames);
	printf("stacks %zu %.2f %zu\n", samples->all.count, frames_a_stack, samples->spaces.count);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < WAYS_N; i++) {
			struct way *way = &ways[i];

			way->mixed_ns[round] =
			    measure(way, samples->all.data, samples->all.count, way->mixed_passes);
			way->hot_ns[round] = measure(way, hot, 1, way->hot_passes);
		}
	for (unsigned i = 0; i < WAYS_N; i++) {
		double mixed = median(ways[i].mixed_ns);

		printf("way %s %.2f %.2f %.0f %.4f\n", ways[i].ops->name,
		       median(ways[i].hot_ns) / hot_frames, mixed / frames_a_stack, 1e9 / mixed,
		       ways[i].equal);
		ways[i].ops->destroy(ways[i].unwinder);
	}
}

int main(void)
{
	struct samples samples = {.images = image_table_new()};
	struct rlimit files;

	/* libdwfl keeps every file of every address space open. */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	srand(SEED);
	sample_programs(&samples);
	if (samples.all.count == 0) {
		printf("skipped: ptrace is not permitted, or none of the programs is here\n");
		return 77;
	}
	measure_all(&samples);
	return 0;
}
