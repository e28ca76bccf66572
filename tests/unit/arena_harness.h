/*
 * A small arena and a producer of records, as event/arena.h says that an agent writes them, for the
 * tests of the collector's side.
 */
#ifndef HTRACE_TESTS_ARENA_HARNESS_H
#define HTRACE_TESTS_ARENA_HARNESS_H

#include "base/alloc.h"
#include "base/clock.h"
#include "collect/agent/rings.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static inline struct arena *arena_make(uint32_t slots_n, uint32_t ring_bytes, int *fd)
{
	uint64_t slots_offset = (sizeof(struct arena) + 4095) / 4096 * 4096;
	uint64_t rings_offset =
	    slots_offset + (slots_n * sizeof(struct arena_slot) + 4095) / 4096 * 4096;
	uint64_t bytes = rings_offset + (uint64_t)slots_n * ring_bytes;
	struct arena *arena;

	*fd = memfd_create("test-arena", MFD_CLOEXEC);
	assert_true(*fd >= 0 && ftruncate(*fd, bytes) == 0);
	arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	assert_true(arena != MAP_FAILED);
	arena->magic = ARENA_MAGIC;
	arena->version = ARENA_VERSION;
	arena->active = 1;
	arena->bytes = bytes;
	arena->slots_n = slots_n;
	arena->ring_bytes = ring_bytes;
	arena->slots_offset = slots_offset;
	arena->rings_offset = rings_offset;
	return arena;
}

/* ---- the agent's part ---- */

struct producer {
	struct arena *arena;
	struct arena_slot *slot;
	uint8_t *ring;
};

static inline struct producer producer_at(struct arena *arena, uint32_t index)
{
	return (struct producer){
	    .arena = arena,
	    .slot = arena_slot(arena, arena->slots_offset, index),
	    .ring = (uint8_t *)arena + arena->rings_offset + (uint64_t)index * arena->ring_bytes,
	};
}

/* The first free slot; false: there is none. */
static inline bool producer_take(struct producer *producer, struct arena *arena, int32_t pid,
				 int32_t tid)
{
	*producer = (struct producer){0};
	for (uint32_t i = 0; i < arena->slots_n; i++) {
		uint32_t unused = ARENA_SLOT_FREE;

		*producer = producer_at(arena, i);
		if (!__atomic_compare_exchange_n(&producer->slot->state, &unused, ARENA_SLOT_TAKEN,
						 false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		producer->slot->pid = pid;
		producer->slot->tid = tid;
		return true;
	}
	return false;
}

static inline void producer_leave(struct producer *producer)
{
	__atomic_store_n(&producer->slot->state, ARENA_SLOT_LEFT, __ATOMIC_RELEASE);
}

static inline void producer_commit(void *record, uint16_t type, uint32_t bytes)
{
	struct event_header *header = record;

	header->type = type;
	__atomic_store_n(&header->size, bytes, __ATOMIC_RELEASE);
}

/* NULL, and counted: there is no room. */
static inline void *producer_reserve(struct producer *producer, uint32_t bytes)
{
	uint64_t size = producer->arena->ring_bytes;
	uint64_t head = producer->slot->head, at = head & (size - 1);
	uint64_t tail = __atomic_load_n(&producer->slot->tail, __ATOMIC_ACQUIRE);
	uint64_t skipped = at + bytes > size ? size - at : 0;

	if (head % 8 || head - tail > size || bytes + skipped > size - (head - tail)) {
		producer->slot->dropped++;
		return NULL;
	}
	__atomic_store_n(&producer->slot->head, head + skipped + bytes, __ATOMIC_RELEASE);
	if (skipped)
		producer_commit(producer->ring + at, ARENA_PAD, skipped);
	return producer->ring + (skipped ? 0 : at);
}

/* A record with its header but for size and type; `time_ns` 0: now. */
static inline void *producer_begin(struct producer *producer, uint32_t bytes, uint64_t time_ns)
{
	struct event_header *header = producer_reserve(producer, bytes);

	if (!header)
		return NULL;
	header->time_ns = time_ns ?: clock_now_ns();
	header->pid = producer->slot->pid;
	header->tid = producer->slot->tid;
	return header;
}

/* An EVENT_DATA (a path) with `value` in it, of `size` bytes of data. */
static inline bool producer_tell(struct producer *producer, uint64_t value, uint32_t size,
				 uint64_t time_ns)
{
	uint32_t bytes = sizeof(struct event_data) + ((size + 7) & ~7u);
	struct event_data *data = producer_begin(producer, bytes, time_ns);

	if (!data)
		return false;
	data->kind = EVENT_DATA_PATH;
	data->size = size;
	memcpy(data->bytes, &value, sizeof(value));
	producer_commit(data, EVENT_DATA, bytes);
	return true;
}

static inline uint64_t told_value(const struct event_header *record)
{
	uint64_t value;

	memcpy(&value, ((const struct event_data *)record)->bytes, sizeof(value));
	return value;
}

/* ---- randomness ---- */

static uint64_t random_state;

static inline void random_seed(void)
{
	const char *seed = getenv("TEST_SEED");

	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 1000 + getpid();
	printf("TEST_SEED=%" PRIu64 "\n", random_state);
	fflush(stdout);
}

static inline uint64_t random_next(void)
{
	uint64_t mixed = random_state += 0x9e3779b97f4a7c15; /* splitmix64 */

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

#endif
