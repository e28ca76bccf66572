/* An arena, its rings and what was read of them, for the tests of collect/agent/rings and merge. */
#ifndef HTRACE_TESTS_RINGS_FIXTURE_H
#define HTRACE_TESTS_RINGS_FIXTURE_H

#include "arena_harness.h"
#include "base/array.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <sys/wait.h>

enum { SLOTS = 16, RING = 16 * 1024, ME = 100, PATIENCE_NS = 1000000000 };

struct seen {
	uint32_t slot;
	uint64_t time_ns, value;
	uint16_t type;
};

struct fixture {
	struct arena *arena;
	int fd;
	struct rings rings;
	struct rings_reader reader;
	ARRAY(struct seen) seen;
	int32_t unknown;   /* the process that may not be read */
	uint64_t announce; /* the value that makes it known */
};

static inline bool may_read(void *context, int32_t pid)
{
	return pid != ((struct fixture *)context)->unknown;
}

static inline void receive(void *context, uint32_t slot, struct event_header *record)
{
	struct fixture *fixture = context;
	uint64_t value = record->type == EVENT_DATA ? told_value(record) : 0;

	assert_true(rings_check_record(record, record->size));
	array_push(&fixture->seen, (struct seen){slot, record->time_ns, value, record->type});
	if (fixture->announce && value == fixture->announce) {
		int32_t pid = fixture->unknown;

		fixture->unknown = 0;
		rings_release(&fixture->rings, pid, record->time_ns);
	}
}

static inline struct fixture *fixture_with(uint32_t slots_n)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->arena = arena_make(slots_n, RING, &fixture->fd);
	rings_init(&fixture->rings, fixture->arena, fixture->fd);
	fixture->reader = (struct rings_reader){may_read, receive, fixture};
	return fixture;
}

static inline struct fixture *fixture_new(void)
{
	return fixture_with(SLOTS);
}

static inline void fixture_free(struct fixture *fixture)
{
	munmap(fixture->arena, fixture->arena->bytes);
	close(fixture->fd);
	rings_fini(&fixture->rings);
	array_fini(&fixture->seen);
	free(fixture);
}

static inline bool pass(struct fixture *fixture)
{
	return rings_pass(&fixture->rings, 4096, &fixture->reader);
}

#endif
