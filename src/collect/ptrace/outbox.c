/* Owns the bytes of records on their way to the sink; knows nothing of where they come from. */
#include "collect/ptrace/outbox.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void outbox_fini(struct outbox *outbox)
{
	free(outbox->bytes);
	*outbox = (struct outbox){0};
}

void *outbox_begin(struct outbox *outbox, enum event_type type, pid_t pid, pid_t tid, size_t fixed,
		   size_t variable)
{
	size_t wanted = outbox->used + fixed + variable + 8;
	struct event_header *header;

	if (wanted > outbox->capacity) {
		outbox->capacity = wanted + wanted / 2;
		outbox->bytes = xreallocarray(outbox->bytes, outbox->capacity, 1);
	}
	header = (struct event_header *)(outbox->bytes + outbox->used);
	memset(header, 0, fixed);
	header->type = type;
	header->time_ns = clock_now_ns();
	header->pid = pid;
	header->tid = tid;
	return header;
}

void outbox_end(struct outbox *outbox, size_t size)
{
	struct event_header *header = (struct event_header *)(outbox->bytes + outbox->used);

	memset((uint8_t *)header + size, 0, -size & 7);
	header->size = (size + 7) & ~(size_t)7;
	outbox->used += header->size;
}

uint64_t outbox_drain(struct outbox *outbox, const struct event_sink *sink)
{
	uint64_t count = 0;

	for (size_t at = 0; at < outbox->used; count++) {
		const struct event_header *header =
		    (const struct event_header *)(outbox->bytes + at);

		sink->receive(sink->context, header);
		at += header->size;
	}
	outbox->used = 0;
	return count;
}
