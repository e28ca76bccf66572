/* report/ of `show`: the whole text in each format, several processes, what is said where there is
 * nothing, and what all formats promise. */
#include "life_report.h"

#include "golden_traces.h"
#include "json_paths.h"
#include "output_checks.h"

#include <time.h>

static const struct report_style plain = {0};

static void check_text(const struct life *life, life_write *write, int32_t pid, int32_t number,
		       uint32_t traces_max, const char *wanted)
{
	char *text = life_print(life, write, pid, number, traces_max, plain);

	assert_string_equal(text, wanted);
	free(text);
}

static void check_has(const struct life *life, life_write *write, int32_t pid, int32_t number,
		      const char *wanted)
{
	char *text = life_print(life, write, pid, number, 0, plain);

	if (!strstr(text, wanted))
		fail_msg("no \"%s\" in\n%s", wanted, text);
	free(text);
}

static json_t *parse(const struct life *life, int32_t pid, int32_t number, uint32_t traces_max)
{
	return json_parse_take(
	    life_print(life, report_json.write_traces, pid, number, traces_max, plain));
}

static int setup(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

static void life_at_night(struct life *life, uint32_t traces_max)
{
	life_init(life, traces_max);
	life->report.wall = (struct timespec){1000000000, 123456789};
	life_lead(life);
}

static void test_golden(void **state)
{
	struct life life;

	(void)state;
	life_at_night(&life, 100);
	check_text(&life, report_text.write_traces, PID, 7, 0, golden_traces_text);
	check_text(&life, report_windbg.write_traces, PID, 7, 0, golden_traces_windbg);
	life_fini(&life);
}

/* What the history has lost: the OPEN that is still open, and the last close with its opening. */
static void test_fallen_out(void **state)
{
	struct life life;
	json_t *root;

	(void)state;
	life_at_night(&life, 3);
	check_text(&life, report_text.write_traces, PID, 7, 0, golden_fallen_text);
	check_text(&life, report_windbg.write_traces, PID, 7, 0, golden_fallen_windbg);
	root = parse(&life, PID, 7, 0);
	is_integer(root, "traces_total", 9);
	is_integer(root, "traces_kept", 3);
	is_integer(root, "traces_parsed", 4);
	is_count(root, "processes/0/traces", 3);
	is_boolean(root, "processes/0/traces/1/in_history", true);
	is_boolean(root, "processes/0/traces/2/in_history", false);
	is_string(root, "processes/0/traces/2/trace", "open");
	is_null(root, "processes/0/traces/2/operation");
	is_integer(root, "processes/0/traces/2/time_ns", 50 * S);
	json_decref(root);
	life_fini(&life);
	life_at_night(&life, 0); /* keeps none at all */
	root = parse(&life, PID, 3, 0);
	is_integer(root, "traces_kept", 0);
	is_count(root, "processes/0/traces", 1);
	is_integer(root, "processes/0/traces/0/time_ns", 8 * S);
	json_decref(root);
	check_has(&life, report_text.write_traces, PID, 3,
		  "-- older traces have fallen out of the history");
	check_has(&life, report_text.write_traces, PID, 3,
		  "The history keeps 0 traces of all processes and handles, the newest of 9; ");
	life.report.history = NULL;
	check_has(&life, report_text.write_traces, PID, 3, "#1 OPEN handle 3, 92 s ago");
	life_fini(&life);
}

static void test_json(void **state)
{
	struct life life;
	json_t *root;

	(void)state;
	life_at_night(&life, 100);
	root = parse(&life, PID, 7, 0);
	is_string(root, "schema", "htrace.traces/1");
	is_string(root, "version", HTRACE_VERSION);
	is_string(root, "collector", "bpf");
	is_string(root, "time", "2001-09-09T01:46:40Z");
	is_integer(root, "now_ns", 100 * S);
	is_integer(root, "query/pid", PID);
	is_integer(root, "query/handle", 7);
	is_null(root, "query/traces_max");
	is_integer(root, "traces_matched", 7);
	is_integer(root, "traces_shown", 7);
	is_count(root, "processes", 1);
	is_string(root, "processes/0/exe", "/opt/leaky");
	is_integer(root, "processes/0/open_handle/handle", 7);
	is_string(root, "processes/0/open_handle/type", "file");
	is_string(root, "processes/0/traces/0/trace", "open");
	is_string(root, "processes/0/traces/0/operation", "dup3");
	is_string(root, "processes/0/traces/1/trace", "close");
	is_string(root, "processes/0/traces/1/closed_by", "dup");
	is_integer(root, "processes/0/traces/1/opened_ns", 50 * S);
	is_integer(root, "processes/0/traces/1/age_ns", 30 * S);
	is_string(root, "processes/0/traces/2/stack/0/function", "evil\033[2Jname\n");
	is_string(root, "processes/0/traces/2/stack/0/module", "mod\xef\xbf\xbdule\r");
	is_string(root, "processes/0/traces/2/stack_end", "truncated");
	is_boolean(root, "processes/0/traces/2/stack_complete", false);
	is_string(root, "processes/0/traces/3/trace", "bad-reference");
	is_string(root, "processes/0/traces/3/kind", "double-close");
	is_boolean(root, "processes/0/traces/3/harmless", false);
	is_integer(root, "processes/0/traces/3/closed_ns", 5 * S);
	is_string(root, "processes/0/traces/4/kind", "use-after-close");
	is_string(root, "processes/0/traces/4/operation", "read");
	is_integer(root, "processes/0/traces/5/tid", PID + 1);
	is_integer(root, "processes/0/traces/5/pid", PID);
	is_string(root, "processes/0/traces/6/stack/1/file", "leakyhandles.c");
	is_integer(root, "processes/0/traces/6/stack/1/line", 41);
	json_decref(root);
	root = parse(&life, PID, -1, 2);
	is_null(root, "query/handle");
	is_integer(root, "query/traces_max", 2);
	is_integer(root, "traces_matched", 9);
	is_integer(root, "traces_shown", 2);
	is_count(root, "processes/0/traces", 2);
	json_decref(root);
	life_fini(&life);
}

/* ---- several processes ---- */

static void fork_child(struct life *life, uint64_t time_ns, int32_t child)
{
	struct actor actor = {PID, PID, time_ns, 0, (uint32_t)NO_CALL};

	model_fork(life->model, &actor, child, child, 0, NULL);
	model_set_exe(life->model, child, "/opt/child");
}

/* An inherited handle's opening belongs to the parent, and is told once; to the child it is told
 * when the child is asked for. */
static void test_processes(void **state)
{
	struct life life;
	json_t *root;

	(void)state;
	life_init(&life, 100);
	model_attached(life.model, PID);
	life_open(&life, 2 * S, PID, 5, life.open_stack, "eventfd", NULL);
	fork_child(&life, 3 * S, 5000);
	fork_child(&life, 3 * S, 5001);
	life_open(&life, 4 * S, 5000, 6, life.foo_stack, "file", "/tmp/x");
	life_close(&life, 5 * S, PID, 5);
	life_report(&life);
	check_text(&life, report_text.write_traces, 0, 5, 0, golden_processes_text);
	check_text(&life, report_windbg.write_traces, 0, -1, 2, golden_processes_windbg);
	check_has(&life, report_text.write_traces, 5000, 5,
		  "   Handle 5 is open, inherited, for 98 s: eventfd.\n\n"
		  "#1 OPEN handle 5, 98 s ago, by process 4242\n");
	root = parse(&life, 0, -1, 0);
	is_count(root, "processes", 2);
	is_integer(root, "processes/0/pid", PID);
	is_count(root, "processes/0/traces", 2);
	is_integer(root, "processes/1/pid", 5000);
	is_count(root, "processes/1/traces", 1);
	json_decref(root);
	root = parse(&life, 0, 5, 0);
	is_count(root, "processes", 3); /* in two of them it is open, and no more */
	is_null(root, "processes/0/open_handle");
	is_count(root, "processes/2/traces", 0);
	is_string(root, "processes/2/open_handle/origin", "inherited");
	json_decref(root);
	life_fini(&life);
}

/* An opening that only the model knows is the opener's, whichever process is asked first. */
static void test_opener_process(void **state)
{
	struct report_process first;
	struct life life;
	json_t *root;

	(void)state;
	life_init(&life, 0);
	model_attached(life.model, PID);
	life_open(&life, 2 * S, PID, 5, life.open_stack, "eventfd", NULL);
	fork_child(&life, 3 * S, 5000);
	life_report(&life);
	first = life.report.processes.data[0];
	life.report.processes.data[0] = life.report.processes.data[1];
	life.report.processes.data[1] = first;
	root = parse(&life, 0, -1, 0);
	is_count(root, "processes", 1);
	is_integer(root, "processes/0/pid", PID);
	is_count(root, "processes/0/traces", 1);
	json_decref(root);
	life_fini(&life);
}

/* A process that was forgotten has no program any more, but its traces. */
static void test_forgotten(void **state)
{
	struct actor actor = {5000, 5000, 6 * S, 0, (uint32_t)NO_CALL};
	struct life life;
	json_t *root;

	(void)state;
	life_init(&life, 100);
	model_attached(life.model, PID);
	fork_child(&life, 3 * S, 5000);
	life_open(&life, 4 * S, 5000, 6, life.foo_stack, "file", "/tmp/x");
	life_close(&life, 5 * S, 5000, 6);
	model_exit(life.model, &actor, EVENT_EXIT_PROCESS, 0, NULL);
	life_report(&life);
	assert_int_equal(life.report.processes.count, 1);
	check_has(&life, report_text.write_traces, 0, -1,
		  "== (program not known) (pid 5000): 2 traces, newest first; collector bpf\n");
	check_has(&life, report_windbg.write_traces, 0, 6, "Process 0x1388\n\nHandle 0x6 - CLOSE:");
	root = parse(&life, 5000, 6, 0);
	is_count(root, "processes", 1);
	is_null(root, "processes/0/exe");
	is_null(root, "processes/0/open_handle");
	is_count(root, "processes/0/traces", 2);
	json_decref(root);
	life_fini(&life);
}

/* The close that failed, because another thread's was the real one, was no close. */
static void test_failed_close(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 100);
	model_attached(life.model, PID);
	life_open(&life, 2 * S, PID, 5, life.open_stack, "eventfd", NULL);
	life_close(&life, 3 * S, PID, 5);
	life_close(&life, 3 * S + 1, PID + 1, 5);
	life_op(&life, 3 * S + 2, PID, 0, CLOSE,
		(struct handle_op){.kind = HANDLE_CLOSE_FAILED, .number = 5, .error = -EBADF});
	life_report(&life);
	check_text(&life, report_windbg.write_traces, PID, 5, 0, golden_failed_close_windbg);
	life_fini(&life);
}

/* ---- nothing to show ---- */

static void test_nothing(void **state)
{
	static const char kept_none[] = "\nShown: 0 traces. The history keeps 0 traces of all "
					"processes and handles; none has fallen out.\n";
	struct life life;
	json_t *root;
	char wanted[400];

	(void)state;
	life_init(&life, 100);
	snprintf(wanted, sizeof(wanted), "No process was traced.\n%s", kept_none);
	check_text(&life, report_text.write_traces, 0, -1, 0, wanted);
	life_report(&life);
	snprintf(wanted, sizeof(wanted), "Process 99 is not traced.\n%s", kept_none);
	check_text(&life, report_text.write_traces, 99, -1, 0, wanted);
	check_text(&life, report_windbg.write_traces, 99, -1, 0,
		   "Process 0x63 is not traced.\n\nParsed 0x0 stack traces.\nDumped 0x0 stack "
		   "traces.\n");
	root = parse(&life, 99, -1, 0);
	is_count(root, "processes", 0);
	json_decref(root);
	snprintf(wanted, sizeof(wanted),
		 "No handle was opened, closed or misused since tracing began.\n%s", kept_none);
	check_text(&life, report_text.write_traces, 0, -1, 0, wanted);
	check_text(&life, report_windbg.write_traces, PID, -1, 0,
		   "Process 0x1092\n\nParsed 0x0 stack traces.\nDumped 0x0 stack traces.\n");
	check_has(&life, report_text.write_traces, 0, 8,
		  "Handle 8 was never seen open in any process.\n");
	check_has(&life, report_text.write_traces, PID, 8, "   Handle 8 was never seen open.\n");
	life_fini(&life);
}

static void test_states(void **state)
{
	struct actor actor = {PID, PID, 90 * S, 0, (uint32_t)NO_CALL};
	struct life life;

	(void)state;
	life_at_night(&life, 100);
	check_has(&life, report_text.write_traces, PID, 0,
		  "   Handle 0 is open, and has been since before tracing began: file "
		  "/dev/pts/0.\n");
	check_has(&life, report_text.write_traces, PID, 9, "   Handle 9 is not open.\n");
	check_has(&life, report_text.write_traces, PID, 9,
		  "#1 CLOSE handle 9: by close, 40 s ago (01:46:00.123); its opening was not "
		  "seen\n");
	model_exit(life.model, &actor, EVENT_EXIT_PROCESS, 0, NULL);
	model_lost(life.model);
	life_report(&life);
	check_has(&life, report_text.write_traces, PID, 7,
		  "   Handle 7 was still open when the process ended, for 20 s: file "
		  "/var/log/leaky.log.\n");
	check_has(&life, report_text.write_traces, PID, 8,
		  "   Handle 8 is not open, and no trace of it is kept.\n");
	life_fini(&life);
}

/* What has no stack has none, and does not say that it could not be read. */
static void test_no_stack(void **state)
{
	const struct observed_handle none[1];
	struct actor actor = {PID, PID, 4 * S, 0, (uint32_t)NO_CALL};
	struct life life;
	json_t *root;

	(void)state;
	life_init(&life, 100);
	model_attached(life.model, PID);
	life_open(&life, 2 * S, PID, 5, life.open_stack, "file", "/tmp/x"); /* close-on-exec */
	life_open(&life, 3 * S, PID, 6, life.open_stack, "eventfd", NULL);
	model_exec(life.model, &actor, PID, NULL);
	while (model_observe(life.model, PID, none, 0, 5 * S, 6 * S))
		;
	life_report(&life);
	check_has(&life, report_text.write_traces, PID, 5,
		  "#1 CLOSE handle 5: by exec (close-on-exec), 96 s ago; it was open for 2.0 s\n\n"
		  "#2 OPEN");
	check_has(&life, report_text.write_traces, PID, 6,
		  "#1 CLOSE handle 6: found closed, by what was not seen, 94 s ago; it was open "
		  "for 3.0 s\n\n#2 OPEN");
	check_has(&life, report_windbg.write_traces, PID, 6, "Handle 0x6 - CLOSE:\n-----------");
	root = parse(&life, PID, 5, 0);
	is_string(root, "processes/0/traces/0/closed_by", "exec");
	is_null(root, "processes/0/traces/0/operation");
	is_null(root, "processes/0/traces/0/stack_end");
	is_boolean(root, "processes/0/traces/0/stack_complete", false);
	is_count(root, "processes/0/traces/0/stack", 0);
	json_decref(root);
	life_fini(&life);
}

/* The date is told where it is another day's. */
static void test_wall(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 100);
	life.report.wall = (struct timespec){1000000000, 0};
	life.report.now_ns = 200000 * S;
	life_open(&life, 100000 * S - 1, PID, 5, life.open_stack, "eventfd", NULL);
	life_open(&life, 200000 * S + 1, PID, 6, life.open_stack, "eventfd", NULL);
	life_report(&life);
	check_has(&life, report_text.write_traces, PID, 5, " ago (2001-09-07 21:59:59.999)\n");
	check_has(&life, report_text.write_traces, PID, 6, ", 0 ns ago (01:46:40.000)\n");
	life.report.wall.tv_nsec = 999999999;
	check_has(&life, report_text.write_traces, PID, 6, ", 0 ns ago (01:46:41.000)\n");
	life.report.wall = (struct timespec){0};
	check_has(&life, report_text.write_traces, PID, 5, ": by eventfd2, 27 h 46 min ago\n");
	life_fini(&life);
}

/* ---- what all formats promise ---- */

static void test_promises(void **state)
{
	const struct report_query query = {.pid = PID, .number = -1};
	struct life life;

	(void)state;
	life_at_night(&life, 3);
	check_colour(&life, report_text.write_traces, &query);
	check_wrapping(&life, report_text.write_traces, &query);
	check_no_raw_bytes(&life, report_text.write_traces, &query);
	check_no_raw_bytes(&life, report_windbg.write_traces, &query);
	for (const struct report_format *const *format = report_formats; *format; format++)
		check_full_stream(&life, (*format)->write_traces, &query);
	for (int i = 0; i < 3000; i++) /* more than a buffer */
		life_open(&life, 80 * S + i, PID, 100 + i, life.evil_stack, "file", "/tmp/x");
	for (const struct report_format *const *format = report_formats; *format; format++)
		check_full_stream(&life, (*format)->write_traces, &query);
	life_fini(&life);
}

/* Names are looked up before, all that are shown and no more. */
static void test_names(void **state)
{
	const struct report_query query = {.pid = PID, .number = 7, .traces_max = 2};
	struct life life;

	(void)state;
	life_at_night(&life, 100);
	fake_looked_up = 0;
	report_name_traces(&life.report, &query);
	assert_int_equal(fake_looked_up, 1u << 8 | 1u << 2); /* use_stack */
	for (const struct report_format *const *format = report_formats; *format; format++) {
		fake_looked_up = 0;
		free(life_print(&life, (*format)->write_traces, PID, 7, 2, plain));
		assert_int_equal(fake_looked_up, 1u << 8 | 1u << 2);
	}
	life_fini(&life);
}

/* 50,000 handles, opened, closed and opened again; half of that has fallen out. */
static void test_large(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 75000);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 50000; i++) {
			uint64_t time_ns = (2 + round) * S + i;

			if (round)
				life_close(&life, time_ns, PID, i);
			life_open(&life, time_ns, PID, i, i % 2 ? life.open_stack : life.foo_stack,
				  "file", "/some/name");
		}
	life_report(&life);
	for (const struct report_format *const *format = report_formats; *format; format++)
		check_large(&life, (*format)->write_traces, (*format)->name, PID, -1);
	life_fini(&life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden),    cmocka_unit_test(test_fallen_out),
	    cmocka_unit_test(test_json),      cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_forgotten), cmocka_unit_test(test_failed_close),
	    cmocka_unit_test(test_nothing),   cmocka_unit_test(test_states),
	    cmocka_unit_test(test_wall),      cmocka_unit_test(test_opener_process),
	    cmocka_unit_test(test_no_stack),  cmocka_unit_test(test_promises),
	    cmocka_unit_test(test_names),     cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
