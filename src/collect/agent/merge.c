/*
 * Owns the order of what all rings hold. The clock is read first and the rings after it, so what
 * is not older than that clock waits: a record that is written only now cannot be the cause of one
 * that is older than it.
 */
#include "collect/agent/rings_private.h"

#include "base/clock.h"

#include <string.h>

enum {
	INCOMPLETE_NS_MAX = 2000000, /* to wait for a record that is being written */
	GENERATION_NS_MIN = 250000000,
	FREE_RUN_MAX = 256, /* free slots behind all that were in use: agents take the first */
};

/* ---- a heap of slots, the earliest on top ---- */

static bool before(const struct rings *rings, uint32_t one, uint32_t other)
{
	uint64_t one_ns = rings->slots[one].next_ns, other_ns = rings->slots[other].next_ns;

	return one_ns != other_ns ? one_ns < other_ns : one < other;
}

static void heap_push(struct rings *rings, uint32_t index)
{
	uint32_t at = rings->heap_n++;

	while (at && before(rings, index, rings->heap[(at - 1) / 2])) {
		rings->heap[at] = rings->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	rings->heap[at] = index;
}

/* Puts `index` where the top was, and further down until the order is right. */
static void heap_sink(struct rings *rings, uint32_t index)
{
	uint32_t at = 0;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= rings->heap_n)
			break;
		if (child + 1 < rings->heap_n &&
		    before(rings, rings->heap[child + 1], rings->heap[child]))
			child++;
		if (!before(rings, rings->heap[child], index))
			break;
		rings->heap[at] = rings->heap[child];
		at = child;
	}
	rings->heap[at] = index;
}

static uint32_t heap_pop(struct rings *rings)
{
	uint32_t top = rings->heap[0];

	if (--rings->heap_n)
		heap_sink(rings, rings->heap[rings->heap_n]);
	return top;
}

/* ---- one pass ---- */

/*
 * A signal handler's records lie behind the one that it interrupted. While that is being written
 * nothing that may be later than they are is handed over; but not for long, for the thread may be
 * stopped. What lies behind is later than `behind_ns`.
 */
static void wait_for_writer(struct rings *rings, uint32_t index, uint64_t behind_ns)
{
	struct ring_slot *slot = &rings->slots[index];

	if (slot->ready || slot->given_up ||
	    __atomic_load_n(&rings_shared(rings, index)->head, __ATOMIC_ACQUIRE) == slot->tail)
		return;
	if (!slot->incomplete_ns) {
		slot->incomplete_ns = rings->until_ns;
		slot->behind_ns = behind_ns;
	}
	if (rings->until_ns - slot->incomplete_ns >= INCOMPLETE_NS_MAX)
		return;
	rings->limited = true;
	if (slot->behind_ns < rings->limit_ns)
		rings->limit_ns = slot->behind_ns;
}

/* Looks at a slot that is not free; `last_pass_ns` is when it was looked at before. */
static void begin_slot(struct rings *rings, uint32_t index, uint64_t last_pass_ns,
		       const struct rings_reader *reader)
{
	struct ring_slot *slot = &rings->slots[index];

	slot->used = true;
	rings_count_dropped(rings, index);
	if (slot->given_up)
		return;
	rings_look(rings, index);
	if (!slot->ready) {
		wait_for_writer(rings, index,
				slot->last_ns > last_pass_ns ? slot->last_ns : last_pass_ns);
		return;
	}
	if (!slot->pid)
		slot->pid = __atomic_load_n(&rings_shared(rings, index)->pid, __ATOMIC_RELAXED);
	if (slot->pid <= 0)
		rings_give_up(rings, index);
	else
		slot->held = !reader->may_read(reader->context, slot->pid);
}

static void begin_pass(struct rings *rings, const struct rings_reader *reader)
{
	uint64_t last_pass_ns = rings->until_ns;
	uint32_t last_n = rings->looked_n; /* what lies behind may be what came since */

	rings->limited = false;
	rings->heap_n = 0;
	if (rings->in_ticks)
		ticks_follow(&rings->ticks);
	rings->until_ns = rings->in_ticks ? ticks_ns(&rings->ticks, ticks_now()) : clock_now_ns();
	rings->limit_ns = rings->until_ns;
	rings->looked_n = 0;
	for (uint32_t i = 0; i < rings->slots_n; i++) {
		uint32_t end = rings->looked_n > last_n ? rings->looked_n : last_n;
		uint32_t state = __atomic_load_n(&rings_shared(rings, i)->state, __ATOMIC_ACQUIRE);

		if (i >= end + FREE_RUN_MAX)
			break;
		if (state == ARENA_SLOT_FREE)
			continue;
		begin_slot(rings, i, last_pass_ns, reader);
		rings->looked_n = i + 1;
	}
}

static void count_arena_dropped(struct rings *rings)
{
	uint64_t dropped = __atomic_load_n(&rings->arena->dropped, __ATOMIC_RELAXED);

	if (dropped > rings->arena_dropped)
		rings->lost += dropped - rings->arena_dropped;
	rings->arena_dropped = dropped;
}

/* A thread that is gone writes nothing more: an incomplete record will never be one. */
static void free_left(struct rings *rings)
{
	for (uint32_t i = 0; i < rings->looked_n; i++) {
		const struct ring_slot *slot = &rings->slots[i];

		if (!slot->used || slot->held ||
		    __atomic_load_n(&rings_shared(rings, i)->state, __ATOMIC_ACQUIRE) !=
			ARENA_SLOT_LEFT)
			continue;
		if (!slot->given_up)
			rings_look(rings, i);
		if (!slot->ready)
			rings_free_slot(rings, i);
	}
}

/* Whether all that was there when the generation began has been read. */
static bool is_settled(const struct rings *rings)
{
	for (uint32_t i = 0; i < rings->looked_n; i++) {
		const struct ring_slot *slot = &rings->slots[i];

		/* An agent may have made a reservation smaller since: then all is read before. */
		if (slot->used && !slot->given_up && slot->tail < slot->goal &&
		    slot->tail != __atomic_load_n(&rings_shared(rings, i)->head, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}

static void go_on_with_generation(struct rings *rings)
{
	if (rings->until_ns - rings->generation_ns < GENERATION_NS_MIN || !is_settled(rings))
		return;
	rings->generation++;
	rings->generation_ns = rings->until_ns;
	for (uint32_t i = 0; i < rings->looked_n; i++)
		if (rings->slots[i].used)
			rings->slots[i].goal =
			    __atomic_load_n(&rings_shared(rings, i)->head, __ATOMIC_ACQUIRE);
}

/* Whether the record at the tail is to be read in this pass. */
static bool is_due(const struct rings *rings, uint32_t index)
{
	const struct ring_slot *slot = &rings->slots[index];

	return slot->ready && !slot->held && slot->next_ns <= rings->limit_ns;
}

static void take_next(struct rings *rings, const struct rings_reader *reader)
{
	uint32_t index = heap_pop(rings);
	struct event_header *record;

	/* Its process has ended, as a record told that came before. */
	if (!rings->slots[index].ready)
		return;
	record = rings_take(rings, index);
	if (!record)
		return;
	reader->receive(reader->context, index, record);
	if (!rings->slots[index].used)
		return;
	rings_look(rings, index);
	wait_for_writer(rings, index, rings->slots[index].last_ns);
	if (is_due(rings, index))
		heap_push(rings, index);
}

bool rings_pass(struct rings *rings, unsigned records_max, const struct rings_reader *reader)
{
	begin_pass(rings, reader);
	for (uint32_t i = 0; i < rings->looked_n; i++)
		if (is_due(rings, i))
			heap_push(rings, i);
	while (rings->heap_n && records_max-- &&
	       rings->slots[rings->heap[0]].next_ns <= rings->limit_ns)
		take_next(rings, reader);
	rings->limit_ns = 0;
	for (uint32_t i = 0; i < rings->looked_n; i++)
		if (rings->slots[i].used)
			rings_publish(rings, i);
	count_arena_dropped(rings);
	free_left(rings);
	go_on_with_generation(rings);
	return !rings->heap_n && !rings->limited;
}

void rings_release(struct rings *rings, int32_t pid, uint64_t time_ns)
{
	for (uint32_t i = 0; i < rings->looked_n; i++) {
		struct ring_slot *slot = &rings->slots[i];

		if (!slot->held || slot->pid != pid)
			continue;
		/* Several slots are one after the other as they were: the time is only told. */
		slot->held = false;
		slot->not_before_ns = time_ns;
		if (is_due(rings, i))
			heap_push(rings, i);
	}
}
