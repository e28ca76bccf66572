/*
 * session_await: a program that somebody else starts, with two variables in its environment, is
 * traced from its start. The starter is a child of ours that knows nothing of the session.
 */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "session/internal.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { PATIENCE_NS = 2000000000, STEP_MS = 20, GIVEN = 77 };

static bool follow_children = true;

static struct session *session_awaiting(const char *program, const char *const **variables)
{
	const struct session_options options = {.collector = "agent",
						.awaits = true,
						.follow_children = follow_children,
						.traces_max = 64};
	struct error error = {0};
	struct session *session;

	if (session_new(&options, &session, &error) < 0)
		fail_msg("%s", error.message);
	if (session_await(session, program, variables, &error) < 0)
		fail_msg("%s", error.message);
	return session;
}

/* As a debugger does it: a child that becomes the program, with GIVEN open (the file `given`). */
static pid_t start(char *const *argv, const char *const *variables, const char *given)
{
	pid_t pid = fork();
	int fd;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(given, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || dup2(fd, GIVEN) < 0)
		_exit(120);
	execve(argv[0], argv, (char **)variables);
	_exit(121);
}

static void step_to_the_end(struct session *session)
{
	uint64_t begin_ns = clock_now_ns();
	struct error error;
	int result;

	do {
		result = session_step(session, STEP_MS, &error);
		assert_true(clock_now_ns() - begin_ns < PATIENCE_NS);
	} while (result != -ECHILD);
}

static json_t *report_of(struct session *session)
{
	const struct report_style style = {0};
	struct report report;
	size_t bytes;
	char *text;
	FILE *stream = open_memstream(&text, &bytes);
	json_t *root;

	session_reconcile(session);
	session_stop(session);
	session_report(session, NULL, &report, NULL, NULL);
	assert_int_equal(report_json.write(&report, &style, stream), 0);
	report_fini(&report);
	fclose(stream);
	root = json_loadb(text, bytes, 0, NULL);
	assert_non_null(root);
	free(text);
	return root;
}

static int64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "(none)";
}

/* The only leaking group is fun4's. */
static void check_leak(const json_t *process, int64_t rounds)
{
	const json_t *group, *leak = NULL;
	size_t index;

	json_array_foreach(json_object_get(process, "groups"), index, group)
	{
		if (strcmp(string(group, "verdict"), "leak"))
			continue;
		assert_null(leak);
		leak = group;
	}
	assert_non_null(leak);
	assert_int_equal(number(leak, "open"), rounds);
	assert_string_equal(string(leak, "type"), "eventfd");
	index = 0;
	json_array_foreach(json_object_get(leak, "stack"), index, group)
	{
		if (strcmp(string(group, "function"), "fun4") == 0)
			return;
	}
	fail_msg("fun4 is not in the stack");
}

static uint64_t traces; /* that the last session kept */

static json_t *trace(char *const *argv)
{
	const char *const *variables;
	struct session *session = session_awaiting(HTRACE_TEST_TARGET, &variables);
	_cleanup_(free) char *given = realpath("/proc/self/exe", NULL);
	struct error error;
	json_t *root;
	pid_t pid;
	int status;

	/* It waits. */
	assert_int_equal(session_step(session, STEP_MS, &error), 0);
	assert_int_equal(session_child(session), 0);
	pid = start(argv, variables, given);
	step_to_the_end(session);
	assert_int_equal(session_child(session), pid);
	traces = history_total(session->history);
	root = report_of(session);
	session_free(session);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return root;
}

static void check_process(const json_t *root, int64_t rounds)
{
	const json_t *process = json_array_get(json_object_get(root, "processes"), 0);

	assert_int_equal(json_array_size(json_object_get(root, "processes")), 1);
	assert_true(json_is_true(json_object_get(process, "exited")));
	assert_int_equal(number(process, "exit_status"), 0);
	assert_int_equal(number(process, "lost_events"), 0);
	assert_string_equal(string(process, "exe"), HTRACE_TEST_TARGET);
	check_leak(process, rounds);
}

static void test_program(void **state)
{
	char *const argv[] = {HTRACE_TEST_TARGET, "10", "1", NULL};
	json_t *root = trace(argv);

	(void)state;
	check_process(root, 10);
	json_decref(root);
}

/* gdb starts programs so: the shell is the first that comes. */
static void test_through_a_shell(void **state)
{
	char *const argv[] = {"/bin/sh", "-c", "exec " HTRACE_TEST_TARGET " 12 1", NULL};
	json_t *root = trace(argv);

	(void)state;
	check_process(root, 12);
	/* The program's: each round opens two and closes one. What the shell did is not told. */
	assert_int_equal(traces, 3 * 12);
	json_decref(root);
}

/* Only the program that the shell becomes, not the one that it starts before. */
static void test_no_children(void **state)
{
	char *const argv[] = {"/bin/sh", "-c",
			      HTRACE_TEST_TARGET " 2 1; exec " HTRACE_TEST_TARGET " 12 1", NULL};
	json_t *root;

	(void)state;
	follow_children = false;
	root = trace(argv);
	follow_children = true;
	check_process(root, 12);
	json_decref(root);
}

static const struct handle *handle_of(const struct session *session, pid_t pid, int32_t number)
{
	const struct process *process = model_process(session->model, pid);

	return process ? model_handle(session->model, process, number) : NULL;
}

/* What the starter left open is known by its name, without a report being asked for. */
static void test_inherited(void **state)
{
	char *const argv[] = {"/bin/sh", "-c", "exec " HTRACE_TEST_TARGET " 1 60000", NULL};
	const char *const *variables;
	struct session *session = session_awaiting(NULL, &variables);
	_cleanup_(free) char *given = realpath("/proc/self/exe", NULL);
	pid_t pid = start(argv, variables, given);
	uint64_t begin_ns = clock_now_ns();
	const struct handle *handle = NULL;
	struct error error;

	(void)state;
	while (!handle || !handle->name || !handle_of(session, pid, 3)) {
		assert_true(clock_now_ns() - begin_ns < PATIENCE_NS);
		assert_true(session_step(session, STEP_MS, &error) >= 0);
		handle = handle_of(session, pid, GIVEN);
	}
	assert_string_equal(handle->name, given);
	assert_int_equal(handle->origin, ORIGIN_BEFORE_TRACING);
	assert_true(handle->open);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	session_free(session);
}

/* Said before, not found out by waiting for ever. */
static void test_refused(void **state)
{
	struct session_options options = {.collector = "agent", .awaits = true, .traces_max = 64};
	const char *const *variables;
	struct error error = {0};
	struct session *session;

	(void)state;
	assert_int_equal(session_new(&options, &session, &error), 0);
	assert_int_equal(session_await(session, HTRACE_TEST_STATIC, &variables, &error), -ENOTSUP);
	assert_non_null(strstr(error.message, "statically linked"));
	session_free(session);
	options.collector = "ptrace";
	assert_int_equal(session_new(&options, &session, &error), -ENOTSUP);
	assert_non_null(strstr(error.message, "--collector=agent"));
	/* "auto" takes the one that can, whatever else could be used here. */
	options.collector = "auto";
	assert_int_equal(session_new(&options, &session, &error), 0);
	assert_string_equal(session_collector(session), "agent");
	session_free(session);
}

/* It never comes: the session can be ended, and a late one runs untraced. */
static void test_too_late(void **state)
{
	char *const argv[] = {HTRACE_TEST_TARGET, "3", "1", NULL};
	char *const environment[] = {NULL, NULL, NULL};
	const char *const *variables;
	struct session *session = session_awaiting(NULL, &variables);
	pid_t pid;
	int status;

	(void)state;
	((char **)environment)[0] = xstrdup(variables[0]);
	((char **)environment)[1] = xstrdup(variables[1]);
	assert_null(variables[2]);
	session_free(session);
	pid = start(argv, (const char *const *)environment, "/proc/self/exe");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(environment[0]);
	free(environment[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_program),   cmocka_unit_test(test_through_a_shell),
	    cmocka_unit_test(test_inherited), cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_too_late),  cmocka_unit_test(test_no_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
