/*
 * Reads records that somebody else wrote, and trusts none of their lengths. What
 * event_check() has passed may be used through the structs of event.h without further checks.
 */
#ifndef HTRACE_EVENT_CODEC_H
#define HTRACE_EVENT_CODEC_H

#include "event/event.h"

#include <stddef.h>

/*
 * The size in bytes of the record at `bytes`, once everything in it is known to lie inside
 * `available` bytes and every enum that decides a layout has a known value; 0 otherwise.
 * `bytes` must be 8-aligned.
 */
size_t event_check(const void *bytes, size_t available);

/* Where the bytes of piece `index` of a checked record are. */
const uint8_t *event_stack_bytes(const struct event_syscall *event, unsigned index);

static inline const struct event_syscall *event_as_syscall(const struct event_header *header)
{
	return (const struct event_syscall *)header;
}

#endif
