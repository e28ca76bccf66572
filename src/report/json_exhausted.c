/* Owns the JSON of a process that was out of handles, and of what was open over time. */
#include "report/exhausted.h"
#include "report/json_parts.h"
#include "report/names.h"

#include <errno.h>

static json_t *json_limit(uint64_t limit)
{
	return limit && limit != UINT64_MAX ? json_count(limit) : json_null();
}

static const char *name_of_error(int32_t error)
{
	return error == -ENFILE ? "ENFILE" : "EMFILE";
}

static json_t *json_holders(const struct report *report, const struct exhaustion *exhausted)
{
	json_t *holders = json_array();

	for (uint32_t i = 0; i < exhausted->holders_n; i++) {
		const struct exhausted_holder *holder = &exhausted->holders[i];

		json_array_append_new(holders, json_pack("{s:o, s:o, s:s, s:o}", "open",
							 json_count(holder->open), "type",
							 json_handle_type(holder->type), "origin",
							 name_of_origin(holder->origin), "stack",
							 json_stack(report, holder->stack_id)));
	}
	return holders;
}

static json_t *json_places(const struct report *report, const struct exhaustion *exhausted)
{
	json_t *places = json_array();
	char call[CALL_NAME_BYTES];

	array_each (place, &exhausted->places)
		json_array_append_new(places,
				      json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "operation",
						name_of_call(place->call, call), "error",
						name_of_error(place->error), "count",
						json_count(place->count), "first_ns",
						json_known_ns(place->first_ns), "last_ns",
						json_known_ns(place->last_ns), "stack",
						json_stack(report, place->stack_id)));
	return places;
}

json_t *json_exhausted(const struct report *report, const struct process *process)
{
	const struct exhaustion *exhausted = process->exhausted;
	char call[CALL_NAME_BYTES];
	json_t *object;

	if (!exhausted)
		return json_null();
	object = json_pack(
	    "{s:o, s:o, s:o, s:i, s:o, s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "count",
	    json_count(exhausted->count), "first_ns", json_known_ns(exhausted->first_ns), "last_ns",
	    json_known_ns(exhausted->last_ns), "episodes", (int)exhausted->episodes, "began_ns",
	    json_known_ns(exhausted->began_ns), "operation", name_of_call(exhausted->call, call),
	    "error", name_of_error(exhausted->error), "tid", (int)exhausted->tid, "open",
	    json_count(exhausted->open), "limit", json_limit(exhausted->limits.process),
	    "system_open", json_limit(exhausted->limits.system_open), "system_limit",
	    json_limit(exhausted->limits.system));
	json_object_set_new(object, "other_limit", json_text(exhausted_other_limit(exhausted)));
	json_object_set_new(object, "held_by", json_holders(report, exhausted));
	json_object_set_new(object, "failed_in", json_places(report, exhausted));
	json_object_set_new(object, "elsewhere", json_count(exhausted->places_dropped));
	return object;
}

json_t *json_growth(const struct report *report, const struct growth_times *times,
		    const uint32_t *open)
{
	json_t *times_ns, *counts;

	if (!report->every_ns || !times || !times->n)
		return json_null();
	times_ns = json_array();
	counts = json_array();
	for (uint32_t i = 0; i < times->n; i++) {
		json_array_append_new(times_ns, json_known_ns(times->times_ns[i]));
		json_array_append_new(counts, json_count(open ? open[i] : 0));
	}
	return json_pack("{s:o, s:o, s:o}", "every_ns", json_known_ns(times->step_ns), "times_ns",
			 times_ns, "open", counts);
}
