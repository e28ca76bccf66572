/* cli/notices and cli/errands: names of files, and work that forked copies do. */
#include "cli/notices.h"

#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void check_name(const char *pattern, const char *name)
{
	char *made = notices_file_dup(pattern, 4242, 7, 1000000000);

	if (name)
		assert_string_equal(made, name);
	else
		assert_null(made);
	free(made);
}

static void test_names(void **state)
{
	check_name("htrace-%p-%n.txt", "htrace-4242-7.txt");
	check_name("/a/%t/%%p%p", "/a/20010909T014640Z/%p4242");
	check_name("plain", "plain");
	check_name("%x", NULL);
	check_name("x%", NULL);
}

/* The pattern stands for the same file in every folder. */
static void test_pattern(void **state)
{
	char folder[] = "/tmp/test 100%p-XXXXXX", wanted[100], old[4096];
	struct options options = {.format = &report_text};
	char *pattern, *name;

	assert_non_null(getcwd(old, sizeof(old)));
	assert_null(notices_pattern_dup(&options)); /* no trigger */
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	assert_true(trigger_parse("emfile", &options.triggers[options.triggers_n++]));
	pattern = notices_pattern_dup(&options);
	name = notices_file_dup(pattern, 4242, 1, 0);
	snprintf(wanted, sizeof(wanted), "%s/htrace-4242-1.txt", folder);
	assert_string_equal(name, wanted);
	free(name);
	free(pattern);
	options.format = &report_json;
	pattern = notices_pattern_dup(&options);
	assert_non_null(strstr(pattern, "-%n.json"));
	free(pattern);
	options.trigger_output = "/x/%n";
	pattern = notices_pattern_dup(&options);
	assert_string_equal(pattern, "/x/%n");
	free(pattern);
	assert_int_equal(chdir(old), 0);
	rmdir(folder);
}

/* ---- errands ---- */

static int value;
static int seen_done, seen_failed;
static uint64_t seen_ids;
static char seen_text[ERRAND_TEXT_MAX + 1];

static void say_value(void *context, struct errand_result *result)
{
	usleep(50000);
	result->done = true;
	snprintf(result->text, sizeof(result->text), "%d %s", value, (const char *)context);
}

static void say_much(void *context, struct errand_result *result)
{
	result->done = true;
	memset(result->text, 'x', sizeof(result->text));
}

static void die(void *context, struct errand_result *result)
{
	abort();
}

static void hang(void *context, struct errand_result *result)
{
	sleep(60);
}

static void note(void *context, uint64_t id, const struct errand_result *result)
{
	seen_done += result->done;
	seen_failed += !result->done;
	seen_ids += id;
	strcpy(seen_text, result->text);
}

static int begin_test(void **state)
{
	seen_done = seen_failed = 0;
	seen_ids = 0;
	return 0;
}

/* A copy sees what was when it began, while this process goes on. */
static void test_copy(void **state)
{
	struct errands errands = {0};
	uint64_t begun_ns = clock_now_ns();

	value = 42;
	assert_int_equal(errands_begin(&errands, 5, say_value, "words"), 0);
	value = 43;
	assert_true(clock_now_ns() - begun_ns < 45000000); /* nobody waited for it */
	errands_step(&errands, note, NULL);
	assert_int_equal(seen_done, 0);
	errands_end(&errands, 10, note, NULL);
	assert_int_equal(seen_done, 1);
	assert_int_equal(seen_ids, 5);
	assert_string_equal(seen_text, "42 words");
}

static void test_long_text(void **state)
{
	struct errands errands = {0};

	assert_int_equal(errands_begin(&errands, 1, say_much, NULL), 0);
	errands_end(&errands, 10, note, NULL);
	assert_int_equal(seen_done, 1);
	assert_int_equal(strlen(seen_text), ERRAND_TEXT_MAX);
}

/* One that dies, and one that does not end. */
static void test_failures(void **state)
{
	struct errands errands = {0};
	uint64_t begun_ns = clock_now_ns();

	assert_int_equal(errands_begin(&errands, 1, die, NULL), 0);
	assert_int_equal(errands_begin(&errands, 2, hang, NULL), 0);
	errands_end(&errands, 1, note, NULL);
	assert_int_equal(seen_failed, 2);
	assert_int_equal(seen_ids, 3);
	assert_true(clock_now_ns() - begun_ns < 10000000000ull);
	assert_string_equal(seen_text, "the process that wrote it died");
}

static void test_bounded(void **state)
{
	struct errands errands = {0};

	for (int i = 0; i < ERRANDS_MAX; i++)
		assert_int_equal(errands_begin(&errands, 1, hang, NULL), 0);
	assert_int_equal(errands_begin(&errands, 1, hang, NULL), -EBUSY);
	errands_end(&errands, 0, note, NULL);
	assert_int_equal(seen_failed, ERRANDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_pattern),
	    cmocka_unit_test_setup(test_copy, begin_test),
	    cmocka_unit_test_setup(test_long_text, begin_test),
	    cmocka_unit_test_setup(test_failures, begin_test),
	    cmocka_unit_test_setup(test_bounded, begin_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
