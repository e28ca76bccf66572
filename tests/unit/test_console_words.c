/* cli/console_words: what is a word, and random words through every way of quoting and back. */
#include "cli/console.h"

#include "session/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { ROUNDS = 20000, WORD_MAX = 12, LINE_MAX = 64 * 1024 };

static void expect(const char *line, const char *const *wanted)
{
	struct error error = {0};
	int n = 0, got;
	char **words;

	while (wanted[n])
		n++;
	got = console_words(line, &words, &error);
	if (got != n)
		fail_msg("<%s>: %d words, not %d: %s", line, got, n, error.message);
	for (int i = 0; i < n; i++)
		if (strcmp(words[i], wanted[i]))
			fail_msg("<%s>: word %d is <%s>, not <%s>", line, i, words[i], wanted[i]);
	if (n)
		assert_null(words[n]);
	else
		assert_null(words);
	console_words_free(words);
}

static void test_table(void **state)
{
	static const struct {
		const char *line;
		const char *words[5];
	} rows[] = {
	    {"", {NULL}},
	    {" \t ", {NULL}},
	    {"diff", {"diff"}},
	    {"  diff\t--top=3  ", {"diff", "--top=3"}},
	    {"!htrace -diff", {"-diff"}},
	    {"htrace -diff", {"-diff"}},
	    {" !htrace\tdiff", {"diff"}},
	    {"!htrace", {NULL}},
	    {"htrace ", {NULL}},
	    {"!htracex", {"!htracex"}},
	    {"htrace-diff", {"htrace-diff"}},
	    {"!diff", {"!diff"}},
	    /* Only the first is a prefix. */
	    {"htrace htrace", {"htrace"}},
	    {"diff htrace", {"diff", "htrace"}},
	    {"'htrace' diff", {"htrace", "diff"}},
	    {"0x7cc 4242 8", {"0x7cc", "4242", "8"}},
	    {"-o 'a b' \"c d\"", {"-o", "a b", "c d"}},
	    {"a'b'\"c\"d", {"abcd"}},
	    {"'' \"\"", {"", ""}},
	    {"a\\ b \\'c\\\" \\\\", {"a b", "'c\"", "\\"}},
	    {"\"a\\\"b\" 'a\\b'", {"a\"b", "a\\b"}},
	    {"'\"' \"'\"", {"\"", "'"}},
	    /* There is no next character. */
	    {"a\\", {"a\\"}},
	    {"d\xc3\xa9j\xc3\xa0 \xff", {"d\xc3\xa9j\xc3\xa0", "\xff"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		expect(rows[i].line, rows[i].words);
}

static void refused(const char *line, const char *says)
{
	char **words = NULL;
	struct error error = {0};

	assert_int_equal(console_words(line, &words, &error), -EINVAL);
	assert_null(words);
	if (!strstr(error.message, says))
		fail_msg("<%s>: '%s' does not say '%s'", line, error.message, says);
}

static void test_refusals(void **state)
{
	char line[2 * (REQUEST_WORDS_MAX + 1) + 1] = "";
	char **words;

	(void)state;
	refused("diff 'a", "not closed: '");
	refused("diff \"a' b", "not closed: \"");
	refused("\"\\\"", "not closed: \"");
	refused("'\\''", "not closed: '");
	for (int i = 0; i < REQUEST_WORDS_MAX; i++)
		strcat(line, "a ");
	assert_int_equal(console_words(line, &words, NULL), REQUEST_WORDS_MAX);
	console_words_free(words);
	strcat(line, "a");
	refused(line, "more than 64 words");
}

/* One word, each character in one of the ways in which it stands for itself. */
static char *quote(char *out, const char *word)
{
	bool begun = false;

	for (; *word || !begun; begun = true) {
		char c = *word;
		int way = rand() % 4;

		if (!c)
			return strcpy(out, rand() % 2 ? "''" : "\"\"") + 2;
		if (!way && !strchr(" \t\r\n\v\f'\"\\", c))
			*out++ = c;
		else if (way == 1 && c != '\'')
			out += sprintf(out, "'%c'", c);
		else if (way == 2 && c != '"' && c != '\\')
			out += sprintf(out, "\"%c\"", c);
		else if (way == 3)
			out += sprintf(out, "\"\\%c\"", c);
		else
			out += sprintf(out, "\\%c", c);
		word++;
	}
	*out = '\0';
	return out;
}

static void test_round_trip(void **state)
{
	static const char alphabet[] = "ab-=!0 \t\n'\"\\\xc3\xa9";
	unsigned seed = time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		char text[8][WORD_MAX + 1], line[LINE_MAX] = "", *end = line;
		const char *wanted[9] = {0};
		int n = rand() % 9;

		if (rand() % 2)
			end = stpcpy(end, rand() % 2 ? "!htrace " : "\thtrace\t");
		for (int i = 0; i < n; i++) {
			int length = rand() % (WORD_MAX + 1);

			for (int k = 0; k < length; k++)
				text[i][k] = alphabet[rand() % (sizeof(alphabet) - 1)];
			text[i][length] = '\0';
			wanted[i] = text[i];
			end = quote(end, text[i]);
			end = stpcpy(end, rand() % 2 ? " " : " \t\n");
		}
		expect(line, wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
