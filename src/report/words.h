/*
 * A growing line of text and what reports put into it: strings of targets made harmless, counts,
 * ranges of handles.
 */
#ifndef HTRACE_REPORT_WORDS_H
#define HTRACE_REPORT_WORDS_H

#include "base/array.h"

#include <stdint.h>

/* A zeroed one is empty; words_fini() frees. */
struct words {
	ARRAY(char) text; /* ends with NUL once something was added */
};

void words_fini(struct words *words);
void words_clear(struct words *words);

/* The text; "" where there is none. Borrowed, good until the next change. */
const char *words_text(const struct words *words);

/* A string of ours, as it is. */
void words_add(struct words *words, const char *text);
void words_addf(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * A string of a target, for a terminal: control characters, bytes that are not UTF-8 and characters
 * that change the direction of the text are written as \xNN or \u{NNNN}.
 */
void words_add_target(struct words *words, const char *text);

/* A string of a target as valid UTF-8: each wrong byte becomes U+FFFD. Control characters stay. */
void words_add_utf8(struct words *words, const char *text);

/* "12,340" */
void words_add_count(struct words *words, uint64_t count);

/* "1 place", "12,340 places" */
void words_add_counted(struct words *words, uint64_t count, const char *one, const char *many);

/* "3-52, 60": one more number, in ascending order. words_add_range_end() ends the list. */
struct words_ranges {
	int32_t first, last;
	uint32_t ranges; /* begun so far */
};
void words_add_range(struct words *words, struct words_ranges *ranges, int32_t number);
void words_add_range_end(struct words *words, struct words_ranges *ranges);

/* Columns that the text takes on a terminal: characters, not bytes. */
uint32_t words_width(const char *text);

#define cleanup_words_fini words_fini

#endif
