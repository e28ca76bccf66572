/* Bad references whose threads were sent a signal: what the model knows of each, in turn, bounded.
 */
#include "bare_session.h"

#include "stack/stack_table.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <cmocka.h>

static uint64_t now_ns;

static int setup(void **state)
{
	now_ns = 1000000000;
	*state = bare_session_new();
	((struct session *)*state)->collector_options.bad_reference_signal = SIGSTOP;
	bare_exec(*state, BARE_PID, ++now_ns);
	return 0;
}

static int teardown(void **state)
{
	session_free(*state);
	return 0;
}

static const struct bare_stack *stack_at(uint64_t ip)
{
	static const uint64_t words[2];
	static struct bare_stack stack;

	stack = (struct bare_stack){ip, 0x700000, words, 2};
	return &stack;
}

/* The return of a call with EBADF, which was answered with a signal. */
static void signalled(struct session *session, uint32_t number, uint64_t first, uint64_t third)
{
	struct event_syscall event = {
	    .number = number, .phase = EVENT_LEAVE, .result = -EBADF, .args = {first, 1, third}};

	event.header = bare_header(EVENT_SYSCALL, sizeof(event), BARE_PID, ++now_ns);
	event.header.flags = EVENT_SYSCALL_SIGNALLED;
	session_receive(session, &event.header);
}

static void open_and_close(struct session *session, int32_t number)
{
	bare_open(session, BARE_PID, ++now_ns, number, stack_at(0x1000));
	bare_close(session, BARE_PID, ++now_ns, number, stack_at(0x2000));
}

static struct session_caught next(struct session *session)
{
	struct session_caught caught;
	uint64_t dropped;

	assert_true(session_next_caught(session, &caught, &dropped));
	assert_int_equal(dropped, 0);
	assert_int_equal(caught.pid, BARE_PID);
	return caught;
}

static void no_more(struct session *session)
{
	struct session_caught caught;
	uint64_t dropped;

	assert_false(session_next_caught(session, &caught, &dropped));
}

static uint64_t innermost(struct session *session, uint32_t stack_id)
{
	return stack_table_get(session->stacks, stack_id).frames[0].pc;
}

/* The stack of a close came with its entry. */
static void test_double_close(void **state)
{
	struct session_caught caught;

	open_and_close(*state, 7);
	bare_close(*state, BARE_PID, ++now_ns, 7, stack_at(0x3000));
	no_more(*state);
	signalled(*state, SYS_close, 7, 0);
	caught = next(*state);
	assert_int_equal(caught.kind, BAD_DOUBLE_CLOSE);
	assert_int_equal(caught.number, 7);
	assert_int_equal(caught.call, SYS_close);
	assert_int_equal(caught.time_ns, now_ns);
	assert_int_equal(innermost(*state, caught.stack_id), 0x3000);
	no_more(*state);
}

/* Of two numbers the one that is bad. */
static void test_second_number(void **state)
{
	struct session_caught caught;

	bare_open(*state, BARE_PID, ++now_ns, 5, stack_at(0x1000));
	open_and_close(*state, 7);
	signalled(*state, SYS_epoll_ctl, 5, 7);
	caught = next(*state);
	assert_int_equal(caught.kind, BAD_USE_AFTER_CLOSE);
	assert_int_equal(caught.number, 7);
}

/* The model may know less than who sent the signal; an earlier one of the same number is another.
 */
static void test_unexplained(void **state)
{
	struct session_caught caught;

	open_and_close(*state, 7);
	signalled(*state, SYS_read, 7, 0);
	assert_int_equal(next(*state).kind, BAD_USE_AFTER_CLOSE);
	bare_open(*state, BARE_PID, ++now_ns, 7, stack_at(0x1000));
	now_ns += 10000000000;
	signalled(*state, SYS_read, 7, 0);
	caught = next(*state);
	assert_int_equal(caught.kind, 0);
	assert_int_equal(caught.number, 7);
}

struct marks {
	uint32_t wanted;
	bool found;
};

static void look(void *context, uint32_t stack_id)
{
	struct marks *marks = context;

	marks->found |= stack_id == marks->wanted;
}

/* Nobody takes them: some are kept, with their stacks, and the others counted. */
static void test_many(void **state)
{
	struct session_caught caught;
	struct session *session = *state;
	struct marks marks = {0};
	uint64_t dropped;
	int kept = 0;

	for (int i = 0; i < 40; i++) {
		open_and_close(session, 7);
		bare_close(session, BARE_PID, ++now_ns, 7, stack_at(0x3000));
		signalled(session, SYS_close, 7, 0);
	}
	assert_true(session_next_caught(session, &caught, &dropped));
	marks.wanted = caught.stack_id;
	session_caught_stacks(session, look, &marks);
	assert_true(marks.found);
	for (kept = 1; session_next_caught(session, &caught, &(uint64_t){0}); kept++)
		;
	assert_int_equal(kept + dropped, 40);
	assert_true(kept >= 8);
	signalled(session, SYS_read, 7, 0);
	next(session);
}

/* What does not stop is told once for each place, and counted then. */
static void test_one_of_each_place(void **state)
{
	struct session *session = *state;
	struct session_caught caught;
	uint64_t dropped;

	session->collector_options.bad_reference_signal = SIGUSR1;
	for (int i = 0; i < 40; i++) {
		open_and_close(session, 7);
		bare_close(session, BARE_PID, ++now_ns, 7, stack_at(0x3000 + 0x1000 * (i % 2)));
		signalled(session, SYS_close, 7, 0);
	}
	assert_true(session_next_caught(session, &caught, &dropped));
	assert_int_equal(dropped, 38);
	assert_int_equal(innermost(session, caught.stack_id), 0x3000);
	assert_int_equal(innermost(session, next(session).stack_id), 0x4000);
	no_more(session);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_double_close), TEST(test_second_number),     TEST(test_unexplained),
	    TEST(test_many),         TEST(test_one_of_each_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
