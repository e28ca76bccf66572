/*
 * Owns what is kept of calls that failed for want of a handle: counts by place, and once an episode
 * who holds what. Knows no limits: whoever can read them tells.
 */
#include "model/exhausted.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/map.h"
#include "model/model_private.h"

#include <stdlib.h>

static void count_place(struct exhaustion *exhausted, const struct actor *actor, int32_t error)
{
	const struct exhausted_place new = {.call = actor->call,
					    .error = error,
					    .stack_id = actor->stack_id,
					    .count = 1,
					    .first_ns = actor->time_ns,
					    .last_ns = actor->time_ns};

	array_each (place, &exhausted->places) {
		if (place->stack_id != actor->stack_id || place->call != actor->call ||
		    place->error != error)
			continue;
		place->count++;
		place->last_ns = actor->time_ns;
		return;
	}
	if (exhausted->places.count < EXHAUSTED_PLACES_MAX)
		array_push(&exhausted->places, new);
	else
		exhausted->places_dropped++;
}

/* ---- who holds what ---- */

struct holders {
	struct exhaustion *exhausted;
	struct map index; /* of a handle's place, or of its type and origin -> index + 1 */
	ARRAY(struct exhausted_holder) all;
};

static void hold(void *context, const struct handle *handle)
{
	struct holders *holders = context;
	struct exhausted_holder holder = {
	    .type = handle->type, .stack_id = handle->opened.stack_id, .origin = handle->origin};
	uint64_t key =
	    hash_combine(hash_combine((uintptr_t)holder.type, holder.stack_id), holder.origin);

	holders->exhausted->open++;
	for (;; key++) {
		uint64_t *slot = map_put(&holders->index, key);
		struct exhausted_holder *known;

		if (!*slot) {
			array_push(&holders->all, holder);
			*slot = holders->all.count;
		}
		known = &holders->all.data[*slot - 1];
		if (known->type != holder.type || known->stack_id != holder.stack_id ||
		    known->origin != holder.origin)
			continue;
		known->open++;
		return;
	}
}

static int compare_holders(const void *left, const void *right)
{
	const struct exhausted_holder *a = left, *b = right;

	if (a->open != b->open)
		return a->open > b->open ? -1 : 1;
	if (a->stack_id != b->stack_id)
		return a->stack_id < b->stack_id ? -1 : 1;
	return a->origin - b->origin;
}

/* Walks all that is open: once an episode. */
static void find_holders(const struct model *model, const struct process *process,
			 struct exhaustion *exhausted)
{
	struct holders holders = {.exhausted = exhausted};

	exhausted->open = 0;
	model_open_handles(model, process, hold, &holders);
	if (holders.all.count)
		qsort(holders.all.data, holders.all.count, sizeof(*holders.all.data),
		      compare_holders);
	exhausted->holders_n = 0;
	for (size_t i = 0; i < holders.all.count && i < EXHAUSTED_HOLDERS_MAX; i++)
		exhausted->holders[exhausted->holders_n++] = holders.all.data[i];
	array_fini(&holders.all);
	map_fini(&holders.index);
}

static void begin_episode(struct model *model, struct process *process, const struct actor *actor,
			  int32_t error)
{
	struct exhaustion *exhausted = process->exhausted;

	exhausted->episodes++;
	exhausted->call = actor->call;
	exhausted->error = error;
	exhausted->tid = actor->tid;
	exhausted->stack_id = actor->stack_id;
	exhausted->began_ns = actor->time_ns;
	exhausted->limits = (struct exhausted_limits){0};
	find_holders(model, process, exhausted);
}

void exhausted_add(struct model *model, struct process_record *record, const struct actor *actor,
		   const struct handle_op *op)
{
	struct process *process = &record->public;
	struct exhaustion *exhausted = process->exhausted;
	bool first = !exhausted;

	if (first) {
		exhausted = process->exhausted = xcalloc(1, sizeof(*exhausted));
		exhausted->first_ns = actor->time_ns;
	}
	if (first || actor->time_ns - exhausted->last_ns >= model->quiet_ns)
		begin_episode(model, process, actor, op->error);
	exhausted->count++;
	exhausted->last_ns = actor->time_ns;
	count_place(exhausted, actor, op->error);
}

void model_set_quiet(struct model *model, uint64_t quiet_ns)
{
	model->quiet_ns = quiet_ns;
}

void model_exhausted_limits(struct model *model, int32_t pid, const struct exhausted_limits *limits)
{
	struct process_record *record = process_find(model, pid);

	if (record && record->public.exhausted)
		record->public.exhausted->limits = *limits;
}

void exhausted_free(struct exhaustion *exhausted)
{
	if (exhausted)
		array_fini(&exhausted->places);
	free(exhausted);
}

void exhausted_stacks_each(const struct exhaustion *exhausted,
			   void (*each)(void *context, uint32_t stack_id), void *context)
{
	if (!exhausted)
		return;
	each(context, exhausted->stack_id);
	array_each (place, &exhausted->places)
		each(context, place->stack_id);
	for (uint32_t i = 0; i < exhausted->holders_n; i++)
		each(context, exhausted->holders[i].stack_id);
}

size_t exhausted_bytes(const struct exhaustion *exhausted)
{
	return exhausted ? sizeof(*exhausted) +
			       exhausted->places.capacity * sizeof(struct exhausted_place)
			 : 0;
}
