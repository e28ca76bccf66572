/* model/growth: samples of what is open, over any length of time, in bounded memory. */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint64_t STEP = GROWTH_STEP_NS;

static struct model *model;
static uint64_t now;
static int next_number;

static int setup(void **state)
{
	now = 1000 * STEP;
	next_number = 3;
	model = model_new(NULL);
	model_attach(model, 1, 0, now);
	model_attached(model, 1);
	return 0;
}

static int teardown(void **state)
{
	model_free(model);
	return 0;
}

static void open_at(uint32_t stack)
{
	model_apply(
	    model, &(struct actor){1, 1, now, stack, 1},
	    &(struct handle_op){.kind = HANDLE_OPEN, .number = next_number++, .type = "file"});
}

static void close_at(int number)
{
	model_apply(model, &(struct actor){1, 1, now, 99, 3},
		    &(struct handle_op){.kind = HANDLE_CLOSE, .number = number});
}

static const struct growth_times *times(void)
{
	return model_process(model, 1)->growth_times;
}

static const struct growth *growth(uint32_t stack)
{
	array_each (place, &model_process(model, 1)->places)
		if (place->stack_id == stack)
			return place->growth;
	return NULL;
}

static void test_points(void **state)
{
	open_at(1);
	model_sample(model, now);
	now += STEP;
	open_at(1);
	open_at(2);
	model_sample(model, now);
	model_sample(model, now + 1); /* not due */
	now += STEP;
	close_at(5); /* that of place 2 */
	open_at(1);
	model_sample(model, now);
	assert_int_equal(times()->n, 3);
	assert_int_equal(times()->times_ns[2] - times()->times_ns[1], STEP);
	assert_memory_equal(growth(1)->open, ((uint32_t[]){1, 2, 3}), 12);
	assert_memory_equal(growth(2)->open, ((uint32_t[]){0, 1, 0}), 12);
	assert_memory_equal(times()->open, ((uint32_t[]){1, 3, 3}), 12);
}

/* What was never open at a sample costs nothing. */
static void test_short_lived(void **state)
{
	for (int i = 0; i < 10; i++) {
		open_at(1);
		close_at(next_number - 1);
		model_sample(model, now += STEP);
	}
	assert_null(growth(1));
	assert_int_equal(times()->n, 10);
}

/* A leak of one handle a step, watched for a week: the points span it all, evenly, and rise. */
static void test_thinning(void **state)
{
	const uint32_t steps = 100000;
	uint64_t begin = now, step;
	size_t bytes = 0;

	for (uint32_t i = 0; i < steps; i++) {
		open_at(1);
		if (i == steps / 2)
			open_at(2); /* its first points are 0 */
		model_sample(model, now);
		if (i == 70)
			bytes = sizeof(struct growth) + sizeof(struct growth_times);
		now += STEP;
	}
	assert_true(bytes < 1200);
	assert_in_range(times()->n, GROWTH_POINTS / 2, GROWTH_POINTS);
	step = times()->step_ns;
	for (uint32_t i = 0; i < times()->n; i++) {
		uint64_t at = (times()->times_ns[i] - begin) / STEP;

		assert_int_equal(times()->times_ns[i], begin + i * step);
		assert_int_equal(growth(1)->open[i], at + 1);
		assert_int_equal(growth(2)->open[i], at >= steps / 2);
		assert_int_equal(times()->open[i], growth(1)->open[i] + growth(2)->open[i]);
	}
	assert_true(now - times()->times_ns[times()->n - 1] <= step);
}

/* Samples that come late or hardly ever are no reason to take many at once. */
static void test_late(void **state)
{
	for (int i = 0; i < 5; i++) {
		now += 10 * STEP + STEP / 3;
		model_sample(model, now);
		model_sample(model, now + 1);
		model_sample(model, now + 2);
	}
	assert_int_equal(times()->n, 5);
}

static void test_every(void **state)
{
	model_set_every(model, 5 * STEP);
	for (int i = 0; i < 50; i++)
		model_sample(model, now += STEP);
	assert_int_equal(times()->n, 10);
	assert_int_equal(times()->times_ns[9] - times()->times_ns[8], 5 * STEP);
}

static void test_ended(void **state)
{
	open_at(1);
	model_sample(model, now);
	model_exit(model, &(struct actor){1, 1, now, 0, 60}, EVENT_EXIT_PROCESS, 0, NULL);
	model_sample(model, now += STEP);
	assert_int_equal(times()->n, 1);
	assert_int_equal(growth(1)->open[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_points, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_short_lived, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_thinning, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_every, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
