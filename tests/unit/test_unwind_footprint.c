/*
 * A footprint is all that decides a stack: whatever else stands on it, and in registers, may be
 * replaced by anything, and the frames stay the same. Tried on stacks of real programs, caught at
 * random moments.
 */
#include "base/alloc.h"
#include "event/codec.h"
#include "unwind_capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SAMPLES = 400, STARTS_MAX = 20, SPOILT_EACH = 4 };

struct unwound {
	struct frame frames[STACK_FRAMES_MAX];
	uint32_t frames_n;
	enum stack_end end;
};

static struct unwound unwind(struct unwinder *unwinder, const struct capture *capture,
			     const struct event_syscall *event)
{
	struct unwound out;

	out.end = unwinder_cfi.unwind(unwinder, capture->space, event, out.frames, &out.frames_n);
	return out;
}

static bool equal(const struct unwound *a, const struct unwound *b)
{
	for (uint32_t i = 0; i < a->frames_n && i < b->frames_n; i++)
		if (a->frames[i].pc != b->frames[i].pc ||
		    a->frames[i].image != b->frames[i].image ||
		    a->frames[i].exact != b->frames[i].exact)
			return false;
	return a->end == b->end && a->frames_n == b->frames_n;
}

/* What might stand there instead: noise, nothing, an address of code or of the stack. */
static uint64_t any_word(const struct event_syscall *event)
{
	switch (rand() % 4) {
	case 0:
		return (uint64_t)rand() << 33 ^ (uint64_t)rand() << 16 ^ rand();
	case 1:
		return 0;
	case 2:
		return event->registers.ip + rand() % 4096;
	default:
		return event->registers.sp + rand() % event->stacks[0].size / 8 * 8;
	}
}

static bool is_in(const struct footprint *footprint, uint64_t offset)
{
	for (unsigned i = 0; i < footprint->words_n; i++)
		if (footprint->offsets[i] == offset)
			return true;
	return false;
}

/* Replaces whatever the footprint does not name. */
static void spoil(struct event_syscall *event, const struct footprint *footprint)
{
	uint64_t *registers[FOOTPRINT_REGISTERS_N] = {&event->registers.bp,  &event->registers.bx,
						      &event->registers.r12, &event->registers.r13,
						      &event->registers.r14, &event->registers.r15};
	uint8_t *bytes = (uint8_t *)event_stack_bytes(event, 0);

	for (unsigned i = 0; i < FOOTPRINT_REGISTERS_N; i++)
		if (!(footprint->registers_used >> i & 1))
			*registers[i] = any_word(event);
	for (uint32_t at = 0; at + 8 <= event->stacks[0].size; at += 8) {
		uint64_t word = any_word(event);

		if (!is_in(footprint, event->stacks[0].start + at - event->registers.sp))
			memcpy(bytes + at, &word, sizeof(word));
	}
}

static void check_values(const struct event_syscall *event, const struct footprint *footprint)
{
	assert_int_equal(footprint->ip, event->registers.ip);
	assert_int_equal(footprint->sp, event->registers.sp);
	for (unsigned i = 0; i < footprint->words_n; i++) {
		uint64_t at = footprint->sp + footprint->offsets[i] - event->stacks[0].start;

		assert_true(footprint->offsets[i] + 8u <= footprint->span);
		assert_memory_equal(event_stack_bytes(event, 0) + at, &footprint->values[i], 8);
	}
}

/* Whether the stack has a footprint; it is a sound one then. */
static bool check_sample(struct capture *capture, struct unwinder *unwinder)
{
	struct unwound first = unwind(unwinder, capture, &capture->event);
	struct footprint footprint;

	if (!unwinder_cfi_footprint(unwinder, &capture->event, &footprint))
		return false;
	check_values(&capture->event, &footprint);
	for (unsigned i = 0; i < SPOILT_EACH; i++) {
		struct event_syscall *event = xmemdup(&capture->event, capture->event.header.size);
		struct unwound again;

		spoil(event, &footprint);
		again = unwind(unwinder, capture, event);
		if (!equal(&first, &again))
			fail_msg("ip %#lx: %u frames, end %d; spoilt %u frames, end %d",
				 (unsigned long)event->registers.ip, first.frames_n, first.end,
				 again.frames_n, again.end);
		free(event);
	}
	return true;
}

static void check_program(char *const argv[])
{
	static struct capture capture;
	unsigned samples = 0, sound = 0;

	if (access(argv[0], X_OK) < 0) {
		printf("skipped: %s is not installed\n", argv[0]);
		skip();
	}
	for (unsigned i = 0; i < STARTS_MAX && samples < SAMPLES; i++) {
		struct unwinder *unwinder;

		if (!capture_start(&capture, argv)) {
			printf("skipped: ptrace is not permitted\n");
			skip();
		}
		unwinder = unwinder_cfi.create(capture.images);
		while (samples < SAMPLES && capture_run(&capture, rand() % 1500)) {
			if (!capture_take(&capture) || capture.event.stacks_n != 1)
				continue;
			samples++;
			sound += check_sample(&capture, unwinder);
		}
		unwinder_cfi.destroy(unwinder);
		capture_end(&capture);
	}
	printf("%s: %u stacks, %u with a footprint\n", argv[0], samples, sound);
	assert_true(sound > samples / 4);
}

static void test_program(void **state)
{
	check_program(*state);
}

int main(void)
{
	static char python[] = "import json\n"
			       "for i in range(3000): json.dumps([[i]] * 99)";
	static char shell[] = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); x=${i//9/8}; done";
	static char script[] = "for (let i = 0; i < 1e6; i++) JSON.stringify([i, {a: 2}])";
	const struct CMUnitTest tests[] = {
	    CAPTURE_TEST(test_program, "python3", "/usr/bin/python3", "-c", python),
	    CAPTURE_TEST(test_program, "git", "/usr/bin/git", "log", "--stat", "-p", "--all"),
	    CAPTURE_TEST(test_program, "gdb", "/usr/bin/gdb", "-nx", "-batch", "-ex",
			 "info functions main", "/usr/bin/gdb"),
	    CAPTURE_TEST(test_program, "node", "/usr/bin/node", "-e", script),
	    CAPTURE_TEST(test_program, "bash", "/bin/bash", "-c", shell),
	    CAPTURE_TEST(test_program, "cc1", HTRACE_TEST_CC1, "-quiet", "-O2", "-o", "/dev/null",
			 HTRACE_TEST_SOURCE),
	};
	unsigned seed = time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
