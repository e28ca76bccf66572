/* Owns the counts of a process by opening place. */
#include "model/model_private.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <string.h>

static uint64_t place_hash(const char *type, uint32_t stack_id, enum handle_origin origin)
{
	return hash_combine(hash_combine((uintptr_t)type, stack_id), origin);
}

const char *handle_class(const struct handle *handle)
{
	switch (handle->opened_as) {
	case OPENED_AS_UNKNOWN:
		return NULL;
	case OPENED_AS_FILE:
		return "file";
	case OPENED_AS_SOCKET:
		return "socket";
	case OPENED_AS_DEVICE:
		return "device";
	default:
		return handle->type;
	}
}

enum opened_as opened_as_of(const char *type)
{
	if (!type)
		return OPENED_AS_UNKNOWN;
	return !strcmp(type, "file")     ? OPENED_AS_FILE
	       : !strcmp(type, "socket") ? OPENED_AS_SOCKET
	       : !strcmp(type, "device") ? OPENED_AS_DEVICE
					 : OPENED_AS_TYPE;
}

/* Different places with one hash share the slot's chain: the next hash is tried. */
static uint32_t place_find(struct process_record *record, const struct handle *handle)
{
	const char *type = handle_class(handle);
	uint64_t key = place_hash(type, handle->opened.stack_id, handle->origin);
	uint64_t *slot;

	for (;; key++) {
		const struct place *place;

		slot = map_put(&record->place_index, key);
		if (!*slot)
			break;
		place = &record->public.places.data[*slot - 1];
		if (place->type == type && place->stack_id == handle->opened.stack_id &&
		    place->origin == handle->origin)
			return *slot - 1;
	}
	array_push(&record->public.places, (struct place){.type = type,
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

/* An opening that nobody saw is told by its type: as soon as that is known it counts there, as if
 * from its beginning. */
void place_retype(struct process_record *record, struct handle *handle, const char *type)
{
	bool counted = handle->place != PLACE_NONE;

	if (counted)
		record->public.places.data[handle->place].opened--;
	handle->type = type;
	handle->opened_as = OPENED_AS_TYPE;
	if (counted)
		place_open(record, handle);
}
