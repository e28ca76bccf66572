/* Owns what is kept of an exec: which handles went over it, and what is known of the receiver. */
#include "model/crossing.h"

#include "base/hash.h"
#include "model/handle_type.h"
#include "model/model_private.h"
#include "stack/stack_table.h"

#include <limits.h>
#include <string.h>

enum { STANDARD_LAST = 2 };

struct crossing_over {
	struct model *model;
	struct process_record *record;
	uint64_t time_ns;
	bool more_than_standard;
};

/* What nobody saw being opened is the same in several processes if it has the same name. */
static bool is_same_unseen(const struct crossing *place, const struct handle *handle)
{
	const struct crossing_example *first = &place->examples.data[0];

	if (first->name && handle->name)
		return !strcmp(first->name, handle->name);
	return !first->name && !handle->name && first->number == handle->number;
}

static uint64_t unseen_key(const struct handle *handle)
{
	if (handle->opened.stack_id != STACK_NONE)
		return 0;
	return handle->name ? hash_bytes(handle->name, strlen(handle->name), 1)
			    : hash_u64((uint32_t)handle->number + 1);
}

static bool is_crossing(const struct crossing *place, const struct handle *handle)
{
	return place->stack_id == handle->opened.stack_id && place->class == handle_class(handle) &&
	       place->standard == (handle->number <= STANDARD_LAST) &&
	       (place->stack_id != STACK_NONE || is_same_unseen(place, handle));
}

static void examples_fini(struct crossing *place)
{
	array_each (example, &place->examples)
		name_unref(example->name);
	array_fini(&place->examples);
}

/* Gives up the place that matters least; NULL: all of them are of this very exec. */
static struct crossing *crossing_reuse(struct model *model, bool standard)
{
	struct crossings *crossings = &model->crossings;
	struct crossing *least = NULL;

	if (model->crossings_full == crossings->execs)
		return NULL;
	array_each (place, &crossings->places) {
		if (place->standard != standard || place->last_exec == crossings->execs)
			continue;
		if (!least || place->execs < least->execs ||
		    (place->execs == least->execs && place->last_ns < least->last_ns))
			least = place;
	}
	if (!least) {
		model->crossings_full = crossings->execs;
		return NULL;
	}
	crossings->dropped += least->handles;
	map_remove(&model->crossing_index, least->key);
	examples_fini(least);
	return least;
}

static struct crossing *crossing_room(struct model *model, bool standard)
{
	struct crossings *crossings = &model->crossings;

	if (standard ? model->crossings_standard == CROSSINGS_STANDARD_MAX
		     : crossings->places.count - model->crossings_standard == CROSSINGS_MAX)
		return crossing_reuse(model, standard);
	model->crossings_standard += standard;
	array_push(&crossings->places, (struct crossing){0});
	return &crossings->places.data[crossings->places.count - 1];
}

static struct crossing *crossing_new(struct model *model, const struct handle *handle, uint64_t key)
{
	const struct process_record *opener = process_find(model, handle->opened.pid);
	bool standard = handle->number <= STANDARD_LAST;
	struct crossing *place = crossing_room(model, standard);

	if (!place)
		return NULL;
	*place = (struct crossing){
	    .id = ++model->crossing_ids,
	    .key = key,
	    .type = handle->type,
	    .class = handle_class(handle),
	    .stack_id = handle->opened.stack_id,
	    .standard = standard,
	    .opener_pid = handle->opened.pid,
	    .opener_exe = opener ? opener->public.exe : NULL,
	};
	*map_put(&model->crossing_index, key) = place - model->crossings.places.data + 1;
	return place;
}

/* The place of the handle, made where there was none; NULL: there are too many. */
static struct crossing *crossing_of(struct model *model, const struct handle *handle)
{
	uint64_t key = hash_combine((uintptr_t)handle_class(handle), handle->opened.stack_id);

	key = hash_combine(key, unseen_key(handle) << 1 | (handle->number <= STANDARD_LAST));
	for (;; key++) { /* two places with one hash: the next key */
		const uint64_t *slot = map_get(&model->crossing_index, key);

		if (!slot)
			return crossing_new(model, handle, key);
		if (is_crossing(&model->crossings.places.data[*slot - 1], handle))
			return &model->crossings.places.data[*slot - 1];
	}
}

static void add_example(struct crossing *place, const struct crossing_over *over,
			const struct handle *handle)
{
	size_t count = place->examples.count;

	if (count == CROSSING_EXAMPLES_MAX ||
	    (count >= CROSSING_EXAMPLES_OF_ONE &&
	     place->examples.data[count - CROSSING_EXAMPLES_OF_ONE].exec_ns == over->time_ns &&
	     place->examples.data[count - CROSSING_EXAMPLES_OF_ONE].pid ==
		 over->record->public.pid))
		return;
	array_push(&place->examples, (struct crossing_example){.pid = over->record->public.pid,
							       .number = handle->number,
							       .opened_pid = handle->opened.pid,
							       .opened_tid = handle->opened.tid,
							       .opened_ns = handle->opened.time_ns,
							       .exec_ns = over->time_ns,
							       .type = handle->type,
							       .name = name_ref(handle->name)});
}

static void cross(void *context, struct handle *handle)
{
	struct crossing_over *over = context;
	struct crossings *crossings = &over->model->crossings;
	struct crossing *place;

	if (!handle->open)
		return;
	over->more_than_standard |= handle->number > STANDARD_LAST;
	place = crossing_of(over->model, handle);
	if (!place) {
		crossings->dropped++;
		return;
	}
	if (!place->handles)
		place->first_ns = over->time_ns;
	else
		place->type = handle_type_common(place->type, handle->type);
	place->last_ns = over->time_ns;
	place->handles++;
	place->several_openers |= place->opener_pid != handle->opened.pid;
	crossing_add_number(place, handle->number);
	add_example(place, over, handle);
	if (place->last_exec == crossings->execs)
		return;
	place->last_exec = crossings->execs;
	place->execs++;
	array_push(&over->record->crossed,
		   (struct crossed){place->id, (uint32_t)(place - crossings->places.data)});
}

void crossings_add(struct model *model, struct process_record *record, uint64_t time_ns)
{
	struct crossing_over over = {.model = model, .record = record, .time_ns = time_ns};

	record->crossed.count = 0;
	record->crossed_ns = time_ns;
	/* It came into sight with this exec: what it has is from somebody who is not traced. */
	if (!record->forked && record->public.start_ns == time_ns)
		return;
	model->crossings.execs++;
	handle_table_each(record->table, 0, INT32_MAX, true, cross, &over);
	model->crossings.receivers += over.more_than_standard;
}

void crossings_name(struct model *model, struct process_record *record)
{
	array_each (crossed, &record->crossed) {
		struct crossing *place = &model->crossings.places.data[crossed->index];

		if (place->id != crossed->id) /* another one is kept there */
			continue;
		crossing_add_program(place, record->public.exe, 1);
		array_each (example, &place->examples)
			if (example->pid == record->public.pid &&
			    example->exec_ns == record->crossed_ns)
				example->exe = record->public.exe;
	}
	array_fini(&record->crossed);
}

void crossings_fini(struct model *model)
{
	array_each (place, &model->crossings.places)
		examples_fini(place);
	array_fini(&model->crossings.places);
	map_fini(&model->crossing_index);
}

const struct crossings *model_crossings(const struct model *model)
{
	return &model->crossings;
}

size_t crossings_bytes(const struct model *model)
{
	size_t bytes = model->crossings.places.capacity * sizeof(struct crossing);

	bytes += model->crossing_index.capacity * sizeof(struct map_entry);
	array_each (place, &model->crossings.places) {
		bytes += place->examples.capacity * sizeof(struct crossing_example);
		array_each (example, &place->examples)
			bytes += name_bytes(example->name);
	}
	return bytes;
}
