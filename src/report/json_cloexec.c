/* Owns the member "inherited_over_exec" of a JSON report: a contract, additions only. */
#include "base/cleanup.h"
#include "report/cloexec.h"
#include "report/json_parts.h"

static json_t *json_numbers(const struct crossing *place)
{
	json_t *numbers = json_array();

	for (uint32_t i = 0; i < place->numbers_n; i++)
		json_array_append_new(numbers, json_integer(place->numbers[i]));
	return numbers;
}

static json_t *json_programs(const struct crossing *place)
{
	json_t *programs = json_array();

	for (uint32_t i = 0; i < place->programs_n; i++)
		json_array_append_new(
		    programs, json_pack("{s:o, s:o}", "exe", json_text(place->programs[i].exe),
					"count", json_count(place->programs[i].execs)));
	return programs;
}

static json_t *json_example(const struct crossing_example *example)
{
	return json_pack("{s:i, s:o, s:o, s:i, s:o, s:o, s:i, s:i, s:o}", "pid", example->pid,
			 "exe", json_text(example->exe), "exec_ns", json_known_ns(example->exec_ns),
			 "handle", example->number, "type", json_handle_type(example->type), "name",
			 json_text(example->name), "opened_pid", example->opened_pid, "opened_tid",
			 example->opened_tid, "opened_ns", json_known_ns(example->opened_ns));
}

static json_t *json_examples(const struct crossing *place)
{
	json_t *examples = json_array();

	array_each (example, &place->examples)
		json_array_append_new(examples, json_example(example));
	return examples;
}

static json_t *json_place(const struct report *report, const struct crossing *place)
{
	json_t *object =
	    json_pack("{s:o, s:b, s:o, s:o, s:o, s:b, s:s, s:b, s:b, s:o, s:o}", "type",
		      json_handle_type(place->type), "standard", place->standard, "handles",
		      json_count(place->handles), "programs", json_count(place->execs), "numbers",
		      json_numbers(place), "more_numbers", place->more_numbers, "remedy",
		      cloexec_remedy(report, place), "opened_by_receiver", cloexec_is_own(place),
		      "several_openers", place->several_openers, "opener_pid",
		      place->opener_pid ? json_integer(place->opener_pid) : json_null(),
		      "opener_exe", json_text(place->opener_exe));

	json_object_set_new(object, "first_ns", json_known_ns(place->first_ns));
	json_object_set_new(object, "last_ns", json_known_ns(place->last_ns));
	json_object_set_new(object, "programs_first", json_programs(place));
	json_object_set_new(object, "examples", json_examples(place));
	json_object_update_new(object, json_stack_end(report, place->stack_id));
	json_object_set_new(object, "stack", json_stack(report, place->stack_id));
	return object;
}

void json_cloexec(const struct report *report, FILE *stream)
{
	_cleanup_(cloexec_list_fini) struct cloexec_list list = {0};
	const struct crossings *crossings = model_crossings(report->model);
	const char *separator = "\n  ";
	json_t *head;

	if (report->cloexec == REPORT_CLOEXEC_NO)
		return;
	cloexec_list_make(&list, report);
	head = json_pack("{s:o, s:o, s:o, s:o}", "execs", json_count(crossings->execs), "receivers",
			 json_count(crossings->receivers), "handles", json_count(list.handles),
			 "handles_dropped", json_count(crossings->dropped));
	if (report->filter)
		json_object_set_new(head, "hidden", json_hidden(&list.hidden));
	fputs(",\n\"inherited_over_exec\": {", stream);
	json_write_members_take(stream, head, "places");
	fputs("[", stream);
	array_each (place, &list.places) {
		fputs(separator, stream);
		json_write_take(stream, json_place(report, place));
		separator = ",\n  ";
	}
	fputs("]}", stream);
}
