/* Events as a collector makes them of a system call, for tests of their decoding. */
#ifndef HTRACE_TESTS_FD_SYSCALLS_EVENT_H
#define HTRACE_TESTS_FD_SYSCALLS_EVENT_H

#include "event/event.h"

#include <stdint.h>
#include <string.h>

/* Good until the next one is made. */
static inline struct event_data *data_make(uint32_t kind, const void *bytes, uint32_t size)
{
	static union {
		struct event_data data;
		uint8_t bytes[sizeof(struct event_data) + 4096];
	} buffer;

	buffer.data = (struct event_data){.header.type = EVENT_DATA, .kind = kind, .size = size};
	memcpy(buffer.data.bytes, bytes, size);
	return &buffer.data;
}

static inline struct event_syscall call_make(uint32_t number, enum event_phase phase,
					     int64_t result, uint64_t a0, uint64_t a1, uint64_t a2,
					     uint64_t a3)
{
	return (struct event_syscall){.header.type = EVENT_SYSCALL,
				      .number = number,
				      .phase = phase,
				      .result = result,
				      .args = {a0, a1, a2, a3}};
}

#endif
