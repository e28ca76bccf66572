/* Owns one slot: what lies at its tail, taking it, giving the slot back. */
#include "collect/agent/rings_private.h"

#include "base/alloc.h"
#include "event/codec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
	PUBLISH_SHARE = 16,
	PUNCH_BYTES = 64 * 1024, /* a ring of which more was used gives its memory back */
	PAD_BYTES_MIN = 8,
	DROPPED_MAX = 1000000000, /* more at once is a lie */
};

void rings_init(struct rings *rings, struct arena *arena, int fd)
{
	*rings = (struct rings){
	    .arena = arena,
	    .fd = fd,
	    .slots_n = arena->slots_n,
	    .ring_bytes = arena->ring_bytes,
	    .slots_offset = arena->slots_offset,
	    .rings_offset = arena->rings_offset,
	    .slots = xcalloc(arena->slots_n, sizeof(*rings->slots)),
	    .record = xmalloc(EVENT_SIZE_MAX),
	    .peeked = xmalloc(EVENT_SIZE_MAX),
	    .heap = xcalloc(arena->slots_n, sizeof(*rings->heap)),
	    .in_ticks = arena->in_ticks,
	};
	if (rings->in_ticks)
		ticks_init(&rings->ticks);
}

void rings_fini(struct rings *rings)
{
	free(rings->slots);
	free(rings->record);
	free(rings->peeked);
	free(rings->heap);
	*rings = (struct rings){0};
}

struct arena_slot *rings_shared(const struct rings *rings, uint32_t index)
{
	return arena_slot(rings->arena, rings->slots_offset, index);
}

static uint8_t *ring_of(const struct rings *rings, uint32_t index)
{
	return (uint8_t *)rings->arena + rings->rings_offset + (uint64_t)index * rings->ring_bytes;
}

/* ---- what makes sense ---- */

bool rings_check_record(const struct event_header *record, size_t bytes)
{
	static const uint16_t sizes[] = {
	    [ARENA_CHILD - ARENA_PAD] = sizeof(struct arena_child),
	    [ARENA_WILL_EXEC - ARENA_PAD] = sizeof(struct event_header),
	    [ARENA_EXEC_FAILED - ARENA_PAD] = sizeof(struct event_header),
	    [ARENA_WILL_EXIT - ARENA_PAD] = sizeof(struct arena_number),
	    [ARENA_MAPS - ARENA_PAD] = sizeof(struct arena_text),
	    [ARENA_OFF - ARENA_PAD] = sizeof(struct arena_off),
	    [ARENA_READY - ARENA_PAD] = sizeof(struct arena_number),
	};
	unsigned kind = record->type - ARENA_PAD;

	if (record->pid <= 0 || record->tid <= 0)
		return false;
	if (record->type < ARENA_PAD)
		return event_check(record, bytes) == bytes;
	if (kind >= sizeof(sizes) / sizeof(*sizes) || !sizes[kind] || bytes < sizes[kind])
		return false;
	return record->type != ARENA_MAPS ||
	       ((const struct arena_text *)record)->size <= bytes - sizeof(struct arena_text);
}

void rings_give_up(struct rings *rings, uint32_t index)
{
	rings->slots[index].ready = rings->slots[index].held = false;
	rings->slots[index].given_up = true;
	rings->lost++;
}

/* ---- the tail ---- */

/* What lies at `position`: the size of what is complete there; 0: nothing is; -1: no sense. */
static int64_t size_at(const struct rings *rings, uint32_t index, uint64_t position)
{
	uint64_t head = __atomic_load_n(&rings_shared(rings, index)->head, __ATOMIC_ACQUIRE);
	uint64_t at = position & (rings->ring_bytes - 1), used = head - position;
	uint32_t size;

	if (!used)
		return 0;
	if (used > rings->ring_bytes)
		return -1;
	size = __atomic_load_n((uint32_t *)(ring_of(rings, index) + at), __ATOMIC_ACQUIRE);
	if (size % 8 || size > used || size > rings->ring_bytes - at)
		return -1;
	return size;
}

static uint16_t type_at(const struct rings *rings, uint32_t index, uint64_t position)
{
	const uint8_t *header = ring_of(rings, index) + (position & (rings->ring_bytes - 1));

	return __atomic_load_n((uint16_t *)(header + offsetof(struct event_header, type)),
			       __ATOMIC_RELAXED);
}

static void consume(struct rings *rings, uint32_t index, uint32_t size)
{
	struct ring_slot *slot = &rings->slots[index];

	memset(ring_of(rings, index) + (slot->tail & (rings->ring_bytes - 1)), 0, size);
	slot->tail += size;
	slot->incomplete_ns = 0;
	if (slot->tail - slot->published >= rings->ring_bytes / PUBLISH_SHARE)
		rings_publish(rings, index);
}

void rings_publish(struct rings *rings, uint32_t index)
{
	struct ring_slot *slot = &rings->slots[index];

	if (slot->published == slot->tail)
		return;
	__atomic_store_n(&rings_shared(rings, index)->tail, slot->tail, __ATOMIC_RELEASE);
	slot->published = slot->tail;
}

static void look_at_time(struct rings *rings, uint32_t index)
{
	struct ring_slot *slot = &rings->slots[index];
	const uint8_t *header = ring_of(rings, index) + (slot->tail & (rings->ring_bytes - 1));
	uint64_t time_ns = __atomic_load_n(
	    (uint64_t *)(header + offsetof(struct event_header, time_ns)), __ATOMIC_RELAXED);

	if (rings->in_ticks)
		time_ns = ticks_ns(&rings->ticks, time_ns);
	if (time_ns > rings->until_ns + RINGS_FUTURE_NS) {
		rings_give_up(rings, index);
		return;
	}
	slot->ready = true;
	slot->next_ns = time_ns > slot->last_ns ? time_ns : slot->last_ns;
}

void rings_look(struct rings *rings, uint32_t index)
{
	struct ring_slot *slot = &rings->slots[index];

	slot->ready = false;
	/* A ring full of padding is walked once. */
	for (uint64_t padding = 0; padding <= rings->ring_bytes;) {
		int64_t size = size_at(rings, index, slot->tail);

		if (size <= 0) {
			if (size < 0)
				rings_give_up(rings, index);
			return;
		}
		if (type_at(rings, index, slot->tail) != ARENA_PAD) {
			if ((uint64_t)size < sizeof(struct event_header) || size > EVENT_SIZE_MAX)
				rings_give_up(rings, index);
			else
				look_at_time(rings, index);
			return;
		}
		consume(rings, index, size);
		padding += size;
	}
}

/* A checked copy of what lies at `position`, in `to`; its size, 0: it made no sense. */
static uint32_t copy_record(const struct rings *rings, uint32_t index, uint64_t position,
			    uint8_t *to)
{
	struct event_header *copy = (struct event_header *)to;
	int64_t size = size_at(rings, index, position);

	if (size < (int64_t)sizeof(*copy) || size > EVENT_SIZE_MAX)
		return 0;
	memcpy(to, ring_of(rings, index) + (position & (rings->ring_bytes - 1)), size);
	copy->size = size;
	return rings_check_record(copy, size) ? size : 0;
}

struct event_header *rings_take(struct rings *rings, uint32_t index)
{
	struct ring_slot *slot = &rings->slots[index];
	struct event_header *copy = (struct event_header *)rings->record;
	uint32_t size = copy_record(rings, index, slot->tail, rings->record);

	if (!size) {
		rings_give_up(rings, index);
		return NULL;
	}
	consume(rings, index, size);
	slot->last_ns = slot->next_ns;
	copy->time_ns = slot->next_ns > slot->not_before_ns ? slot->next_ns : slot->not_before_ns;
	return copy;
}

/* ---- a look ahead ---- */

static const struct event_header *peek(struct rings *rings, int32_t pid, bool second)
{
	for (uint32_t i = 0; i < rings->slots_n; i++) {
		const struct ring_slot *slot = &rings->slots[i];
		uint64_t position = slot->tail;
		int64_t size;

		if (!slot->held || slot->pid != pid)
			continue;
		size = size_at(rings, i, position);
		if (second) {
			if (size <= 0)
				continue;
			position += size;
		}
		if (copy_record(rings, i, position, rings->peeked))
			return (const struct event_header *)rings->peeked;
	}
	return NULL;
}

const struct event_header *rings_peek(struct rings *rings, int32_t pid)
{
	return peek(rings, pid, false);
}

const struct event_header *rings_peek_second(struct rings *rings, int32_t pid)
{
	return peek(rings, pid, true);
}

/* ---- the end of a slot ---- */

void rings_count_dropped(struct rings *rings, uint32_t index)
{
	struct ring_slot *slot = &rings->slots[index];
	uint64_t dropped = __atomic_load_n(&rings_shared(rings, index)->dropped, __ATOMIC_RELAXED);

	if (dropped > slot->dropped && dropped - slot->dropped <= DROPPED_MAX)
		rings->lost += dropped - slot->dropped;
	slot->dropped = dropped;
}

static void make_zero(struct rings *rings, uint32_t index, uint64_t used)
{
	uint64_t offset = rings->rings_offset + (uint64_t)index * rings->ring_bytes;

	if (used > PUNCH_BYTES && rings->fd >= 0 &&
	    fallocate(rings->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
		      rings->ring_bytes) == 0)
		return;
	memset(ring_of(rings, index), 0, used < rings->ring_bytes ? used : rings->ring_bytes);
}

void rings_free_slot(struct rings *rings, uint32_t index)
{
	struct arena_slot *shared = rings_shared(rings, index);

	rings_count_dropped(rings, index);
	make_zero(rings, index, rings->slots[index].given_up ? rings->ring_bytes : shared->head);
	rings->slots[index] = (struct ring_slot){0};
	shared->pid = shared->tid = 0;
	shared->head = shared->dropped = shared->tail = 0;
	__atomic_store_n(&shared->state, ARENA_SLOT_FREE, __ATOMIC_RELEASE);
}

void rings_free_process(struct rings *rings, int32_t pid)
{
	for (uint32_t i = 0; i < rings->slots_n; i++) {
		const struct ring_slot *slot = &rings->slots[i];

		/* One that was only just taken when the process ended has no record. */
		if (slot->pid == pid ||
		    (slot->used && !slot->pid &&
		     __atomic_load_n(&rings_shared(rings, i)->pid, __ATOMIC_RELAXED) == pid))
			rings_free_slot(rings, i);
	}
}

void rings_free_image(struct rings *rings, int32_t pid, uint32_t slot)
{
	/* What threads of the new image have recorded is later, and so still there. */
	for (uint32_t i = 0; i < rings->slots_n; i++) {
		if (i == slot || rings->slots[i].pid != pid)
			continue;
		if (!rings->slots[i].given_up)
			rings_look(rings, i);
		if (!rings->slots[i].ready)
			rings_free_slot(rings, i);
	}
}

void rings_ignore(struct rings *rings, int32_t pid)
{
	for (uint32_t i = 0; i < rings->slots_n; i++)
		if (rings->slots[i].pid == pid) {
			rings->slots[i].ready = rings->slots[i].held = false;
			rings->slots[i].given_up = true;
		}
}
