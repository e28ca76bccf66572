/* Owns what a process knows of who closes what. The counts are those of its places. */
#include "model/kinds.h"

#include "base/alloc.h"
#include "model/model_private.h"

#include <stdlib.h>

enum { PLACES_MAX = 8 };

struct kind {
	bool more; /* closers than these */
	uint8_t closers_n, places_n;
	uint32_t closers[CLOSERS_MAX];
	uint32_t places[PLACES_MAX]; /* the first ones whose handles were closed */
};

/* Of a closer, in two halves: the kinds that it closes. */
static const uint64_t home_everywhere = UINT64_MAX;

uint32_t near_of(const struct model *model, uint32_t stack_id)
{
	return model->near ? model->near(model->near_context, stack_id) : stack_id;
}

static struct kind *kind_at(const struct process_record *record, uint32_t near)
{
	return map_get_pointer(&record->kinds, near);
}

static struct kind *kind_put(struct process_record *record, uint32_t near, uint32_t place)
{
	uint64_t *slot = map_put(&record->kinds, near);
	struct kind *kind;

	if (!*slot)
		*slot = (uintptr_t)xcalloc(1, sizeof(*kind));
	kind = (struct kind *)(uintptr_t)*slot;
	for (uint32_t i = 0; i < kind->places_n; i++)
		if (kind->places[i] == place)
			return kind;
	if (kind->places_n < PLACES_MAX)
		kind->places[kind->places_n++] = place;
	return kind;
}

static void home_add(struct process_record *record, uint32_t closer, uint32_t kind)
{
	uint64_t *homes = map_put(&record->homes, closer);

	if ((uint32_t)*homes == kind || *homes >> 32 == kind)
		return;
	if (!*homes)
		*homes = kind;
	else if (*homes >> 32)
		*homes = home_everywhere;
	else
		*homes |= (uint64_t)kind << 32;
}

bool kind_knows(const struct process_record *record, uint32_t near, uint32_t closer)
{
	const struct kind *kind = kind_at(record, near);

	for (uint32_t i = 0; kind && i < kind->closers_n; i++)
		if (kind->closers[i] == closer)
			return true;
	return false;
}

bool kind_has_more(const struct process_record *record, uint32_t near)
{
	const struct kind *kind = kind_at(record, near);

	return kind && kind->more;
}

void kind_learn(struct process_record *record, uint32_t near, uint32_t closer, uint32_t place)
{
	struct kind *kind = kind_put(record, near, place);

	home_add(record, closer, near);
	if (kind_knows(record, near, closer))
		return;
	if (kind->closers_n == CLOSERS_MAX)
		kind->more = true;
	else
		kind->closers[kind->closers_n++] = closer;
}

uint64_t kind_closes(const struct model *model, const struct process_record *record, uint32_t near,
		     uint32_t closer, bool others)
{
	const struct kind *kind = kind_at(record, near);
	uint64_t count = 0;

	for (uint32_t i = 0; kind && i < kind->places_n; i++) {
		const struct lived *ends = record->public.places.data[kind->places[i]].ends;

		for (uint32_t j = 0; ends && j < ends->closers_n; j++)
			if (ends->closers[j].suspicion == CLOSER_USUAL &&
			    (near_of(model, ends->closers[j].stack_id) == closer) != others)
				count += ends->closers[j].count;
	}
	return count;
}

bool kind_homes(const struct process_record *record, uint32_t closer,
		uint32_t homes[static KIND_HOMES_MAX])
{
	const uint64_t *packed = map_get(&record->homes, closer);

	if (!packed || *packed == home_everywhere)
		return false;
	homes[0] = (uint32_t)*packed;
	homes[1] = (uint32_t)(*packed >> 32);
	return true;
}

void kinds_free(struct process_record *record)
{
	map_each (entry, &record->kinds)
		free((void *)(uintptr_t)entry->value);
	map_fini(&record->kinds);
	map_fini(&record->homes);
}

size_t kinds_bytes(const struct process_record *record)
{
	return (record->kinds.capacity + record->homes.capacity) * sizeof(struct map_entry) +
	       record->kinds.count * sizeof(struct kind);
}
