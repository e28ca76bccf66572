/* Owns the search for what may follow: verbs, their options, the choices of an option. */
#include "cli/console_complete.h"

#include "base/cleanup.h"
#include "cli/console.h"

#include <string.h>

static const char *const own[] = {"help", "quit", "exit"};

bool console_has(const struct verb *verb)
{
	return verb->serve;
}

static void offer(struct completion *out, const char *typed, const char *word, const char *end)
{
	if (!strncmp(word, typed, strlen(typed)))
		array_push(&out->words, xasprintf("%s%s", word, end));
}

/* Debuggers spell verbs as options: so do we when the word begins like one. */
static void offer_verbs(struct completion *out, const char *typed, bool with_own)
{
	const char *dash = *typed == '-' ? "-" : "";

	for (const struct verb *verb = verbs; verb->name; verb++) {
		_cleanup_(free) char *name = xasprintf("%s%s", dash, verb->name);

		if (console_has(verb))
			offer(out, typed, name, " ");
	}
	for (size_t i = 0; with_own && i < sizeof(own) / sizeof(*own); i++)
		offer(out, typed, own[i], " ");
}

/* The console's target is known: it has no -p. */
static bool has_option(const struct verb *verb, const struct option_row *row)
{
	return row->verbs & verb->bit && strcmp(row->name, "-p");
}

static const struct option_row *option_find(const struct verb *verb, const char *name,
					    size_t length)
{
	for (const struct option_row *row = option_rows; row->name; row++)
		if (has_option(verb, row) && strlen(row->name) == length &&
		    !strncmp(row->name, name, length))
			return row;
	return NULL;
}

static void offer_choices(struct completion *out, const char *typed, const char *choices)
{
	while (*choices) {
		size_t length = strcspn(choices, "|");
		_cleanup_(free) char *choice = xstrndup(choices, length);

		offer(out, typed, choice, " ");
		choices += length + (choices[length] == '|');
	}
}

/* The value of an option, in the same word ("--format=w") or the next one ("--format w"). */
static void offer_value(struct completion *out, const char *typed, const struct option_row *row)
{
	if (row->choices)
		offer_choices(out, typed, row->choices);
	else
		out->file = row->argument && !strcmp(row->argument, "FILE");
}

static void offer_options(struct completion *out, const char *typed, const struct verb *verb)
{
	size_t length = strcspn(typed, "=");

	if (typed[length]) {
		const struct option_row *row = option_find(verb, typed, length);

		out->start += length + 1;
		if (row)
			offer_value(out, typed + length + 1, row);
		return;
	}
	for (const struct option_row *row = option_rows; row->name; row++)
		if (has_option(verb, row))
			offer(out, typed, row->name,
			      row->argument && row->name[1] == '-' ? "=" : " ");
}

/* `words` come before the one that is typed. */
static void offer_after(struct completion *out, const char *typed, char **words, int words_n)
{
	const char *name = words[0] + (words[0][0] == '-'), *last = words[words_n - 1];
	const struct option_row *row;
	const struct verb *verb;

	if (words_n == 1 && !strcmp(name, "help"))
		offer_verbs(out, typed, false);
	if (name[0] >= '0' && name[0] <= '9')
		name = "show"; /* "0x7cc", as debuggers have it */
	verb = verb_find(name);
	if (!verb || !console_has(verb))
		return;
	row = words_n > 1 ? option_find(verb, last, strlen(last)) : NULL;
	if (row && row->argument)
		offer_value(out, typed, row);
	else if (*typed == '-')
		offer_options(out, typed, verb);
}

void console_complete(const char *line, struct completion *out)
{
	size_t start = strlen(line);
	_cleanup_(free) char *before = NULL;
	char **words;
	int words_n;

	while (start && line[start - 1] != ' ' && line[start - 1] != '\t')
		start--;
	*out = (struct completion){.start = start};
	before = xstrndup(line, start);
	words_n = console_words(before, &words, NULL);
	if (words_n > 0)
		offer_after(out, line + start, words, words_n);
	else if (!words_n && line[start] == '!' && !before[strspn(before, " \t")])
		offer(out, line + start, "!htrace", " ");
	else if (!words_n)
		offer_verbs(out, line + start, true);
	console_words_free(words);
}

void completion_fini(struct completion *completion)
{
	array_each (word, &completion->words)
		free(*word);
	array_fini(&completion->words);
}

size_t completion_common(const struct completion *completion)
{
	const char *first = completion->words.count ? completion->words.data[0] : "";
	size_t common = strlen(first);

	array_each (word, &completion->words) {
		size_t same = 0;

		while (same < common && (*word)[same] == first[same])
			same++;
		common = same;
	}
	return common;
}
