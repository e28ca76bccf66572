/*
 * unwinder_cfi against unwinder_dwfl, frame for frame, on stacks of whatever real programs are
 * installed here, caught at random moments.
 */
#include "unwind_capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SAMPLES = 300, SECONDS_MAX = 2, STARTS_MAX = 12 };

struct tally {
	unsigned samples, equal, longer, leaf, guess, unequal, frames;
	unsigned ends[STACK_END_N];
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* One run of the program; false where it cannot be traced. */
static bool sample_run(char *const argv[], double until, struct tally *tally)
{
	static struct capture capture;
	static struct comparison comparison;
	struct unwinder *cfi, *dwfl;
	bool started = capture_start(&capture, argv);

	cfi = unwinder_cfi.create(capture.images);
	dwfl = unwinder_dwfl.create(capture.images);
	while (started && tally->samples < SAMPLES && seconds() < until &&
	       capture_run(&capture, rand() % 1500)) {
		enum verdict verdict;

		if (!capture_take(&capture))
			continue;
		verdict = capture_compare(&capture, cfi, dwfl, &comparison);
		tally->samples++;
		tally->frames += comparison.cfi_n;
		tally->equal += verdict == VERDICT_EQUAL;
		tally->longer += verdict == VERDICT_LONGER;
		tally->leaf += verdict == VERDICT_LEAF;
		tally->guess += verdict == VERDICT_GUESS;
		tally->ends[comparison.cfi_end]++;
		if (verdict == VERDICT_UNEQUAL && !tally->unequal++)
			comparison_print(&capture, &comparison);
		if (getenv("HTRACE_TEST_VERBOSE") &&
		    (verdict == VERDICT_LONGER || comparison.cfi_end != comparison.dwfl_end))
			comparison_print(&capture, &comparison);
	}
	unwinder_cfi.destroy(cfi);
	unwinder_dwfl.destroy(dwfl);
	capture_end(&capture);
	return started;
}

static void compare_program(char *const argv[])
{
	double until = seconds() + SECONDS_MAX;
	struct tally tally = {0};

	if (access(argv[0], X_OK) < 0) {
		printf("skipped: %s is not installed\n", argv[0]);
		skip();
	}
	/* What is done sooner than it was sampled often enough starts again. */
	for (unsigned i = 0; i < STARTS_MAX && tally.samples < SAMPLES && seconds() < until; i++)
		if (!sample_run(argv, until, &tally) && tally.samples == 0) {
			printf("skipped: ptrace is not permitted\n");
			skip();
		}
	printf(
	    "%s: %u stacks, %u frames: %u equal, %u longer, %u leaf, %u guess, %u unequal; ends:",
	    argv[0], tally.samples, tally.frames, tally.equal, tally.longer, tally.leaf,
	    tally.guess, tally.unequal);
	for (unsigned i = 0; i < STACK_END_N; i++)
		printf(" %u", tally.ends[i]);
	printf("\n");
	assert_int_not_equal(tally.samples, 0);
	assert_int_equal(tally.unequal, 0);
}

static void test_program(void **state)
{
	compare_program(*state);
}

int main(void)
{
	static char python[] = "import json, re, os\n"
			       "for i in range(300):\n"
			       "  sorted(json.loads(json.dumps([{'a': [j]} for j in range(99)])), "
			       "key=lambda d: os.path.realpath(str(d['a'])))\n";
	static char shell[] = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); x=${i//9/8}; done";
	static char script[] = "let m = {}; for (let i = 0; i < 1e6; i++) m['k' + i % 999] = "
			       "[i].map(x => JSON.stringify({x})); ";
	static char perl[] =
	    "for (1..1000000) { $h{$_ % 997} .= join ',', sort map { $_ * 7 } 1..9; "
	    "$h{5} = '' }";
	const struct CMUnitTest tests[] = {
	    CAPTURE_TEST(test_program, "python3", "/usr/bin/python3", "-c", python),
	    CAPTURE_TEST(test_program, "git", "/usr/bin/git", "log", "--stat", "-p", "--all"),
	    CAPTURE_TEST(test_program, "gdb", "/usr/bin/gdb", "-nx", "-batch", "-ex",
			 "info functions main", "/usr/bin/gdb"),
	    CAPTURE_TEST(test_program, "node", "/usr/bin/node", "-e", script),
	    CAPTURE_TEST(test_program, "bash", "/bin/bash", "-c", shell),
	    CAPTURE_TEST(test_program, "cc1", HTRACE_TEST_CC1, "-quiet", "-O2", "-o", "/dev/null",
			 "-D_GNU_SOURCE", HTRACE_TEST_INCLUDE, HTRACE_TEST_SOURCE),
	    CAPTURE_TEST(test_program, "clang", "/usr/bin/clang", "-c", "-O2",
			 "-fno-crash-diagnostics", "-o", "/dev/null", "-D_GNU_SOURCE",
			 HTRACE_TEST_INCLUDE, HTRACE_TEST_SOURCE),
	    CAPTURE_TEST(test_program, "sort", "/usr/bin/sort", "-R", "--parallel=1",
			 "/usr/bin/gdb"),
	    CAPTURE_TEST(test_program, "perl", "/usr/bin/perl", "-e", perl),
	    CAPTURE_TEST(test_program, "go", "/usr/bin/go", "env"),
	};
	unsigned seed = time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
