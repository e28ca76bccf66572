/* stack/stack_table: equal stacks have one id, others do not, and what goes in comes out. */
#include "stack/stack_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { STACKS = 20000 };

static uint32_t make(unsigned number, struct frame *frames)
{
	uint32_t n = number % (STACK_FRAMES_MAX + 1);

	for (uint32_t i = 0; i < n; i++)
		frames[i] = (struct frame){
		    .pc = number * 1000003ull + i, .image = number % 7, .exact = i == 0};
	return n;
}

static void test_intern(void **state)
{
	struct stack_table *table = stack_table_new();
	uint32_t *ids = calloc(STACKS, sizeof(*ids));
	struct frame frames[STACK_FRAMES_MAX];

	for (unsigned i = 0; i < STACKS; i++) {
		uint32_t n = make(i, frames);

		ids[i] = stack_table_intern(table, frames, n, i % STACK_END_N);
		assert_int_not_equal(ids[i], STACK_NONE);
	}
	for (unsigned i = 0; i < STACKS; i++) {
		uint32_t n = make(i, frames);
		struct stack stack = stack_table_get(table, ids[i]);

		assert_int_equal(stack_table_intern(table, frames, n, i % STACK_END_N), ids[i]);
		assert_int_equal(stack.frames_n, n);
		assert_int_equal(stack.end, i % STACK_END_N);
		for (uint32_t f = 0; f < n; f++)
			assert_true(stack.frames[f].pc == frames[f].pc &&
				    stack.frames[f].image == frames[f].image &&
				    stack.frames[f].exact == frames[f].exact);
	}
	stack_table_free(table);
	free(ids);
}

static void test_none(void **state)
{
	struct stack_table *table = stack_table_new();

	assert_int_equal(stack_table_get(table, STACK_NONE).frames_n, 0);
	assert_int_equal(stack_table_get(table, 4711).frames_n, 0);
	assert_int_equal(stack_table_count(table), 0);
	stack_table_free(table);
}

/* Of many stacks every tenth is kept; the others' ids are given out again. */
static void test_sweep(void **state)
{
	enum { STACKS = 30000, DEPTH = 20, TIMES = 20 };
	static uint8_t kept[2 * STACKS];
	struct stack_table *table = stack_table_new();
	struct frame frames[DEPTH] = {0};
	uint32_t ids[STACKS];
	size_t bytes = 0;

	for (unsigned time = 0; time < TIMES; time++) {
		for (unsigned i = 0; i < STACKS; i++) {
			/* Every tenth is the same each time. */
			frames[0].pc = i % 10 ? i + 1000000 * (1 + time) : i;
			ids[i] = stack_table_intern(table, frames, DEPTH, STACK_END_COMPLETE);
			assert_in_range(ids[i], 1, stack_table_last(table));
		}
		assert_int_equal(stack_table_count(table), STACKS);
		memset(kept, 0, sizeof(kept));
		for (unsigned i = 0; i < STACKS; i += 10)
			kept[ids[i]] = 1;
		stack_table_sweep(table, kept);
		assert_int_equal(stack_table_count(table), STACKS / 10);
		for (unsigned i = 0; i < STACKS; i++) {
			struct stack stack = stack_table_get(table, ids[i]);

			assert_int_equal(stack.frames_n, i % 10 ? 0 : DEPTH);
			if (i % 10 == 0)
				assert_int_equal(stack.frames[0].pc, i);
		}
		if (time == 0)
			bytes = stack_table_bytes(table);
		assert_int_equal(stack_table_bytes(table), bytes);
	}
	stack_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_intern),
	    cmocka_unit_test(test_none),
	    cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
