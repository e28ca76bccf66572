/* model/exhausted: what is kept of calls that fail for want of a handle. */
#include "model/model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ACCEPT4 = 288, OPENAT = 257 };

static const uint64_t SECOND = 1000000000;

static struct model *model;
static uint64_t now;

static int setup(void **state)
{
	now = SECOND;
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

static void open_at(int number, uint32_t stack, const char *type)
{
	struct actor actor = {1, 1, ++now, stack, OPENAT};

	model_apply(model, &actor,
		    &(struct handle_op){.kind = HANDLE_OPEN, .number = number, .type = type});
}

static void fail_at(uint32_t stack, uint32_t call, int error)
{
	struct actor actor = {1, 7, ++now, stack, call};

	model_apply(model, &actor,
		    &(struct handle_op){.kind = HANDLE_EXHAUSTED, .number = -1, .error = error});
}

static const struct exhaustion *exhausted(void)
{
	return model_process(model, 1)->exhausted;
}

static void test_none(void **state)
{
	open_at(3, 1, "file");
	assert_null(exhausted());
}

static void test_counts(void **state)
{
	const struct exhausted_limits limits = {.process = 64, .system_open = 9, .system = 10};

	for (int i = 0; i < 5; i++)
		open_at(3 + i, 1, "file");
	for (int i = 0; i < 20; i++)
		open_at(10 + i, 2, "socket");
	for (int i = 0; i < 7; i++)
		fail_at(3, ACCEPT4, -EMFILE);
	fail_at(3, ACCEPT4, -ENFILE);
	fail_at(4, OPENAT, -EMFILE);
	model_exhausted_limits(model, 1, &limits);
	assert_int_equal(exhausted()->count, 9);
	assert_int_equal(exhausted()->episodes, 1);
	assert_int_equal(exhausted()->last_ns - exhausted()->first_ns, 8);
	assert_int_equal(exhausted()->places.count, 3);
	assert_int_equal(exhausted()->places.data[0].count, 7);
	assert_int_equal(exhausted()->places.data[0].last_ns, exhausted()->first_ns + 6);
	assert_int_equal(exhausted()->places.data[1].error, -ENFILE);
	assert_int_equal(exhausted()->call, ACCEPT4);
	assert_int_equal(exhausted()->error, -EMFILE);
	assert_int_equal(exhausted()->stack_id, 3);
	assert_int_equal(exhausted()->tid, 7);
	assert_int_equal(exhausted()->open, 25);
	assert_int_equal(exhausted()->limits.process, 64);
	assert_int_equal(exhausted()->holders_n, 2);
	assert_int_equal(exhausted()->holders[0].open, 20);
	assert_int_equal(exhausted()->holders[0].stack_id, 2);
	assert_string_equal(exhausted()->holders[0].type, "socket");
	assert_int_equal(exhausted()->holders[1].open, 5);
}

/* What held the handles is what held them when the newest episode began. */
static void test_episodes(void **state)
{
	open_at(3, 1, "file");
	fail_at(3, ACCEPT4, -EMFILE);
	open_at(4, 2, "file");
	for (int i = 0; i < 100; i++) { /* never quiet for long */
		now += 59 * SECOND;
		fail_at(3, ACCEPT4, -EMFILE);
	}
	assert_int_equal(exhausted()->episodes, 1);
	assert_int_equal(exhausted()->open, 1);
	now += 61 * SECOND;
	fail_at(4, OPENAT, -ENFILE);
	assert_int_equal(exhausted()->episodes, 2);
	assert_int_equal(exhausted()->open, 2);
	assert_int_equal(exhausted()->call, OPENAT);
	assert_int_equal(exhausted()->began_ns, now);
	assert_int_equal(exhausted()->limits.process, 0);
	assert_int_equal(exhausted()->count, 102);
	model_set_quiet(model, SECOND);
	now += 2 * SECOND;
	fail_at(4, OPENAT, -ENFILE);
	assert_int_equal(exhausted()->episodes, 3);
}

/* Handles of before tracing are a holder too; of many holders the greatest are told. */
static void test_holders(void **state)
{
	struct observed_handle observed[] = {{.number = 0, .type = "file"},
					     {.number = 1, .type = "file"}};

	model_free(model);
	model = model_new(NULL);
	model_attach(model, 1, 0, now);
	for (int i = 0; i < 3; i++) {
		model_observe(model, 1, observed, 2, now, now + 1);
		now += 2;
	}
	model_attached(model, 1);
	for (int place = 1; place <= 30; place++)
		for (int i = 0; i < place; i++)
			open_at(place * 100 + i, place, "file");
	fail_at(99, ACCEPT4, -EMFILE);
	assert_int_equal(exhausted()->open, 30 * 31 / 2 + 2);
	assert_int_equal(exhausted()->holders_n, EXHAUSTED_HOLDERS_MAX);
	for (int i = 0; i < EXHAUSTED_HOLDERS_MAX; i++) {
		assert_int_equal(exhausted()->holders[i].open, 30 - i);
		assert_int_equal(exhausted()->holders[i].stack_id, 30 - i);
	}
	open_at(1, 100, "file"); /* one of them becomes a handle like others */
	model_set_quiet(model, 0);
	for (int place = 2; place <= 30; place++)
		for (int i = 0; i < place; i++)
			model_apply(
			    model, &(struct actor){1, 1, ++now, 5, 3},
			    &(struct handle_op){.kind = HANDLE_CLOSE, .number = place * 100 + i});
	fail_at(99, ACCEPT4, -EMFILE);
	assert_int_equal(exhausted()->holders_n, 3);
	assert_int_equal(exhausted()->open, 3);
}

static void test_bounded(void **state)
{
	size_t bytes;

	for (uint32_t stack = 1; stack <= EXHAUSTED_PLACES_MAX; stack++)
		fail_at(stack, ACCEPT4, -EMFILE);
	bytes = model_bytes(model);
	for (uint32_t stack = 1; stack <= 10000; stack++)
		fail_at(stack, ACCEPT4, -EMFILE);
	assert_int_equal(exhausted()->places.count, EXHAUSTED_PLACES_MAX);
	assert_int_equal(exhausted()->places_dropped, 10000 - EXHAUSTED_PLACES_MAX);
	assert_int_equal(exhausted()->count, 10000 + EXHAUSTED_PLACES_MAX);
	assert_int_equal(model_bytes(model), bytes);
}

static void note_stack(void *context, uint32_t stack_id)
{
	bool *seen = context;

	if (stack_id < 1000)
		seen[stack_id] = true;
}

static void test_stacks_are_kept(void **state)
{
	bool seen[1000] = {0};

	open_at(3, 500, "file");
	fail_at(600, ACCEPT4, -EMFILE);
	model_apply(model, &(struct actor){1, 1, ++now, 5, 3},
		    &(struct handle_op){.kind = HANDLE_CLOSE, .number = 3});
	model_stacks_each(model, note_stack, seen);
	assert_true(seen[500]);
	assert_true(seen[600]);
}

/* A child that ended is told of if it ran out of handles, whatever it left open. */
static void test_child_is_kept(void **state)
{
	struct actor parent = {1, 1, ++now, 0, 57}, child = {2, 2, ++now, 9, ACCEPT4};

	model_fork(model, &parent, 2, 2, 0, NULL);
	model_apply(model, &child,
		    &(struct handle_op){.kind = HANDLE_EXHAUSTED, .number = -1, .error = -EMFILE});
	model_exit(model, &child, EVENT_EXIT_PROCESS, 0, NULL);
	assert_non_null(model_process(model, 2));
	assert_int_equal(model_process(model, 2)->exhausted->count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_episodes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_holders, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stacks_are_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_child_is_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
