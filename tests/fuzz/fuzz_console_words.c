/*
 * What is typed at the console, or pasted. Words are never more or longer than the line, and the
 * same words come out again when they are quoted.
 */
#include "cli/console.h"

#include "session/request.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Every character behind a backslash: four times the line is enough, an empty word is "''". */
static void quote_and_compare(char **words, int n, size_t size)
{
	char *line = malloc(4 * size + 1), *out = line, **again;

	require(line != NULL);
	for (int i = 0; i < n; i++) {
		if (!*words[i])
			out = stpcpy(out, "''");
		for (const char *c = words[i]; *c; c++) {
			*out++ = '\\';
			*out++ = *c;
		}
		*out++ = ' ';
	}
	*out = '\0';
	require(console_words(line, &again, NULL) == n);
	for (int i = 0; i < n; i++)
		require(!strcmp(words[i], again[i]));
	console_words_free(again);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *line = malloc(size + 1), **words;
	struct error error = {0};
	size_t length = 0;
	int n;

	require(line != NULL);
	memcpy(line, bytes, size);
	line[size] = '\0';
	n = console_words(line, &words, &error);
	require(n <= REQUEST_WORDS_MAX && (n > 0) == (words != NULL));
	require((n < 0) == (error.code != 0) && (n < 0) == (*error.message != '\0'));
	for (int i = 0; i < n; i++)
		length += strlen(words[i]);
	require(length <= strlen(line));
	if (n > 0) {
		require(!words[n]);
		quote_and_compare(words, n, strlen(line) + 1);
	}
	console_words_free(words);
	free(line);
	return 0;
}
