/*
 * Steps over the values that DWARF sections consist of (DWARF 5, sections 7.5.6 and 7.6; GNU's
 * extensions as in elfutils' dwarf.h). The bytes are foreign: no step passes the end. Knows not
 * what a value means.
 */
#ifndef HTRACE_SYMBOL_DWARF_CURSOR_H
#define HTRACE_SYMBOL_DWARF_CURSOR_H

#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct dwarf_cursor {
	const uint8_t *at, *end;
};

/* What the lengths of some forms depend on. */
struct dwarf_format {
	uint16_t version;
	uint8_t address_bytes, offset_bytes;
};

enum { DWARF_NOT_FIXED = -1 };

/* Bytes of a value; DWARF_NOT_FIXED where the value says so itself (or nobody knows the form). */
int dwarf_form_bytes(const struct dwarf_format *format, unsigned form);

/* Passes a value. False: it runs over the end, or nobody knows the form. */
bool dwarf_cursor_skip(struct dwarf_cursor *cursor, const struct dwarf_format *format,
		       unsigned form);

/* An unsigned number of `bytes` (at most 8) bytes that are there. Little-endian, as the files are
 * that symbol/elf_copy.h lets in. */
static inline uint64_t dwarf_number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* Takes one of what may still be read of a file (symbol/inlines.h); false: nothing is left. */
static inline bool dwarf_take_item(uint64_t *items_left)
{
	if (*items_left == 0)
		return false;
	--*items_left;
	return true;
}

static inline uint64_t dwarf_cursor_left(const struct dwarf_cursor *cursor)
{
	return cursor->end - cursor->at;
}

static inline bool dwarf_cursor_number(struct dwarf_cursor *cursor, unsigned bytes, uint64_t *value)
{
	if (dwarf_cursor_left(cursor) < bytes)
		return false;
	*value = dwarf_number(cursor->at, bytes);
	cursor->at += bytes;
	return true;
}

/* LEB128; what does not fit into 64 bits is cut off. */
static inline bool dwarf_cursor_uleb(struct dwarf_cursor *cursor, uint64_t *value)
{
	uint64_t result = 0;
	unsigned shift = 0;

	while (cursor->at < cursor->end) {
		uint8_t byte = *cursor->at++;

		if (shift < 64)
			result |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (byte < 0x80) {
			*value = result;
			return true;
		}
	}
	return false;
}

static inline bool dwarf_cursor_sleb(struct dwarf_cursor *cursor, int64_t *value)
{
	const uint8_t *start = cursor->at;
	uint64_t result;
	unsigned bits;

	if (!dwarf_cursor_uleb(cursor, &result))
		return false;
	bits = 7 * (cursor->at - start);
	if (bits < 64 && cursor->at[-1] & 0x40)
		result |= UINT64_MAX << bits;
	*value = (int64_t)result;
	return true;
}

/* Passes a string that ends within the bytes and returns it; NULL: it does not. */
static inline const char *dwarf_cursor_string(struct dwarf_cursor *cursor)
{
	const char *string = (const char *)cursor->at;
	const uint8_t *zero = memchr(cursor->at, 0, dwarf_cursor_left(cursor));

	if (!zero)
		return NULL;
	cursor->at = zero + 1;
	return string;
}

#endif
