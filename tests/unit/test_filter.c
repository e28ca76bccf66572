/* report/filter over reports built by hand: each condition, what they hide together, what is said
 * of it in every format, and that only what has to have a name is given one. */
#include "fake_report.h"
#include "json_paths.h"
#include "report/words.h"

#include <errno.h>
#include <stdlib.h>

static const struct report_style plain = {0};

struct filtered {
	struct fixture fixture;
	struct filter *filter;
};

/* Conditions as "t:TYPE", "n:GLOB", "s:REGEX", "!:REGEX", "a:NANOSECONDS", "N:TOP"; ends with NULL.
 */
static struct filter *filter_make(const char *const *conditions)
{
	struct filter *filter = filter_new();

	for (; *conditions; conditions++) {
		const char *value = *conditions + 2;

		switch (**conditions) {
		case 't':
			filter_add_type(filter, value);
			break;
		case 'n':
			filter_add_name(filter, value);
			break;
		case 's':
			assert_int_equal(filter_add_stack(filter, FILTER_STACK, value, NULL), 0);
			break;
		case '!':
			assert_int_equal(filter_add_stack(filter, FILTER_NOT_STACK, value, NULL),
					 0);
			break;
		case 'a':
			filter_set_min_age(filter, strtoull(value, NULL, 10));
			break;
		default:
			filter_set_top(filter, atoi(value));
		}
	}
	return filter;
}

#define CONDITIONS(...)                                                                            \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static void filtered_init(struct filtered *filtered, void (*make)(struct fixture *fixture),
			  const char *const *conditions)
{
	fixture_init(&filtered->fixture);
	make(&filtered->fixture);
	fake_looked_up = 0;
	filtered->filter = filter_make(conditions);
	report_filter(&filtered->fixture.report, filtered->filter);
	report_keep_top(&filtered->fixture.report);
}

static void filtered_fini(struct filtered *filtered)
{
	filter_free(filtered->filter);
	fixture_fini(&filtered->fixture);
}

static void make_sample(struct fixture *fixture)
{
	sample(fixture);
	fixture_report(fixture, "/opt/leaky");
}

/* ---- what is left, in numbers ---- */

static void check_left(void (*make)(struct fixture *fixture), const char *const *conditions,
		       size_t groups, uint64_t grouped, size_t others, const char *says)
{
	struct filtered filtered;
	const struct diff *diff;
	struct words words = {0};
	uint64_t left = 0;

	filtered_init(&filtered, make, conditions);
	diff = &filtered.fixture.report.processes.data[0].diff;
	array_each (group, &diff->groups) {
		assert_int_equal(group->open, group->handles.count);
		left += group->open;
	}
	assert_int_equal(diff->groups.count, groups);
	assert_int_equal(left, grouped);
	assert_int_equal(diff->others.count, others);
	assert_int_equal(diff->before_tracing, others);
	assert_int_equal(diff->hidden + left + others, diff->open_handles);
	hidden_add(&words, &filtered.fixture.report.hidden);
	assert_string_equal(words_text(&words), says);
	words_fini(&words);
	filtered_fini(&filtered);
}

/* The sample: 3 files of before tracing, 10 eventfds of fun4, 1 file of libfoo.so. */
static void test_conditions(void **state)
{
	(void)state;
	check_left(make_sample, CONDITIONS("t:eventfd"), 1, 10, 0,
		   "1 place with 1 handle and 3 other handles are hidden by --type");
	check_left(make_sample, CONDITIONS("t:file", "t:socket"), 1, 1, 3,
		   "1 place with 10 handles is hidden by --type");
	check_left(make_sample, CONDITIONS("n:*.log"), 1, 1, 0,
		   "1 place with 10 handles and 3 other handles are hidden by --name");
	check_left(make_sample, CONDITIONS("n:leaky.log"), 1, 1, 0,
		   "1 place with 10 handles and 3 other handles are hidden by --name");
	check_left(make_sample, CONDITIONS("n:log/leaky.log"), 0, 0, 0,
		   "2 places with 11 handles and 3 other handles are hidden by --name");
	check_left(make_sample, CONDITIONS("n:anon_inode:[eventfd]"), 1, 10, 0,
		   "1 place with 1 handle and 3 other handles are hidden by --name");
	check_left(make_sample, CONDITIONS("s:^fun4 leaky leakyhandles.c:41$"), 1, 10, 0,
		   "1 place with 1 handle and 3 other handles are hidden by --stack");
	check_left(make_sample, CONDITIONS("s:^- libfoo.so -$"), 1, 1, 0,
		   "1 place with 10 handles and 3 other handles are hidden by --stack");
	check_left(make_sample, CONDITIONS("s:^fun2 ", "s:^eventfd .*libc"), 1, 10, 0,
		   "1 place with 1 handle and 3 other handles are hidden by --stack");
	check_left(make_sample, CONDITIONS("s:^fun2 ", "s:libfoo"), 0, 0, 0,
		   "2 places with 11 handles and 3 other handles are hidden by --stack");
	check_left(make_sample, CONDITIONS("!:libfoo|fun3"), 1, 10, 3,
		   "1 place with 1 handle is hidden by --not-stack");
	check_left(
	    make_sample, CONDITIONS("s:eventfd", "!:fun4"), 1, 1, 0,
	    "1 place with 10 handles and 3 other handles are hidden by --stack, --not-stack");
	check_left(make_sample, CONDITIONS("N:1"), 1, 10, 3,
		   "1 place with 1 handle is hidden by --top");
	check_left(make_sample, CONDITIONS("N:2"), 2, 11, 3, "");
	check_left(make_sample, CONDITIONS("t:eventfd", "t:file", "N:1"), 1, 10, 3,
		   "1 place with 1 handle is hidden by --top");
}

/* Up to the process's end at 6 s. What was open before tracing has no age and is not young. */
static void test_age(void **state)
{
	(void)state;
	check_left(make_sample, CONDITIONS("a:4400000000"), 1, 1, 3,
		   "1 place with 10 handles is hidden by --min-age");
	/* Numbers 4 to 13 were opened at 2.004 to 2.013 s. */
	check_left(make_sample, CONDITIONS("a:3993000000"), 2, 5, 3,
		   "6 handles are hidden by --min-age");
	check_left(make_sample, CONDITIONS("a:1"), 2, 11, 3, "");
}

/* ---- several processes ---- */

static void leave(struct fixture *fixture, int32_t pid, uint32_t stack, int32_t count)
{
	struct fake_process *process = fake_process(&fixture->model, pid, S);
	uint32_t place = fake_place(process, "file", stack, ORIGIN_OPENED);

	process->process.exited = true;
	process->process.exit_ns = 6 * S;
	for (int32_t number = 0; number < count; number++)
		fake_open(process, number, place, 2 * S + number * MS, "/tmp/x");
}

/* Three places: foo in two processes (6 handles in all), evil with 5, long with 4. */
static void make_three(struct fixture *fixture)
{
	leave(fixture, 1, fixture->evil_stack, 5);
	leave(fixture, 2, fixture->foo_stack, 3);
	leave(fixture, 3, fixture->foo_stack, 3);
	leave(fixture, 4, fixture->long_stack, 4);
	fixture_report(fixture, "/opt/leaky");
}

static void check_top(const char *top, const char *pids, uint64_t leaks, uint64_t places)
{
	struct filtered filtered;
	char told[16] = "";

	filtered_init(&filtered, make_three, CONDITIONS(top));
	array_each (process, &filtered.fixture.report.processes)
		if (process->diff.groups.count)
			snprintf(told + strlen(told), sizeof(told) - strlen(told), "%d",
				 process->process->pid);
	assert_string_equal(told, pids);
	assert_int_equal(report_leaks(&filtered.fixture.report), leaks);
	assert_int_equal(filtered.fixture.report.hidden.places, places);
	filtered_fini(&filtered);
}

/* A place of several processes is one, and as large as all of it; what is hidden is no leak for
 * --error-exitcode. */
static void test_top(void **state)
{
	(void)state;
	check_top("N:1", "23", 2, 2);
	check_top("N:2", "123", 3, 1);
	check_top("N:3", "1234", 4, 0);
}

/* ---- bad references ---- */

static void make_bad(struct fixture *fixture)
{
	struct fake_process *process = sample(fixture);

	add_bad(process, 50, BAD_DOUBLE_CLOSE, fixture->close_stack, fixture->daemon_stack,
		fixture->leak_stack);
	add_bad(process, 51, BAD_NEVER_OPENED, fixture->foo_stack, 0, 0);
	fixture_report(fixture, "/opt/leaky");
}

static void check_bad(const char *condition, bool first, bool second)
{
	struct filtered filtered;
	const struct report_process *shown;
	const struct bad_reference *bad;

	filtered_init(&filtered, make_bad, CONDITIONS(condition));
	shown = &filtered.fixture.report.processes.data[0];
	bad = shown->process->bad_references.data;
	assert_int_equal(report_tells_bad(shown, &bad[0]), first);
	assert_int_equal(report_tells_bad(shown, &bad[1]), second);
	assert_int_equal(filtered.fixture.report.hidden.bad_references, !first + !second);
	for (size_t i = 0; report_formats[i]; i++) {
		char *text = print(&filtered.fixture, report_formats[i], plain);

		/* Of the second one's stack nothing else tells, where the place is hidden. */
		if (!second && strcmp(condition, "s:fun4"))
			assert_null(strstr(text, "libfoo"));
		if (!first)
			assert_null(strstr(text, "daemonize"));
		free(text);
	}
	filtered_fini(&filtered);
}

/* One stack of the three has to meet --stack, none may meet --not-stack; the rest is for handles.
 */
static void test_bad_references(void **state)
{
	(void)state;
	check_bad("s:daemonize", true, false);
	check_bad("s:libfoo", false, true);
	check_bad("!:daemonize", false, true);
	check_bad("!:libfoo", true, false);
	check_bad("!:^eventfd", false, false);
	check_bad("t:socket", true, true);
	check_bad("n:/nothing", true, true);
	check_bad("N:1", true, true);
}

/* ---- whole texts ---- */

static const char golden_text[] =
    "== /opt/leaky (pid 4242): exited with status 0 after 5.0 s; collector bpf\n"
    "   No leak in what is not hidden; 14 handles open: 1 in 1 undecided place, 13 hidden\n"
    "\n"
    "#1 UNKNOWN 1 file: 1 opened here, not closed; one alone is not called a leak\n"
    "    open for  4.5 s\n"
    "    handle    3\n"
    "    name      /var/log/leaky.log\n"
    "    opened at\n"
    "        eventfd+0xb       in libc.so.6\n"
    "        libfoo.so+0x1234\n"
    "        (ends here: no unwind information in libfoo.so)\n"
    "\n"
    "1 place with 10 handles and 3 other handles are hidden by --name, --not-stack.\n";

static const char golden_windbg[] =
    "Handle tracing information snapshot successfully taken.\n"
    "0xb new stack traces since the previous snapshot.\n"
    "Ignoring handles that were already closed...\n"
    "Outstanding handles opened since the previous snapshot:\n"
    "--------------------------------------\n"
    "Handle = 0x00000003 - OPEN\n"
    "Thread ID = 0x00001092, Process ID = 0x00001092\n"
    "\n"
    "0x0000000055550001: libc.so.6!eventfd+0x0000000b\n"
    "0x0000000055550005: libfoo.so+0x00001234\n"
    "[stack ends here: no-cfi]\n"
    "--------------------------------------\n"
    "Displayed 0x1 stack traces for outstanding handles opened since the previous snapshot.\n"
    "Warning: 1 place with 10 handles and 3 other handles are hidden by --name, --not-stack.\n";

static void test_golden(void **state)
{
	struct filtered filtered;
	json_t *json;
	char *text;

	(void)state;
	filtered_init(&filtered, make_sample,
		      CONDITIONS("n:/var/log/*", "n:anon_inode:*", "!:^fun4 "));
	text = print(&filtered.fixture, &report_text, plain);
	assert_string_equal(text, golden_text);
	free(text);
	text = print(&filtered.fixture, &report_windbg, plain);
	assert_string_equal(text, golden_windbg);
	free(text);
	json = json_parse_take(print(&filtered.fixture, &report_json, plain));
	is_integer(json, "hidden/places", 1);
	is_integer(json, "hidden/handles", 13);
	is_count(json, "hidden/by", 2);
	is_string(json, "hidden/by/0", "--name");
	is_string(json, "hidden/by/1", "--not-stack");
	is_integer(json, "processes/0/hidden_handles", 13);
	is_integer(json, "processes/0/open_handles", 14);
	is_integer(json, "processes/0/before_tracing", 0);
	is_count(json, "processes/0/groups", 1);
	is_count(json, "processes/0/other_handles", 0);
	json_decref(json);
	filtered_fini(&filtered);
}

/* Children of which everything is hidden are not said to have left nothing. */
static void test_folded(void **state)
{
	struct filtered filtered;
	char *text;

	(void)state;
	filtered_init(&filtered, make_three, CONDITIONS("!:libfoo"));
	text = print(&filtered.fixture, &report_text, plain);
	assert_non_null(strstr(text, "\n2 other processes left handles open; nothing of them that "
				     "is not hidden leaks (pids 2-3).\n"));
	assert_non_null(strstr(text, "\n2 places with 6 handles are hidden by --not-stack.\n"));
	assert_null(strstr(text, "left nothing open"));
	free(text);
	filtered_fini(&filtered);
}

/* ---- names ---- */

enum { PC_EVENTFD = 1 << 1, PC_FUN4 = 1 << 2, PC_FOO = 1 << 5 };

/* Without an expression no name is asked for by the filter, and then only those of what is told. */
static void test_names(void **state)
{
	struct filtered filtered;

	(void)state;
	filtered_init(&filtered, make_sample, CONDITIONS("t:file"));
	assert_int_equal(fake_looked_up, 0);
	report_name(&filtered.fixture.report);
	assert_int_equal(fake_looked_up, PC_EVENTFD | PC_FOO);
	filtered_fini(&filtered);
	/* What another condition hides is not asked for its stack. */
	filtered_init(&filtered, make_sample, CONDITIONS("t:eventfd", "s:fun4"));
	assert_false(fake_looked_up & PC_FOO);
	filtered_fini(&filtered);
}

static void test_refusals(void **state)
{
	static const char *const broken[] = {"(", "[", "a\\", "*(", "a{2", "[[:no:]]"};
	struct filter *filter = filter_new();

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		struct error error = {0};

		assert_int_equal(filter_add_stack(filter, FILTER_NOT_STACK, broken[i], &error),
				 -EINVAL);
		assert_non_null(strstr(error.message, "--not-stack: '"));
		assert_non_null(strstr(error.message, "is no extended regular expression: "));
	}
	filter_free(filter);
	filter_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conditions), cmocka_unit_test(test_age),
	    cmocka_unit_test(test_top),        cmocka_unit_test(test_bad_references),
	    cmocka_unit_test(test_golden),     cmocka_unit_test(test_folded),
	    cmocka_unit_test(test_names),      cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
