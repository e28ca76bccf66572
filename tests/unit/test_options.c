/* cli/options: what is accepted, what is refused with which words, what is suggested. */
#include "cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct verb run = {.name = "run", .bit = VERB_RUN};
static const struct verb attach = {.name = "attach", .bit = VERB_ATTACH};

static int parse(const struct verb *verb, struct options *out, struct error *error, ...)
{
	char *argv[16];
	va_list args;
	int argc = 0;

	va_start(args, error);
	while (argc < 15 && (argv[argc] = va_arg(args, char *)))
		argc++;
	va_end(args);
	return options_parse(verb, argc, argv, out, error);
}

static void test_spellings(void **state)
{
	struct options options;
	struct error error;

	assert_int_equal(parse(&attach, &options, &error, "-p", "42", "--duration=1m", NULL), 3);
	assert_int_equal(options.pid, 42);
	assert_true(options.duration_ns == 60000000000ull);
	assert_int_equal(parse(&attach, &options, &error, "-p42", "--format", "json", NULL), 3);
	assert_int_equal(options.pid, 42);
	assert_string_equal(options.format->name, "json");
	assert_int_equal(parse(&run, &options, &error, "--no-children", "--", "-x", NULL), 2);
	assert_true(options.no_children);
	/* The program's own options are its own. */
	assert_int_equal(parse(&run, &options, &error, "ls", "--format=json", NULL), 0);
	assert_string_equal(options.format->name, "text");
	assert_int_equal(options.error_exitcode, -1);
}

static void test_triggers(void **state)
{
	struct options options;
	struct error error = {0};

	assert_int_equal(parse(&run, &options, &error, "--trigger=emfile", "--trigger", "open>5",
			       "--trigger-quiet=2m", "--trigger-output=a%p%n%t%%", "--every=1s",
			       NULL),
			 6);
	assert_int_equal(options.triggers_n, 2);
	assert_int_equal(options.triggers[0].kind, TRIGGER_EMFILE);
	assert_int_equal(options.triggers[1].most, 5);
	assert_string_equal(options.triggers[1].text, "open>5");
	assert_true(options.trigger_quiet_ns == 120000000000ull);
	assert_true(options.every_ns == 1000000000ull);
	assert_string_equal(options.trigger_output, "a%p%n%t%%");
}

static void refused(const struct verb *verb, const char *word, const char *value, const char *says)
{
	struct options options;
	struct error error = {0};

	assert_int_equal(parse(verb, &options, &error, word, value, NULL), -EINVAL);
	if (!strstr(error.message, says))
		fail_msg("'%s' does not say '%s'", error.message, says);
}

static void test_refusals(void **state)
{
	refused(&run, "--colector=bpf", NULL, "did you mean --collector?");
	refused(&run, "--trigger=open", NULL, "needs emfile, open>N or growth>N/min");
	refused(&run, "--trigger-output=a%", NULL, "knows %p (pid)");
	refused(&run, "--trigger-output=%d", NULL, "not '%d'");
	refused(&run, "--trigger-quiet=x", NULL, "needs a time");
	refused(&run, "--every=10ms", NULL, "100ms or more");
	refused(&run, "--form", "json", "did you mean --format?");
	refused(&run, "-p", "1", "unknown option '-p' for run");
	refused(&run, "--format=xml", NULL, "text|windbg|json");
	refused(&run, "--format=", NULL, "needs a value");
	refused(&run, "--no-children=1", NULL, "takes no value");
	refused(&run, "-o", NULL, "needs a value: FILE");
	refused(&run, "--error-exitcode=256", NULL, "0 to 255");
	refused(&run, "--error-exitcode=-1", NULL, "0 to 255");
	refused(&run, "--max-traces=many", NULL, "needs a number");
	refused(&attach, "-p", "0", "needs a process id");
	refused(&attach, "-p", "12x", "needs a process id");
	refused(&attach, "--duration=soon", NULL, "30s, 500ms, 2m or 1h");
	refused(&run, "--on-bad-reference=halt", NULL, "one of report, stop, signal:SIGNAME");
	refused(&run, "--on-bad-reference=signal:SIGNONE", NULL, "not 'SIGNONE'");
	refused(&run, "--on-bad-reference=signal:SIG", NULL, "not 'SIG'");
	refused(&run, "--on-bad-reference=signal:SIGTRAP", NULL, "SIGINT");
	refused(&run, "--on-bad-reference=signal:", NULL, "kill -l lists them");
	refused(&run, "--zzzzzzzzzzzz", NULL, "htrace help run lists them");
}

static void test_filters(void **state)
{
	struct options options;
	struct error error;

	assert_int_equal(parse(&run, &options, &error, "--error-exitcode=1", NULL), 1);
	assert_null(options.filter);
	assert_int_equal(parse(&attach, &options, &error, "--type=tcp,pipe", "--type", "socket",
			       "--name=*.log", "--stack=^a=b$", "--stack=(x|y)", "--not-stack=z",
			       "--min-age=1m", "--top=3", NULL),
			 9);
	assert_non_null(options.filter);
	assert_int_equal(filter_top(options.filter), 3);
	options_fini(&options);
	assert_null(options.filter);
	options_fini(&options);
	refused(&run, "--type=sock", NULL, "--type: unknown type 'sock': did you mean socket?");
	refused(&run, "--type=tcp,", NULL, "--type: unknown type ''");
	refused(&run, "--type=nothinglikethis", NULL, "there are file, directory, device,");
	refused(&run, "--stack=(", NULL, "--stack: '(' is no extended regular expression: ");
	refused(&run, "--not-stack=a**[", NULL, "--not-stack: 'a**[' is no");
	refused(&run, "--name=", NULL, "needs a value: GLOB");
	refused(&run, "--min-age=old", NULL, "--min-age needs a time like");
	refused(&run, "--top=0", NULL, "--top needs a number from 1, not '0'");
	refused(&run, "--top=many", NULL, "--top needs a number from 1");
	/* What was set before the error is freed. */
	assert_int_equal(parse(&run, &options, &error, "--stack=a", "--stack=(", NULL), -EINVAL);
	assert_null(options.filter);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {{"3", 3000000000}, {"1.5s", 1500000000}, {"500ms", 500000000},
		    {"20us", 20000},   {"2m", 120000000000}, {"1h", 3600000000000}};
	static const char *const bad[] = {"",    "s",   "-1",  "0",    "1x",
					  "1 s", "nan", "inf", "1e40", "0x"};
	uint64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(options_parse_duration(good[i].text, &ns));
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (options_parse_duration(bad[i], &ns))
			fail_msg("'%s' was accepted", bad[i]);
}

static void test_bad_reference_signals(void **state)
{
	static const struct {
		const char *word;
		int signal;
	} rows[] = {{"--on-bad-reference=report", 0},
		    {"--on-bad-reference=stop", SIGSTOP},
		    {"--on-bad-reference=signal:SIGABRT", SIGABRT},
		    {"--on-bad-reference=signal:USR1", SIGUSR1},
		    {"--on-bad-reference=signal:SIGSTOP", SIGSTOP}};
	struct options options;
	struct error error;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(parse(&run, &options, &error, rows[i].word, NULL), 1);
		assert_int_equal(options.bad_reference_signal, rows[i].signal);
	}
	assert_int_equal(parse(&run, &options, &error, NULL), 0);
	assert_int_equal(options.bad_reference_signal, 0);
}

static void test_nearest(void **state)
{
	static const char *const names[] = {"run", "attach", "help", NULL};

	assert_string_equal(options_nearest("rnu", names), "run");
	assert_string_equal(options_nearest("atach", names), "attach");
	assert_string_equal(options_nearest("atta", names), "attach");
	assert_null(options_nearest("frobnicate", names));
}

static void test_environment(void **state)
{
	struct options options;
	struct error error;

	setenv("HTRACE_RING_BYTES", "65536", 1);
	assert_int_equal(parse(&run, &options, &error, NULL), 0);
	assert_int_equal(options.ring_bytes, 65536);
	setenv("HTRACE_RING_BYTES", "65537", 1);
	assert_int_equal(parse(&run, &options, &error, NULL), -EINVAL);
	unsetenv("HTRACE_RING_BYTES");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spellings),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_durations),
	    cmocka_unit_test(test_nearest),
	    cmocka_unit_test(test_environment),
	    cmocka_unit_test(test_filters),
	    cmocka_unit_test(test_bad_reference_signals),
	    cmocka_unit_test(test_triggers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
