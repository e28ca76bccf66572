/* model/lived: what is known of the handles of a place that were closed. */
#include "base/clock.h"
#include "model/lived.h"
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { RANDOM_N = 2000, ROUNDS = 50, EVENTFD2 = 290, CLOSE = 3 };

static void add(struct lived *lived, uint64_t length_ns)
{
	lived_add(lived, 1000, 1000 + length_ns, 5);
}

static void test_buckets(void **state)
{
	struct lived lived = {0};

	(void)state;
	assert_int_equal(lived_quantile(&lived, 0), 0);
	add(&lived, 0);
	add(&lived, 1999);
	add(&lived, 2000);
	add(&lived, 3999);
	add(&lived, 1000000);             /* 1 ms: from 512 us on */
	lived_add(&lived, 2000, 1000, 5); /* clocks of two CPUs */
	assert_int_equal(lived.buckets[0], 3);
	assert_int_equal(lived.buckets[1], 2);
	assert_int_equal(lived.buckets[9], 1);
	assert_int_equal(lived.known, 6);
	assert_int_equal(lived.longest_ns, 1000000);
	add(&lived, UINT64_MAX - 1000);
	assert_int_equal(lived.buckets[LIVED_BUCKETS - 1], 1);
	lived_add(&lived, 0, 1000, 5); /* the opening was not seen */
	assert_int_equal(lived.known, 7);
	assert_int_equal(lived.closers[0].count, 8);
}

static void test_closers(void **state)
{
	struct lived lived = {0};

	(void)state;
	for (uint32_t stack = 1; stack <= CLOSERS_MAX + 2; stack++)
		for (uint32_t i = 0; i < stack; i++)
			lived_add(&lived, 1, 2, stack);
	assert_int_equal(lived.closers_n, CLOSERS_MAX);
	for (uint32_t i = 0; i < CLOSERS_MAX; i++) {
		assert_int_equal(lived.closers[i].stack_id, i + 1);
		assert_int_equal(lived.closers[i].count, i + 1);
	}
	assert_int_equal(lived.closed_elsewhere, 2 * CLOSERS_MAX + 3);
}

/* No more than so many outlive it, and not all of the bucket below it could be spared. */
static void test_quantiles(void **state)
{
	unsigned seed =
	    getenv("TEST_SEED") ? (unsigned)atoi(getenv("TEST_SEED")) : (unsigned)clock_now_ns();
	static uint64_t lengths[RANDOM_N];

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t thousandths = (uint32_t)rand() % 1001, n = 1 + (uint32_t)rand() % RANDOM_N;
		struct lived lived = {0};
		uint64_t outlived = 0, at_half = 0, end_ns;

		for (uint32_t i = 0; i < n; i++) {
			lengths[i] = ((uint64_t)rand() << 20 | (uint64_t)rand()) >> rand() % 48;
			add(&lived, lengths[i]);
		}
		end_ns = lived_quantile(&lived, thousandths);
		for (uint32_t i = 0; i < n; i++) {
			outlived += lengths[i] >= end_ns && lengths[i] > lived.longest_ns - 1
					? end_ns < lived.longest_ns
					: lengths[i] >= end_ns;
			at_half += lengths[i] >= end_ns / 4;
		}
		assert_true(end_ns <= lived.longest_ns);
		assert_true(outlived * 1000 <= (uint64_t)n * thousandths);
		if (end_ns >= 4000 && end_ns < lived.longest_ns)
			assert_true(at_half * 1000 > (uint64_t)n * thousandths - 1000);
	}
}

/* Whole buckets, and the longest one in any case. */
static void test_longer(void **state)
{
	struct lived lived = {0};

	(void)state;
	assert_int_equal(lived_longer(&lived, 1), 0);
	add(&lived, 1000);
	add(&lived, 5000000);
	add(&lived, 9000000);
	add(&lived, 9100000);
	assert_int_equal(lived_longer(&lived, 9100001), 0);
	assert_int_equal(lived_longer(&lived, 9100000), 1);
	assert_int_equal(lived_longer(&lived, 8200000), 1);
	assert_int_equal(lived_longer(&lived, 8100000), 2);
	assert_int_equal(lived_longer(&lived, 1000000), 3);
	assert_int_equal(lived_longer(&lived, UINT64_MAX), 0);
}

static void apply(struct model *model, enum handle_op_kind kind, int32_t number, uint64_t time_ns,
		  uint32_t stack_id)
{
	struct actor actor = {.pid = 1,
			      .tid = 1,
			      .time_ns = time_ns,
			      .stack_id = stack_id,
			      .call = kind == HANDLE_OPEN ? EVENTFD2 : CLOSE};
	struct handle_op op = {.kind = kind, .number = number, .last = number, .type = "eventfd"};

	model_apply(model, &actor, &op);
}

static void keep_stack(void *context, uint32_t stack_id)
{
	*(bool *)context |= stack_id == 77;
}

/* A place knows how long its handles lived and who closed them; the stack is not dropped. */
static void test_places(void **state)
{
	struct model *model = model_new(NULL);
	const struct process *process = model_attach(model, 1, 0, 1);
	const struct place *place;
	bool kept = false;

	(void)state;
	for (int32_t number = 3; number < 13; number++)
		apply(model, HANDLE_OPEN, number, 1000000, 5);
	place = &process->places.data[0];
	assert_null(place->ends);
	for (int32_t number = 3; number < 12; number++)
		apply(model, HANDLE_CLOSE, number, 1000000 + (uint64_t)number * 1000000, 77);
	assert_int_equal(place->opened, 10);
	assert_int_equal(place->closed, 9);
	assert_int_equal(place->ends->known, 9);
	assert_int_equal(place->ends->longest_ns, 11000000);
	assert_int_equal(place->ends->closers_n, 1);
	assert_int_equal(place->ends->closers[0].stack_id, 77);
	for (int32_t number = 3; number < 12; number++)
		apply(model, HANDLE_OPEN, number, 90000000, 6); /* their pasts tell of 77 no more */
	for (int32_t number = 3; number < 12; number++)
		apply(model, HANDLE_CLOSE, number, 91000000, 78);
	model_stacks_each(model, keep_stack, &kept);
	assert_true(kept);
	model_free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_buckets),   cmocka_unit_test(test_closers),
	    cmocka_unit_test(test_quantiles), cmocka_unit_test(test_longer),
	    cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
