/*
 * The memory that agents write: slots and rings of a small arena, read by the collector's side
 * until nothing comes. What is handed over must be as event/codec.h says, whatever the bytes are.
 */
#include "base/alloc.h"
#include "collect/agent/lifetimes.h"
#include "event/codec.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { SLOTS = 4, RING = 4096, PASSES = 4 };

struct shared {
	struct arena arena;
	struct arena_slot slots[SLOTS];
	uint8_t rings[SLOTS][RING];
};

static void receive(void *context, const struct event_header *event)
{
	(void)context;
	if (event_check(event, event->size) != event->size || event->type == EVENT_LOST)
		abort();
}

static bool is_known_stack(void *context, uint32_t stack)
{
	(void)context;
	return stack == 1;
}

/* The slots, then the rings; the first slots are taken by a process that is known. */
static void fill(struct shared *shared, const uint8_t *bytes, size_t size)
{
	size_t most = sizeof(*shared) - offsetof(struct shared, slots);

	shared->arena.slots_n = SLOTS;
	shared->arena.ring_bytes = RING;
	shared->arena.slots_offset = offsetof(struct shared, slots);
	shared->arena.rings_offset = offsetof(struct shared, rings);
	memcpy(shared->slots, bytes, size < most ? size : most);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct plan plan;
	static struct shared *shared;
	const struct collector_options options = {.plan = &plan, .follow_children = true};
	const struct event_sink sink = {receive, NULL};
	struct lifetimes lifetimes;
	struct rings rings;
	struct rings_reader reader = {lifetimes_may_read, lifetimes_receive, &lifetimes};

	if (!shared)
		shared = xcalloc(1, sizeof(*shared));
	memset(shared->slots, 0, sizeof(*shared) - offsetof(struct shared, slots));
	fill(shared, bytes, size);
	rings_init(&rings, &shared->arena, -1);
	lifetimes_init(&lifetimes, &rings, &options, "/agent.so");
	lifetimes.sink = &sink;
	lifetimes.is_known_stack = is_known_stack;
	lifetimes_add(&lifetimes, getpid());
	for (int i = 0; i < PASSES; i++) {
		/* As if it were a minute later: nobody is waited for. */
		array_each (stranger, &lifetimes.strangers)
			stranger->since_ns = 0;
		if (rings_pass(&rings, 4096, &reader))
			lifetimes_settle(&lifetimes);
	}
	for (uint32_t i = 0; i < SLOTS; i++)
		rings_free_process(&rings, rings.slots[i].pid);
	lifetimes_fini(&lifetimes);
	rings_fini(&rings);
	return 0;
}
