/* trace/diff: which handles are grouped, how they are counted, and in which order they come. */
#include "trace/diff.h"

#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define S UINT64_C(1000000000)

static const struct snapshot everything = {0};

/* Two places with one stack and type but another origin, and two types of one stack, are apart. */
static void test_groups(void **state)
{
	struct model model = {0};
	struct fake_process *process = fake_process(&model, 10, S);
	uint32_t leak = fake_place(process, "eventfd", 5, ORIGIN_OPENED);
	uint32_t received = fake_place(process, "eventfd", 5, ORIGIN_RECEIVED);
	uint32_t other = fake_place(process, "file", 5, ORIGIN_OPENED);
	uint32_t lost = fake_place(process, NULL, 0, ORIGIN_UNKNOWN);
	uint32_t before = fake_place(process, "file", 0, ORIGIN_BEFORE_TRACING);
	uint32_t inherited = fake_place(process, "pipe", 6, ORIGIN_INHERITED);
	char eventfd[] = "eventfd"; /* the same type at another address */
	struct diff diff;

	(void)state;
	for (int32_t number = 0; number < 3; number++)
		fake_open(process, number, before, 0, NULL);
	fake_open(process, 3, inherited, 2 * S, NULL);
	for (int32_t number = 4; number < 14; number++)
		fake_open(process, number, leak, 3 * S + number, NULL);
	process->handles.data[8].type = eventfd;
	fake_open(process, 20, received, 3 * S, NULL);
	fake_open(process, 21, received, 3 * S + 200000000, NULL);
	fake_open(process, 22, other, 3 * S, NULL);
	fake_open(process, 23, lost, 0, NULL);
	process->handles.data[0].type = "epoll";
	process->handles.data[1].type = "epoll";
	process->handles.data[1].name = "as told";
	diff_make(&diff, &model, &process->process, &everything, 4 * S);

	assert_ptr_equal(diff.process, &process->process);
	assert_int_equal(diff.open_handles, 18);
	assert_int_equal(diff.before_tracing, 3);
	assert_int_equal(diff.inherited, 1);
	assert_int_equal(diff.before_snapshot, 0);
	assert_int_equal(diff.others.count, 4);
	assert_string_equal(diff.others.data[0].name, "anon_inode:[eventpoll]");
	assert_string_equal(diff.others.data[1].name, "as told");
	assert_null(diff.others.data[2].name);
	assert_int_equal(diff.others.data[3].origin, ORIGIN_INHERITED);
	assert_int_equal(diff.end_ns, 4 * S);
	assert_int_equal(diff.groups.count, 4);
	assert_int_equal(diff.groups.data[0].open, 10);
	assert_int_equal(diff.groups.data[0].handles.count, 10);
	assert_int_equal(diff.groups.data[0].verdict, VERDICT_LEAK);
	assert_string_equal(diff.groups.data[0].reason, "10 opened here, none closed");
	assert_int_equal(diff.groups.data[0].oldest_ns, 3 * S + 4);
	assert_int_equal(diff.groups.data[0].newest_ns, 3 * S + 13);
	assert_int_equal(diff.groups.data[1].origin, ORIGIN_RECEIVED);
	assert_int_equal(diff.groups.data[1].verdict, VERDICT_LEAK);
	assert_string_equal(diff.groups.data[2].type, "file");
	assert_int_equal(diff.groups.data[2].verdict, VERDICT_UNKNOWN);
	assert_null(diff.groups.data[3].type);
	assert_string_equal(diff.groups.data[3].reason, "1 open, the opening was not seen");
	diff_fini(&diff);
	fake_fini(&model);
}

/* Older than the snapshot: counted, not shown; the place's counts stay those since the start. */
static void test_snapshot(void **state)
{
	struct model model = {0};
	struct fake_process *process = fake_process(&model, 10, S);
	uint32_t place = fake_place(process, "file", 1, ORIGIN_OPENED);
	struct snapshot snapshot = {.time_ns = 3 * S};
	struct diff diff;

	(void)state;
	fake_open(process, 3, place, 2 * S, NULL);
	fake_open(process, 4, place, 3 * S - 1, NULL);
	fake_open(process, 5, place, 3 * S, NULL);
	fake_open(process, 6, place, 4 * S, NULL);
	diff_make(&diff, &model, &process->process, &snapshot, 5 * S);
	assert_int_equal(diff.before_snapshot, 2);
	assert_int_equal(diff.others.count, 2);
	assert_int_equal(diff.others.data[1].number, 4);
	assert_int_equal(diff.snapshot_ns, 3 * S);
	assert_int_equal(diff.groups.count, 1);
	assert_int_equal(diff.groups.data[0].open, 2);
	assert_int_equal(diff.groups.data[0].opened, 4);
	assert_int_equal(diff.groups.data[0].handles.data[0].number, 5);
	assert_string_equal(diff.groups.data[0].reason,
			    "4 opened here, none closed; 2 of the open ones since the snapshot");
	diff_fini(&diff);
	fake_fini(&model);
}

/* Verdict, open count, newest. */
static void test_order(void **state)
{
	static const struct {
		uint64_t closed;
		int32_t open;
		uint64_t at_ns;
	} places[] = {
	    {999, 1, 5 * S}, /* transient */
	    {0, 1, 5 * S},   /* unknown */
	    {0, 6, 4 * S},   /* leak */
	    {0, 6, 5 * S},   /* leak, newer */
	    {9, 5, 5 * S},   /* growing */
	    {0, 9, 2 * S},   /* leak, more */
	};
	static const uint32_t order[] = {6, 4, 3, 5, 2, 1};
	struct model model = {0};
	struct fake_process *process = fake_process(&model, 10, S);
	struct diff diff;
	int32_t number = 3;

	(void)state;
	for (uint32_t i = 0; i < 6; i++) {
		uint32_t place = fake_place(process, "file", i + 1, ORIGIN_OPENED);

		process->process.places.data[place].opened = places[i].closed;
		process->process.places.data[place].closed = places[i].closed;
		for (int32_t j = 0; j < places[i].open; j++)
			fake_open(process, number++, place, places[i].at_ns + j, NULL);
	}
	diff_make(&diff, &model, &process->process, &everything, 6 * S);
	assert_int_equal(diff.groups.count, 6);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(diff.groups.data[i].stack_id, order[i]);
	diff_fini(&diff);
	fake_fini(&model);
}

/* Tables of single threads come after the leader's: numbers are put in order. */
static void test_numbers_sorted(void **state)
{
	static const int32_t numbers[] = {3, 7, 8, 4, 7, 9};
	static const int32_t sorted[] = {3, 4, 7, 7, 8, 9};
	struct model model = {0};
	struct fake_process *process = fake_process(&model, 10, S);
	uint32_t place = fake_place(process, "file", 1, ORIGIN_OPENED);
	struct diff diff;

	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		fake_open(process, numbers[i], place, 2 * S + i, NULL);
	diff_make(&diff, &model, &process->process, &everything, 3 * S);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(diff.groups.data[0].handles.data[i].number, sorted[i]);
	diff_fini(&diff);
	fake_fini(&model);
}

/* A handle whose place is counted by the process that it shares the table with, and one whose type
 * became known later than its place. */
static void test_place_elsewhere(void **state)
{
	struct model model = {0};
	struct fake_process *opener = fake_process(&model, 10, S);
	struct fake_process *sharer = fake_process(&model, 11, S);
	uint32_t place = fake_place(opener, NULL, 1, ORIGIN_OPENED);
	struct diff diff;

	(void)state;
	for (int32_t number = 3; number < 8; number++)
		fake_open(opener, number, place, 2 * S, NULL);
	opener->process.places.data[place].closed = 1;
	opener->process.places.data[place].opened++;
	array_each (handle, &opener->handles) {
		handle->type = "socket";
		handle->opened_as = OPENED_AS_UNKNOWN;
		array_push(&sharer->handles, *handle);
	}
	for (int i = 0; i < 2; i++) {
		diff_make(&diff, &model, &model.processes[i].process, &everything, 3 * S);
		assert_int_equal(diff.groups.count, 1);
		assert_int_equal(diff.groups.data[0].opened, 6);
		assert_int_equal(diff.groups.data[0].closed, 1);
		assert_string_equal(diff.groups.data[0].type, "socket");
		assert_int_equal(diff.groups.data[0].verdict, VERDICT_GROWING);
		diff_fini(&diff);
	}
	fake_fini(&model);
}

/* Ages of what a process left end with it, not with the report. */
static void test_exited(void **state)
{
	struct model model = {0};
	struct fake_process *process = fake_process(&model, 10, S);
	uint32_t place = fake_place(process, "file", 1, ORIGIN_OPENED);
	struct diff diff;

	(void)state;
	fake_open(process, 3, place, 2 * S, NULL);
	fake_open(process, 4, place, 2 * S + 1, NULL);
	process->process.exited = true;
	process->process.exit_ns = 3 * S;
	diff_make(&diff, &model, &process->process, &everything, 100 * S);
	assert_int_equal(diff.end_ns, 3 * S);
	assert_int_equal(diff.groups.data[0].verdict,
			 VERDICT_LEAK); /* no pool: not quiet for long */
	diff_fini(&diff);
	fake_fini(&model);
}

static void test_nothing(void **state)
{
	struct model model = {0};
	struct fake_process *process = fake_process(&model, 10, S);
	struct diff diff;

	(void)state;
	diff_make(&diff, &model, &process->process, &everything, 2 * S);
	assert_int_equal(diff.open_handles, 0);
	assert_int_equal(diff.groups.count, 0);
	diff_fini(&diff);
	fake_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_groups),          cmocka_unit_test(test_snapshot),
	    cmocka_unit_test(test_order),           cmocka_unit_test(test_numbers_sorted),
	    cmocka_unit_test(test_place_elsewhere), cmocka_unit_test(test_exited),
	    cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
