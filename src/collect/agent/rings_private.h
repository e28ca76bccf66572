/* What the two files of the rings share: rings.c (one slot) and merge.c (all of them, in order). */
#ifndef HTRACE_COLLECT_AGENT_RINGS_PRIVATE_H
#define HTRACE_COLLECT_AGENT_RINGS_PRIVATE_H

#include "collect/agent/rings.h"

enum { RINGS_FUTURE_NS = 1000000000 }; /* no honest record is so far ahead */

struct arena_slot *rings_shared(const struct rings *rings, uint32_t index);

/* Sets `ready` and `next_ns` by what lies at the tail, or gives the slot up. */
void rings_look(struct rings *rings, uint32_t index);

/* Takes the record at the tail of a ready slot: its copy, NULL if it made no sense. */
struct event_header *rings_take(struct rings *rings, uint32_t index);

/* Tells the agent what was read. */
void rings_publish(struct rings *rings, uint32_t index);

/* Nothing more is read from it. */
void rings_give_up(struct rings *rings, uint32_t index);

void rings_free_slot(struct rings *rings, uint32_t index);
void rings_count_dropped(struct rings *rings, uint32_t index);

#endif
