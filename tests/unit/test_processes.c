/* report/processes: the list of processes in each format, against the whole text where it is for
 * eyes. */
#include "fake_report.h"

#include <jansson.h>
#include <stdlib.h>

static char *list(const struct fixture *fixture, const struct report_format *format,
		  uint32_t columns)
{
	struct report_style style = {.columns = columns};
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(format->write_processes(&fixture->report, &style, stream), 0);
	fclose(stream);
	return text;
}

/* The sample lives on; besides it one that leaks less, one that opened nothing, and ended ones. */
static void machine(struct fixture *fixture)
{
	struct fake_process *process = sample(fixture);
	uint32_t place;

	process->process.exited = false;
	process->process.exit_ns = 0;
	process->process.places.data[1].opened = 20;
	process->process.places.data[1].closed = 10;
	process = fake_process(&fixture->model, 77, 2 * S);
	place = fake_place(process, "socket", fixture->evil_stack, ORIGIN_OPENED);
	fake_open(process, 5, place, 3 * S, "socket:[1]");
	process = fake_process(&fixture->model, 78, 2 * S);
	fake_open(process, 0, fake_place(process, "file", 0, ORIGIN_BEFORE_TRACING), 0,
		  "/dev/null");
	for (int i = 0; i < 3; i++) {
		process = fake_process(&fixture->model, 100 + i, 2 * S);
		process->process.exited = true;
		process->process.exit_ns = 3 * S;
		place = fake_place(process, "file", fixture->foo_stack, ORIGIN_OPENED);
		if (i)
			fake_open(process, 5, place, 2 * S + MS, "/var/log/leaky.log");
	}
	fixture->report.lost_events = 7;
	fixture_report(fixture, "/opt/leaky");
}

static void check(const struct fixture *fixture, const struct report_format *format,
		  uint32_t columns, const char *wanted)
{
	char *text = list(fixture, format, columns);

	assert_string_equal(text, wanted);
	free(text);
}

static void test_text(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	machine(&fixture);
	check(&fixture, &report_text, 100,
	      " PID  OPEN  LEFT  OPENED  CLOSED  LEAKS  PROGRAM  WORST PLACE\n"
	      "4242    14    11      21      10      1  leaky    10 eventfd by fun4 "
	      "(leakyhandles.c:41)\n"
	      "  77     1     1       1       0      0  leaky\n"
	      "        1 socket by evil\\x1b[2Jname\\x0a (a\\x09b\\xc3(.c:4294967295)\n"
	      "\n"
	      "1 process has nothing open that was opened since tracing began, and 1 handle from "
	      "before or\n    inherited.\n"
	      "\n"
	      "Ended with handles open: leaky (2 processes, 2 handles).\n"
	      "\n"
	      "What this report does not know:\n"
	      "    7 events were lost (the buffer was full): handles may be missing, or have no "
	      "stack\n");
	fixture_fini(&fixture);
}

/* On a narrow terminal the place has a line of its own, and nothing is cut. */
static void test_narrow(void **state)
{
	struct fixture fixture;
	char *text;

	fixture_init(&fixture);
	machine(&fixture);
	text = list(&fixture, &report_text, 60);
	assert_non_null(strstr(text, "leaky\n        10 eventfd by fun4 (leakyhandles.c:41)\n"));
	free(text);
	fixture_fini(&fixture);
}

static void test_windbg(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	machine(&fixture);
	check(&fixture, &report_windbg, 0,
	      "PROCESS 0x00001092  ParentCid: 0x00000001  HandleCount: 14.  Opened: 21.  Closed: "
	      "10.  Outstanding: 11.\n"
	      "    Image: leaky\n"
	      "    Outstanding: 10 eventfd by fun4 (leakyhandles.c:41)\n"
	      "\n"
	      "PROCESS 0x0000004d  ParentCid: 0x00000001  HandleCount: 1.  Opened: 1.  Closed: 0.  "
	      "Outstanding: 1.\n"
	      "    Image: leaky\n"
	      "    Outstanding: 1 socket by evil\\x1b[2Jname\\x0a (a\\x09b\\xc3(.c:4294967295)\n"
	      "\n"
	      "PROCESS 0x0000004e  ParentCid: 0x00000001  HandleCount: 1.  Opened: 0.  Closed: 0.  "
	      "Outstanding: 0.\n"
	      "    Image: leaky\n"
	      "\n"
	      "Displayed 0x3 processes.\n"
	      "Warning: 0x7 events were lost.\n");
	fixture_fini(&fixture);
}

static void test_json(void **state)
{
	struct fixture fixture;
	json_t *root, *first;
	char *text;

	fixture_init(&fixture);
	machine(&fixture);
	text = list(&fixture, &report_json, 0);
	root = json_loads(text, 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "schema")),
			    "htrace.processes/1");
	assert_int_equal(json_integer_value(json_object_get(root, "lost_events")), 7);
	assert_int_equal(json_array_size(json_object_get(root, "processes")), 6);
	first = json_array_get(json_object_get(root, "processes"), 0);
	assert_int_equal(json_integer_value(json_object_get(first, "pid")), 4242);
	assert_int_equal(json_integer_value(json_object_get(first, "left")), 11);
	assert_int_equal(json_integer_value(json_object_get(first, "open_handles")), 14);
	assert_int_equal(json_integer_value(json_object_get(first, "leaks")), 1);
	first = json_object_get(json_object_get(first, "worst"), "place");
	assert_string_equal(json_string_value(json_object_get(first, "function")), "fun4");
	json_decref(root);
	free(text);
	fixture_fini(&fixture);
}

static void test_empty(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture);
	check(&fixture, &report_text, 80,
	      "No process has anything open that was opened since tracing began.\n");
	check(&fixture, &report_windbg, 80, "Displayed 0x0 processes.\n");
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),   cmocka_unit_test(test_narrow),
	    cmocka_unit_test(test_windbg), cmocka_unit_test(test_json),
	    cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
