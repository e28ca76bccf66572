/* report/words: hostile strings, ranges, counts. */
#include "report/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <jansson.h>

static const struct {
	const char *text, *terminal, *utf8;
} strings[] = {
    {"", "", ""},
    {"/tmp/a b", "/tmp/a b", "/tmp/a b"},
    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
     "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
     "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\033[2J\r\n\t\x7f", "\\x1b[2J\\x0d\\x0a\\x09\\x7f", "\033[2J\r\n\t\x7f"},
    /* C1 controls: CSI as one character */
    {"\xc2\x9b"
     "31m",
     "\\u{009b}31m",
     "\xc2\x9b"
     "31m"},
    /* right-to-left override, zero width space, byte order mark */
    {"\xe2\x80\xae\xe2\x80\x8b\xef\xbb\xbf", "\\u{202e}\\u{200b}\\u{feff}",
     "\xe2\x80\xae\xe2\x80\x8b\xef\xbb\xbf"},
    /* cut, overlong, surrogate, too large, stray */
    {"\xe2\x82", "\\xe2\\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xc0\x80", "\\xc0\\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xe0\x80\x80", "\\xe0\\x80\\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80",
     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"a\xff"
     "b",
     "a\\xff"
     "b",
     "a\xef\xbf\xbd"
     "b"},
};

static void test_strings(void **state)
{
	struct words words = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		words_clear(&words);
		words_add_target(&words, strings[i].text);
		assert_string_equal(words_text(&words), strings[i].terminal);
		words_clear(&words);
		words_add_utf8(&words, strings[i].text);
		assert_string_equal(words_text(&words), strings[i].utf8);
	}
	words_fini(&words);
}

/* Random bytes: jansson, which checks UTF-8 by itself, takes every result; and a terminal gets no
 * control character. */
static void test_random(void **state)
{
	unsigned seed = time(NULL);
	struct words words = {0};

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 20000; round++) {
		char text[24] = {0};
		json_t *string;

		for (int i = 0; i < 23; i++)
			text[i] = rand() % 4 ? 0x80 + rand() % 128 : rand() % 128;
		words_clear(&words);
		words_add_utf8(&words, text);
		string = json_string(words_text(&words));
		assert_non_null(string);
		json_decref(string);
		words_clear(&words);
		words_add_target(&words, text);
		string = json_string(words_text(&words));
		assert_non_null(string);
		json_decref(string);
		for (const char *at = words_text(&words); *at; at++)
			assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
	}
	words_fini(&words);
}

static void check_ranges(const int32_t *numbers, size_t count, const char *wanted)
{
	struct words words = {0};
	struct words_ranges ranges = {0};

	for (size_t i = 0; i < count; i++)
		words_add_range(&words, &ranges, numbers[i]);
	words_add_range_end(&words, &ranges);
	assert_string_equal(words_text(&words), wanted);
	words_fini(&words);
}

static void test_ranges(void **state)
{
	(void)state;
	check_ranges(NULL, 0, "");
	check_ranges((int32_t[]){0}, 1, "0");
	check_ranges((int32_t[]){3, 4}, 2, "3-4");
	check_ranges((int32_t[]){3, 4, 5, 7, 9, 10}, 6, "3-5, 7, 9-10");
	check_ranges((int32_t[]){7, 7, 8}, 3, "7-8");
	check_ranges((int32_t[]){9, 3, 4}, 3, "9, 3-4");
	check_ranges((int32_t[]){-1, INT32_MAX}, 2, "-1, 2147483647");
	check_ranges((int32_t[]){INT32_MIN, -3, -2}, 3, "-2147483648, -3 to -2");
}

static void test_counts(void **state)
{
	struct words words = {0};

	(void)state;
	words_add_counted(&words, 1, "place", "places");
	words_add(&words, ", ");
	words_add_counted(&words, 0, "place", "places");
	words_add(&words, ", ");
	words_add_count(&words, 999);
	words_add(&words, " ");
	words_add_count(&words, 1000);
	words_add(&words, " ");
	words_add_count(&words, UINT64_MAX);
	assert_string_equal(words_text(&words),
			    "1 place, 0 places, 999 1,000 18,446,744,073,709,551,615");
	assert_int_equal(words_width("gr\xc3\xbc\xc3\x9f"), 4);
	words_fini(&words);
}

/* Longer than the buffer on the stack, first and after other text. */
static void test_long_format(void **state)
{
	struct words words = {0};
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	words_addf(&words, "%s", text);
	assert_string_equal(words_text(&words), text);
	words_addf(&words, "%s|", text);
	words_add(&words, "end");
	assert_int_equal(strlen(words_text(&words)), 2 * 1999 + 4);
	assert_string_equal(words_text(&words) + 2 * 1999, "|end");
	words_fini(&words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_strings),     cmocka_unit_test(test_random),
	    cmocka_unit_test(test_ranges),      cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_long_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
