/* Owns the way from addresses to the form that a collector compares with. */
#include "unwind/trail.h"

#include "event/codec.h"

#include <string.h>

/* In the order of enum footprint_register: their DWARF numbers (System V ABI, figure 3.36). */
static const uint8_t dwarf_numbers[FOOTPRINT_REGISTERS_N] = {6, 3, 12, 13, 14, 15};

static bool add_word(struct footprint *out, const struct event_syscall *event, uint64_t address)
{
	uint64_t offset = address - out->sp;
	uint64_t in_copy = address - event->stacks[0].start;

	if (offset % 8 || offset > FOOTPRINT_SPAN_MAX - 8 || event->stacks[0].size < 8 ||
	    in_copy > event->stacks[0].size - 8)
		return false;
	out->offsets[out->words_n] = offset;
	memcpy(&out->values[out->words_n++], event_stack_bytes(event, 0) + in_copy, 8);
	if (out->span < offset + 8)
		out->span = offset + 8;
	return true;
}

bool trail_footprint(const struct trail *trail, const struct event_syscall *event,
		     struct footprint *out)
{
	const struct event_registers *given = &event->registers;
	const uint64_t registers[FOOTPRINT_REGISTERS_N] = {given->bp,  given->bx,  given->r12,
							   given->r13, given->r14, given->r15};
	uint32_t left = trail->registers;

	if (trail->incomplete || event->stacks_n != 1)
		return false;
	*out = (struct footprint){.ip = given->ip, .sp = given->sp};
	for (unsigned i = 0; i < FOOTPRINT_REGISTERS_N; i++) {
		uint32_t bit = 1u << dwarf_numbers[i];

		if (!(left & bit))
			continue;
		left &= ~bit;
		out->registers_used |= 1u << i;
		out->registers[i] = registers[i];
	}
	if (left)
		return false;
	for (unsigned i = 0; i < trail->words_n; i++)
		if (!add_word(out, event, trail->addresses[i]))
			return false;
	return true;
}
