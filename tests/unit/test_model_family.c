/* model/family and task by hand: forks, exec, ends, shared tables, what is forgotten. */
#include "model_fixture.h"

static void test_fork(void **state)
{
	open_(1, 1, 0, 5);
	open_(1, 1, 3, 6);
	open_(1, 1, 5, 9);
	close_(1, 2, 3, 7); /* not yet done in the kernel when the child's table is made */
	fork_(1, 100, 0, fds_of(1 << 0 | 1 << 3 | 1 << 4, 0));
	assert_true(is_open(100, 0) && is_open(100, 3) && is_open(100, 4));
	assert_false(is_open(100, 5)); /* the kernel knows better */
	assert_int_equal(get(100, 0)->origin, ORIGIN_INHERITED);
	assert_int_equal(get(100, 0)->opened.stack_id, 5);
	assert_int_equal(get(100, 3)->opened.stack_id, 6);
	assert_int_equal(get(100, 4)->opened.time_ns, 0);
	assert_false(is_open(1, 3));
	open_(1, 3, 4, 8); /* was under way */
	assert_int_equal(get(100, 4)->opened.stack_id, 8);
	assert_string_equal(get(100, 4)->type, "file");
	assert_int_equal(model_process(model, 100)->places.count, 0);
	close_(100, 100, 0, 5);
	assert_true(is_open(1, 0));
	fork_(1, 101, 0, fds_of(0, EVENT_DATA_CUT)); /* says nothing beyond its 128 bits */
	assert_false(is_open(101, 0));
	open_(1, 1, 300, 5);
	fork_(1, 102, 0, fds_of(1, EVENT_DATA_CUT));
	assert_true(is_open(102, 300) && is_open(102, 0) && !is_open(102, 4));
}

static void test_shared_table(void **state)
{
	open_(1, 1, 3, 5);
	fork_(1, 100, EVENT_FORK_FILES, NULL);
	close_(100, 100, 3, 6);
	assert_false(is_open(1, 3));
	open_(100, 100, 4, 7);
	assert_true(is_open(1, 4));
	assert_int_equal(model_process(model, 1)->places.data[0].closed, 1);
	op(100, 100, 0, (struct handle_op){.kind = HANDLE_UNSHARE});
	close_(100, 100, 4, 6);
	assert_true(is_open(1, 4));
	fork_(1, 101, EVENT_FORK_FILES, NULL);
	exit_(1); /* the table lives on in the other process, which counts it from now on */
	assert_true(is_open(101, 4));
	assert_false(is_open(1, 4));
	assert_int_equal(model_process(model, 101)->places.data[0].opened, 1);
	exit_(101);
	assert_true(is_open(101, 4)); /* stays for the report */
}

static void test_thread_with_own_table(void **state)
{
	open_(1, 1, 3, 5);
	fork_(1, 2, EVENT_FORK_THREAD | EVENT_FORK_FILES, NULL);
	op(1, 2, 0, (struct handle_op){.kind = HANDLE_UNSHARE});
	close_(1, 2, 3, 6);
	assert_true(is_open(1, 3));
	open_(1, 2, 9, 6);
	assert_false(is_open(1, 9));
	open_(1, 4, 8, 6); /* a thread that was never told of shares the table */
	assert_true(is_open(1, 8));
}

/* The end of a thread was lost, and its number is a thread's of another process by now. */
static void test_thread_number_reused(void **state)
{
	open_(1, 1, 3, 5);
	fork_(1, 2, EVENT_FORK_THREAD | EVENT_FORK_FILES, NULL);
	op(1, 2, 0, (struct handle_op){.kind = HANDLE_UNSHARE});
	fork_(1, 50, 0, NULL);
	op(50, 2, 0, (struct handle_op){.kind = HANDLE_UNSHARE});
	exec_(1, NULL); /* does not look for it for ever */
	assert_true(is_open(1, 3));
	assert_true(is_open(50, 3));
	exec_(50, NULL);
	assert_true(is_open(50, 3));
}

static void test_exec(void **state)
{
	const struct handle_op cloexec = {
	    .kind = HANDLE_CLOEXEC, .number = 4, .last = 4, .cloexec = true};

	open_(1, 1, 3, 5);
	open_(1, 1, 4, 6);
	op(1, 1, 0, cloexec);
	fork_(1, 100, EVENT_FORK_FILES, NULL);
	exec_(100, NULL);
	assert_true(is_open(1, 4));
	assert_false(is_open(100, 4));
	assert_int_equal(get(100, 4)->closed_by, CLOSED_BY_EXEC);
	assert_int_equal(get(100, 3)->origin, ORIGIN_INHERITED);
	assert_int_equal(get(100, 3)->opened.stack_id, 5);
	exec_(1, NULL);
	assert_int_equal(model_process(model, 1)->places.data[1].closed, 1);
	/* a program that was started by us: what it was given is from before */
	model_attach(model, 200, 1, now);
	exec_(200, fds_of(7, 0));
	assert_int_equal(get(200, 2)->origin, ORIGIN_BEFORE_TRACING);
	use(200, 200, 5, 8); /* and the rest is known to be closed */
	assert_int_equal(bad_of(200, 0)->kind, BAD_NEVER_OPENED);
	exec_(200, fds_of(7, 0));
	assert_int_equal(get(200, 2)->origin, ORIGIN_BEFORE_TRACING);
}

/* What the kernel's table holds at the end, and no event has told. */
static void test_unseen_at_exit(void **state)
{
	open_(1, 1, 3, 5);
	fork_(1, 100, 0, NULL);
	open_(100, 100, 4, 6);
	open_(100, 100, 6, 6);
	close_(100, 101, 4, 7); /* another thread's, which the end came before */
	exit_with(100, fds_of(1 << 3 | 1 << 4 | 1 << 5, 0));
	assert_int_equal(get(100, 3)->origin, ORIGIN_INHERITED);
	assert_true(is_open(100, 4) && is_open(100, 5) && !is_open(100, 6));
	assert_int_equal(get(100, 4)->origin, ORIGIN_OPENED);
	assert_int_equal(get(100, 4)->opened.stack_id, 6);
	assert_int_equal(get(100, 5)->origin, ORIGIN_UNKNOWN);
	assert_int_equal(get(100, 5)->opened.time_ns, 0);
	/* before an exec it would be the old program's */
	fork_(1, 102, 0, NULL);
	exec_(102, fds_of(1 << 3 | 1 << 5, 0));
	assert_int_equal(get(102, 5)->origin, ORIGIN_INHERITED);
	/* and where the table was never told whole, from before */
	model_attach(model, 200, 1, now);
	exit_with(200, fds_of(1 << 2, 0));
	assert_int_equal(get(200, 2)->origin, ORIGIN_BEFORE_TRACING);
}

/* Children that all leave something open: so many are kept, the rest is counted. */
static void test_untold(void **state)
{
	const struct forgotten *total = model_forgotten_totals(model);
	size_t bytes = 0;

	for (int i = 0; i < PROCESSES_ENDED_MAX + 2000; i++) {
		int pid = 1000 + i;

		fork_(1, pid, 0, NULL);
		open_(pid, pid, 4, 6);
		open_(pid, pid, 5, 6);
		exit_(pid);
		if (i == PROCESSES_ENDED_MAX)
			bytes = model_bytes(model);
	}
	assert_int_equal(model_processes(model), 1 + PROCESSES_ENDED_MAX);
	assert_int_equal(total->untold, 2000);
	assert_int_equal(total->untold_handles, 4000);
	assert_int_equal(total->processes, 2000);
	assert_true(model_bytes(model) <= bytes);
	/* One of those that are kept: all is known of it. */
	assert_int_equal(model_process(model, 1000)->places.data[0].opened, 2);
}

static void test_forgotten(void **state)
{
	size_t bytes;

	open_(1, 1, 3, 5);
	for (int i = 0; i < 20000; i++) {
		int pid = 1000 + i % 3000;

		fork_(1, pid, 0, NULL);
		open_(pid, pid, 4, 6);
		close_(pid, pid, 4, 7);
		exit_(pid);
		if (i == 3000)
			bytes = model_bytes(model);
	}
	assert_int_equal(model_forgotten(model), 20000);
	assert_int_equal(model_processes(model), 1);
	assert_true(model_bytes(model) <= bytes);
	fork_(1, 1000, 0, NULL);
	open_(1000, 1000, 4, 6);
	exit_(1000);             /* this one has something to tell */
	fork_(1, 1000, 0, NULL); /* and its number is given out again */
	assert_int_equal(model_processes(model), 3);
	assert_true(model_process_at(model, 1)->exited);
	assert_int_equal(model_process_at(model, 1)->exit_status, 256);
	assert_false(model_process(model, 1000)->exited);
	assert_non_null(model_handle(model, model_process_at(model, 1), 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_fork),
	    TEST(test_shared_table),
	    TEST(test_thread_with_own_table),
	    TEST(test_thread_number_reused),
	    TEST(test_exec),
	    TEST(test_forgotten),
	    TEST(test_unseen_at_exit),
	    TEST(test_untold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
