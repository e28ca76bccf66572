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

static bool is_crossing(const struct crossing *place, const struct handle *handle)
{
	return place->stack_id == handle->opened.stack_id && place->class == handle_class(handle) &&
	       place->standard == (handle->number <= STANDARD_LAST) &&
	       (place->stack_id != STACK_NONE || place->numbers[0] == handle->number);
}

static struct crossing *crossing_new(struct model *model, const struct handle *handle)
{
	struct crossings *crossings = &model->crossings;
	bool standard = handle->number <= STANDARD_LAST;
	const struct process_record *opener = process_find(model, handle->opened.pid);

	if (standard ? model->crossings_standard == CROSSINGS_STANDARD_MAX
		     : crossings->places.count - model->crossings_standard == CROSSINGS_MAX)
		return NULL;
	model->crossings_standard += standard;
	array_push(&crossings->places,
		   (struct crossing){.type = handle->type,
				     .class = handle_class(handle),
				     .stack_id = handle->opened.stack_id,
				     .standard = standard,
				     .opener_pid = handle->opened.pid,
				     .opener_exe = opener ? opener->public.exe : NULL});
	return &crossings->places.data[crossings->places.count - 1];
}

/* The place of the handle, made where there was none; NULL: there are too many. */
static struct crossing *crossing_of(struct model *model, const struct handle *handle)
{
	uint64_t unseen = handle->opened.stack_id == STACK_NONE ? (uint32_t)handle->number + 1 : 0;
	uint64_t key = hash_combine((uintptr_t)handle_class(handle), handle->opened.stack_id);

	key = hash_combine(key, unseen << 1 | (handle->number <= STANDARD_LAST));
	for (;; key++) { /* two places with one hash: the next key */
		uint64_t *slot = map_put(&model->crossing_index, key);
		struct crossing *place;

		if (*slot && !is_crossing(&model->crossings.places.data[*slot - 1], handle))
			continue;
		if (*slot)
			return &model->crossings.places.data[*slot - 1];
		place = crossing_new(model, handle);
		if (place)
			*slot = model->crossings.places.count;
		else
			map_remove(&model->crossing_index, key);
		return place;
	}
}

/* Kept ascending. */
static void add_number(struct crossing *place, int32_t number)
{
	uint32_t at = 0;

	while (at < place->numbers_n && place->numbers[at] < number)
		at++;
	if (at < place->numbers_n && place->numbers[at] == number)
		return;
	if (place->numbers_n == CROSSING_NUMBERS_MAX) {
		place->more_numbers = true;
		return;
	}
	memmove(&place->numbers[at + 1], &place->numbers[at],
		(place->numbers_n - at) * sizeof(place->numbers[0]));
	place->numbers[at] = number;
	place->numbers_n++;
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
	add_number(place, handle->number);
	add_example(place, over, handle);
	if (place->last_exec == crossings->execs)
		return;
	place->last_exec = crossings->execs;
	place->execs++;
	array_push(&over->record->crossed, (uint32_t)(place - crossings->places.data));
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

static void add_program(struct crossing *place, const char *exe)
{
	for (uint32_t i = 0; i < place->programs_n; i++) {
		if (place->programs[i].exe == exe) { /* interned */
			place->programs[i].execs++;
			return;
		}
	}
	if (place->programs_n < CROSSING_PROGRAMS_MAX)
		place->programs[place->programs_n++] = (struct crossing_program){exe, 1};
}

void crossings_name(struct model *model, struct process_record *record)
{
	array_each (index, &record->crossed) {
		struct crossing *place = &model->crossings.places.data[*index];

		add_program(place, record->public.exe);
		array_each (example, &place->examples)
			if (example->pid == record->public.pid &&
			    example->exec_ns == record->crossed_ns)
				example->exe = record->public.exe;
	}
	array_fini(&record->crossed);
}

void crossings_fini(struct model *model)
{
	array_each (place, &model->crossings.places) {
		array_each (example, &place->examples)
			name_unref(example->name);
		array_fini(&place->examples);
	}
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
