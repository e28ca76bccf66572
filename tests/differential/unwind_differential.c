/*
 * unwinder_cfi against unwinder_dwfl on many stacks of one program, frame for frame and with the
 * reason of the end. What differs is put in a class, each with a rule (differences.h); what fits
 * none is shown and fails.
 *
 *   unwind_differential STACKS NAME -p PID             a server that somebody else loads
 *   unwind_differential STACKS NAME PROGRAM ARGS...    started again until there are enough
 */
#include "differences.h"
#include "sampler.h"

#include "base/hash.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RUN_US_MAX = 1000, STARTS_WITHOUT_STACKS_MAX = 5 };

struct tally {
	uint64_t stacks, frames, jit_frames; /* in memory without a file */
	uint64_t differences[DIFFERENCES_N], ends[STACK_END_N];
	uint64_t not_called; /* stacks whose last frame no call precedes */
	struct map distinct; /* hashes of frames, by file and place in it */
};

static bool is_verbose(void)
{
	return getenv("HTRACE_TEST_VERBOSE") != NULL;
}

/* Where a file was placed, this time, is not what makes a stack another. */
static uint64_t hash_frames(const struct capture *capture, const struct comparison *comparison)
{
	uint64_t hash = comparison->cfi_n;

	for (uint32_t i = 0; i < comparison->cfi_n; i++) {
		const struct frame *frame = &comparison->cfi[i];
		const struct image *image = image_table_get(capture->images, frame->image);

		if (image)
			hash = hash_bytes(image->module->path, strlen(image->module->path), hash);
		hash = hash_combine(hash, frame->pc - (image ? image->bias : 0));
	}
	return hash;
}

static void add(struct tally *tally, const struct capture *capture,
		const struct comparison *comparison, struct differences *differences)
{
	enum difference difference = difference_of(differences, capture, comparison);

	tally->stacks++;
	tally->frames += comparison->cfi_n;
	for (uint32_t i = 0; i < comparison->cfi_n; i++)
		tally->jit_frames += comparison->cfi[i].image == 0;
	tally->ends[comparison->cfi_end]++;
	map_put(&tally->distinct, hash_frames(capture, comparison));
	if (last_is_not_called(differences, capture, comparison) && !tally->not_called++) {
		printf("-- MADE UP: no call precedes the last frame\n");
		comparison_print(capture, comparison);
	}
	/* One of each class as an example; what is not explained, whenever it comes. */
	if (difference != DIFFERENCE_NONE &&
	    (!tally->differences[difference] || difference == DIFFERENCE_UNEXPLAINED ||
	     is_verbose())) {
		printf("-- %s\n", difference_text(difference));
		comparison_print(capture, comparison);
	}
	tally->differences[difference]++;
}

/* Compares until there are enough stacks or the program ends. */
static void compare_run(struct sampler *sampler, uint64_t wanted, struct tally *tally)
{
	static struct comparison comparison;
	struct capture *capture = &sampler->capture;
	struct unwinder *cfi = unwinder_cfi.create(capture->images);
	struct unwinder *dwfl = unwinder_dwfl.create(capture->images);
	struct differences differences = {0};

	while (tally->stacks < wanted && sampler_next(sampler, rand() % RUN_US_MAX)) {
		capture_compare(capture, cfi, dwfl, &comparison);
		add(tally, capture, &comparison, &differences);
	}
	differences_fini(&differences);
	unwinder_cfi.destroy(cfi);
	unwinder_dwfl.destroy(dwfl);
}

static bool run(char **argv, uint64_t wanted, struct tally *tally)
{
	unsigned empty = 0;

	while (tally->stacks < wanted && empty < STARTS_WITHOUT_STACKS_MAX) {
		uint64_t before = tally->stacks;
		struct sampler sampler;
		bool attach = !strcmp(argv[0], "-p");

		if (!(attach ? sampler_attach(&sampler, atoi(argv[1]))
			     : sampler_start(&sampler, argv)))
			return false;
		compare_run(&sampler, wanted, tally);
		sampler_end(&sampler);
		if (attach)
			break;
		empty = tally->stacks == before ? empty + 1 : 0;
	}
	return true;
}

static void print_tally(const char *name, const struct tally *tally)
{
	printf("%s: %lu stacks (%zu distinct), %lu frames (%lu in JIT code); ends:", name,
	       tally->stacks, tally->distinct.count, tally->frames, tally->jit_frames);
	for (unsigned i = 0; i < STACK_END_N; i++)
		printf(" %lu", tally->ends[i]);
	printf("\n");
	if (tally->not_called)
		printf("%s: %8lu MADE UP: no call precedes the last frame\n", name,
		       tally->not_called);
	for (unsigned i = 0; i < DIFFERENCES_N; i++)
		if (tally->differences[i])
			printf("%s: %8lu %s\n", name, tally->differences[i], difference_text(i));
}

int main(int argc, char **argv)
{
	struct tally tally = {0};
	uint64_t wanted;
	struct rlimit files;
	unsigned seed = time(NULL);

	if (argc < 4) {
		fprintf(stderr, "usage: %s STACKS NAME (-p PID | PROGRAM ARGUMENT...)\n", argv[0]);
		return 2;
	}
	wanted = strtoull(argv[1], NULL, 10);
	/* libdwfl keeps every file of every address space open. */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	srand(seed);
	printf("%s: seed %u\n", argv[2], seed);
	if (!run(argv + 3, wanted, &tally)) {
		printf("%s: cannot be started or traced\n", argv[2]);
		return 77;
	}
	print_tally(argv[2], &tally);
	map_fini(&tally.distinct);
	if (tally.differences[DIFFERENCE_UNEXPLAINED] || tally.not_called)
		return 1;
	return tally.stacks < wanted ? 3 : 0;
}
