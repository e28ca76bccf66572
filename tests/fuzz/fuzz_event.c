/* What event_check() has passed may be used to its last byte: this uses it. */
#include "event/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum(const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;
	uint64_t total = 0;

	for (size_t i = 0; i < size; i++)
		total += byte[i];
	return total;
}

static uint64_t use(const struct event_header *header)
{
	const struct event_syscall *call = event_as_syscall(header);
	const struct event_data *data = (const void *)header;
	const struct event_map *map = (const void *)header;
	uint64_t total = sum(header, header->size);

	switch ((enum event_type)header->type) {
	case EVENT_SYSCALL:
		for (unsigned i = 0; i < call->stacks_n; i++)
			total += sum(event_stack_bytes(call, i), call->stacks[i].size);
		return total;
	case EVENT_DATA:
		return total + sum(data->bytes, data->size);
	case EVENT_MAP:
		return total + sum(map->path, map->path_size) + (map->end - map->start);
	case EVENT_FORK:
		return total + ((const struct event_fork *)header)->child_tid;
	case EVENT_EXEC:
		return total + ((const struct event_exec *)header)->old_tid;
	case EVENT_EXIT:
		return total + ((const struct event_exit *)header)->status;
	case EVENT_LOST:
		return total + ((const struct event_lost *)header)->count;
	}
	abort(); /* a type that nobody knows has passed */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A block of the very size: a read beyond it is seen. */
	uint8_t *bytes = malloc(size ? size : 1);
	uint64_t total = 0;
	size_t at = 0, record;

	if (size)
		memcpy(bytes, data, size);
	while (at < size && (record = event_check(bytes + at, size - at)) > 0) {
		if (record > size - at || record % 8)
			abort();
		total += use((const struct event_header *)(bytes + at));
		at += record;
	}
	/* The sum is wanted by nobody, but the reads must not be optimised away. */
	__asm__ volatile("" : : "r"(total));
	free(bytes);
	return 0;
}
