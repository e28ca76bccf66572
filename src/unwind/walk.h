/*
 * One stack on its way through unwinder_cfi: what the loop (unwind.c), the search for rules
 * (rule_at.c) and the steps without a rule (no_cfi.c) share. Private to these.
 */
#ifndef HTRACE_UNWIND_WALK_H
#define HTRACE_UNWIND_WALK_H

#include "base/map.h"
#include "unwind/calls.h"
#include "unwind/rule.h"
#include "unwind/rule_cache.h"
#include "unwind/stack_copy.h"
#include "unwind/unwind.h"

struct unwinder {
	const struct image_table *images;
	struct map modules; /* struct module * -> struct module_cfi * */
	struct rule_table rules;
	struct rule_cache cache;
	struct calls calls;
	struct trail trail; /* of the last stack */
};

/* One stack on its way. */
struct walk {
	struct unwinder *unwinder;
	const struct address_space *space;
	uint64_t generation;
	struct stack_copy copy;
	struct registers registers;
	bool exact; /* rip is no return address */
	bool first; /* nothing has been unwound yet */
};

/* Fills the slot of `pc`: the slow way, once for each pc that is met (rule_at.c). */
void rule_cache_fill(struct walk *walk, struct rule_cache_entry *entry, uint64_t pc);

/* What is known of `pc`. Good until the next one is asked for. */
static inline const struct rule_cache_entry *rule_at(struct walk *walk, uint64_t pc)
{
	struct rule_cache_entry *entry = rule_cache_slot(&walk->unwinder->cache, pc);

	if (__builtin_expect(entry->pc != pc || entry->generation != walk->generation, false))
		rule_cache_fill(walk, entry, pc);
	return entry;
}

/*
 * From a frame that no rule covers to its caller (no_cfi.c); false: the stack ends, as `end` says.
 */
bool step_without_rule(struct walk *walk, enum stack_end *end);

#endif
