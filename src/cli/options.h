/* The command line: options by their table, unknown ones answered with the nearest. */
#ifndef HTRACE_CLI_OPTIONS_H
#define HTRACE_CLI_OPTIONS_H

#include "cli/commands.h"

/*
 * Parses the options of `verb` from argv[0] on; they end at "--" or at the first word that is none.
 * Returns how many words they took, or -EINVAL with a sentence for the user.
 */
int options_parse(const struct verb *verb, int argc, char **argv, struct options *out,
		  struct error *error);

/* Frees what the options own. Where parsing failed, that is done. */
void options_fini(struct options *options);

/* What options_parse_mixed() found beside options; the words are argv's. */
struct option_words {
	char **plain; /* that are no options */
	int plain_n;
	char **sent; /* those, and the options that are not the client's own (OPTION_OWN) */
	int sent_n;
};

/* The same with options anywhere among the words. 0, or -EINVAL with a sentence. */
int options_parse_mixed(const struct verb *verb, int argc, char **argv, struct options *out,
			struct option_words *words, struct error *error);
void option_words_fini(struct option_words *words);

/* A number as debuggers' users write it, decimal or 0x...; false: it is none, or above `most`. */
bool number_parse(const char *text, unsigned long long most, unsigned long long *out);

/* "90", "90s", "500ms", "2m", "1h" to nanoseconds; false: it is none. */
bool options_parse_duration(const char *text, uint64_t *out_ns);

/* The name of `names` (ends with NULL) nearest to `word`, or NULL when none is near. */
const char *options_nearest(const char *word, const char *const *names);

#endif
