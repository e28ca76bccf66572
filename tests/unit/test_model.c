/* model/ by hand: forks, exec, shared tables, bad references, races, comparisons, memory. */
#include "model/model.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct model *model;
static uint64_t now;
static uint64_t traces[4];
static struct trace last_traces[4]; /* by kind */

static void count_trace(void *context, const struct trace *trace)
{
	traces[trace->kind]++;
	last_traces[trace->kind] = *trace;
}

static int setup(void **state)
{
	struct model_observer observer = {.trace = count_trace};

	memset(traces, 0, sizeof(traces));
	now = 1000;
	model = model_new(&observer);
	model_attach(model, 1, 0, now);
	model_attached(model, 1);
	return 0;
}

static int teardown(void **state)
{
	model_free(model);
	return 0;
}

static struct actor actor_at(int pid, int tid, uint32_t stack, uint32_t call)
{
	now += 1000;
	return (struct actor){pid, tid, now, stack, call};
}

static void op(int pid, int tid, uint32_t stack, struct handle_op op)
{
	struct actor actor = actor_at(pid, tid, stack, op.kind == HANDLE_BAD_REFERENCE ? 0 : 3);

	model_apply(model, &actor, &op);
}

static void open_typed(int pid, int tid, int number, uint32_t stack, const char *type)
{
	op(pid, tid, stack,
	   (struct handle_op){.kind = HANDLE_OPEN, .number = number, .type = type});
}

static void open_(int pid, int tid, int number, uint32_t stack)
{
	open_typed(pid, tid, number, stack, "file");
}

static void close_(int pid, int tid, int number, uint32_t stack)
{
	op(pid, tid, stack, (struct handle_op){.kind = HANDLE_CLOSE, .number = number});
}

static void failed(int pid, int tid, int number, int error)
{
	op(pid, tid, 0,
	   (struct handle_op){.kind = HANDLE_CLOSE_FAILED, .number = number, .error = error});
}

static void use(int pid, int tid, int number, uint32_t stack)
{
	op(pid, tid, stack, (struct handle_op){.kind = HANDLE_BAD_REFERENCE, .number = number});
}

static void fork_(int pid, int child, uint16_t flags, const struct event_data *fds)
{
	struct actor actor = actor_at(pid, pid, 0, UINT32_MAX);

	model_fork(model, &actor, flags & EVENT_FORK_THREAD ? pid : child, child, flags, fds);
}

static void exec_(int pid, const struct event_data *fds)
{
	struct actor actor = actor_at(pid, pid, 0, UINT32_MAX);

	model_exec(model, &actor, pid, fds);
}

static void exit_with(int pid, const struct event_data *fds)
{
	struct actor actor = actor_at(pid, pid, 0, UINT32_MAX);

	model_exit(model, &actor, EVENT_EXIT_PROCESS, 256, fds);
}

static void exit_(int pid)
{
	exit_with(pid, NULL);
}

enum { BITMAP_WORDS = 2 };

static union {
	struct event_data data;
	uint64_t words[sizeof(struct event_data) / 8 + BITMAP_WORDS];
} bitmap;

static const struct event_data *fds_of(uint64_t low, uint16_t flags)
{
	bitmap.data = (struct event_data){
	    .header.flags = flags, .kind = EVENT_DATA_FDS, .size = BITMAP_WORDS * 8};
	memcpy(bitmap.data.bytes, &low, sizeof(low));
	return &bitmap.data;
}

static const struct handle *get(int pid, int number)
{
	return model_handle(model, model_process(model, pid), number);
}

static bool is_open(int pid, int number)
{
	const struct handle *handle = get(pid, number);

	return handle && handle->open;
}

static const struct bad_reference *bad_of(int pid, size_t index)
{
	const struct process *process = model_process(model, pid);

	assert_true(process->bad_references.count > index);
	return &process->bad_references.data[index];
}

static size_t bad_count(int pid)
{
	return model_process(model, pid)->bad_references.count;
}

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

static void test_observe(void **state)
{
	struct observed_handle truth[] = {{0, false, "device", "/dev/null", false},
					  {3, true, "socket", "socket:[1]", false},
					  {7, 0, "file", "x", false}};
	const struct process *process;

	process = model_attach(model, 50, 0, now);
	assert_int_equal(model_observe(model, 50, truth, 2, now, now + 1), 2);
	assert_false(is_open(50, 0)); /* not before it was seen twice */
	now += 10;
	assert_int_equal(model_observe(model, 50, truth, 2, now, now + 1), 0);
	assert_int_equal(get(50, 3)->origin, ORIGIN_BEFORE_TRACING);
	assert_true(get(50, 3)->cloexec);
	assert_string_equal(get(50, 3)->name, "socket:[1]");
	assert_int_equal(process->reconciled, 0);
	assert_int_equal(process->places.count, 0);
	open_(50, 50, 4, 5); /* touched while the truth was read: left alone */
	assert_int_equal(model_observe(model, 50, truth, 2, now - 1, now), 1);
	assert_true(is_open(50, 4));
	now += 10;
	model_lost(model);
	assert_true(process->incomplete);
	assert_int_equal(model_observe(model, 50, truth, 3, now, now + 1), 2); /* 4 gone, 7 new */
	assert_true(is_open(50, 4) && !is_open(50, 7));
	now += 10;
	assert_int_equal(model_observe(model, 50, truth, 3, now, now + 1), 0);
	assert_false(is_open(50, 4));
	assert_int_equal(get(50, 4)->closed_by, CLOSED_UNSEEN);
	assert_int_equal(get(50, 7)->origin, ORIGIN_UNKNOWN);
	assert_string_equal(process->places.data[1].type, "file");
	assert_int_equal(process->reconciled, 2);
	assert_false(process->incomplete);
}

/* After a loss a number may stand for another object: its old stack must not be told for it. */
/* What was looked at before is known by its number; what is not open any more is looked for again.
 */
static void test_observe_known(void **state)
{
	struct observed_handle truth[] = {{3, true, "socket", "socket:[1]", false}};
	struct observed_handle again[] = {{.number = 3, .known = true}};
	struct model *model = model_new(NULL);
	const struct process *process = model_attach(model, 10, 1, 1);
	const struct handle *handle;

	assert_false(model_was_observed(model, process, 3));
	assert_int_equal(model_observe(model, 10, truth, 1, 2, 3), 1);
	assert_int_equal(model_observe(model, 10, truth, 1, 4, 5), 0);
	assert_true(model_was_observed(model, process, 3));
	assert_int_equal(model_observe(model, 10, again, 1, 6, 7), 0);
	handle = model_handle(model, process, 3);
	assert_string_equal(handle->type, "socket");
	assert_string_equal(handle->name, "socket:[1]");
	assert_true(handle->cloexec);

	/* Gone, twice; then a look at the number alone proves nothing. */
	assert_int_equal(model_observe(model, 10, NULL, 0, 8, 9), 1);
	assert_int_equal(model_observe(model, 10, NULL, 0, 10, 11), 0);
	assert_false(model_was_observed(model, process, 3));
	assert_int_equal(model_observe(model, 10, again, 1, 12, 13), 1);
	assert_int_equal(model_observe(model, 10, again, 1, 14, 15), 1);
	assert_false(model_handle(model, process, 3)->open);
	model_free(model);
}

static void test_observe_other_object(void **state)
{
	struct observed_handle memfd = {4, false, "memfd", "/memfd:x (deleted)", false};
	struct observed_handle first = {4, false, "socket", "socket:[1]", false};
	struct observed_handle second = {4, false, "socket", "socket:[2]", false};

	model_attach(model, 50, 0, now);
	model_attached(model, 50);
	open_typed(50, 50, 4, 5, "socket");
	now += 10;
	/* Nothing was lost: what was seen is believed. */
	assert_int_equal(model_observe(model, 50, &memfd, 1, now, now + 1), 0);
	assert_string_equal(get(50, 4)->type, "socket");
	open_typed(50, 50, 4, 5, "socket");
	now += 10;
	assert_int_equal(model_observe(model, 50, &first, 1, now, now + 1), 0);
	assert_int_equal(get(50, 4)->opened.stack_id, 5);
	model_lost(model);
	now += 10;
	assert_int_equal(model_observe(model, 50, &second, 1, now, now + 1), 1);
	assert_int_equal(get(50, 4)->opened.stack_id, 5); /* not before it was seen twice */
	assert_int_equal(model_observe(model, 50, &second, 1, now, now + 1), 0);
	assert_int_equal(get(50, 4)->origin, ORIGIN_UNKNOWN);
	assert_int_equal(get(50, 4)->opened.stack_id, 0);
	assert_string_equal(get(50, 4)->name, "socket:[2]");
	model_lost(model);
	now += 10;
	model_observe(model, 50, &memfd, 1, now, now + 1);
	model_observe(model, 50, &memfd, 1, now, now + 1);
	assert_string_equal(get(50, 4)->type, "memfd");
}

/* A difference that comes and goes is no difference. */
static void test_observe_flicker(void **state)
{
	struct observed_handle truth[] = {{3, false, "file", "x", false}};

	for (int i = 0; i < 4; i++) {
		now += 10;
		assert_int_equal(model_observe(model, 1, truth, i % 2 == 0, now, now + 1),
				 i % 2 == 0);
		assert_false(is_open(1, 3));
	}
	op(1, 1, 5, (struct handle_op){.kind = HANDLE_RECEIVE, .number = 6});
	now += 10;
	truth[0] = (struct observed_handle){6, false, "socket", "y", false};
	assert_int_equal(model_observe(model, 1, truth, 1, now, now + 1), 0);
	assert_int_equal(get(1, 6)->origin, ORIGIN_RECEIVED);
	assert_string_equal(get(1, 6)->type, "socket");
	assert_null(model_place(model, model_process(model, 1), get(1, 6))->type);
}

/* Some are looked at while they are open, others are closed before: one place counts them all. */
static void test_type_learnt_later(void **state)
{
	static const char *const types[] = {"directory", "tty", "namespace"};
	const struct place *place;

	for (int i = 0; i < 10; i++) {
		open_typed(1, 1, 3 + i, 5, "file");
		op(1, 1, 6, (struct handle_op){.kind = HANDLE_RECEIVE, .number = 23 + i});
		if (i < 7) {
			close_(1, 1, 3 + i, 9);
			close_(1, 1, 23 + i, 9);
		}
	}
	now += 10;
	for (int look = 0; look < 2; look++, now += 10) {
		struct observed_handle truth[6];

		for (int i = 0; i < 3; i++) {
			truth[i] = (struct observed_handle){10 + i, false, types[i], "/x", false};
			truth[3 + i] =
			    (struct observed_handle){30 + i, false, i ? "tcp" : "pipe",
						     i ? "socket:[7]" : "pipe:[6]", false};
		}
		model_observe(model, 1, truth, 6, now, now + 1);
	}
	for (int i = 0; i < 3; i++) {
		assert_string_equal(get(1, 10 + i)->type, types[i]);
		place = model_place(model, model_process(model, 1), get(1, 10 + i));
		assert_string_equal(place->type, "file");
		assert_int_equal(place->opened, 10);
		assert_int_equal(place->closed, 7);
		place = model_place(model, model_process(model, 1), get(1, 30 + i));
		assert_null(place->type);
		assert_int_equal(place->opened, 10);
		assert_int_equal(place->closed, 7);
	}
	assert_string_equal(get(1, 30)->type, "pipe");
	assert_string_equal(get(1, 31)->type, "tcp");
	/* A copy counts with those that were copied before their type was known. */
	op(1, 1, 6, (struct handle_op){.kind = HANDLE_DUPLICATE, .number = 50, .source = 31});
	assert_string_equal(get(1, 50)->type, "tcp");
	assert_null(model_place(model, model_process(model, 1), get(1, 50))->type);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
	    TEST(test_fork),
	    TEST(test_shared_table),
	    TEST(test_thread_with_own_table),
	    TEST(test_thread_number_reused),
	    TEST(test_exec),
	    TEST(test_forgotten),
	    TEST(test_unseen_at_exit),
	    TEST(test_untold),
	    TEST(test_memory),
	    TEST(test_observe),
	    TEST(test_observe_known),
	    TEST(test_observe_other_object),
	    TEST(test_observe_flicker),
	    TEST(test_type_learnt_later),
	    TEST(test_alike),
	    TEST(test_unknown_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
