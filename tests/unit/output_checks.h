/* What every answer promises, whatever it tells: nothing cut, nothing raw, and a stream that fails
 * is told. */
#ifndef HTRACE_TESTS_OUTPUT_CHECKS_H
#define HTRACE_TESTS_OUTPUT_CHECKS_H

#include "life_report.h"

#include <time.h>

static inline char *print_query(const struct life *life, life_write *write,
				const struct report_query *query, struct report_style style)
{
	return life_print(life, write, query->pid, query->number, query->traces_max, style);
}

static inline void strip_colour(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (*text == '\033')
			text += strcspn(text, "m");
		else
			*out++ = *text;
	}
	*out = 0;
}

static inline void strip_blanks(char *text)
{
	char *out = text;

	for (; *text; text++)
		if (*text != ' ' && *text != '\n')
			*out++ = *text;
	*out = 0;
}

/* Colour only adds its own bytes. */
static inline void check_colour(const struct life *life, life_write *write,
				const struct report_query *query)
{
	char *wanted = print_query(life, write, query, (struct report_style){0});
	char *text = print_query(life, write, query, (struct report_style){.colour = true});

	assert_non_null(strstr(text, "\033["));
	strip_colour(text);
	assert_string_equal(text, wanted);
	free(text);
	free(wanted);
}

/* A line is longer than the terminal only where it is one word, or ends with one that is longer
 * than what a table leaves for it. */
static inline void check_width(const char *text, uint32_t columns)
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		const char *word = text + strspn(text, " ");

		const char *last = text + size;

		while (last > word && last[-1] != ' ')
			last--;
		if (size > columns)
			assert_true(last == word || text + size - last > 32);
		text += size + (text[size] == '\n');
	}
}

/* Whatever the width: the same text but for blanks and line ends. */
static inline void check_wrapping(const struct life *life, life_write *write,
				  const struct report_query *query)
{
	char *wanted = print_query(life, write, query, (struct report_style){0});

	strip_blanks(wanted);
	for (uint32_t columns = 1; columns < 220; columns++) {
		char *text =
		    print_query(life, write, query, (struct report_style){.columns = columns});

		if (columns >= 72)
			check_width(text, columns);
		strip_blanks(text);
		assert_string_equal(text, wanted);
		free(text);
	}
	free(wanted);
}

/* No byte of a target moves the cursor. */
static inline void check_no_raw_bytes(const struct life *life, life_write *write,
				      const struct report_query *query)
{
	char *text = print_query(life, write, query, (struct report_style){0});

	assert_non_null(strstr(text, "\\x1b"));
	for (const char *byte = text; *byte; byte++)
		assert_true(*byte == '\n' || (unsigned char)*byte >= 0x20);
	assert_null(strstr(text, "\xe2\x80\xae"));
	free(text);
}

static inline void check_full_stream(const struct life *life, life_write *write,
				     const struct report_query *query)
{
	const struct report_style style = {0};
	FILE *stream = fopen("/dev/full", "we");

	assert_non_null(stream);
	assert_int_equal(write(&life->report, query, &style, stream), -ENOSPC);
	fclose(stream);
}

/* A large answer is written in time that grows with it: what grows with its square would not be
 * done before the test's own time limit. Prints what it took. */
static inline void check_large(const struct life *life, life_write *write, const char *name,
			       int32_t pid, int32_t number)
{
	const struct report_query query = {.pid = pid, .number = number};
	const struct report_style style = {.columns = 80};
	FILE *stream = fopen("/dev/null", "we");
	clock_t begin = clock();

	assert_int_equal(write(&life->report, &query, &style, stream), 0);
	printf("%s: %.3f s\n", name, (double)(clock() - begin) / CLOCKS_PER_SEC);
	fclose(stream);
}

#endif
