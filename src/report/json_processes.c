/* Owns the JSON list "htrace.processes/1": its fields are a contract, additions only. */
#include "base/cleanup.h"
#include "report/json_parts.h"
#include "report/list_processes.h"
#include "report/names.h"
#include "report/processes.h"

static json_t *json_place(const struct symbol *place)
{
	if (!place)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "function", json_text(place->function), "module",
			 json_text(place->module), "file", json_text(place->file), "line",
			 place->line ? json_count(place->line) : json_null());
}

static json_t *json_worst(const struct report *report, const struct process_row *row)
{
	const struct group *group = row->worst;

	if (!group)
		return json_null();
	return json_pack("{s:o, s:o, s:s, s:o, s:s, s:o, s:o}", "type",
			 json_text(group->type ? group->type : "unknown"), "open",
			 json_count(group->open), "verdict", verdict_name(group->verdict), "reason",
			 json_text(group->reason), "origin", name_of_origin(group->origin), "place",
			 json_place(row->place), "stack", json_stack(report, group->stack_id));
}

static json_t *json_row(const struct report *report, const struct process_row *row)
{
	const struct process *process = row->shown->process;
	uint64_t exhausted = process->exhausted ? process->exhausted->count : 0;

	return json_pack("{s:i, s:i, s:o, s:b, s:o, s:o, s:o, s:o, s:i, s:b, s:o, s:o, s:o}", "pid",
			 process->pid, "parent", process->parent, "exe", json_text(row->shown->exe),
			 "exited", process_has_ended(process), "open_handles",
			 json_count(row->shown->diff.open_handles), "left", json_count(row->left),
			 "opened", json_count(row->opened), "closed", json_count(row->closed),
			 "leaks", (int)row->leaks, "incomplete", process->incomplete, "start_ns",
			 json_known_ns(process->start_ns), "exhausted", json_count(exhausted),
			 "worst", json_worst(report, row));
}

int json_processes(const struct report *report, const struct report_style *style, FILE *stream)
{
	_cleanup_(process_rows_fini) struct process_rows rows = {0};
	const char *separator = "\n  ";
	json_t *head = json_report_head(report, "htrace.processes/1");

	(void)style;
	process_rows_make(&rows, report);
	if (report->filter)
		json_object_set_new(head, "hidden", json_hidden(&rows.hidden));
	fputs("{", stream);
	json_dumpf(head, stream, JSON_EMBED);
	json_decref(head);
	fputs(", \"processes\": [", stream);
	array_each (row, &rows.rows) {
		json_t *object = json_row(report, row);

		fputs(separator, stream);
		json_dumpf(object, stream, 0);
		json_decref(object);
		separator = ",\n  ";
	}
	fputs("]}\n", stream);
	return stream_finish(stream);
}
