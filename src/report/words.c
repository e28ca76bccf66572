/* Owns what makes a target's string safe to print, and how lists of numbers are shortened without
 * leaving any out. Knows nothing of reports. */
#include "report/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void words_fini(struct words *words)
{
	array_fini(&words->text);
}

void words_clear(struct words *words)
{
	words->text.count = 0;
}

const char *words_text(const struct words *words)
{
	return words->text.count ? words->text.data : "";
}

static void add_bytes(struct words *words, const char *bytes, size_t size)
{
	size_t used = words->text.count ? words->text.count - 1 : 0; /* over the NUL */

	array_reserve(&words->text, used + size + 1);
	memcpy(words->text.data + used, bytes, size);
	words->text.data[used + size] = 0;
	words->text.count = used + size + 1;
}

void words_add(struct words *words, const char *text)
{
	add_bytes(words, text, strlen(text));
}

void words_addf(struct words *words, const char *format, ...)
{
	char text[512];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (size < (int)sizeof(text)) {
		add_bytes(words, text, size < 0 ? 0 : size);
		return;
	}
	array_reserve(&words->text, words->text.count + size + 2);
	va_start(arguments, format);
	vsnprintf(words->text.data + (words->text.count ? words->text.count - 1 : 0), size + 1,
		  format, arguments);
	va_end(arguments);
	words->text.count += size + !words->text.count;
}

/*
 * The character that `text` starts with: returns its bytes, 0 where they are not UTF-8 (Unicode
 * standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
 */
static uint32_t utf8_decode(const unsigned char *text, uint32_t *character)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t size = text[0] < 0x80   ? 1
			: text[0] < 0xc2 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf5 ? 4
					 : 0;

	*character = size > 1 ? text[0] & (0x7f >> size) : text[0];
	for (uint32_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (text[i] & 0x3f);
	}
	if (size && (*character < smallest[size] || *character > 0x10ffff ||
		     (*character >= 0xd800 && *character < 0xe000)))
		return 0;
	return size;
}

/* Moves the cursor, hides, or turns round what stands next to it. */
static bool is_harmful(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
	       (character >= 0x200b && character <= 0x200f) ||
	       (character >= 0x2028 && character <= 0x202e) ||
	       (character >= 0x2060 && character <= 0x206f) || character == 0xfeff ||
	       character == 0x061c;
}

void words_add_target(struct words *words, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		uint32_t character;
		uint32_t size = utf8_decode(at, &character);

		if (!size || (character < 0x80 && is_harmful(character)))
			words_addf(words, "\\x%02x", *at);
		else if (is_harmful(character))
			words_addf(words, "\\u{%04x}", character);
		else
			add_bytes(words, (const char *)at, size);
		at += size ? size : 1;
	}
}

void words_add_utf8(struct words *words, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		uint32_t character;
		uint32_t size = utf8_decode(at, &character);

		if (size)
			add_bytes(words, (const char *)at, size);
		else
			words_add(words, "\xef\xbf\xbd");
		at += size ? size : 1;
	}
}

void words_add_count(struct words *words, uint64_t count)
{
	char digits[24];
	int size = snprintf(digits, sizeof(digits), "%" PRIu64, count);

	for (int i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			add_bytes(words, ",", 1);
		add_bytes(words, &digits[i], 1);
	}
}

void words_add_counted(struct words *words, uint64_t count, const char *one, const char *many)
{
	words_add_count(words, count);
	words_add(words, " ");
	words_add(words, count == 1 ? one : many);
}

void words_add_range(struct words *words, struct words_ranges *ranges, int32_t number)
{
	if (ranges->ranges && number >= ranges->last && (int64_t)number - ranges->last <= 1) {
		ranges->last = number;
		return;
	}
	words_add_range_end(words, ranges);
	words_addf(words, "%s%d", ranges->ranges ? ", " : "", number);
	ranges->first = ranges->last = number;
	ranges->ranges++;
}

void words_add_range_end(struct words *words, struct words_ranges *ranges)
{
	if (ranges->ranges && ranges->last != ranges->first)
		words_addf(words, ranges->first < 0 ? " to %d" : "-%d", ranges->last);
	ranges->first = ranges->last;
}

uint32_t words_width(const char *text)
{
	uint32_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}
