/* Small helpers for NUL-terminated text, for there is no <string.h> here. */
#ifndef HTRACE_AGENT_TEXT_H
#define HTRACE_AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

static inline bool text_begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return false;
	return true;
}

/* Reads decimal digits at *text and moves behind them; false where there are none. */
static inline bool text_number(const char **text, uint64_t *number)
{
	const char *at = *text;

	for (*number = 0; *at >= '0' && *at <= '9'; at++)
		*number = *number * 10 + (uint64_t)(*at - '0');
	if (at == *text)
		return false;
	*text = at;
	return true;
}

/* Writes `text` without its NUL; returns the place behind it. */
static inline char *text_append(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static inline char *text_append_number(char *to, uint64_t number)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		*to++ = digits[--n];
	return to;
}

#endif
