/* model/ by hand: places, closes, bad references, races, memory. */
#include "model_fixture.h"

static void test_places(void **state)
{
	const struct process *process = model_process(model, 1);

	for (int i = 0; i < 10; i++)
		open_(1, 1, i, 7);
	for (int i = 0; i < 4; i++)
		close_(1, 1, i, 8);
	open_(1, 1, 0, 9);
	assert_int_equal(process->places.count, 2);
	assert_int_equal(process->places.data[0].opened, 10);
	assert_int_equal(process->places.data[0].closed, 4);
	assert_int_equal(process->places.data[0].open_most, 10);
	assert_ptr_equal(model_place(model, process, get(1, 0)), &process->places.data[1]);
	assert_int_equal(model_handle_past(get(1, 0))->closed.stack_id, 8);
	assert_int_equal(model_handle_past(get(1, 0))->opened.stack_id, 7);
	assert_int_equal(traces[TRACE_OPEN], 11);
	assert_int_equal(traces[TRACE_CLOSE], 4);
}

/* What an observer is told: the call, the cause or kind, and when the step before it was. */
static void test_traces(void **state)
{
	const struct trace *opened = &last_traces[TRACE_OPEN], *closed = &last_traces[TRACE_CLOSE];
	const struct trace *bad = &last_traces[TRACE_BAD_REFERENCE];
	uint64_t opened_ns;

	open_(1, 2, 3, 5);
	opened_ns = now;
	assert_int_equal(opened->number, 3);
	assert_int_equal(opened->pid, 1);
	assert_int_equal(opened->moment.tid, 2);
	assert_int_equal(opened->moment.stack_id, 5);
	assert_int_equal(opened->call, 3); /* as op() says */
	assert_int_equal(opened->before_ns, 0);
	close_(1, 1, 3, 6);
	assert_int_equal(closed->detail, CLOSED_BY_CALL);
	assert_int_equal(closed->call, 3);
	assert_int_equal(closed->before_ns, opened_ns);
	opened_ns = now;
	use(1, 1, 3, 8);
	assert_int_equal(bad->detail, BAD_USE_AFTER_CLOSE);
	assert_int_equal(bad->call, 0);
	assert_int_equal(bad->before_ns, opened_ns); /* of the close */
	assert_false(bad->asks);
	op(1, 1, 8, (struct handle_op){.kind = HANDLE_BAD_REFERENCE, .number = 99, .asks = true});
	assert_int_equal(bad->detail, BAD_NEVER_OPENED);
	assert_int_equal(bad->before_ns, 0);
	assert_true(bad->asks);
	open_(1, 1, 4, 5);
	op(1, 1, 7, (struct handle_op){.kind = HANDLE_DUPLICATE, .number = 4, .source = 5});
	assert_int_equal(closed->detail, CLOSED_BY_DUP);
	assert_int_equal(closed->call, 3);
	assert_int_equal(closed->moment.time_ns, opened->moment.time_ns);
	op(1, 1, 7, (struct handle_op){.kind = HANDLE_CLOSE_RANGE, .number = 4, .last = 9});
	assert_int_equal(closed->detail, CLOSED_BY_CALL);
	assert_int_equal(closed->call, 3);
	op(1, 1, 7, (struct handle_op){.kind = HANDLE_OPEN, .number = 4, .cloexec = true});
	exec_(1, NULL);
	assert_int_equal(closed->detail, CLOSED_BY_EXEC);
	assert_int_equal(closed->call, TRACE_CALL_NONE);
	open_(1, 1, 4, 5);
	open_(1, 1, 4, 5); /* its close was not seen */
	assert_int_equal(closed->detail, CLOSED_UNSEEN);
	assert_int_equal(closed->call, TRACE_CALL_NONE);
}

struct known {
	int32_t numbers[8];
	uint32_t count, open;
};

static void add_known(void *context, const struct handle *handle)
{
	struct known *known = context;

	known->numbers[known->count++] = handle->number;
	known->open += handle->open;
}

/* Records of closed numbers too, of one number or all, in every thread's table. */
static void test_known_handles(void **state)
{
	const struct process *process = model_process(model, 1);
	struct known known = {0};

	open_(1, 1, 40, 5);
	open_(1, 1, 3, 5);
	close_(1, 1, 3, 6);
	model_known_handles(model, process, -1, add_known, &known);
	assert_int_equal(known.count, 2);
	assert_int_equal(known.open, 1);
	assert_int_equal(known.numbers[0], 3);
	assert_int_equal(known.numbers[1], 40);
	known = (struct known){0};
	model_known_handles(model, process, 3, add_known, &known);
	assert_int_equal(known.count, 1);
	assert_int_equal(known.open, 0);
	model_known_handles(model, process, 41, add_known, &known);
	model_known_handles(model, process, INT_MAX, add_known, &known);
	assert_int_equal(known.count, 1);
	fork_(1, 9, EVENT_FORK_THREAD, NULL); /* with a copy of its own */
	open_(1, 9, 7, 5);
	known = (struct known){0};
	model_known_handles(model, process, 7, add_known, &known);
	assert_int_equal(known.count, 1);
	model_known_handles(model, process, 40, add_known, &known);
	assert_int_equal(known.count, 3);
}

static void test_dup(void **state)
{
	op(1, 1, 5,
	   (struct handle_op){
	       .kind = HANDLE_OPEN, .number = 3, .type = "file", .name = "/x/y", .name_bytes = 4});
	open_(1, 1, 4, 6);
	op(1, 1, 7,
	   (struct handle_op){.kind = HANDLE_DUPLICATE, .number = 4, .source = 3, .cloexec = true});
	assert_string_equal(get(1, 4)->name, "/x/y");
	assert_string_equal(get(1, 4)->type, "file");
	assert_true(get(1, 4)->cloexec);
	assert_int_equal(get(1, 4)->closed_by, CLOSED_BY_DUP);
	assert_int_equal(get(1, 4)->opened.stack_id, 7);
	assert_int_equal(model_process(model, 1)->places.data[1].closed, 1);
}

static void test_close_range(void **state)
{
	for (int i = 0; i < 200; i++)
		open_(1, 1, i, 7);
	op(1, 1, 8,
	   (struct handle_op){.kind = HANDLE_CLOEXEC, .number = 5, .last = 9, .cloexec = true});
	op(1, 1, 8, (struct handle_op){.kind = HANDLE_CLOSE_RANGE, .number = 10, .last = INT_MAX});
	assert_true(is_open(1, 9) && get(1, 9)->cloexec && !get(1, 4)->cloexec);
	for (int i = 10; i < 200; i++)
		assert_false(is_open(1, i));
	use(1, 1, 20, 9);
	assert_int_equal(bad_of(1, 0)->kind, BAD_USE_AFTER_CLOSE);
	assert_int_equal(bad_of(1, 0)->closed.stack_id, 8);
	assert_int_equal(bad_of(1, 0)->opened.stack_id, 7);
}

static void test_bad_references(void **state)
{
	open_(1, 1, 3, 5);
	close_(1, 1, 3, 6);
	for (int i = 0; i < 3; i++) {
		close_(1, 1, 3, 7);
		failed(1, 1, 3, -EBADF);
	}
	assert_int_equal(bad_count(1), 1);
	assert_int_equal(bad_of(1, 0)->kind, BAD_DOUBLE_CLOSE);
	assert_int_equal(bad_of(1, 0)->count, 3);
	assert_int_equal(bad_of(1, 0)->now.stack_id, 7);
	assert_int_equal(bad_of(1, 0)->closed.stack_id, 6);
	assert_int_equal(bad_of(1, 0)->opened.stack_id, 5);
	use(1, 1, 3, 8);
	assert_int_equal(bad_of(1, 1)->kind, BAD_USE_AFTER_CLOSE);
	assert_int_equal(bad_of(1, 1)->call, 0);
	use(1, 1, 99, 8);
	close_(1, 1, 98, 8);
	failed(1, 1, 98, -EBADF);
	assert_int_equal(bad_of(1, 2)->kind, BAD_NEVER_OPENED);
	assert_int_equal(bad_of(1, 3)->kind, BAD_NEVER_OPENED);
	assert_int_equal(bad_of(1, 3)->call, 3);
	open_(1, 1, 4, 5); /* open: the call meant its access mode, or another argument */
	use(1, 1, 4, 8);
	close_(1, 1, 4, 6); /* a file's flush may say EBADF, EIO or EINTR: it is closed */
	failed(1, 1, 4, -EBADF);
	open_(1, 1, 4, 5);
	close_(1, 1, 4, 6);
	failed(1, 1, 4, -EIO);
	assert_false(is_open(1, 4));
	assert_int_equal(bad_count(1), 4);
	assert_int_equal(traces[TRACE_BAD_REFERENCE], 6);
	for (int i = 0; i < BAD_REFERENCES_MAX + 10; i++)
		use(1, 1, 1000 + i, 8);
	assert_int_equal(bad_count(1), BAD_REFERENCES_MAX);
	assert_int_equal(model_process(model, 1)->bad_references_dropped, 14);
}

/* Numbers of a process that was attached are not known before they are observed. */
static void test_bad_reference_unknown(void **state)
{
	model_attach(model, 50, 0, now);
	use(50, 50, 9, 8);
	close_(50, 50, 9, 8);
	failed(50, 50, 9, -EBADF);
	close_(50, 50, 10, 6); /* it was open since before: now it is known to be closed */
	assert_int_equal(bad_count(50), 0);
	close_(50, 50, 10, 7);
	failed(50, 50, 10, -EBADF);
	assert_int_equal(bad_of(50, 0)->kind, BAD_DOUBLE_CLOSE);
	assert_int_equal(bad_of(50, 0)->closed.stack_id, 6);
	assert_int_equal(bad_of(50, 0)->opened.time_ns, 0);
	model_attached(model, 50);
	use(50, 50, 9, 8);
	assert_int_equal(bad_of(50, 1)->kind, BAD_NEVER_OPENED);
}

/* Two threads close at once: the one that failed is to blame, in whatever order they entered. */
static void test_close_race(void **state)
{
	open_(1, 1, 3, 5);
	close_(1, 2, 3, 6);
	close_(1, 3, 3, 7);
	failed(1, 3, 3, -EBADF);
	assert_int_equal(bad_of(1, 0)->now.stack_id, 7);
	assert_int_equal(bad_of(1, 0)->closed.stack_id, 6);
	open_(1, 1, 4, 5);
	close_(1, 2, 4, 6);
	close_(1, 3, 4, 7);
	failed(1, 2, 4, -EBADF);
	assert_int_equal(bad_of(1, 1)->now.stack_id, 6);
	assert_int_equal(bad_of(1, 1)->closed.stack_id, 7);
	assert_int_equal(bad_of(1, 1)->opened.stack_id, 5);
	assert_int_equal(model_handle_past(get(1, 4))->closed.stack_id, 7);
	open_(1, 1, 5, 5); /* the winner has gone on, and its number was given out again */
	close_(1, 2, 5, 6);
	close_(1, 3, 5, 7);
	open_(1, 3, 5, 8);
	failed(1, 2, 5, -EBADF);
	assert_true(is_open(1, 5));
	assert_int_equal(bad_count(1), 3);
	assert_int_equal(bad_of(1, 2)->now.stack_id, 6);
}

static void test_memory(void **state)
{
	size_t before = model_bytes(model);

	for (int i = 0; i < 100000; i++)
		open_(1, 1, i, 7);
	assert_true((model_bytes(model) - before) / 100000 <= 102);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 100000; i++) {
			close_(1, 1, i, 8);
			open_(1, 1, i, 7);
		}
	assert_true((model_bytes(model) - before) / 100000 <= 102);
	open_(1, 1, INT_MAX, 7); /* a number costs no table up to it */
	assert_true((model_bytes(model) - before) / 100000 <= 103);
}

/* accept() opens what the listening socket is. */
static void test_alike(void **state)
{
	const struct handle_op accepted = {
	    .kind = HANDLE_OPEN, .number = 4, .type = "socket", .source = 3, .alike = true};

	open_typed(1, 1, 3, 5, "tcp");
	op(1, 1, 6, accepted);
	assert_string_equal(get(1, 4)->type, "tcp");
	close_(1, 1, 4, 5);
	open_typed(1, 1, 3, 5, "file"); /* events were lost */
	op(1, 1, 6, accepted);
	assert_string_equal(get(1, 4)->type, "socket");
	assert_string_equal(model_place(model, model_process(model, 1), get(1, 4))->type, "socket");
	assert_int_equal(model_place(model, model_process(model, 1), get(1, 4))->opened, 1);
}

static void test_unknown_process(void **state)
{
	open_(77, 78, 3, 5);
	assert_true(model_process(model, 77)->incomplete);
	assert_true(is_open(77, 3));
	exit_(78);
	assert_null(model_process(model, 79));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_places),
	    TEST(test_traces),
	    TEST(test_known_handles),
	    TEST(test_dup),
	    TEST(test_close_range),
	    TEST(test_bad_references),
	    TEST(test_bad_reference_unknown),
	    TEST(test_close_race),
	    TEST(test_memory),
	    TEST(test_alike),
	    TEST(test_unknown_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
