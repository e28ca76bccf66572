/* Owns the writing of known stacks while others read them, and which one gives way. */
#include "collect/known_stacks.h"

#include "base/alloc.h"

#include <stddef.h>
#include <string.h>

enum { RETIRED_MIN = 1024 };

void known_stacks_init(struct known_stacks *stacks, struct known_stack *entries)
{
	*stacks = (struct known_stacks){
	    .entries = entries,
	    .places = xcalloc(KNOWN_STACKS_N, sizeof(*stacks->places)),
	    .retired_most = RETIRED_MIN,
	};
}

void known_stacks_fini(struct known_stacks *stacks)
{
	free(stacks->places);
	map_fini(&stacks->names);
	array_fini(&stacks->retired);
	*stacks = (struct known_stacks){0};
}

static void forget(struct known_stacks *stacks, uint32_t stack)
{
	uint64_t *uses = map_get(&stacks->names, stack);

	if (uses && !--*uses)
		map_remove(&stacks->names, stack);
}

static void drop_retired(struct known_stacks *stacks, uint64_t reached)
{
	size_t kept = 0;

	array_each (retired, &stacks->retired) {
		if (retired->until > reached)
			stacks->retired.data[kept++] = *retired;
		else
			forget(stacks, retired->stack);
	}
	stacks->retired.count = kept;
	stacks->retired_most = 2 * kept > RETIRED_MIN ? 2 * kept : RETIRED_MIN;
}

/* The fast half may have recognised it a moment ago, and its record is on its way. */
static void retire(struct known_stacks *stacks, uint32_t stack, uint64_t reached, uint64_t until)
{
	if (stacks->retired.count >= stacks->retired_most)
		drop_retired(stacks, reached);
	array_push(&stacks->retired, (struct retired_stack){until, stack});
}

/* Whether a stack that matches one can match the other too, but for what the words hold. */
static bool same_place(const struct known_place *place, uint64_t mappings,
		       const struct footprint *footprint, uint32_t stack)
{
	return place->stack == stack && place->mappings == mappings && place->ip == footprint->ip &&
	       place->sp == footprint->sp;
}

/*
 * Where a new one goes: over one of the same stack (a register that counts held something else),
 * else into a free way of its set, else one by turns.
 */
static uint32_t choose(struct known_stacks *stacks, uint64_t mappings,
		       const struct footprint *footprint, uint32_t stack)
{
	uint32_t first = known_stack_first(mappings, footprint->ip, footprint->sp);
	uint32_t unused = KNOWN_STACKS_N;

	for (uint32_t i = first; i < first + KNOWN_STACK_WAYS; i++) {
		if (same_place(&stacks->places[i], mappings, footprint, stack))
			return i;
		if (unused == KNOWN_STACKS_N && !stacks->places[i].stack)
			unused = i;
	}
	return unused < KNOWN_STACKS_N ? unused : first + stacks->turn++ % KNOWN_STACK_WAYS;
}

void known_stacks_add(struct known_stacks *stacks, uint64_t mappings,
		      const struct footprint *footprint, uint32_t stack, uint64_t reached,
		      uint64_t until)
{
	uint32_t index = choose(stacks, mappings, footprint, stack);
	struct known_place *place = &stacks->places[index];
	struct known_stack *entry = &stacks->entries[index];
	struct footprint *to = &entry->footprint;

	/* A sequence lock with one writer: the fast half looks at the version before and after. */
	__atomic_store_n(&entry->version, place->version + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (place->stack != stack) {
		if (place->stack)
			retire(stacks, place->stack, reached, until);
		++*map_put(&stacks->names, stack);
	}
	*place =
	    (struct known_place){mappings, footprint->ip, footprint->sp, stack, place->version + 2};
	entry->stack = stack;
	entry->mappings = mappings;
	memcpy(to, footprint, offsetof(struct footprint, values));
	memcpy(to->values, footprint->values, footprint->words_n * sizeof(to->values[0]));
	memcpy(to->offsets, footprint->offsets, footprint->words_n * sizeof(to->offsets[0]));
	__atomic_store_n(&entry->version, place->version, __ATOMIC_RELEASE);
}

bool known_stacks_has(const struct known_stacks *stacks, uint32_t stack)
{
	return map_get(&stacks->names, stack);
}

void known_stacks_each(const struct known_stacks *stacks,
		       void (*each)(void *context, uint32_t stack), void *context)
{
	map_each (entry, &stacks->names)
		each(context, entry->key);
}
