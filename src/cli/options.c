/* Owns the parsing of options, by their table, and the suggestions for what was meant. */
#include "cli/options.h"

#include "base/alloc.h"
#include "session/session.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t LINGER_NS = 600 * 1000000000ull;

/* ---- values ---- */

bool number_parse(const char *text, unsigned long long most, unsigned long long *out)
{
	char *end;
	bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	if (!(*text >= '0' && *text <= '9'))
		return false;
	errno = 0;
	*out = strtoull(text, &end, hexadecimal ? 16 : 10); /* 010 is ten */
	return !*end && !errno && *out <= most;
}

bool options_parse_duration(const char *text, uint64_t *out_ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"", 1e9},   {"s", 1e9},    {"ms", 1e6},   {"us", 1e3},
		     {"m", 60e9}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
	double number;
	char *end;

	if (!((*text >= '0' && *text <= '9') || *text == '.'))
		return false;
	number = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		double ns = number * units[i].ns;

		if (strcmp(end, units[i].unit) || !(ns >= 1 && ns < 1e18))
			continue;
		*out_ns = ns;
		return true;
	}
	return false;
}

/* ---- names ---- */

/* Optimal string alignment distance: insert, delete, replace, swap of neighbours. */
static unsigned edit_distance(const char *a, const char *b)
{
	enum { MOST = 40 };
	unsigned rows[MOST + 1][MOST + 1];
	size_t a_n = strlen(a), b_n = strlen(b);

	if (a_n > MOST || b_n > MOST)
		return UINT_MAX;
	for (size_t i = 0; i <= a_n; i++) {
		for (size_t j = 0; j <= b_n; j++) {
			unsigned best;

			if (!i || !j) {
				rows[i][j] = i + j;
				continue;
			}
			best = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (rows[i - 1][j] + 1 < best)
				best = rows[i - 1][j] + 1;
			if (rows[i][j - 1] + 1 < best)
				best = rows[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    rows[i - 2][j - 2] + 1 < best)
				best = rows[i - 2][j - 2] + 1;
			rows[i][j] = best;
		}
	}
	return rows[a_n][b_n];
}

const char *options_nearest(const char *word, const char *const *names)
{
	unsigned best = strlen(word) / 3 + 1;
	const char *nearest = NULL;

	for (; *names; names++) {
		unsigned distance = edit_distance(word, *names);

		/* What was only begun is near too. */
		if (strlen(word) > 3 && !strncmp(word, *names, strlen(word)))
			distance = 1;
		if (distance <= best) {
			nearest = *names;
			best = distance ? distance - 1 : 0;
		}
	}
	return nearest;
}

static int unknown_option(const struct verb *verb, const char *word, struct error *error)
{
	const char *names[32];
	const char *nearest;
	size_t n = 0;

	for (const struct option_row *row = option_rows; row->name; row++)
		if (row->verbs & verb->bit && n + 1 < sizeof(names) / sizeof(*names))
			names[n++] = row->name;
	names[n] = NULL;
	nearest = options_nearest(word, names);
	if (nearest)
		return error_set(error, -EINVAL, "unknown option '%s' for %s: did you mean %s?",
				 word, verb->name, nearest);
	return error_set(error, -EINVAL, "unknown option '%s': htrace help %s lists them", word,
			 verb->name);
}

static int check_choice(const struct option_row *row, const char *value, struct error *error)
{
	size_t length = strlen(value);

	for (const char *choice = row->choices; choice; choice = strchr(choice, '|')) {
		choice += *choice == '|';
		if (!strncmp(choice, value, length) && (choice[length] == '|' || !choice[length]) &&
		    length)
			return 0;
	}
	return error_set(error, -EINVAL, "%s cannot be '%s': it is one of %s", row->name, value,
			 row->choices);
}

/* One option: "--name=value", "--name value", "-p 1", "-p1". `taken` is the number of words. */
static int parse_one(const struct verb *verb, int argc, char **argv, struct options *out,
		     const struct option_row **which, int *taken, struct error *error)
{
	char word[64];
	size_t length = strcspn(argv[0], "=");
	const char *value = argv[0][length] ? argv[0] + length + 1 : NULL;
	const struct option_row *row;
	bool is_short = argv[0][1] != '-';

	*taken = 0;

	if (is_short) {
		length = 2;
		value = argv[0][2] ? argv[0] + 2 : NULL;
	}
	snprintf(word, sizeof(word), "%.*s", (int)length, argv[0]);
	for (row = option_rows; row->name; row++)
		if (!strcmp(row->name, word) && row->verbs & verb->bit)
			break;
	if (!row->name)
		return unknown_option(verb, word, error);
	*taken = 1;
	*which = row;
	if (!row->argument) {
		if (value)
			return error_set(error, -EINVAL, "%s takes no value", row->name);
		return row->set(out, NULL, error);
	}
	if (!value && argc > 1) {
		value = argv[1];
		*taken = 2;
	}
	if (!value || !*value)
		return error_set(error, -EINVAL, "%s needs a value: %s", row->name, row->argument);
	if (row->choices) {
		int result = check_choice(row, value, error);

		if (result)
			return result;
	}
	return row->set(out, value, error);
}

static int read_environment(struct options *options, struct error *error)
{
	const char *ring = getenv("HTRACE_RING_BYTES");
	unsigned long long bytes;

	if (!ring || !*ring)
		return 0;
	if (!number_parse(ring, 1 << 30, &bytes) || bytes < 4096 || bytes & (bytes - 1))
		return error_set(
		    error, -EINVAL,
		    "HTRACE_RING_BYTES must be a power of two from 4096 to 1073741824, "
		    "not '%s'",
		    ring);
	options->ring_bytes = bytes;
	return 0;
}

static int begin(struct options *out, struct error *error)
{
	*out = (struct options){
	    .collector = "auto",
	    .format = &report_text,
	    .traces_max = SESSION_TRACES_MAX,
	    .error_exitcode = -1,
	    .linger_ns = LINGER_NS,
	};
	return read_environment(out, error);
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1];
}

void options_fini(struct options *options)
{
	filter_free(options->filter);
	options->filter = NULL;
}

int options_parse(const struct verb *verb, int argc, char **argv, struct options *out,
		  struct error *error)
{
	int used = 0, result = begin(out, error);

	while (!result && used < argc && is_option(argv[used])) {
		const struct option_row *row;
		int taken;

		if (!strcmp(argv[used], "--"))
			return used + 1;
		result = parse_one(verb, argc - used, argv + used, out, &row, &taken, error);
		used += taken;
	}
	if (result)
		options_fini(out);
	return result ?: used;
}

int options_parse_mixed(const struct verb *verb, int argc, char **argv, struct options *out,
			struct option_words *words, struct error *error)
{
	int result = begin(out, error);

	*words = (struct option_words){
	    .plain = xcalloc(argc + 1, sizeof(*words->plain)),
	    .sent = xcalloc(argc + 1, sizeof(*words->sent)),
	};
	for (int used = 0, taken; !result && used < argc; used += taken) {
		const struct option_row *row = NULL;

		taken = 1;
		if (is_option(argv[used]))
			result =
			    parse_one(verb, argc - used, argv + used, out, &row, &taken, error);
		else
			words->plain[words->plain_n++] = argv[used];
		for (int i = 0; !result && i < taken && !(row && row->verbs & OPTION_OWN); i++)
			words->sent[words->sent_n++] = argv[used + i];
	}
	if (result) {
		option_words_fini(words);
		options_fini(out);
	}
	return result;
}

void option_words_fini(struct option_words *words)
{
	free(words->plain);
	free(words->sent);
	*words = (struct option_words){0};
}
