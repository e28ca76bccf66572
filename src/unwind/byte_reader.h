/*
 * A cursor over bytes that somebody else wrote: a read beyond the end fails the whole reader and
 * gives 0, so that a parser checks once, at its end. Little endian, as all of x86-64 is.
 */
#ifndef HTRACE_UNWIND_BYTE_READER_H
#define HTRACE_UNWIND_BYTE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct byte_reader {
	const uint8_t *at, *end;
	bool failed;
};

static inline size_t reader_left(const struct byte_reader *reader)
{
	return reader->end - reader->at;
}

/* The next `bytes` bytes, or NULL where there are not as many. */
static inline const uint8_t *reader_take(struct byte_reader *reader, uint64_t bytes)
{
	const uint8_t *taken = reader->at;

	if (reader->failed || bytes > reader_left(reader)) {
		reader->failed = true;
		reader->at = reader->end;
		return NULL;
	}
	reader->at += bytes;
	return taken;
}

/* An unsigned number of 1, 2, 4 or 8 bytes. */
static inline uint64_t reader_unsigned(struct byte_reader *reader, unsigned bytes)
{
	const uint8_t *taken = reader_take(reader, bytes);
	uint64_t value = 0;

	if (taken)
		memcpy(&value, taken, bytes);
	return value;
}

static inline int64_t reader_signed(struct byte_reader *reader, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(reader_unsigned(reader, bytes) << shift) >> shift;
}

static inline uint64_t reader_uleb(struct byte_reader *reader)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = reader_unsigned(reader, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !reader->failed);
	return value;
}

static inline int64_t reader_sleb(struct byte_reader *reader)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = reader_unsigned(reader, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !reader->failed);
	if (shift < 64 && byte & 0x40)
		value |= ~(uint64_t)0 << shift;
	return value;
}

#endif
