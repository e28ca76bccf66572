/* report/text and report/windbg against the whole text that they should write, and what all formats
 * promise: nothing cut, nothing raw, quick, and a failing stream is told. */
#include "fake_report.h"

#include "golden_report.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static const struct report_style plain = {0};

static void check_golden(const struct fixture *fixture, const struct report_format *format,
			 const char *wanted)
{
	char *text = print(fixture, format, plain);

	assert_string_equal(text, wanted);
	free(text);
}

static void test_sample(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	sample(&fixture);
	fixture_report(&fixture, "/opt/leaky");
	assert_int_equal(report_leaks(&fixture.report), 1);
	check_golden(&fixture, &report_text, golden_sample_text);
	check_golden(&fixture, &report_windbg, golden_sample_windbg);
	fixture_fini(&fixture);
}

static void test_everything(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	everything(&fixture);
	assert_int_equal(report_leaks(&fixture.report), 3);
	check_golden(&fixture, &report_text, golden_everything_text);
	fixture_fini(&fixture);
}

/* Bad references in the kernel-mode form, losses at the end; nothing open. */
static void test_windbg_bad(void **state)
{
	struct fixture fixture;
	struct fake_process *process;

	(void)state;
	fixture_init(&fixture);
	process = fake_process(&fixture.model, 4242, S);
	add_bad(process, 0x7cc, BAD_DOUBLE_CLOSE, fixture.close_stack, fixture.daemon_stack,
		fixture.evil_stack);
	process->process.bad_references.data[0].count = 3;
	process->process.stack_ends[STACK_END_TRUNCATED] = 17;
	process->process.reconciled = 2;
	fixture.report.lost_events = 30;
	fixture_report(&fixture, "/opt/leaky");
	check_golden(&fixture, &report_windbg, golden_bad_windbg);
	fixture_fini(&fixture);
}

/* The count of new traces is the history's where there was a snapshot. */
static void test_windbg_snapshot(void **state)
{
	struct history *history = history_new(16);
	struct model_observer observer = history_observer(history);
	struct fixture fixture;
	char *text;

	(void)state;
	fixture_init(&fixture);
	fake_process(&fixture.model, 4242, S);
	for (uint64_t time_ns = 1; time_ns <= 6; time_ns++) {
		struct trace trace = {.kind = TRACE_OPEN,
				      .pid = time_ns == 5 ? 1 : 4242,
				      .number = 3,
				      .moment = {.time_ns = time_ns * S}};

		observer.trace(observer.context, &trace);
	}
	fixture.report.history = history;
	fixture_report(&fixture, "/opt/leaky");
	fixture.report.processes.data[0].diff.snapshot_ns = 3 * S;
	text = print(&fixture, &report_windbg, plain);
	assert_non_null(strstr(text, "\n0x3 new stack traces since the previous snapshot.\n"));
	free(text);
	fixture_fini(&fixture);
	history_free(history);
}

/* Text from `from` on, without the frames. */
static char *outline(const struct fixture *fixture, const char *from)
{
	char *whole = print(fixture, &report_text, plain), *kept = NULL, *next = NULL;
	size_t size;
	FILE *stream = open_memstream(&kept, &size);
	bool begun = false;

	for (char *line = strtok_r(whole, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		begun |= !strncmp(line, from, strlen(from));
		if (begun && strncmp(line, "        ", 8))
			fprintf(stream, "%s\n", line);
	}
	fclose(stream);
	free(whole);
	return kept;
}

static void test_stale_close(void **state)
{
	struct fixture fixture;
	struct bad_reference *bad;
	char *text;

	(void)state;
	fixture_init(&fixture);
	bad = add_stale(&fixture, fake_process(&fixture.model, 4242, S));
	fixture_report(&fixture, NULL);
	text = outline(&fixture, "STALE");
	assert_string_equal(
	    text,
	    "STALE CLOSE handle 7: close again, after the number was given to another handle "
	    "(inferred)\n"
	    "    at close(7) now, by thread 4243:\n"
	    "    which closed what was opened, 500 ms earlier, at:\n"
	    "    closed before, as another handle, 1.0 s earlier, at:\n"
	    "    that one was opened, 2.0 s earlier, at:\n"
	    "    the owner of what was closed was told EBADF by read(7), 1.0 s later, by "
	    "thread 4244, at:\n"
	    "    inferred: such a handle had never been closed here, but 26 times elsewhere\n");
	free(text);
	bad->passed_on = true;
	bad->closed_elsewhere = 0;
	text = outline(&fixture, "STALE");
	assert_non_null(strstr(text,
			       "    the owner of what was closed closed another handle in turn, "
			       "by read(7), 1.0 s later"));
	assert_non_null(strstr(text, "but only such as the number stood for before\n"));
	free(text);
	text = print(&fixture, &report_windbg, plain);
	assert_non_null(strstr(text, "Warning: inferred: that close of handle 0x7 succeeded"));
	assert_non_null(strstr(text, "Dumped 0x4 stack traces."));
	free(text);
	fixture_fini(&fixture);
}

/* Questions and close(-1) are one line, read(-1) is not. */
static void test_harmless_bad(void **state)
{
	struct fixture fixture;
	struct fake_process *process;
	char *text;

	(void)state;
	fixture_init(&fixture);
	process = fake_process(&fixture.model, 4242, S);
	for (int32_t number = 3; number < 6; number++)
		add_bad(process, number, BAD_NEVER_OPENED, fixture.evil_stack, 0, 0);
	array_each (bad, &process->process.bad_references)
		bad->asks = true;
	add_bad(process, -1, BAD_NEVER_OPENED, fixture.close_stack, 0, 0);
	process->process.bad_references.data[3].count = 7;
	fixture_report(&fixture, NULL);
	text = print(&fixture, &report_text, plain);
	assert_non_null(strstr(text, "Harmless: fcntl asked about handles that are not open: 3-5; "
				     "3 times. close(-1), 7 times\n"));
	assert_null(strstr(text, "NEVER OPENED"));
	free(text);
	process->process.bad_references.data[3].call = 0; /* read */
	text = print(&fixture, &report_text, plain);
	assert_non_null(strstr(text, "not open: 3-5; 3 times\n"));
	assert_non_null(strstr(text, "NEVER OPENED handle -1: read"));
	free(text);
	fixture_fini(&fixture);
}

static void test_nothing(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	check_golden(&fixture, &report_text, "No process was traced.\n");
	fake_process(&fixture.model, 4242, 2 * S)->process.exit_status = 0;
	fixture_report(&fixture, NULL);
	check_golden(
	    &fixture, &report_text,
	    "== (program not known) (pid 4242): still running, traced for 5.0 s; collector "
	    "bpf\n"
	    "   No leak found: no handle is open.\n");
	check_golden(&fixture, &report_windbg,
		     "Handle tracing information snapshot successfully taken.\n"
		     "0x0 new stack traces since the previous snapshot.\n"
		     "Ignoring handles that were already closed...\n"
		     "No outstanding handles opened since the previous snapshot were detected.\n");
	assert_int_equal(report_leaks(&fixture.report), 0);
	fixture_fini(&fixture);
}

/* Takes out what lies between `from` and `to`, both included. */
static void strip(char *text, char from, char to)
{
	char *out = text;

	for (; *text; text++) {
		if (*text == from)
			text += strcspn(text, (char[]){to, 0});
		else
			*out++ = *text;
	}
	*out = 0;
}

static void strip_blanks(char *text)
{
	char *out = text;

	for (; *text; text++)
		if (*text != ' ' && *text != '\n')
			*out++ = *text;
	*out = 0;
}

static void test_colour(void **state)
{
	struct report_style coloured = {.colour = true};
	struct fixture fixture;
	char *text;

	(void)state;
	fixture_init(&fixture);
	everything(&fixture);
	text = print(&fixture, &report_text, coloured);
	assert_non_null(strstr(text, "\033[1;31m#1 LEAK\033[0m"));
	strip(text, '\033', 'm');
	assert_string_equal(text, golden_everything_text);
	free(text);
	fixture_fini(&fixture);
}

/* A line is longer than the terminal only where it is one word, or ends with one that would start
 * no further to the left on a line of its own: column 14 is where the text of a labelled line
 * hangs. */
static void check_width(const char *text, uint32_t columns)
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		const char *word = text + strspn(text, " ");
		bool name = !strncmp(word, "std::vector", 11); /* a function keeps its blanks */
		const char *last = text + size;

		while (last > word && last[-1] != ' ')
			last--;
		if (size > columns && !name)
			assert_true(last == word || last - text <= 14);
		text += size + (text[size] == '\n');
	}
}

/* Whatever the width: the same text but for blanks and line ends. */
static void test_wrapping(void **state)
{
	struct fixture fixture;
	char *wanted = xstrdup(golden_everything_text);

	(void)state;
	fixture_init(&fixture);
	everything(&fixture);
	strip_blanks(wanted);
	for (uint32_t columns = 1; columns < 200; columns++) {
		struct report_style style = {.columns = columns};
		char *text = print(&fixture, &report_text, style);

		if (columns >= 40)
			check_width(text, columns);
		strip_blanks(text);
		assert_string_equal(text, wanted);
		free(text);
	}
	free(wanted);
	fixture_fini(&fixture);
}

/* No byte of a target moves the cursor. */
static void test_harmless(void **state)
{
	static const struct report_format *const formats[] = {&report_text, &report_windbg};
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	everything(&fixture);
	for (int i = 0; i < 2; i++) {
		char *text = print(&fixture, formats[i], plain);

		assert_non_null(strstr(text, "evil\\x1b[2Jname\\x0a"));
		for (const char *byte = text; *byte; byte++)
			assert_true(*byte == '\n' || (unsigned char)*byte >= 0x20);
		assert_null(strstr(text, "\xe2\x80\xae"));
		free(text);
	}
	fixture_fini(&fixture);
}

static void test_stream_fails(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	sample(&fixture);
	fixture_report(&fixture, "/opt/leaky");
	for (int big = 0; big < 2; big++) {
		for (const struct report_format *const *format = report_formats; *format;
		     format++) {
			FILE *stream = fopen("/dev/full", "we");

			assert_non_null(stream);
			assert_int_equal((*format)->write(&fixture.report, &plain, stream),
					 -ENOSPC);
			fclose(stream);
		}
		for (int32_t number = 100; number < 20000; number++) /* more than a buffer */
			fake_open(&fixture.model.processes[0], number, 1, 3 * S, NULL);
		report_fini(&fixture.report);
		fixture_report(&fixture, "/opt/leaky");
	}
	fixture_fini(&fixture);
}

/* 100,000 handles in 3 groups: in time that grows with their number, for what grows with its square
 * would not be done before the test's own time limit. Prints what it took. */
static void test_large(void **state)
{
	struct fixture fixture;
	struct fake_process *process;
	uint32_t places[3];

	(void)state;
	fixture_init(&fixture);
	process = fake_process(&fixture.model, 4242, S);
	places[0] = fake_place(process, "file", fixture.leak_stack, ORIGIN_OPENED);
	places[1] = fake_place(process, "socket", fixture.foo_stack, ORIGIN_OPENED);
	places[2] = fake_place(process, "pipe", fixture.long_stack, ORIGIN_OPENED);
	for (int32_t number = 3; number < 100003; number++)
		fake_open(process, number, places[number % 3], 2 * S + number, "/some/name");
	fixture_report(&fixture, "/opt/leaky");
	for (const struct report_format *const *format = report_formats; *format; format++) {
		FILE *stream = fopen("/dev/null", "we");
		clock_t begin = clock();

		assert_int_equal((*format)->write(&fixture.report, &plain, stream), 0);
		printf("%s: %.3f s\n", (*format)->name, (double)(clock() - begin) / CLOCKS_PER_SEC);
		fclose(stream);
	}
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sample),       cmocka_unit_test(test_everything),
	    cmocka_unit_test(test_windbg_bad),   cmocka_unit_test(test_windbg_snapshot),
	    cmocka_unit_test(test_nothing),      cmocka_unit_test(test_colour),
	    cmocka_unit_test(test_wrapping),     cmocka_unit_test(test_harmless),
	    cmocka_unit_test(test_stream_fails), cmocka_unit_test(test_large),
	    cmocka_unit_test(test_harmless_bad), cmocka_unit_test(test_stale_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
