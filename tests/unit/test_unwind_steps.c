/*
 * unwinder_cfi against unwinder_dwfl at every single instruction of small programs: prologues,
 * epilogues, .plt, _dl_runtime_resolve, the vDSO, signal frames, alloca and realigned stacks.
 *
 * Where the two may differ, and why ours is right:
 * - LEAF: frameless code without CFI that was called directly (crt's deregister_tm_clones). dwfl
 *   follows rbp, which is still the caller's, and so loses the caller; we know it by its call.
 * - LONGER: the first instructions of _dl_fixup, before it saves rbx. dwfl does not carry rbx on
 *   to _dl_runtime_resolve, whose CFA hangs on it, and stops there; we go on to the program's
 *   call. Also a static program's .plt, which has no CFI: dwfl stops, the call is on the stack.
 */
#include "unwind_capture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { STEPS_MAX = 400000, COMPARED_MAX = 8000, BEFORE_MAIN = 29 };

struct tally {
	unsigned steps, compared, equal, longer, leaf, unequal, in_module, deepest, largest_bytes;
	unsigned exact_inside; /* stacks with a frame that a signal interrupted */
	unsigned two_pieces;
	unsigned ends[STACK_END_N];
};

struct steps_case {
	char *path;
	char *what;
	bool from_start; /* watch ld.so at work as well */
	bool signal;     /* must meet a frame that a signal interrupted */
	bool two_pieces; /* must meet a sigaltstack */
	unsigned deepest;
	unsigned every;     /* compare each so many steps; 0 is 1 */
	const char *module; /* must meet complete stacks with a frame in it */
};

static bool has_module(const struct capture *capture, const struct comparison *comparison,
		       const char *name)
{
	for (uint32_t i = 0; i < comparison->cfi_n; i++) {
		const struct image *image =
		    image_table_get(capture->images, comparison->cfi[i].image);

		if (image && strstr(image->module->name, name))
			return true;
	}
	return false;
}

static void tally_add(struct tally *tally, const struct steps_case *steps, enum verdict verdict,
		      const struct capture *capture, const struct comparison *comparison)
{
	uint32_t bytes = capture->event.stacks[0].size;
	bool inside = false;

	for (uint32_t i = 1; i < comparison->cfi_n; i++)
		inside |= comparison->cfi[i].exact;
	tally->compared++;
	tally->in_module += comparison->cfi_end == STACK_END_COMPLETE && steps->module &&
			    has_module(capture, comparison, steps->module);
	tally->exact_inside += inside && comparison->cfi_end == STACK_END_COMPLETE;
	tally->two_pieces +=
	    capture->event.stacks_n == 2 && inside && comparison->cfi_end == STACK_END_COMPLETE;
	tally->equal += verdict == VERDICT_EQUAL;
	tally->longer += verdict == VERDICT_LONGER;
	tally->leaf += verdict == VERDICT_LEAF;
	tally->ends[comparison->cfi_end]++;
	if (comparison->cfi_n > tally->deepest)
		tally->deepest = comparison->cfi_n;
	if (bytes > tally->largest_bytes && comparison->cfi_end == STACK_END_COMPLETE)
		tally->largest_bytes = bytes;
	if (getenv("HTRACE_TEST_VERBOSE") &&
	    (verdict != VERDICT_EQUAL || comparison->cfi_end != STACK_END_COMPLETE))
		comparison_print(capture, comparison);
	if ((verdict == VERDICT_UNEQUAL || verdict == VERDICT_GUESS) && !tally->unequal++)
		comparison_print(capture, comparison);
}

static void compare_steps(const struct steps_case *steps, struct tally *tally)
{
	static struct capture capture;
	static struct comparison comparison;
	char *argv[] = {steps->path, steps->what, NULL};
	struct unwinder *cfi, *dwfl;
	unsigned every = steps->every ? steps->every : 1;
	bool started = false;

	if (access(steps->path, X_OK) < 0 || !capture_start(&capture, argv)) {
		printf("skipped: %s is not there or ptrace is not permitted\n", steps->path);
		skip();
	}
	cfi = unwinder_cfi.create(capture.images);
	dwfl = unwinder_dwfl.create(capture.images);
	while (!steps->from_start && capture.signal != SIGURG && capture_run(&capture, 100))
		;
	while (tally->steps < STEPS_MAX && tally->compared < COMPARED_MAX) {
		/* ld.so's own work is long: now and then; from main on every instruction. */
		started |= capture.signal == SIGURG;
		if (tally->steps % (started ? every : BEFORE_MAIN) == 0 && capture_take(&capture))
			tally_add(tally, steps, capture_compare(&capture, cfi, dwfl, &comparison),
				  &capture, &comparison);
		tally->steps++;
		if (!capture_step(&capture))
			break;
	}
	unwinder_cfi.destroy(cfi);
	unwinder_dwfl.destroy(dwfl);
	capture_end(&capture);
}

static void test_steps(void **state)
{
	const struct steps_case *steps = *state;
	struct tally tally = {0};

	compare_steps(steps, &tally);
	printf("%s: %u steps, %u stacks: %u equal, %u longer, %u leaf, %u unequal; "
	       "deepest %u, %u bytes; %u with a signal, %u in two pieces; ends:",
	       steps->what, tally.steps, tally.compared, tally.equal, tally.longer, tally.leaf,
	       tally.unequal, tally.deepest, tally.largest_bytes, tally.exact_inside,
	       tally.two_pieces);
	for (unsigned i = 0; i < STACK_END_N; i++)
		printf(" %u", tally.ends[i]);
	printf("\n");
	assert_int_not_equal(tally.compared, 0);
	assert_int_equal(tally.unequal, 0);
	/* What differs is rare, and nothing that a program without such code would meet. */
	assert_true((tally.longer + tally.leaf) * 50 < tally.compared);
	assert_true(!steps->module || tally.in_module > 10);
	assert_true(tally.deepest >= steps->deepest);
	assert_true(!steps->signal || tally.exact_inside > 100);
	assert_true(!steps->two_pieces || tally.two_pieces > 100);
}

static void test_truncated(void **state)
{
	static struct capture capture;
	static struct comparison comparison;
	char *argv[] = {HTRACE_TEST_SHAPES, "deep", NULL};
	unsigned truncated = 0, seen = 0;
	struct unwinder *cfi, *dwfl;

	if (!capture_start(&capture, argv)) {
		printf("skipped: ptrace is not permitted\n");
		skip();
	}
	capture.bytes_max = 256;
	cfi = unwinder_cfi.create(capture.images);
	dwfl = unwinder_dwfl.create(capture.images);
	for (unsigned i = 0; i < 200 * 61 && capture_step(&capture); i++) {
		if (i % 61 || !capture_take(&capture))
			continue;
		seen++;
		assert_int_not_equal(capture_compare(&capture, cfi, dwfl, &comparison),
				     VERDICT_UNEQUAL);
		truncated += comparison.cfi_end == STACK_END_TRUNCATED;
		assert_true(comparison.cfi_n > 0);
	}
	printf("%u stacks, %u truncated\n", seen, truncated);
	assert_true(truncated > seen / 2);
	unwinder_cfi.destroy(cfi);
	unwinder_dwfl.destroy(dwfl);
	capture_end(&capture);
}

#define STEPS(label, program, ...)                                                                 \
	{                                                                                          \
		.name = label, .test_func = test_steps,                                            \
		.initial_state =                                                                   \
		    &(struct steps_case){.path = (program), .what = label, __VA_ARGS__},           \
	}

int main(void)
{
	static char frames[] = "frames", lazy[] = "lazy", deep[] = "deep", vdso[] = "vdso",
		    signal[] = "signal", altstack[] = "altstack", fault[] = "fault";
	const struct CMUnitTest tests[] = {
	    STEPS(frames, HTRACE_TEST_SHAPES, .deepest = 12),
	    STEPS(frames, HTRACE_TEST_SHAPES_REALIGN, .deepest = 12),
	    STEPS(frames, HTRACE_TEST_SHAPES_DEBUG_FRAME, .deepest = 5),
	    STEPS(lazy, HTRACE_TEST_SHAPES, .module = "ld-linux", .from_start = true, .deepest = 8),
	    STEPS(deep, HTRACE_TEST_SHAPES, .deepest = 80),
	    STEPS(vdso, HTRACE_TEST_SHAPES, .module = "[vdso]", .deepest = 5),
	    STEPS(signal, HTRACE_TEST_SHAPES, .signal = true, .deepest = 8),
	    STEPS(altstack, HTRACE_TEST_SHAPES, .signal = true, .two_pieces = true, .deepest = 8),
	    STEPS(fault, HTRACE_TEST_SHAPES, .signal = true, .deepest = 6),
	    STEPS(altstack, HTRACE_TEST_SHAPES_STATIC, .signal = true, .two_pieces = true),
	    STEPS(fault, HTRACE_TEST_SHAPES_STRIPPED, .signal = true, .deepest = 6),
	    STEPS(frames, HTRACE_TEST_EXCEPTIONS, .every = 5, .module = "libgcc_s", .deepest = 8),
	    cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
