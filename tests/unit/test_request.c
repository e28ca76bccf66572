/* session/request: what is written is read back, and a table of what is refused. */
#include "session/request.h"

#include "base/alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void accepts(const char *line, struct request *out)
{
	struct error error;

	if (request_parse(line, strlen(line), out, &error))
		fail_msg("%s: %s", line, error.message);
}

/* The sentence tells why: it has `reason` in it. */
static void refuses(const char *line, size_t bytes, const char *reason)
{
	struct error error = {0};
	struct request request;

	if (request_parse(line, bytes, &request, &error) != -EINVAL)
		fail_msg("accepted: %s", line);
	if (!strstr(error.message, reason))
		fail_msg("%s: \"%s\" does not say \"%s\"", line, error.message, reason);
	assert_null(request.words);
	assert_int_equal(request.words_n, 0);
}

static void test_request(void **state)
{
	char *words[] = {"show", "0x7cc", "", "a \"b\"\\\n\t\x01 \xc3\xbc", NULL};
	struct request request = {words, 4, REQUEST_COLUMNS_MAX, true}, back;
	struct error error;
	size_t bytes;
	char *line = request_write(&request, &bytes);

	assert_int_equal(bytes, strlen(line));
	assert_ptr_equal(memchr(line, '\n', bytes), line + bytes - 1);
	assert_int_equal(request_parse(line, bytes - 1, &back, &error), 0);
	assert_int_equal(back.words_n, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(back.words[i], words[i]);
	assert_null(back.words[4]);
	assert_int_equal(back.columns, REQUEST_COLUMNS_MAX);
	assert_true(back.colour);
	request_fini(&back);
	request_fini(&back); /* of an empty one */
	free(line);
	accepts("{\"htrace\":1,\"words\":[\"diff\"]}", &back);
	assert_int_equal(back.columns, 0);
	assert_false(back.colour);
	request_fini(&back);
	accepts(" { \"colour\" : false, \"words\" : [ \"a,[{\\\"]\" ], \"htrace\" : 1 } \r", &back);
	assert_string_equal(back.words[0], "a,[{\"]");
	request_fini(&back);
}

static void test_request_refused(void **state)
{
	static const struct {
		const char *line, *reason;
	} bad[] = {
	    {"", "not a line of JSON"},
	    {"x", "not a line of JSON"},
	    {"{", "not a line of JSON"},
	    {"[]", "not a JSON object"},
	    {"{}", "no number \"htrace\""},
	    {"null", "JSON"},
	    {"{\"htrace\":1}", "no \"words\""},
	    {"{\"htrace\":\"1\",\"words\":[\"a\"]}", "no number \"htrace\""},
	    {"{\"htrace\":1.0,\"words\":[\"a\"]}", "no number \"htrace\""},
	    {"{\"htrace\":2,\"words\":[\"a\"],\"new\":1}", "version 2"},
	    {"{\"htrace\":0,\"words\":[\"a\"]}", "version 0"},
	    {"{\"htrace\":-9223372036854775808,\"words\":[\"a\"]}", "version -9223372036854775808"},
	    {"{\"htrace\":99999999999999999999,\"words\":[\"a\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":\"a\"}", "1 to 64 words"},
	    {"{\"htrace\":1,\"words\":{\"0\":\"a\"}}", "1 to 64 words"},
	    {"{\"htrace\":1,\"words\":null}", "1 to 64 words"},
	    {"{\"htrace\":1,\"words\":[]}", "1 to 64 words"},
	    {"{\"htrace\":1,\"words\":[1]}", "word 1 of the request is not a string"},
	    {"{\"htrace\":1,\"words\":[\"a\",null]}", "word 2 of the request is not a string"},
	    {"{\"htrace\":1,\"words\":[\"a\",[]]}", "too many parts"},
	    {"{\"htrace\":1,\"words\":[\"a\\u0000b\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"\xff\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"\xc0\x80\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"\xed\xa0\x80\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"\\ud800\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"words\":[\"b\"]}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"a\"]} {}", "not a line of JSON"},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"columns\":-1}", "\"columns\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"columns\":10001}", "\"columns\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"columns\":4294967297}", "\"columns\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"columns\":80.5}", "\"columns\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"columns\":\"80\"}", "\"columns\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"columns\":true}", "\"columns\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"colour\":1}", "\"colour\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"colour\":null}", "\"colour\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"color\":true}", "unknown member \"color\""},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"\\u001b[2J\":true}", "unknown member"},
	    {"{\"htrace\":1,\"words\":[\"a\"],\"x\":{\"y\":{}}}", "too many parts"},
	};
	struct error error;
	struct request request;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		refuses(bad[i].line, strlen(bad[i].line), bad[i].reason);
	refuses("{\"htrace\":1,\"words\":[\"a\0\"]}", 27, "not a line of JSON");
	/* What is told is harmless for a terminal. */
	refuses("{\"htrace\":1,\"\x1b[2J\":1}", 21, "not a line of JSON");
	assert_int_equal(request_parse("{\"htrace\":1,\"\\u001b\":1}", 23, &request, &error),
			 -EINVAL);
	assert_null(strchr(error.message, '\x1b'));
	assert_int_equal(request_parse("", 0, &request, NULL), -EINVAL);
}

/* A request with `words` words of `length` bytes. */
static char *long_request(int words, int length)
{
	char *line = xmalloc(100 + (size_t)words * (length + 3));
	int at = sprintf(line, "{\"htrace\":1,\"words\":[");

	for (int i = 0; i < words; i++)
		at += sprintf(line + at, "%s\"%.*d\"", i ? "," : "", length, 0);
	strcpy(line + at, "]}");
	return line;
}

static void test_request_limits(void **state)
{
	static const char deep[] = "[{\"a\":";
	char *line = long_request(REQUEST_WORDS_MAX, 900);
	struct request request;
	size_t bytes = strlen(line);

	accepts(line, &request);
	assert_int_equal(request.words_n, REQUEST_WORDS_MAX);
	request_fini(&request);
	/* To the last byte. */
	line = xreallocarray(line, 1, REQUEST_BYTES_MAX + 1);
	memset(line + bytes, ' ', REQUEST_BYTES_MAX - bytes);
	assert_int_equal(request_parse(line, REQUEST_BYTES_MAX - 1, &request, NULL), 0);
	request_fini(&request);
	refuses(line, REQUEST_BYTES_MAX, "longer than 65536 bytes");
	refuses(line, SIZE_MAX, "longer than 65536 bytes"); /* nothing is read */
	free(line);
	line = long_request(REQUEST_WORDS_MAX + 1, 1);
	refuses(line, strlen(line), "1 to 64 words");
	free(line);
	line = long_request(20000, 0);
	refuses(line, strlen(line), "too many parts");
	line = xreallocarray(line, 1, REQUEST_BYTES_MAX);
	for (bytes = 0; bytes + sizeof(deep) < REQUEST_BYTES_MAX; bytes += sizeof(deep) - 1)
		memcpy(line + bytes, deep, sizeof(deep) - 1);
	refuses(line, bytes, "too many parts");
	free(line);
}

static void answers(const char *line, struct answer *out)
{
	struct error error;

	if (answer_parse(line, strlen(line), out, &error))
		fail_msg("%s: %s", line, error.message);
}

static void back_and_forth(const struct answer *answer, struct answer *back)
{
	struct error error;
	size_t bytes;
	char *line = answer_write(answer, &bytes);

	assert_ptr_equal(memchr(line, '\n', bytes), line + bytes - 1);
	assert_int_equal(strlen(line), bytes);
	if (answer_parse(line, bytes - 1, back, &error))
		fail_msg("%s: %s", line, error.message);
	free(line);
}

static void test_answer(void **state)
{
	struct answer back;

	back_and_forth(&(struct answer){.status = 255, .output = "a\n\0b", .output_n = 4}, &back);
	assert_int_equal(back.status, 255);
	assert_int_equal(back.output_n, 4);
	assert_memory_equal(back.output, "a\n\0b", 5);
	assert_null(back.message);
	assert_null(back.progress);
	assert_null(back.event);
	answer_fini(&back);
	back_and_forth(&(struct answer){.message = "no"}, &back); /* no output at all */
	assert_string_equal(back.output, "");
	assert_int_equal(back.output_n, 0);
	assert_string_equal(back.message, "no");
	answer_fini(&back);
	back_and_forth(&(struct answer){.progress = "reading"}, &back);
	assert_string_equal(back.progress, "reading");
	assert_null(back.output);
	answer_fini(&back);
	back_and_forth(&(struct answer){.event = "process 1 has ended"}, &back);
	assert_string_equal(back.event, "process 1 has ended");
	answer_fini(&back);
	answers("{\"output\":\"\\u0000\\ud83d\\ude00\",\"htrace\":1,\"status\":0}", &back);
	assert_int_equal(back.output_n, 5);
	assert_memory_equal(back.output, "\0\xf0\x9f\x98\x80", 6);
	answer_fini(&back);
}

/* Bytes that are no UTF-8 are replaced, one by one; NULs and what is right stay. */
static void test_repair(void **state)
{
	static const char wrong[] = "\xff"
				    "a\0\xc3\xbc\xe2\x82\0\x80";
	static const char right[] = "\xef\xbf\xbd"
				    "a\0\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\0\xef\xbf\xbd";
	char *words[] = {"\xffshow", NULL};
	struct request request = {words, 1, 0, false}, request_back;
	struct answer back;
	size_t bytes;
	char *line;

	back_and_forth(&(struct answer){.output = (char *)wrong,
					.output_n = sizeof(wrong) - 1,
					.message = "\x80!"},
		       &back);
	assert_int_equal(back.output_n, sizeof(right) - 1);
	assert_memory_equal(back.output, right, sizeof(right));
	assert_string_equal(back.message, "\xef\xbf\xbd!");
	answer_fini(&back);
	line = request_write(&request, &bytes);
	assert_int_equal(request_parse(line, bytes - 1, &request_back, NULL), 0);
	assert_string_equal(request_back.words[0], "\xef\xbf\xbdshow");
	request_fini(&request_back);
	free(line);
}

static void test_answer_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "{\"htrace\":1}",
	    "{\"htrace\":2,\"status\":0,\"output\":\"\"}",
	    "{\"htrace\":1,\"status\":0}",
	    "{\"htrace\":1,\"output\":\"\"}",
	    "{\"htrace\":1,\"message\":\"\"}",
	    "{\"htrace\":1,\"status\":0,\"output\":null}",
	    "{\"htrace\":1,\"status\":-1,\"output\":\"\"}",
	    "{\"htrace\":1,\"status\":256,\"output\":\"\"}",
	    "{\"htrace\":1,\"status\":\"0\",\"output\":\"\"}",
	    "{\"htrace\":1,\"status\":0,\"output\":\"\",\"message\":1}",
	    "{\"htrace\":1,\"status\":0,\"output\":\"\",\"message\":\"a\\u0000\"}",
	    "{\"htrace\":1,\"status\":0,\"output\":\"\",\"progress\":\"\"}",
	    "{\"htrace\":1,\"status\":0,\"output\":\"\",\"other\":\"\"}",
	    "{\"htrace\":1,\"progress\":\"\",\"event\":\"\"}",
	    "{\"htrace\":1,\"progress\":\"\",\"message\":\"\"}",
	    "{\"htrace\":1,\"progress\":null}",
	    "{\"htrace\":1,\"event\":{}}",
	    "{\"htrace\":1,\"event\":\"\",\"status\":0}",
	    "{\"htrace\":1,\"event\":\"\"}x",
	};
	struct error error;
	struct answer answer;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memset(&error, 0, sizeof(error));
		if (answer_parse(bad[i], strlen(bad[i]), &answer, &error) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(strlen(error.message) > 10);
		assert_true(!answer.output && !answer.message && !answer.progress && !answer.event);
	}
	assert_int_equal(answer_parse("", SIZE_MAX, &answer, &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_request),        cmocka_unit_test(test_request_refused),
	    cmocka_unit_test(test_request_limits), cmocka_unit_test(test_answer),
	    cmocka_unit_test(test_repair),         cmocka_unit_test(test_answer_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
