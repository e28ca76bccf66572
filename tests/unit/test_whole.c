/*
 * session/whole: what becomes of events of processes that nobody announced, in a session over
 * everything without a collector. The processes are children of the test.
 */
#include "bare_session.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { STRANGER = BARE_PID + 7, S = 1000000000 };

struct fixture {
	struct session *session;
	pid_t child;
	int event; /* that the child has, too */
};

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->session = bare_session_new();
	fixture->session->everything = true;
	fixture->session->stopped = true; /* there is nobody to ask for more */
	model_forget_attached(fixture->session->model);
	fixture->event = eventfd(0, EFD_CLOEXEC);
	fixture->child = fork();
	if (fixture->child == 0) {
		alarm(60);
		for (;;)
			pause();
	}
	*state = fixture;
	return 0;
}

static void end_child(struct fixture *fixture, bool reap)
{
	siginfo_t info;

	if (!fixture->child)
		return;
	kill(fixture->child, SIGKILL);
	waitid(P_PID, fixture->child, &info, WEXITED | (reap ? 0 : WNOWAIT));
	if (reap)
		fixture->child = 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	end_child(fixture, true);
	close(fixture->event);
	session_free(fixture->session);
	free(fixture);
	return 0;
}

static const struct process *known(const struct fixture *fixture, pid_t pid)
{
	return model_process(fixture->session->model, pid);
}

/* The child closes a number that is not open: an event that changes nothing. */
static void meet(const struct fixture *fixture)
{
	bare_close(fixture->session, fixture->child, clock_now_ns(), 999, NULL);
}

static void test_met(void **state)
{
	struct fixture *fixture = *state;
	const struct process *process;
	const struct handle *handle;

	meet(fixture);
	process = known(fixture, fixture->child);
	assert_non_null(process);
	assert_int_equal(process->parent, getpid());
	assert_non_null(strstr(process->exe, "test_whole"));
	assert_false(process->incomplete);
	assert_null(model_handle(fixture->session->model, process, fixture->event));
	session_greet(fixture->session, true);
	handle = model_handle(fixture->session->model, process, fixture->event);
	assert_non_null(handle);
	assert_true(handle->open);
	assert_int_equal(handle->origin, ORIGIN_BEFORE_TRACING);
	assert_string_equal(handle->type, "eventfd");
	assert_int_equal(process->reconciled, 0);
	assert_false(process->incomplete);
}

/* It may have been announced by what was lost. */
static void test_met_after_loss(void **state)
{
	struct fixture *fixture = *state;
	struct event_lost lost = {
	    .header = bare_header(EVENT_LOST, sizeof(lost), 0, clock_now_ns()), .count = 5};

	session_receive(fixture->session, &lost.header);
	meet(fixture);
	assert_true(known(fixture, fixture->child)->incomplete);
	session_greet(fixture->session, true);
	assert_false(known(fixture, fixture->child)->incomplete);
}

/* Who is only known by its end has nothing to tell. */
static void test_unknown_exit(void **state)
{
	struct fixture *fixture = *state;

	bare_exit(fixture->session, STRANGER, clock_now_ns());
	assert_null(known(fixture, STRANGER));
	assert_int_equal(model_processes(fixture->session->model), 0);
}

/* A process that was met in /proc before its fork was told is no second one. */
static void test_fork_of_met(void **state)
{
	struct fixture *fixture = *state;
	uint64_t met_ns = clock_now_ns();

	meet(fixture);
	bare_exec(fixture->session, STRANGER, met_ns);
	bare_fork(fixture->session, STRANGER, fixture->child, met_ns + 1000);
	assert_int_equal(model_processes(fixture->session->model), 2);
	assert_int_equal(known(fixture, fixture->child)->parent, getpid());
	assert_false(known(fixture, fixture->child)->incomplete);
	/* Much later it is: the number was given out again. */
	bare_fork(fixture->session, STRANGER, fixture->child, met_ns + 3ull * S);
	assert_int_equal(known(fixture, fixture->child)->parent, STRANGER);
}

static void expect_ended(struct fixture *fixture, pid_t pid)
{
	const struct process *process;

	session_reconcile(fixture->session);
	process = known(fixture, pid);
	assert_non_null(process);
	assert_true(process->exited);
	assert_true(process->incomplete);
	assert_null(map_get(&fixture->session->targets, pid));
}

/* Its end was lost: /proc has it no more, or only its remains. */
static void test_vanished(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = fixture->child;

	meet(fixture);
	end_child(fixture, true);
	expect_ended(fixture, pid);
}

static void test_zombie(void **state)
{
	struct fixture *fixture = *state;

	meet(fixture);
	end_child(fixture, false);
	expect_ended(fixture, fixture->child);
}

/* Thousands that come and go unannounced leave nothing. */
static void test_forgotten(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 5000; i++) {
		bare_close(fixture->session, STRANGER + i, clock_now_ns(), 999, NULL);
		bare_exit(fixture->session, STRANGER + i, clock_now_ns());
	}
	assert_int_equal(model_processes(fixture->session->model), 0);
	assert_int_equal(model_forgotten(fixture->session->model), 5000);
	assert_int_equal(fixture->session->targets.count, 0);
	session_greet(fixture->session, true);
	assert_int_equal(fixture->session->newcomers.numbers.count, 0);
}

/* Programs that each run once, as on a machine that builds: their files are not kept for ever. The
 * history tells of 2048 of them, and a sweep comes when there are twice as many. */
static void test_files(void **state)
{
	enum {
		PROGRAMS = 12000,
		PLACE = 0x7f0000000000,
		FILES_MOST = 4500,
		LAST = STRANGER + PROGRAMS
	};
	static const uint64_t words[] = {0, 0};
	const struct bare_stack stack = {PLACE + BARE_TEXT + 16, 0x7ff000000000, words, 2};
	struct fixture *fixture = *state;
	int library = bare_library(8);
	uint64_t now = clock_now_ns();

	session_raise_descriptor_limit();
	bare_exec(fixture->session, LAST, ++now);
	bare_map(fixture->session, LAST, ++now, library, PLACE);
	for (int i = 0; i < PROGRAMS; i++) {
		int program = bare_library(8);

		bare_exec(fixture->session, STRANGER + i, ++now);
		bare_map(fixture->session, STRANGER + i, ++now, program, PLACE);
		bare_open(fixture->session, STRANGER + i, ++now, 3, &stack);
		bare_close(fixture->session, STRANGER + i, ++now, 3, &stack);
		bare_exit(fixture->session, STRANGER + i, ++now);
		close(program);
		if (i % 1000 == 0) /* what goes on is still told right */
			bare_open(fixture->session, LAST, ++now, 3 + i, &stack);
	}
	assert_true(image_table_modules(fixture->session->images) < FILES_MOST);
	for (int i = 0; i < PROGRAMS; i += 1000) {
		const struct handle *handle =
		    model_handle(fixture->session->model, known(fixture, LAST), 3 + i);
		struct stack told =
		    stack_table_get(fixture->session->stacks, handle->opened.stack_id);

		assert_int_equal(told.frames_n, 1);
		assert_ptr_equal(told.frames[0].pc, stack.ip);
		assert_non_null(image_table_get(fixture->session->images, told.frames[0].image));
	}
	close(library);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_met),         TEST(test_met_after_loss), TEST(test_unknown_exit),
	    TEST(test_fork_of_met), TEST(test_vanished),       TEST(test_zombie),
	    TEST(test_forgotten),   TEST(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
