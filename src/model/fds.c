/*
 * Owns corrections by a bitmap of open numbers that the kernel's table gave at a fork, an exec or
 * an exit, and the openings that such a bitmap knew before their own records came.
 */
#include "model/model_private.h"

#include "base/hash.h"

#include <limits.h>
#include <string.h>

enum { AWAITED_MAX = 4096 };

/* An opening is recorded at once when its call returns. */
static const uint64_t awaited_ns = 1000000000;

struct correcting {
	struct model *model;
	struct handle_table *table;
	const struct event_data *fds;
	const struct actor *actor;
	const struct handle_table *forked_from;
	enum handle_origin unseen;
	ARRAY(int32_t) gone;
};

static bool fds_has(const struct event_data *fds, uint32_t number)
{
	uint64_t word;

	if (number / 64 >= fds->size / 8)
		return false;
	memcpy(&word, fds->bytes + (size_t)(number / 64) * 8, sizeof(word));
	return word >> number % 64 & 1;
}

/* The table thinks that it is open; the kernel said that it is not. */
static void correct_open(void *context, struct handle *handle)
{
	struct correcting *correcting = context;
	const struct event_data *fds = correcting->fds;
	struct handle_moment now = moment_of(correcting->actor);
	uint32_t number = handle->number;

	if (!handle->open || fds_has(fds, number))
		return;
	if (fds->header.flags & EVENT_DATA_CUT && number >= fds->size / 8 * 64)
		return;
	if (correcting->forked_from)
		array_push(&correcting->gone, handle->number);
	else
		handle_shut(correcting->model, correcting->table, handle, &now, CLOSED_UNSEEN,
			    TRACE_CALL_NONE);
}

static uint64_t awaited_key(uint64_t source_id, int32_t number)
{
	return hash_combine(source_id, (uint32_t)number);
}

static void awaited_push(struct model *model, struct awaited awaited)
{
	array_push(&model->awaited, awaited);
	++*map_put(&model->awaited_keys, awaited_key(awaited.source_id, awaited.number));
}

/* The last one takes the place of `index`. */
static void awaited_remove(struct model *model, size_t index)
{
	struct awaited *awaited = &model->awaited.data[index];
	uint64_t key = awaited_key(awaited->source_id, awaited->number);

	if (!--*map_put(&model->awaited_keys, key))
		map_remove(&model->awaited_keys, key);
	*awaited = model->awaited.data[--model->awaited.count];
}

static void awaited_add(struct model *model, const struct handle_table *source,
			const struct handle_table *child, int32_t number, uint64_t now_ns)
{
	if (model->awaited.count == AWAITED_MAX)
		awaited_remove(model, 0);
	awaited_push(model, (struct awaited){.source_id = source->id,
					     .child_id = child->id,
					     .number = number,
					     .time_ns = now_ns});
}

/* The kernel said that it is open; the table thinks that it is not. */
static void correct_closed(struct correcting *correcting, int32_t number)
{
	struct handle_table *table = correcting->table;
	const struct handle_table *parent = correcting->forked_from;
	uint64_t now_ns = correcting->actor->time_ns;
	const struct handle *known = handle_table_get(parent ? parent : table, number);
	struct handle *handle;

	if (known && model_handle_past(known)->opened.time_ns &&
	    close_under_way(correcting->model, parent ? parent : table, known, now_ns)) {
		struct handle_moment opened = model_handle_past(known)->opened;
		enum handle_origin origin =
		    correcting->unseen == ORIGIN_UNKNOWN ? known->origin : correcting->unseen;
		bool cloexec = known->cloexec;
		enum opened_as opened_as = known->opened_as;

		handle = handle_found(correcting->model, table, number, origin, known->type);
		handle->opened = opened;
		handle->opened_as = opened_as;
		handle->cloexec = cloexec;
		handle->touched_ns = now_ns;
		return;
	}
	handle = handle_found(
	    correcting->model, table, number,
	    parent || table->complete ? correcting->unseen : origin_of_unseen(table), NULL);
	handle->touched_ns = now_ns;
	if (parent && parent->complete) {
		handle->awaited = true;
		awaited_add(correcting->model, parent, table, number, now_ns);
	}
}

void fds_correct(struct model *model, struct handle_table *table, const struct event_data *fds,
		 const struct actor *actor, const struct handle_table *forked_from,
		 enum handle_origin unseen)
{
	struct correcting correcting = {.model = model,
					.table = table,
					.fds = fds,
					.actor = actor,
					.forked_from = forked_from,
					.unseen = unseen};

	if (!fds || fds->kind != EVENT_DATA_FDS)
		return;
	handle_table_each(table, 0, INT32_MAX, false, correct_open, &correcting);
	array_each (number, &correcting.gone)
		handle_table_forget(table, *number);
	array_fini(&correcting.gone);
	for (uint32_t number = 0; number < fds->size / 8 * 64; number++) {
		struct handle *handle;

		if (!fds_has(fds, number))
			continue;
		handle = handle_table_get(table, number);
		if (!handle || !handle->open)
			correct_closed(&correcting, number);
	}
	if (!(fds->header.flags & EVENT_DATA_CUT))
		table->complete = true;
}

/* `handle` was opened in `source`: children that had it already learn how. */
void awaited_arrived(struct model *model, const struct handle_table *source,
		     const struct handle *handle, uint64_t now_ns)
{
	/* There may be many, of others. */
	if (!map_get(&model->awaited_keys, awaited_key(source->id, handle->number)))
		return;
	for (size_t i = 0; i < model->awaited.count; i++) {
		struct awaited awaited = model->awaited.data[i];
		struct handle_table *table = map_get_pointer(&model->tables, awaited.child_id);
		bool match = awaited.source_id == source->id && awaited.number == handle->number;
		struct handle *child;

		if (!match && table && awaited.time_ns + awaited_ns > now_ns)
			continue;
		awaited_remove(model, i--);
		child = table ? handle_table_get(table, awaited.number) : NULL;
		if (!match || !child || !child->awaited)
			continue;
		child->awaited = false;
		if (child->open) {
			child->opened = handle->opened;
			child->type = handle->type;
			child->opened_as = handle->opened_as;
			if (child->touched_ns == awaited.time_ns)
				child->cloexec = handle->cloexec;
			handle_share_name(child, handle);
		} else { /* closed before its opening was told */
			handle_past(child)->opened = handle->opened;
		}
	}
}

void awaited_copy(struct model *model, uint64_t from_id, uint64_t to_id, int32_t number)
{
	for (size_t i = 0; i < model->awaited.count; i++) {
		struct awaited awaited = model->awaited.data[i];

		if (awaited.child_id != from_id || awaited.number != number)
			continue;
		awaited.child_id = to_id;
		if (model->awaited.count < AWAITED_MAX)
			awaited_push(model, awaited);
		return;
	}
}
