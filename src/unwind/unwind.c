/*
 * Owns the loop from frame to frame, and when to stop. Reads of the target only what the event
 * brought.
 */
#include "base/alloc.h"
#include "unwind/module_cfi.h"
#include "unwind/stack_event.h"
#include "unwind/walk.h"

/* From a frame's registers to its caller's; false: the stack ends, as `end` says. */
static bool step(struct walk *walk, const struct rule *rule, enum stack_end *end)
{
	const uint64_t *value = walk->registers.value;
	uint64_t rsp = value[REGISTER_RSP], rip = value[REGISTER_RIP], bad_address;
	bool signal = rule->flags & RULE_SIGNAL;

	if (rule->cfa == RULE_CFA_NONE && !(rule->flags & RULE_BOTTOM))
		return step_without_rule(walk, end);
	switch (
	    rule_apply(rule, &walk->unwinder->rules, &walk->copy, &walk->registers, &bad_address)) {
	case RULE_STEP_OK:
		break;
	case RULE_STEP_BOTTOM:
		*end = STACK_END_COMPLETE;
		return false;
	case RULE_STEP_UNKNOWN:
		walk->copy.trail->incomplete = true;
		*end = STACK_END_NO_CFI;
		return false;
	case RULE_STEP_BAD_READ:
		walk->copy.trail->incomplete = true;
		*end = stack_copy_why(&walk->copy, bad_address);
		return false;
	}
	/*
	 * A caller's frame lies above; only a signal may have come from another stack, and only
	 * where the return address is in a register (in vfork) does rsp stay.
	 */
	if (!signal && (value[REGISTER_RSP] < rsp ||
			(value[REGISTER_RSP] == rsp && value[REGISTER_RIP] == rip))) {
		*end = STACK_END_BAD_READ;
		return false;
	}
	walk->exact = signal;
	return true;
}

static enum stack_end walk_stack(struct walk *walk, struct frame *frames, uint32_t *frames_n)
{
	enum stack_end end = STACK_END_COMPLETE;
	uint32_t count = 0;

	for (;; walk->first = false) {
		uint64_t pc = walk->registers.value[REGISTER_RIP];
		const struct rule_cache_entry *entry = rule_at(walk, walk->exact ? pc : pc - 1);
		const struct rule *rule = &walk->unwinder->rules.rules.data[entry->rule];

		if (!entry->executable && !walk->first) {
			end = pc == 0 ? STACK_END_COMPLETE : STACK_END_BAD_PC;
			break;
		}
		if (count == STACK_FRAMES_MAX) {
			end = STACK_END_TOO_DEEP; /* more words than a trail holds */
			break;
		}
		/* The trampoline of a signal frame was not called either. */
		frames[count++] = (struct frame){
		    .pc = pc,
		    .image = entry->image,
		    .exact = walk->exact || rule->flags & RULE_SIGNAL,
		};
		if (!entry->executable) {
			end = STACK_END_BAD_PC;
			break;
		}
		if (!step(walk, rule, &end))
			break;
	}
	*frames_n = count;
	return end;
}

static enum stack_end unwind(struct unwinder *unwinder, const struct address_space *space,
			     const struct event_syscall *event,
			     struct frame frames[static STACK_FRAMES_MAX], uint32_t *frames_n)
{
	const struct event_registers *given = &event->registers;
	struct walk walk;
	enum stack_end end;

	if (stack_event_is_ready(space, event, frames, frames_n, &end)) {
		unwinder->trail.incomplete = true;
		return end;
	}
	walk.unwinder = unwinder;
	walk.space = space;
	walk.generation = address_space_generation(space);
	walk.exact = walk.first = true;
	stack_copy_init(&walk.copy, event, &unwinder->trail);
	for (unsigned i = 0; i < REGISTERS_N; i++)
		walk.registers.source[i] = i;
	walk.registers.value[REGISTER_RIP] = given->ip;
	walk.registers.value[REGISTER_RSP] = given->sp;
	walk.registers.value[REGISTER_RBP] = given->bp;
	walk.registers.value[REGISTER_RBX] = given->bx;
	walk.registers.value[REGISTER_R12] = given->r12;
	walk.registers.value[REGISTER_R13] = given->r13;
	walk.registers.value[REGISTER_R14] = given->r14;
	walk.registers.value[REGISTER_R15] = given->r15;
	walk.registers.known = 1u << REGISTER_RIP | 1u << REGISTER_RSP | 1u << REGISTER_RBP |
			       1u << REGISTER_RBX | 0xfu << REGISTER_R12;
	return walk_stack(&walk, frames, frames_n);
}

bool unwinder_cfi_footprint(const struct unwinder *unwinder, const struct event_syscall *event,
			    struct footprint *out)
{
	return trail_footprint(&unwinder->trail, event, out);
}

static struct unwinder *create(const struct image_table *images)
{
	struct unwinder *unwinder = xcalloc(1, sizeof(*unwinder));

	unwinder->images = images;
	rule_table_init(&unwinder->rules);
	rule_cache_init(&unwinder->cache);
	return unwinder;
}

static void destroy(struct unwinder *unwinder)
{
	if (!unwinder)
		return;
	map_each (entry, &unwinder->modules)
		module_cfi_free((struct module_cfi *)(uintptr_t)entry->value);
	map_fini(&unwinder->modules);
	rule_table_fini(&unwinder->rules);
	rule_cache_fini(&unwinder->cache);
	free(unwinder);
}

const struct unwinder_ops unwinder_cfi = {
    .name = "cfi",
    .create = create,
    .destroy = destroy,
    .unwind = unwind,
};
