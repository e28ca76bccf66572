/*
 * The collector's side of the rings: reads them all in order of time. Whatever lies in the shared
 * memory may be a lie, and may change while we look: a record is copied, then checked; a ring that
 * makes no sense is given up, and nobody else notices. Knows no record's meaning but its layout.
 */
#ifndef HTRACE_COLLECT_AGENT_RINGS_H
#define HTRACE_COLLECT_AGENT_RINGS_H

#include "collect/agent/ticks.h"
#include "event/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* What we know of a slot; nothing of it is read back from the shared memory. */
struct ring_slot {
	uint64_t tail;          /* read up to here */
	uint64_t published;     /* what the agent knows of that */
	uint64_t goal;          /* head when the generation began */
	uint64_t last_ns;       /* of the last record */
	uint64_t not_before_ns; /* the earliest time that its records are told with */
	uint64_t next_ns;       /* of the record at the tail, where that is `ready` */
	uint64_t dropped;       /* of the agent's count, what was added to `lost` */
	uint64_t incomplete_ns; /* since when what lies at the tail is not complete; 0: it is */
	uint64_t behind_ns;     /* what lies behind that is later */
	int32_t pid;            /* 0: no record was seen yet */
	bool used;              /* not free when last looked at */
	bool ready;             /* a complete record lies at the tail */
	bool held;              /* not to be read until rings_release() */
	bool given_up;
};

/* What the rings are read for. */
struct rings_reader {
	/* Whether records of the process `pid` may be read now, that is: whether it is known. */
	bool (*may_read)(void *context, int32_t pid);
	/* A checked copy, which may be changed; its time is not before those of the same ring. */
	void (*receive)(void *context, uint32_t slot, struct event_header *record);
	void *context;
};

struct rings {
	struct arena *arena;
	int fd;           /* of the arena's memory, borrowed; -1: it has none */
	uint32_t slots_n; /* what we gave the arena */
	uint32_t ring_bytes;
	uint64_t slots_offset, rings_offset;
	struct ring_slot *slots;
	uint8_t *record; /* a copy, EVENT_SIZE_MAX */
	uint8_t *peeked; /* another one */
	uint32_t *heap;  /* slots that are ready, the earliest first */
	uint32_t heap_n;
	uint32_t looked_n; /* all slots in use are before this one */
	bool in_ticks;     /* so the agents' times are */
	struct ticks ticks;
	uint64_t until_ns;      /* when the last pass began */
	uint64_t limit_ns;      /* what the one that is under way reads up to; 0: none is */
	uint64_t lost;          /* records that did not fit, made no sense or found no slot */
	uint64_t arena_dropped; /* of the arena's count, what was added to `lost` */
	uint64_t generation;    /* so often all rings were read up to where they were */
	uint64_t generation_ns; /* when the one that is under way began */
	bool limited;           /* the last pass waited for a record that was being written */
};

/* The offsets and numbers are those that are in `arena` by now. */
void rings_init(struct rings *rings, struct arena *arena, int fd);
void rings_fini(struct rings *rings);

/*
 * One pass: hands over, in order of time, what was recorded until now, records_max at the most.
 * True when that was all (`rings->until_ns`), but for slots that are held.
 */
bool rings_pass(struct rings *rings, unsigned records_max, const struct rings_reader *reader);

/* Records of `pid`, which was not known, may be read; what they tell is not before `time_ns`. May
 * be called while a record is received. */
void rings_release(struct rings *rings, int32_t pid, uint64_t time_ns);

/* The slots of `pid` are of nobody: it has ended, and a pass was complete since. */
void rings_free_process(struct rings *rings, int32_t pid);

/* A new program runs in `pid`, and `slot` is its first: the others that it had are of nobody. */
void rings_free_image(struct rings *rings, int32_t pid, uint32_t slot);

/* Nothing more is read from slots of `pid`. */
void rings_ignore(struct rings *rings, int32_t pid);

/* The first record in a held slot of `pid`, and the one behind it, each checked; NULL: none.
 * Borrowed until the next call. */
const struct event_header *rings_peek(struct rings *rings, int32_t pid);
const struct event_header *rings_peek_second(struct rings *rings, int32_t pid);

/* When the last pass began: it has handed over what is older. */
static inline uint64_t rings_last_pass(const struct rings *rings)
{
	return rings->until_ns;
}

/* For known_stacks_add(): numbers of what was read, and of what may still come, in generations. */
static inline uint64_t rings_reached(const struct rings *rings)
{
	return rings->generation;
}

static inline uint64_t rings_retire(const struct rings *rings)
{
	/* The one that is under way began before; the next one has all that was written by now,
	 * and a thread that was about to write some time to do it. */
	return rings->generation + 3;
}

/* Whether a copied record may be used through its struct: those of event.h and of arena.h. */
bool rings_check_record(const struct event_header *record, size_t bytes);

#endif
