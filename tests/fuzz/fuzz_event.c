/*
 * Records as a collector may hand them over, one after the other. What event_check() passes must
 * be readable to its last byte through the structs of event.h: this reads all of it.
 */
#include "event/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile uint64_t sum;

static void read_all(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t here = 0;

	for (size_t i = 0; i < size; i++)
		here += at[i];
	sum += here;
}

static void read_record(const struct event_header *header)
{
	const struct event_syscall *event = event_as_syscall(header);
	const struct event_data *data = (const struct event_data *)header;
	const struct event_map *map = (const struct event_map *)header;

	read_all(header, header->size);
	switch (header->type) {
	case EVENT_SYSCALL:
		if (event->stacks_n > EVENT_STACKS_MAX)
			abort();
		for (unsigned i = 0; i < event->stacks_n; i++)
			read_all(event_stack_bytes(event, i), event->stacks[i].size);
		break;
	case EVENT_DATA:
		read_all(data->bytes, data->size);
		break;
	case EVENT_MAP:
		read_all(map->path, map->path_size);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	while (size) {
		/* A record of its own memory: aligned, and with nothing after it. */
		size_t checked = 0;
		uint8_t *copy = malloc(size);

		if (!copy)
			abort();
		memcpy(copy, bytes, size);
		checked = event_check(copy, size);
		if (checked > size)
			abort();
		free(copy);
		if (!checked)
			break;
		copy = malloc(checked);
		if (!copy)
			abort();
		memcpy(copy, bytes, checked);
		read_record((const struct event_header *)copy);
		free(copy);
		bytes += checked;
		size -= checked;
	}
	return 0;
}
