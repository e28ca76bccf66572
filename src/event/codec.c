/* Owns the checks of every record's lengths against its layout. */
#include "event/codec.h"

#include <stdbool.h>

static bool check_syscall(const struct event_syscall *event, size_t size)
{
	size_t used = sizeof(*event);

	if (event->stacks_n > EVENT_STACKS_MAX || (event->stacks_n && size < used) ||
	    (event->phase != EVENT_ENTER && event->phase != EVENT_LEAVE))
		return false;
	for (unsigned i = 0; i < event->stacks_n; i++) {
		uint32_t bytes = event->stacks[i].size;

		if (bytes % 8 || bytes > EVENT_STACK_BYTES_MAX || bytes > size - used)
			return false;
		used += bytes;
	}
	return true;
}

static bool check_data(const struct event_data *event, size_t size)
{
	return event->size <= EVENT_DATA_BYTES_MAX && event->size <= size - sizeof(*event) &&
	       event->kind >= EVENT_DATA_PATH && event->kind <= EVENT_DATA_SETS;
}

static bool check_map(const struct event_map *event, size_t size)
{
	return event->path_size <= size - sizeof(*event) && event->start < event->end;
}

size_t event_check(const void *bytes, size_t available)
{
	static const uint16_t least[] = {
	    [EVENT_SYSCALL] = EVENT_SYSCALL_SHORT_BYTES, [EVENT_DATA] = sizeof(struct event_data),
	    [EVENT_FORK] = sizeof(struct event_fork),    [EVENT_EXEC] = sizeof(struct event_exec),
	    [EVENT_EXIT] = sizeof(struct event_exit),    [EVENT_MAP] = sizeof(struct event_map),
	    [EVENT_LOST] = sizeof(struct event_lost),
	};
	const struct event_header *header = bytes;
	size_t size;

	if (available < sizeof(*header))
		return 0;
	size = header->size;
	if (size > available || size > EVENT_SIZE_MAX || size % 8 || header->type == 0 ||
	    header->type >= sizeof(least) / sizeof(*least) || size < least[header->type])
		return 0;
	if (header->type == EVENT_SYSCALL && !check_syscall(bytes, size))
		return 0;
	if (header->type == EVENT_DATA && !check_data(bytes, size))
		return 0;
	if (header->type == EVENT_MAP && !check_map(bytes, size))
		return 0;
	return size;
}

const uint8_t *event_stack_bytes(const struct event_syscall *event, unsigned index)
{
	const uint8_t *bytes = event->bytes;

	for (unsigned i = 0; i < index; i++)
		bytes += event->stacks[i].size;
	return bytes;
}
