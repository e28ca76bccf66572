/* Splits a typed line into words. Knows no verb. */
#include "cli/console.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "session/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\r\n\v\f";

/* Behind the blanks and the "!htrace" or "htrace" that `line` begins with. */
static const char *prefix_skip(const char *line)
{
	const char *start = line + strspn(line, blanks);
	const char *word = start + (*start == '!');
	size_t length = strlen("htrace");

	if (strncmp(word, "htrace", length) || (word[length] && !strchr(blanks, word[length])))
		return start;
	return word + length + strspn(word + length, blanks);
}

/*
 * Copies the word that `*line` begins with, without its quotes, to `out` (as long as the line) and
 * moves *line behind it. Returns the quote that is not closed, or 0.
 */
static char word_copy(const char **line, char *out)
{
	const char *at = *line;
	char quote = 0;

	for (; *at && (quote || !strchr(blanks, *at)); at++) {
		if (quote ? *at == quote : *at == '"' || *at == '\'')
			quote = quote ? 0 : *at;
		else if (*at == '\\' && quote != '\'' && at[1])
			*out++ = *++at;
		else
			*out++ = *at;
	}
	*out = '\0';
	*line = at;
	return quote;
}

void console_words_free(char **words)
{
	for (char **word = words; words && *word; word++)
		free(*word);
	free(words);
}

static int words_split(const char *line, char **words, struct error *error)
{
	_cleanup_(free) char *word = xmalloc(strlen(line) + 1);
	int n = 0;

	for (line = prefix_skip(line); *line; line += strspn(line, blanks)) {
		char quote = word_copy(&line, word);

		if (quote)
			return error_set(error, -EINVAL, "a quote is not closed: %c", quote);
		if (n == REQUEST_WORDS_MAX)
			return error_set(error, -EINVAL, "there are more than %d words",
					 REQUEST_WORDS_MAX);
		words[n++] = xstrdup(word);
	}
	return n;
}

int console_words(const char *line, char ***words, struct error *error)
{
	char **split = xcalloc(REQUEST_WORDS_MAX + 1, sizeof(*split));
	int n = words_split(line, split, error);

	if (n <= 0) {
		console_words_free(split);
		split = NULL;
	}
	*words = split;
	return n;
}
