/* Owns events that need no unwinding. */
#include "unwind/stack_event.h"

#include "event/codec.h"

#include <stdbool.h>
#include <string.h>

uint32_t stack_event_image(const struct address_space *space, uint64_t address)
{
	const struct mapping *mapping = address_space_find(space, address);

	return mapping ? mapping->image : 0;
}

static void add_frame(const struct address_space *space, uint64_t pc, struct frame *frames,
		      uint32_t *frames_n)
{
	bool exact = *frames_n == 0;

	frames[(*frames_n)++] = (struct frame){
	    .pc = pc,
	    .image = stack_event_image(space, exact ? pc : pc - 1),
	    .exact = exact,
	};
}

/*
 * The collector walked the stack itself. Whether its list begins with the innermost pc or with
 * the first return address, the registers tell.
 */
static enum stack_end pass_addresses(const struct address_space *space,
				     const struct event_syscall *event, struct frame *frames,
				     uint32_t *frames_n)
{
	uint32_t count = event->stacks[0].size / sizeof(uint64_t);
	const uint8_t *bytes = event_stack_bytes(event, 0);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t pc;

		memcpy(&pc, bytes + i * sizeof(pc), sizeof(pc));
		if (i == 0 && event->registers.ip && event->registers.ip != pc)
			add_frame(space, event->registers.ip, frames, frames_n);
		if (*frames_n == STACK_FRAMES_MAX)
			return STACK_END_TOO_DEEP;
		add_frame(space, pc, frames, frames_n);
	}
	return event->stacks[0].flags & EVENT_STACK_CUT ? STACK_END_TRUNCATED : STACK_END_COMPLETE;
}

bool stack_event_is_ready(const struct address_space *space, const struct event_syscall *event,
			  struct frame *frames, uint32_t *frames_n, enum stack_end *end)
{
	bool has_bytes = event->stacks_n && event->stacks[0].size >= sizeof(uint64_t);
	bool has_registers = event->header.size >= sizeof(*event) && event->registers.ip;

	*frames_n = 0;
	if (has_bytes && event->stacks[0].flags & EVENT_STACK_ADDRESSES) {
		*end = pass_addresses(space, event, frames, frames_n);
		return true;
	}
	if (has_bytes && has_registers)
		return false;
	if (has_registers)
		add_frame(space, event->registers.ip, frames, frames_n);
	*end = STACK_END_NO_COPY;
	return true;
}
