/*
 * The unwind loop on hand-made stacks, in an address space of anonymous code (no CFI, so frame
 * pointers): how each stack ends, and what the loop must survive.
 */
#include "base/alloc.h"
#include "collect/maps.h"
#include "os/procfs.h"
#include "unwind/unwind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { CODE = 0x10000, CODE_BYTES = 0x1000, STACK = 0x700000 };

struct fixture {
	struct image_table *images;
	struct address_space *space;
	struct unwinder *unwinder;
	struct event_syscall *event;
	struct frame frames[STACK_FRAMES_MAX];
	uint32_t frames_n;
};

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->images = image_table_new();
	fixture->space = address_space_new();
	address_space_map(fixture->space, CODE, CODE + CODE_BYTES, 0);
	fixture->unwinder = unwinder_cfi.create(fixture->images);
	fixture->event = xcalloc(1, EVENT_SIZE_MAX);
	fixture->event->header.type = EVENT_SYSCALL;
	fixture->event->header.size = sizeof(*fixture->event);
	fixture->event->phase = EVENT_ENTER;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	unwinder_cfi.destroy(fixture->unwinder);
	address_space_free(fixture->space);
	image_table_free(fixture->images);
	free(fixture->event);
	free(fixture);
	return 0;
}

/* Adds a piece of `count` words at `start`. */
static void add_piece(struct fixture *fixture, uint64_t start, const uint64_t *words, size_t count,
		      uint32_t flags)
{
	struct event_syscall *event = fixture->event;
	size_t used = 0;

	for (unsigned i = 0; i < event->stacks_n; i++)
		used += event->stacks[i].size;
	memcpy(event->bytes + used, words, count * sizeof(*words));
	event->header.size += count * sizeof(*words);
	event->stacks[event->stacks_n++] =
	    (struct event_stack){start, count * sizeof(*words), flags};
}

static enum stack_end unwind(struct fixture *fixture, uint64_t ip, uint64_t sp, uint64_t bp)
{
	fixture->event->registers = (struct event_registers){.ip = ip, .sp = sp, .bp = bp};
	return unwinder_cfi.unwind(fixture->unwinder, fixture->space, fixture->event,
				   fixture->frames, &fixture->frames_n);
}

static void test_frame_pointers(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {7, STACK + 32, CODE + 16, 7, 0, CODE + 32, 7};

	add_piece(fixture, STACK, words, 7, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK + 8), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	assert_int_equal(fixture->frames[0].pc, CODE + 1);
	assert_true(fixture->frames[0].exact);
	assert_int_equal(fixture->frames[1].pc, CODE + 16);
	assert_false(fixture->frames[1].exact);
	assert_int_equal(fixture->frames[2].pc, CODE + 32);
}

static void test_truncated(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {STACK + 32, CODE + 16, 7};

	add_piece(fixture, STACK, words, 3, EVENT_STACK_CUT);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_TRUNCATED);
	assert_int_equal(fixture->frames_n, 2);
	fixture->event->stacks[0].flags = 0;
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 2);
	/* A number so far off is no stack address at all. */
	fixture->event->stacks[0].flags = EVENT_STACK_CUT;
	assert_int_equal(unwind(fixture, CODE + 1, STACK, UINT64_MAX - 8), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 1);
}

static void test_loop(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t itself[] = {STACK, CODE + 16},
		       back[] = {STACK + 16, CODE + 16, STACK, CODE + 16};

	add_piece(fixture, STACK, itself, 2, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 2);
	fixture->event->stacks_n = 0;
	add_piece(fixture, STACK, back, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 3);
}

static void test_too_deep(void **state)
{
	struct fixture *fixture = *state;
	uint64_t words[2 * STACK_FRAMES_MAX + 2];

	for (unsigned i = 0; i <= STACK_FRAMES_MAX; i++) {
		words[2 * i] = STACK + 16 * (i + 1);
		words[2 * i + 1] = CODE + i;
	}
	add_piece(fixture, STACK, words, sizeof(words) / sizeof(*words), 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK + 16), STACK_END_TOO_DEEP);
	assert_int_equal(fixture->frames_n, STACK_FRAMES_MAX);
}

static void test_outside(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {STACK + 16, 0x666, 0, 0};

	/* A return address in no executable memory is none: rbp was no frame pointer. */
	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 1);
	/* sp and rbp outside of the piece, ip in nothing at all. */
	assert_int_equal(unwind(fixture, CODE + 1, 8, 16), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 1);
	assert_int_equal(unwind(fixture, 0x666, STACK, STACK), STACK_END_BAD_PC);
	assert_int_equal(fixture->frames_n, 1);
}

static void test_mappings_change(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {STACK + 16, 0x90010, 0, 0};

	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_CFI);
	address_space_map(fixture->space, 0x90000, 0x91000, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 2);
	address_space_clear(fixture->space);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_BAD_PC);
}

static void test_two_pieces(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t upper[] = {STACK + 0x10000, CODE + 16}, lower[] = {0, CODE + 32};

	add_piece(fixture, STACK, upper, 2, 0);
	add_piece(fixture, STACK + 0x10000, lower, 2, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
}

static void test_no_copy(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_COPY);
	assert_int_equal(fixture->frames_n, 1);
	assert_int_equal(unwind(fixture, 0, 0, 0), STACK_END_NO_COPY);
	assert_int_equal(fixture->frames_n, 0);
}

static void test_addresses(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {CODE + 16, CODE + 32};

	add_piece(fixture, 0, words, 2, EVENT_STACK_ADDRESSES);
	/* The innermost pc is the first of the list, or it is not in it. */
	assert_int_equal(unwind(fixture, CODE + 16, 0, 0), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 2);
	assert_true(fixture->frames[0].exact);
	assert_false(fixture->frames[1].exact);
	assert_int_equal(unwind(fixture, CODE + 1, 0, 0), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	assert_false(fixture->frames[1].exact);
	assert_int_equal(unwind(fixture, 0, 0, 0), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 2);
	fixture->event->stacks[0].flags |= EVENT_STACK_CUT;
	assert_int_equal(unwind(fixture, 0, 0, 0), STACK_END_TRUNCATED);
}

/* As Go calls its duffzero, and what a signal handler returns to; none of it has CFI. */
__asm__(".pushsection .text\n"
	"duff_caller: call duff\n"
	"duff_return: ret\n"
	"duff: nop\n"
	".skip 60, 0x90\n"
	"duff_end: ret\n"
	".skip 16, 0x90\n"
	"trampoline: mov $15,%rax\n"
	"syscall\n"
	".popsection\n");
extern const char duff[], duff_end[], duff_return[], trampoline[];

static int map_own_code(void *context, const struct procfs_mapping *mapping)
{
	struct fixture *fixture = context;
	uint64_t address = (uintptr_t)duff;
	struct event_map *event;

	if (address < mapping->start || address >= mapping->end)
		return 0;
	event = maps_event_new(getpid(), mapping);
	address_space_map(fixture->space, event->start, event->end,
			  image_table_add(fixture->images, event));
	free(event);
	return 1;
}

static void test_leaf_of_go(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {STACK + 24, (uintptr_t)duff_return, 7, 0, CODE + 16};

	assert_int_equal(procfs_maps(getpid(), map_own_code, fixture, NULL), 1);
	add_piece(fixture, STACK, words, 5, 0);
	/* rbp stands below the return address, where the caller's rbp is. */
	assert_int_equal(unwind(fixture, (uintptr_t)duff, STACK + 8, STACK), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	assert_int_equal(fixture->frames[1].pc, (uintptr_t)duff_return);
	assert_int_equal(fixture->frames[2].pc, CODE + 16);
	/* Any other leaf: rbp is the caller's. */
	assert_int_equal(unwind(fixture, (uintptr_t)duff, STACK + 8, STACK + 24),
			 STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	assert_int_equal(fixture->frames[2].pc, CODE + 16);
}

/* Of an earlier call by the same caller a return address is left at the lower end of the frame. */
static void test_left_over(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t words[] = {
	    (uintptr_t)duff_return, 7, STACK + 48, (uintptr_t)duff_return, 7, 7, 0, CODE + 16};

	assert_int_equal(procfs_maps(getpid(), map_own_code, fixture, NULL), 1);
	add_piece(fixture, STACK, words, 8, 0);
	assert_int_equal(unwind(fixture, (uintptr_t)duff_end, STACK, STACK + 16),
			 STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	assert_int_equal(fixture->frames[1].pc, (uintptr_t)duff_return);
	assert_int_equal(fixture->frames[2].pc, CODE + 16);
	/* It calls itself, and has no frame yet. */
	assert_int_equal(unwind(fixture, (uintptr_t)duff, STACK, STACK + 16), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 4);
}

static void test_not_called(void **state)
{
	struct fixture *fixture = *state;
	uint64_t words[] = {STACK + 16, (uintptr_t)duff_return, 0, CODE + 16};

	assert_int_equal(procfs_maps(getpid(), map_own_code, fixture, NULL), 1);
	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	/* Executable, but no call ends there, and no record follows: rbp was no frame pointer. */
	words[1] = (uintptr_t)duff + 1;
	words[3] = 7;
	fixture->event->stacks_n = 0;
	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_NO_CFI);
	assert_int_equal(fixture->frames_n, 1);
	/* Unless the kernel put it there; its record of the interrupted registers is missing. */
	words[1] = (uintptr_t)trampoline;
	fixture->event->stacks_n = 0;
	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_BAD_READ);
	assert_int_equal(fixture->frames_n, 2);
	assert_true(fixture->frames[1].exact);
	words[1] = (uintptr_t)duff + 1;
	/* Or another record follows. */
	words[3] = (uintptr_t)duff_return;
	fixture->event->stacks_n = 0;
	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 3);
	/* Or it is where a thread begins. */
	words[0] = 0;
	fixture->event->stacks_n = 0;
	add_piece(fixture, STACK, words, 4, 0);
	assert_int_equal(unwind(fixture, CODE + 1, STACK, STACK), STACK_END_COMPLETE);
	assert_int_equal(fixture->frames_n, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frame_pointers), TEST(test_truncated), TEST(test_loop),
	    TEST(test_too_deep),       TEST(test_outside),   TEST(test_mappings_change),
	    TEST(test_two_pieces),     TEST(test_no_copy),   TEST(test_addresses),
	    TEST(test_leaf_of_go),     TEST(test_left_over), TEST(test_not_called),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
