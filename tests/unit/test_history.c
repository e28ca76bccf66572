/* trace/history: what a ring of N keeps, against what was told to it. */
#include "trace/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void tell(struct history *history, uint64_t count)
{
	struct model_observer observer = history_observer(history);

	for (uint64_t i = 0; i < count; i++) {
		struct trace trace = {
		    .kind = i % 3 + 1,
		    .pid = 7,
		    .number = (int32_t)i,
		    .moment = {.time_ns = i, .pid = 7, .tid = 8, .stack_id = i},
		};

		observer.trace(observer.context, &trace);
	}
}

static void check_ring(uint32_t traces_max, uint64_t told)
{
	struct history *history = history_new(traces_max);
	uint32_t kept = told < traces_max ? told : traces_max;

	tell(history, told);
	assert_int_equal(history_total(history), told);
	assert_int_equal(history_count(history), kept);
	for (uint32_t age = 0; age < kept; age++) {
		const struct trace *trace = history_get(history, age);
		uint64_t wanted = told - 1 - age;

		assert_int_equal(trace->number, wanted);
		assert_int_equal(trace->kind, wanted % 3 + 1);
		assert_int_equal(trace->pid, 7);
		assert_int_equal(trace->moment.time_ns, wanted);
		assert_int_equal(trace->moment.stack_id, wanted);
	}
	assert_null(history_get(history, kept));
	assert_null(history_get(history, UINT32_MAX));
	history_free(history);
}

static void test_ring(void **state)
{
	(void)state;
	for (uint32_t traces_max = 0; traces_max <= 9; traces_max++)
		for (uint64_t told = 0; told <= 30; told++)
			check_ring(traces_max, told);
}

/* A generous limit costs nothing before it is used. */
static void test_no_limit(void **state)
{
	(void)state;
	check_ring(UINT32_MAX, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ring),
	    cmocka_unit_test(test_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
