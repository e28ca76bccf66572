/* Owns the counts of a process by opening place. */
#include "model/model_private.h"

#include "base/alloc.h"
#include "base/hash.h"

static uint64_t place_hash(const char *type, uint32_t stack_id, enum handle_origin origin)
{
	return hash_combine(hash_combine((uintptr_t)type, stack_id), origin);
}

/* Different places with one hash share the slot's chain: the next hash is tried. */
static uint32_t place_find(struct process_record *record, const struct handle *handle)
{
	uint64_t key = place_hash(handle->type, handle->opened.stack_id, handle->origin);
	uint64_t *slot;

	for (;; key++) {
		const struct place *place;

		slot = map_put(&record->place_index, key);
		if (!*slot)
			break;
		place = &record->public.places.data[*slot - 1];
		if (place->type == handle->type && place->stack_id == handle->opened.stack_id &&
		    place->origin == handle->origin)
			return *slot - 1;
	}
	array_push(&record->public.places, (struct place){.type = handle->type,
							  .stack_id = handle->opened.stack_id,
							  .origin = handle->origin,
							  .first_ns = handle->opened.time_ns});
	*slot = record->public.places.count;
	return record->public.places.count - 1;
}

void place_open(struct process_record *record, struct handle *handle)
{
	struct place *place;

	handle->place = PLACE_NONE;
	if (handle->origin == ORIGIN_BEFORE_TRACING || handle->origin == ORIGIN_INHERITED)
		return;
	handle->place = place_find(record, handle);
	place = &record->public.places.data[handle->place];
	place->opened++;
	if (place->opened - place->closed > place->open_most)
		place->open_most = place->opened - place->closed;
	if (handle->opened.time_ns > place->last_ns)
		place->last_ns = handle->opened.time_ns;
}

void place_close(struct process_record *record, struct handle *handle,
		 const struct handle_moment *closed)
{
	struct place *place = handle->place < record->public.places.count
				  ? &record->public.places.data[handle->place]
				  : NULL;

	handle->place = PLACE_NONE;
	if (!place)
		return;
	place->closed++;
	if (!closed)
		return;
	if (!place->ends)
		place->ends = xcalloc(1, sizeof(*place->ends));
	lived_add(place->ends, handle->opened.time_ns, closed->time_ns, closed->stack_id);
}

/* The type became known after the opening: the handle counts at another place, as if from then. */
void place_retype(struct process_record *record, struct handle *handle, const char *type)
{
	bool counted = handle->place != PLACE_NONE;

	if (counted)
		record->public.places.data[handle->place].opened--;
	handle->type = type;
	if (counted)
		place_open(record, handle);
}
