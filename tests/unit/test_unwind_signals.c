/*
 * A signal at every instruction that a small program executes: from within the handler, the stack
 * is the one that it had when it was interrupted, whole and with the interrupted pc as it is (not
 * one less, which at the first byte of a function is another function). And the stacks of a program
 * that has only just begun: ld.so before it is relocated, and a constructor.
 */
#include "unwind_capture.h"

#include "base/map.h"
#include "unwind/module_cfi.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { STEPS_MAX = 400000, HANDLER_STEPS_MAX = 300, INTERRUPTED_MAX = 4000, LOADER_STEPS = 1500 };

struct stack_seen {
	struct frame frames[STACK_FRAMES_MAX];
	uint32_t frames_n;
	enum stack_end end;
};

static struct capture capture;
static struct unwinder *unwinder;

static void start(char *const argv[])
{
	if (!capture_start(&capture, argv)) {
		printf("skipped: ptrace is not permitted\n");
		skip();
	}
	unwinder = unwinder_cfi.create(capture.images);
}

static void end(void)
{
	unwinder_cfi.destroy(unwinder);
	capture_end(&capture);
}

static bool look(struct stack_seen *out)
{
	if (!capture_take(&capture))
		return false;
	out->end = unwinder_cfi.unwind(unwinder, capture.space, &capture.event, out->frames,
				       &out->frames_n);
	return true;
}

static const struct image *image_of(const struct frame *frame)
{
	return image_table_get(capture.images, frame->image);
}

static bool is_in(const struct frame *frame, const char *module)
{
	const struct image *image = image_of(frame);

	return image && strstr(image->module->name, module);
}

/* jmp *mem; push imm32; jmp rel32: what entries of .plt are made of. */
static bool is_plt_code(const struct frame *frame)
{
	const struct image *image = image_of(frame);
	uint8_t code[6] = {0};

	if (!image || !strstr(image->module->name, "shapes") ||
	    !module_code_read(image->module, frame->pc - image->bias, code, sizeof(code)))
		return false;
	return (code[0] == 0xff && code[1] == 0x25) || (code[0] == 0x68 && code[5] == 0xe9);
}

static void print_stack(const char *what, const struct stack_seen *seen)
{
	printf("%s: end %d\n", what, seen->end);
	for (uint32_t i = 0; i < seen->frames_n; i++) {
		const struct image *image = image_of(&seen->frames[i]);

		printf("  %s+%#lx%s\n", image ? image->module->name : "?",
		       seen->frames[i].pc - (image ? image->bias : 0),
		       seen->frames[i].exact ? " exact" : "");
	}
}

/*
 * Two frames more, the handler's and the trampoline's; the rest as it was. An event has the
 * registers that calls preserve, a signal frame has all: for a moment, a prologue that realigns the
 * stack has its CFA in r10.
 */
static bool is_interrupted(const struct stack_seen *before, const struct stack_seen *within)
{
	bool equal = within->frames_n == before->frames_n + 2 && within->end == before->end;
	bool more = within->frames_n > before->frames_n + 2 && before->end == STACK_END_NO_CFI &&
		    before->frames_n == 1 && within->end == STACK_END_COMPLETE;

	return (equal || more) && within->frames[0].exact && within->frames[1].exact &&
	       !memcmp(within->frames + 2, before->frames,
		       before->frames_n * sizeof(before->frames[0]));
}

/* The signal that is about to be delivered, looked at from the handler's first instruction. */
static bool deliver(const struct stack_seen *before)
{
	static struct stack_seen within;

	if (!capture_step(&capture) || !look(&within))
		return false;
	if (is_interrupted(before, &within))
		return true;
	print_stack("before", before);
	print_stack("within", &within);
	return false;
}

/* Steps through the handler until the program is back at `pc`. */
static bool come_back(uint64_t pc)
{
	for (unsigned i = 0; i < HANDLER_STEPS_MAX; i++) {
		if (!capture_step(&capture))
			return false;
		if (capture_ip(&capture) == pc)
			return true;
	}
	return false;
}

struct interrupt_case {
	char *path, *what;
	const char *module; /* a signal must have come while pc was in it */
	bool plt;           /* ... and at each kind of instruction of .plt */
};

struct interrupt_tally {
	unsigned interrupted, complete, in_module, in_plt;
};

static void interrupt_each(const struct interrupt_case *interrupt, struct interrupt_tally *tally)
{
	static struct stack_seen before;
	struct map seen = {0};

	for (unsigned i = 0; i < STEPS_MAX && tally->interrupted < INTERRUPTED_MAX; i++) {
		uint64_t pc = capture_ip(&capture);

		if (!capture.signal && !map_get(&seen, pc) && look(&before)) {
			*map_put(&seen, pc) = 1;
			capture.signal = SIGUSR2;
			assert_true(deliver(&before));
			assert_true(come_back(pc));
			tally->interrupted++;
			tally->complete += before.end == STACK_END_COMPLETE;
			tally->in_module +=
			    interrupt->module && is_in(&before.frames[0], interrupt->module);
			tally->in_plt += is_plt_code(&before.frames[0]);
		}
		if (!capture_step(&capture))
			break;
	}
	map_fini(&seen);
}

static void test_interrupted(void **state)
{
	const struct interrupt_case *interrupt = *state;
	char *argv[] = {interrupt->path, interrupt->what, NULL};
	struct interrupt_tally tally = {0};

	start(argv);
	while (capture.signal != SIGURG && capture_continue(&capture))
		;
	assert_true(capture_step(&capture));
	interrupt_each(interrupt, &tally);
	end();
	printf("%s: interrupted at %u addresses, %u stacks complete, %u in %s, %u in .plt\n",
	       interrupt->what, tally.interrupted, tally.complete, tally.in_module,
	       interrupt->module ? interrupt->module : "any module", tally.in_plt);
	assert_true(tally.interrupted > 100);
	/* Some of glibc's hand-written ends have no CFI. */
	assert_true(tally.complete * 20 > tally.interrupted * 19);
	assert_true(!interrupt->module || tally.in_module > 10);
	assert_true(!interrupt->plt || tally.in_plt >= 6);
}

/* A real SIGSEGV, at the first instruction of a function. */
static void test_fault_at_first_instruction(void **state)
{
	static struct stack_seen before, within;
	char *argv[] = {*state, "first", NULL};
	uint64_t pc;

	start(argv);
	while (capture.signal != SIGSEGV && capture_continue(&capture))
		;
	assert_int_equal(capture.signal, SIGSEGV);
	pc = capture_ip(&capture);
	assert_true(look(&before));
	assert_int_equal(before.end, STACK_END_COMPLETE);
	assert_true(capture_step(&capture) && look(&within));
	assert_true(is_interrupted(&before, &within));
	assert_int_equal(within.frames[2].pc, pc);
	assert_true(within.frames[2].exact);
	/* Its caller and main, and no more of the program. */
	assert_true(is_in(&within.frames[3], "shapes") && is_in(&within.frames[4], "shapes"));
	end();
}

/* From the very first instruction on, before ld.so has relocated itself. */
static void test_loader_start(void **state)
{
	static struct stack_seen seen;
	char *argv[] = {*state, "", NULL};
	uint64_t entry;
	uint32_t deepest = 0;

	start(argv);
	entry = capture_ip(&capture);
	for (unsigned i = 0; i < LOADER_STEPS; i++) {
		assert_true(look(&seen));
		assert_int_equal(seen.end, STACK_END_COMPLETE);
		for (uint32_t n = 0; n < seen.frames_n; n++)
			assert_true(is_in(&seen.frames[n], "ld-linux"));
		assert_true(seen.frames[seen.frames_n - 1].pc - entry < 16);
		deepest = seen.frames_n > deepest ? seen.frames_n : deepest;
		assert_true(capture_step(&capture));
	}
	assert_true(deepest >= 3);
	end();
}

static void test_constructor(void **state)
{
	static struct stack_seen seen;
	char *argv[] = {*state, "", NULL};
	unsigned raised = 0;

	setenv("LD_PRELOAD", HTRACE_TEST_EARLY, 1);
	start(argv);
	unsetenv("LD_PRELOAD");
	while (raised < 3 && capture_continue(&capture)) {
		uint32_t early = 0;

		if (capture.signal != SIGURG)
			continue;
		raised++;
		assert_true(look(&seen));
		assert_int_equal(seen.end, STACK_END_COMPLETE);
		for (uint32_t n = 0; n < seen.frames_n; n++)
			early += is_in(&seen.frames[n], "libearly");
		/* inner() three deep, then two, then one; early(); and ld.so started it all. */
		assert_int_equal(early, 5 - raised);
		assert_true(is_in(&seen.frames[seen.frames_n - 1], "ld-linux"));
	}
	end();
	assert_int_equal(raised, 3);
}

#define INTERRUPT(label, program, ...)                                                             \
	{                                                                                          \
		.name = "interrupted_" label, .test_func = test_interrupted,                       \
		.initial_state =                                                                   \
		    &(struct interrupt_case){.path = (program), .what = label, __VA_ARGS__},       \
	}

/* A step of a program on another CPU takes a hundred times as long. */
static void pin(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(void)
{
	static char shapes[] = HTRACE_TEST_SHAPES, stripped[] = HTRACE_TEST_SHAPES_STRIPPED,
		    fixed[] = HTRACE_TEST_SHAPES_STATIC;
	const struct CMUnitTest tests[] = {
	    INTERRUPT("frames", HTRACE_TEST_SHAPES, .module = "shapes"),
	    INTERRUPT("frames", HTRACE_TEST_SHAPES_REALIGN, .module = "shapes"),
	    INTERRUPT("lazy", HTRACE_TEST_SHAPES, .module = "ld-linux", .plt = true),
	    INTERRUPT("vdso", HTRACE_TEST_SHAPES, .module = "[vdso]"),
	    cmocka_unit_test_prestate(test_fault_at_first_instruction, shapes),
	    cmocka_unit_test_prestate(test_fault_at_first_instruction, stripped),
	    cmocka_unit_test_prestate(test_fault_at_first_instruction, fixed),
	    cmocka_unit_test_prestate(test_loader_start, shapes),
	    cmocka_unit_test_prestate(test_constructor, shapes),
	};

	pin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
