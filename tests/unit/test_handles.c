/* report/ of `handles`: the whole text in each format, one handle and all, several processes, what
 * counts as the place that opened a handle, and what all formats promise. */
#include "life_report.h"

#include "base/cleanup.h"
#include "golden_handles.h"
#include "json_paths.h"
#include "output_checks.h"
#include "report/opener.h"

#include <time.h>

static const struct report_style plain = {0};

static void check_styled(const struct life *life, life_write *write, int32_t pid, int32_t number,
			 struct report_style style, const char *wanted)
{
	char *text = life_print(life, write, pid, number, 0, style);

	assert_string_equal(text, wanted);
	free(text);
}

static void check_text(const struct life *life, life_write *write, int32_t pid, int32_t number,
		       uint32_t traces_max, const char *wanted)
{
	(void)traces_max;
	check_styled(life, write, pid, number, plain, wanted);
}

static void check_has(const struct life *life, life_write *write, int32_t pid, int32_t number,
		      const char *wanted)
{
	char *text = life_print(life, write, pid, number, 0, plain);

	if (!strstr(text, wanted))
		fail_msg("no \"%s\" in\n%s", wanted, text);
	free(text);
}

static json_t *parse(const struct life *life, int32_t pid, int32_t number)
{
	return json_parse_take(life_print(life, report_json.write_handles, pid, number, 0, plain));
}

static int setup(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

/* A sample with an evil name, a long one, and what a thread opened. */
static void life_with_handles(struct life *life)
{
	life_init(life, 4);
	life->report.wall = (struct timespec){1000000000, 123456789};
	life_lead(life);
	life_open(life, 80 * S, PID + 1, 12, life->long_stack, "eventfd", NULL);
	life_open(life, 81 * S, PID, 11, life->evil_stack, "file", "/tmp/\033[2J\xff\xe2\x80\xae");
	life_open(life, 82 * S, PID, 1000, life->open_stack, "file",
		  "/var/lib/a/name/that/is/longer/than/others/may/be/before/they/are/aligned");
	life_report(life);
}

static void test_golden(void **state)
{
	struct life life;

	(void)state;
	life_with_handles(&life);
	check_text(&life, report_text.write_handles, PID, -1, 0, golden_handles_text);
	check_styled(&life, report_text.write_handles, PID, -1,
		     (struct report_style){.columns = 80}, golden_handles_80_text);
	check_styled(&life, report_text.write_handles, PID, -1,
		     (struct report_style){.columns = 140}, golden_handles_140_text);
	check_text(&life, report_text.write_handles, PID, 7, 0, golden_handle_text);
	check_text(&life, report_windbg.write_handles, PID, -1, 0, golden_handles_windbg);
	check_text(&life, report_windbg.write_handles, PID, 7, 0, golden_handle_windbg);
	life_fini(&life);
}

static void test_json(void **state)
{
	struct life life;
	json_t *root, *handle;

	(void)state;
	life_with_handles(&life);
	root = parse(&life, PID, -1);
	is_string(root, "schema", "htrace.handles/1");
	is_integer(root, "query/pid", PID);
	is_null(root, "query/handle");
	is_count(root, "processes", 1);
	is_integer(root, "processes/0/open_handles", 6);
	is_string(root, "processes/0/exe", "/opt/leaky");
	is_boolean(root, "processes/0/exited", false);
	is_count(root, "processes/0/handles", 6);
	handle = at(root, "processes/0/handles/0");
	is_integer(handle, "handle", 0);
	is_string(handle, "origin", "before-tracing");
	is_null(handle, "opened_ns");
	is_null(handle, "age_ns");
	is_null(handle, "opened_at");
	handle = at(root, "processes/0/handles/1");
	is_integer(handle, "handle", 3);
	is_string(handle, "type", "file");
	is_string(handle, "name", "/var/log/leaky.log");
	is_boolean(handle, "cloexec", true);
	is_integer(handle, "opened_ns", 8 * S);
	is_integer(handle, "age_ns", 92 * S);
	is_integer(handle, "tid", PID);
	is_null(handle, "opened_at/function");
	is_string(handle, "opened_at/module", "libfoo.so");
	is_integer(handle, "opened_at/offset", 0x1234);
	handle = at(root, "processes/0/handles/2");
	is_string(handle, "opened_at/function", "fun4");
	is_string(handle, "opened_at/file", "leakyhandles.c");
	is_integer(handle, "opened_at/line", 41);
	assert_null(json_object_get(handle, "stack"));
	is_string(root, "processes/0/handles/3/name", "/tmp/\033[2J\xef\xbf\xbd\xe2\x80\xae");
	is_integer(root, "processes/0/handles/4/tid", PID + 1);
	is_integer(root, "processes/0/handles/5/handle", 1000);
	json_decref(root);
	root = parse(&life, PID, 1000);
	is_integer(root, "query/handle", 1000);
	is_null(root, "processes/0/closed_ns");
	is_count(root, "processes/0/handles", 1);
	is_count(root, "processes/0/handles/0/stack", 5);
	is_boolean(root, "processes/0/handles/0/stack_complete", true);
	json_decref(root);
	root = parse(&life, PID, 9);
	is_count(root, "processes/0/handles", 0);
	is_integer(root, "processes/0/closed_ns", 60 * S);
	json_decref(root);
	life_fini(&life);
}

static void test_not_open(void **state)
{
	struct life life;
	json_t *root;

	(void)state;
	life_with_handles(&life);
	check_text(&life, report_text.write_handles, PID, 9, 0,
		   "== /opt/leaky (pid 4242): handle 9 is not open; it was closed 40 s ago "
		   "(01:46:00.123); collector bpf\n");
	check_text(&life, report_text.write_handles, PID, 10, 0,
		   "== /opt/leaky (pid 4242): handle 10 is not open, and was never seen open; "
		   "collector bpf\n");
	check_text(&life, report_text.write_handles, 0, 10, 0,
		   "Handle 10 is not open in any process.\n");
	check_text(&life, report_text.write_handles, 99, -1, 0, "Process 99 is not traced.\n");
	check_text(&life, report_windbg.write_handles, PID, 10, 0, "Handle a is not open.\n");
	check_text(&life, report_windbg.write_handles, 0, 10, 0, "Handle a is not open.\n");
	check_text(&life, report_windbg.write_handles, 99, -1, 0, "Process 0x63 is not traced.\n");
	root = parse(&life, 99, -1);
	is_count(root, "processes", 0);
	json_decref(root);
	report_fini(&life.report);
	check_text(&life, report_text.write_handles, 0, -1, 0, "No process was traced.\n");
	check_text(&life, report_windbg.write_handles, 0, -1, 0, "0 Handles\n");
	life_fini(&life);
}

/* Those with nothing open are left out, unless they are asked for; a child's handles say whose
 * opening it was, and ages end with the process. */
static void test_processes(void **state)
{
	struct actor parent = {PID, PID, 3 * S, 0, (uint32_t)NO_CALL};
	struct actor child = {5000, 5000, 10 * S, 0, (uint32_t)NO_CALL};
	struct life life;
	json_t *root;

	(void)state;
	life_init(&life, 100);
	model_attached(life.model, PID);
	life_open(&life, 2 * S, PID, 5, life.open_stack, "eventfd", NULL);
	model_fork(life.model, &parent, 5000, 5000, 0, NULL);
	life_close(&life, 4 * S, PID, 5);
	life_open(&life, 5 * S, 5000, 6, life.foo_stack, "file", "/tmp/x");
	model_exit(life.model, &child, EVENT_EXIT_PROCESS, 0, NULL);
	life_report(&life);
	check_text(&life, report_text.write_handles, 0, -1, 0, golden_handles_child_text);
	check_text(&life, report_windbg.write_handles, 0, -1, 0, golden_handles_child_windbg);
	check_has(&life, report_text.write_handles, PID, -1, ": 0 handles open; collector bpf\n");
	check_has(&life, report_text.write_handles, 5000, 5,
		  "    thread    4242 of process 4242\n");
	check_has(&life, report_text.write_handles, 5000, 6,
		  ": handle 6 is open, as the process left it; collector bpf\n");
	root = parse(&life, 0, -1);
	is_count(root, "processes", 1);
	is_boolean(root, "processes/0/exited", true);
	is_count(root, "processes/0/handles", 2);
	is_integer(root, "processes/0/handles/0/age_ns", 8 * S);
	is_string(root, "processes/0/handles/0/origin", "inherited");
	is_integer(root, "processes/0/handles/0/pid", PID);
	json_decref(root);
	life_fini(&life);
}

/* A thread with a table of its own comes after the leader's in the model, not here. */
static void test_ascending(void **state)
{
	struct actor parent = {PID, PID, 3 * S, 0, (uint32_t)NO_CALL};
	struct life life;
	json_t *root;

	(void)state;
	life_init(&life, 100);
	model_attached(life.model, PID);
	life_open(&life, 2 * S, PID, 50, life.open_stack, "eventfd", NULL);
	model_fork(life.model, &parent, PID, PID + 1, EVENT_FORK_THREAD, NULL);
	life_open(&life, 4 * S, PID + 1, 7, life.open_stack, "eventfd", NULL);
	life_report(&life);
	root = parse(&life, PID, -1);
	is_count(root, "processes/0/handles", 3);
	is_integer(root, "processes/0/handles/0/handle", 7);
	is_integer(root, "processes/0/handles/1/handle", 50);
	is_integer(root, "processes/0/handles/2/handle", 50);
	json_decref(root);
	root = parse(&life, PID, 50);
	is_count(root, "processes/0/handles", 2);
	json_decref(root);
	life_fini(&life);
}

static void check_opener(struct life *life, const uint8_t *pcs, uint32_t n, const char *wanted)
{
	const struct symbol *symbol =
	    opener_find(&life->report, life_stack(life, STACK_END_COMPLETE, pcs, n));
	_cleanup_(words_fini) struct words words = {0};

	assert_non_null(symbol);
	opener_add(&words, symbol);
	assert_string_equal(words_text(&words), wanted);
}

/* fake_symbols.h: 1, 4, 8: libc; 2, 9: the program; 3: inlined; 5: a library without names; 10, 11:
 * a static program's libc and its own code; 12: without lines. */
static void test_opener(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 1);
	check_opener(&life, (uint8_t[]){1, 2, 4}, 3, "fun4 leakyhandles.c:41");
	check_opener(&life, (uint8_t[]){1, 3, 4}, 3, "fun2 leakyhandles.c:30");
	check_opener(&life, (uint8_t[]){1, 5, 2}, 3, "libfoo.so+0x1234");
	check_opener(&life, (uint8_t[]){5, 2}, 2, "libfoo.so+0x1234");         /* its own call */
	check_opener(&life, (uint8_t[]){1, 4}, 2, "eventfd+0xb in libc.so.6"); /* nothing else */
	check_opener(&life, (uint8_t[]){10, 10, 11}, 3, "handler main.c:7");
	check_opener(&life, (uint8_t[]){10, 12}, 2, "__libc_open64+0x2c in static");
	check_opener(&life, (uint8_t[]){1, 12, 11}, 3, "open_it+0x3 in static");
	check_opener(&life, (uint8_t[]){6}, 1, "evil\\x1b[2Jname\\x0a a\\x09b\\xc3(.c:4294967295");
	assert_null(opener_find(&life.report, STACK_NONE));
	life_fini(&life);
}

/* ---- what all formats promise ---- */

static void test_promises(void **state)
{
	const struct report_query all = {.pid = PID, .number = -1}, one = {PID, 11, 0};
	struct life life;

	(void)state;
	life_with_handles(&life);
	for (int i = 0; i < 2; i++) {
		const struct report_query *query = i ? &one : &all;

		check_colour(&life, report_text.write_handles, query);
		check_wrapping(&life, report_text.write_handles, query);
		check_no_raw_bytes(&life, report_text.write_handles, query);
		check_no_raw_bytes(&life, report_windbg.write_handles, query);
		for (const struct report_format *const *format = report_formats; *format; format++)
			check_full_stream(&life, (*format)->write_handles, query);
	}
	for (int i = 0; i < 3000; i++) /* more than a buffer */
		life_open(&life, 90 * S + i, PID, 2000 + i, life.evil_stack, "file", "/tmp/x");
	for (const struct report_format *const *format = report_formats; *format; format++)
		check_full_stream(&life, (*format)->write_handles, &all);
	life_fini(&life);
}

/* Names are looked up before: of all handles only as far as the place is found. */
static void test_names(void **state)
{
	const struct report_query all = {.pid = PID, .number = -1}, one = {PID, 1000, 0};
	const uint32_t of_all = 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8;
	const uint32_t of_one = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4;
	struct life life;

	(void)state;
	life_with_handles(&life);
	fake_looked_up = 0;
	report_name_handles(&life.report, &all);
	assert_int_equal(fake_looked_up, of_all);
	fake_looked_up = 0;
	report_name_handles(&life.report, &one);
	assert_int_equal(fake_looked_up, of_one);
	for (const struct report_format *const *format = report_formats; *format; format++) {
		fake_looked_up = 0;
		free(life_print(&life, (*format)->write_handles, PID, -1, 0, plain));
		assert_int_equal(fake_looked_up, of_all);
		fake_looked_up = 0;
		free(life_print(&life, (*format)->write_handles, PID, 1000, 0, plain));
		assert_int_equal(fake_looked_up, of_one);
	}
	life_fini(&life);
}

static void test_large(void **state)
{
	struct life life;
	char name[32];

	(void)state;
	life_init(&life, 100);
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "/some/name/%d", i);
		life_open(&life, 2 * S + i, PID, i, i % 2 ? life.open_stack : life.foo_stack,
			  "file", name);
	}
	life_report(&life);
	for (const struct report_format *const *format = report_formats; *format; format++)
		check_large(&life, (*format)->write_handles, (*format)->name, PID, -1);
	life_fini(&life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden),    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_not_open),  cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_ascending), cmocka_unit_test(test_opener),
	    cmocka_unit_test(test_promises),  cmocka_unit_test(test_names),
	    cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
