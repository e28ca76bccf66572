/* report/exhausted and report/json_exhausted: out of handles, in words and in JSON; growth. */
#include "fake_report.h"

#include "json_paths.h"

#include <errno.h>

static struct exhaustion exhausted;

/* accept4 at leak_stack failed 212 times; who held the handles is of every origin. */
static struct fake_process *lay_down(struct fixture *fixture, int32_t error)
{
	struct fake_process *process = sample(fixture);

	exhausted = (struct exhaustion){
	    .count = 213,
	    .first_ns = 4 * S,
	    .last_ns = 5 * S,
	    .episodes = 1,
	    .call = 288,
	    .error = error,
	    .tid = 4243,
	    .stack_id = fixture->leak_stack,
	    .began_ns = 4 * S,
	    .open = 64,
	    .limits = {.process = 64},
	    .holders_n = 5,
	    .holders = {{"socket", fixture->leak_stack, ORIGIN_OPENED, 55},
			{"file", 0, ORIGIN_BEFORE_TRACING, 6},
			{NULL, 0, ORIGIN_UNKNOWN, 2},
			{"pipe", fixture->foo_stack, ORIGIN_INHERITED, 1},
			{"socket", fixture->close_stack, ORIGIN_OPENED, 1}},
	};
	array_push(&exhausted.places,
		   (struct exhausted_place){288, error, fixture->leak_stack, 212, 4 * S, 5 * S});
	array_push(&exhausted.places,
		   (struct exhausted_place){0, error, fixture->evil_stack, 1, 4 * S, 4 * S});
	process->process.exhausted = &exhausted;
	return process;
}

static void take_away(struct fixture *fixture)
{
	fixture->model.processes[0].process.exhausted = NULL;
	array_fini(&exhausted.places);
	fixture_fini(fixture);
}

static void contains(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("no '%s' in:\n%s", words, text);
}

static void test_text(void **state)
{
	struct fixture fixture;
	char *text;

	(void)state;
	fixture_init(&fixture);
	lay_down(&fixture, -EMFILE);
	fixture.report.occasion = "Written by a test.";
	fixture_report(&fixture, "/opt/leaky");
	text = print(&fixture, &report_text, (struct report_style){0});
	assert_memory_equal(text, "Written by a test.\n\n== /opt/leaky", 32);
	contains(text,
		 "   OUT OF HANDLES: syscall_288 and other calls failed with EMFILE 213 times, "
		 "first 3.0 s ago, last 2.0 s ago, with 64 of 64 open; most by: 56 socket in fun4 "
		 "leakyhandles.c:41, 6 file from before tracing, 2 of unknown type opened unseen, "
		 "1 pipe inherited\n");
	contains(text, "    failed    syscall_288 (EMFILE) 212 times in fun4 leakyhandles.c:41\n"
		       "    failed    read (EMFILE) 1 time in ");
	assert_null(strchr(text, '\033')); /* the evil stack's name */
	free(text);
	text = print(&fixture, &report_windbg, (struct report_style){0});
	contains(text,
		 "Warning: 0xd5 calls failed for want of a handle (EMFILE), with 0x40 handles "
		 "open.\n");
	free(text);
	take_away(&fixture);
}

static char *print_now(struct fixture *fixture)
{
	const struct report_style style = {0};
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(report_exhausted_now(&fixture->report,
					      &fixture->model.processes[0].process, &style, stream),
			 0);
	fclose(stream);
	return text;
}

/* What is said at once; which limit it is. */
static void test_now(void **state)
{
	struct fixture fixture;
	char *text;

	(void)state;
	fixture_init(&fixture);
	lay_down(&fixture, -ENFILE)->process.exe = "/opt/\033leaky";
	exhausted.limits.system_open = 1000;
	exhausted.limits.system = 1000;
	text = print_now(&fixture);
	contains(text,
		 "htrace: OUT OF HANDLES: /opt/\\x1bleaky (pid 4242): syscall_288 failed with "
		 "ENFILE, with 64 of 64 open; on the machine 1,000 of 1,000 files; most by: 56 "
		 "socket in fun4 leakyhandles.c:41, ");
	contains(text, "; it failed in fun4 leakyhandles.c:41\n");
	free(text);
	exhausted.call = 294;
	exhausted.error = -EMFILE;
	exhausted.limits = (struct exhausted_limits){.process = 1024};
	text = print_now(&fixture);
	contains(text,
		 "with 64 of 1,024 open; numbers are left: fs.inotify.max_user_instances may be "
		 "meant; most by");
	free(text);
	exhausted.open = 1030; /* some are above a limit that was lowered */
	text = print_now(&fixture);
	contains(text, "with 1,030 open (the limit is 1,024); most by");
	free(text);
	exhausted.limits.process = 0;
	exhausted.call = 288;
	text = print_now(&fixture);
	contains(text, "with 1,030 open; most by");
	free(text);
	take_away(&fixture);
}

static void test_json(void **state)
{
	struct fixture fixture;
	json_t *root, *told;

	(void)state;
	fixture_init(&fixture);
	lay_down(&fixture, -ENFILE);
	exhausted.limits.system_open = 999;
	exhausted.limits.system = 1000;
	exhausted.places_dropped = 3;
	fixture.report.occasion = "Written by a test.";
	fixture_report(&fixture, "/opt/leaky");
	root = json_parse_take(print(&fixture, &report_json, (struct report_style){0}));
	is_string(root, "occasion", "Written by a test.");
	told = at(root, "processes/0/exhausted");
	is_integer(told, "count", 213);
	is_integer(told, "first_ns", 4 * S);
	is_integer(told, "last_ns", 5 * S);
	is_integer(told, "episodes", 1);
	is_integer(told, "began_ns", 4 * S);
	is_string(told, "operation", "syscall_288");
	is_string(told, "error", "ENFILE");
	is_integer(told, "tid", 4243);
	is_integer(told, "open", 64);
	is_integer(told, "limit", 64);
	is_integer(told, "system_open", 999);
	is_integer(told, "system_limit", 1000);
	is_null(told, "other_limit");
	is_count(told, "held_by", 5);
	is_integer(told, "held_by/0/open", 55);
	is_string(told, "held_by/0/type", "socket");
	is_string(told, "held_by/0/stack/1/function", "fun4");
	is_string(told, "held_by/1/origin", "before-tracing");
	is_count(told, "held_by/1/stack", 0);
	is_string(told, "held_by/2/type", "unknown");
	is_count(told, "failed_in", 2);
	is_integer(told, "failed_in/0/count", 212);
	is_string(told, "failed_in/0/error", "ENFILE");
	is_string(told, "failed_in/1/operation", "read");
	is_integer(told, "elsewhere", 3);
	json_decref(root);
	take_away(&fixture);
}

/* What was open over time is told where that was wanted, and thinned for people. */
static void test_growth(void **state)
{
	static struct growth_times times = {.step_ns = S, .n = 40};
	static struct growth growth;
	struct fixture fixture;
	struct fake_process *process;
	json_t *root;
	char *text;

	(void)state;
	for (uint32_t i = 0; i < times.n; i++) {
		times.times_ns[i] = (i + 1) * S;
		times.open[i] = growth.open[i] = 1000 * i;
	}
	fixture_init(&fixture);
	process = sample(&fixture);
	process->process.growth_times = &times;
	process->process.places.data[1].growth = &growth; /* the leak's */
	fixture_report(&fixture, "/opt/leaky");
	text = print(&fixture, &report_text, (struct report_style){0});
	assert_null(strstr(text, "over time"));
	free(text);
	root = json_parse_take(print(&fixture, &report_json, (struct report_style){0}));
	is_null(root, "processes/0/growth");
	is_null(root, "processes/0/groups/0/growth");
	json_decref(root);
	fixture.report.every_ns = S;
	text = print(&fixture, &report_text, (struct report_style){0});
	contains(text,
		 "open      over time: 0, 4,000, 8,000, 12,000, 16,000, 20,000, 24,000, 28,000, "
		 "32,000, 36,000 (every 4.0 s)\n");
	free(text);
	root = json_parse_take(print(&fixture, &report_json, (struct report_style){0}));
	is_count(root, "processes/0/growth/open", 40);
	is_integer(root, "processes/0/groups/0/growth/every_ns", S);
	is_count(root, "processes/0/groups/0/growth/times_ns", 40);
	is_integer(root, "processes/0/groups/0/growth/open/39", 39000);
	is_integer(root, "processes/0/groups/1/growth/open/39", 0); /* never open at a sample */
	json_decref(root);
	process->process.growth_times = NULL;
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_now),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_growth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
