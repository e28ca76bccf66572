/*
 * Owns the JSON report "htrace.report/1": its fields are a contract, additions only. It is written
 * piece by piece, so that memory does not follow the number of handles.
 */
#include "base/cleanup.h"
#include "report/cloexec.h"
#include "report/json_detail.h"
#include "report/json_parts.h"
#include "report/list_processes.h"
#include "report/names.h"
#include "report/opener.h"
#include "report/report.h"

#include <sys/wait.h>

struct output {
	const struct report *report;
	FILE *stream;
	struct json_handle_writer handles;
};

static void cleanup_output(struct output *output)
{
	json_handle_writer_fini(&output->handles);
}

static void write_handle(struct output *output, const struct handle *handle, uint64_t end_ns)
{
	fputs("{", output->stream);
	json_write_handle(&output->handles, handle, end_ns, output->stream);
	fputs("}", output->stream);
}

/* One that is in no group; of an inherited one, where its parent opened it. */
static void write_other(struct output *output, const struct handle *handle, uint64_t end_ns)
{
	const struct symbol *opener = handle->origin == ORIGIN_INHERITED
					  ? opener_find(output->report, handle->opened.stack_id)
					  : NULL;

	fputs("{", output->stream);
	json_write_handle(&output->handles, handle, end_ns, output->stream);
	fputs(", \"opened_at\": ", output->stream);
	json_write_take(output->stream, opener ? json_symbol(opener) : json_null());
	fputs("}", output->stream);
}

/* How long the closed ones lived: the longest, and what one in a thousand outlived; null: none was
 * closed whose life is known. */
static json_t *json_lived(const struct group *group)
{
	if (!group->ends || !group->ends->known)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "known", json_count(group->ends->known),
			 "longest_ns", json_count(group->ends->longest_ns), "p999_ns",
			 json_count(lived_quantile(group->ends, 1)), "closed_elsewhere",
			 json_count(group->ends->closed_elsewhere));
}

static json_t *json_closers(const struct output *output, const struct group *group)
{
	json_t *closers = json_array();

	for (uint32_t i = 0; group_tells_closers(group) && i < group->ends->closers_n; i++)
		json_array_append_new(
		    closers,
		    json_pack("{s:o, s:o}", "count", json_count(group->ends->closers[i].count),
			      "stack",
			      json_stack(output->report, group->ends->closers[i].stack_id)));
	return closers;
}

static void write_group(struct output *output, const struct group *group, uint64_t end_ns,
			const struct growth_times *times)
{
	struct stack stack = stack_table_get(output->report->stacks, group->stack_id);
	_cleanup_(group_detail_fini) struct group_detail detail;
	const char *separator = "\n        ";

	fputs("{", output->stream);
	json_write_members_take(
	    output->stream,
	    json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:s, s:b, s:s}", "type",
		      json_handle_type(group->type), "open", json_count(group->open), "opened",
		      json_count(group->opened), "closed", json_count(group->closed), "verdict",
		      verdict_name(group->verdict), "reason", json_text(group->reason), "origin",
		      name_of_origin(group->origin), "stack_complete",
		      stack.frames_n && stack.end == STACK_END_COMPLETE, "stack_end",
		      name_of_stack_end(stack.end)),
	    "stack");
	json_write_take(output->stream, json_stack(output->report, group->stack_id));
	fputs(", \"lived\": ", output->stream);
	json_write_take(output->stream, json_lived(group));
	fputs(", \"growth\": ", output->stream);
	json_write_take(output->stream, json_growth(output->report, times,
						    group->growth ? group->growth->open : NULL));
	fputs(", \"closed_in\": ", output->stream);
	json_write_take(output->stream, json_closers(output, group));
	group_detail_make(&detail, output->report->details, output->handles.pid, group);
	fputs(", \"details\": ", output->stream);
	json_write_take(output->stream, json_group_detail(&detail));
	fputs(",\n      \"handles\": [", output->stream);
	array_each (handle, &group->handles) {
		fputs(separator, output->stream);
		write_handle(output, handle, end_ns);
		separator = ",\n        ";
	}
	fputs("]}", output->stream);
}

/* Adds PREFIX_stack, PREFIX_ns, PREFIX_tid of a moment that may not have been seen. */
static void add_moment(struct output *output, json_t *object, const char *prefix,
		       const struct handle_moment *moment)
{
	bool seen = moment->time_ns != 0;
	char key[32];

	snprintf(key, sizeof(key), "%s_stack", prefix);
	json_object_set_new(object, key,
			    seen ? json_stack(output->report, moment->stack_id) : json_array());
	snprintf(key, sizeof(key), "%s_ns", prefix);
	json_object_set_new(object, key, json_known_ns(moment->time_ns));
	snprintf(key, sizeof(key), "%s_tid", prefix);
	json_object_set_new(object, key, seen ? json_integer(moment->tid) : json_null());
}

static void write_bad_reference(struct output *output, const struct process *process,
				const struct bad_reference *bad)
{
	char call[CALL_NAME_BYTES];
	enum close_cause cause;
	json_t *object = json_pack(
	    "{s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:i, s:i}", "handle", bad->number, "operation",
	    name_of_call(bad->call, call), "kind", name_of_bad_reference(bad->kind), "harmless",
	    bad_reference_is_harmless(bad), "count", json_count(bad->count), "stack",
	    json_stack(output->report, bad->now.stack_id), "time_ns",
	    json_known_ns(bad->now.time_ns), "pid", bad->now.pid, "tid", bad->now.tid);

	add_moment(output, object, "closed", &bad->closed);
	json_object_set_new(object, "closed_by",
			    bad_reference_closed_by(output->report, process, bad, &cause)
				? json_string(name_of_close_cause(cause))
				: json_null());
	add_moment(output, object, "opened", &bad->opened);
	json_object_set_new(object, "inferred", json_boolean(bad->inferred));
	if (bad->kind == BAD_STALE_CLOSE) {
		add_moment(output, object, "earlier", &bad->earlier);
		add_moment(output, object, "noticed", &bad->noticed);
		json_object_set_new(object, "noticed_operation",
				    json_string(name_of_call(bad->noticed_call, call)));
		json_object_set_new(object, "noticed_closed", json_boolean(bad->passed_on));
		json_object_set_new(object, "closed_elsewhere", json_count(bad->closed_elsewhere));
	}
	json_write_take(output->stream, object);
}

static json_t *json_exit_status(const struct process *process)
{
	return process->exited && WIFEXITED(process->exit_status)
		   ? json_integer(WEXITSTATUS(process->exit_status))
		   : json_null();
}

static json_t *json_exit_signal(const struct process *process)
{
	return process->exited && WIFSIGNALED(process->exit_status)
		   ? json_integer(WTERMSIG(process->exit_status))
		   : json_null();
}

/* All of a process but its groups and bad references. */
static json_t *json_process(const struct report *report, const struct report_process *shown)
{
	const struct process *process = shown->process;
	const struct diff *diff = &shown->diff;
	json_t *object = json_pack(
	    "{s:i, s:i, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pid", process->pid,
	    "parent", process->parent, "exe", json_text(shown->exe), "exited",
	    process_has_ended(process), "exit_status", json_exit_status(process), "exit_signal",
	    json_exit_signal(process), "start_ns", json_known_ns(process->start_ns), "exit_ns",
	    json_known_ns(process->exit_ns), "open_handles", json_count(diff->open_handles),
	    "before_tracing", json_count(diff->before_tracing), "inherited",
	    json_count(diff->inherited));

	/* Whose the lost events were is not known: each process may have lost all of them. */
	json_object_set_new(object, "let_go",
			    json_boolean(process->exited && !process_has_ended(process)));
	json_object_set_new(object, "before_snapshot", json_count(diff->before_snapshot));
	json_object_set_new(object, "events", json_count(process->events));
	json_object_set_new(object, "lost_events", json_count(report->lost_events));
	json_object_set_new(object, "truncated_stacks", json_count(process->truncated_stacks));
	json_object_set_new(object, "stack_ends", json_stack_ends(process->stack_ends));
	json_object_set_new(object, "incomplete", json_boolean(process->incomplete));
	json_object_set_new(object, "reconciled", json_count(process->reconciled));
	json_object_set_new(object, "bad_references_dropped",
			    json_count(process->bad_references_dropped));
	if (report->filter)
		json_object_set_new(object, "hidden_handles", json_count(diff->hidden));
	json_object_set_new(object, "exhausted", json_exhausted(report, process));
	json_object_set_new(
	    object, "growth",
	    json_growth(report, process->growth_times,
			process->growth_times ? process->growth_times->open : NULL));
	return object;
}

static void write_process(struct output *output, const struct report_process *shown)
{
	const struct process *process = shown->process;
	const char *separator = "\n      ";

	output->handles.details = output->report->details;
	output->handles.pid = process->pid;
	fputs("{", output->stream);
	json_write_members_take(output->stream, json_process(output->report, shown), "groups");
	fputs("[", output->stream);
	array_each (group, &shown->diff.groups) {
		fputs(separator, output->stream);
		write_group(output, group, shown->diff.end_ns, process->growth_times);
		separator = ",\n      ";
	}
	fputs("],\n    \"other_handles\": [", output->stream);
	separator = "\n      ";
	array_each (handle, &shown->diff.others) {
		fputs(separator, output->stream);
		write_other(output, handle, shown->diff.end_ns);
		separator = ",\n      ";
	}
	fputs("],\n    \"bad_references\": [", output->stream);
	separator = "\n      ";
	array_each (bad, &process->bad_references) {
		if (!report_tells_bad(shown, bad))
			continue;
		fputs(separator, output->stream);
		write_bad_reference(output, process, bad);
		separator = ",\n      ";
	}
	fputs("]}", output->stream);
}

/* What processes that the report does not list add to the totals. */
static json_t *json_forgotten(const struct report *report)
{
	const struct forgotten *total = model_forgotten_totals(report->model);

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "processes",
			 json_count(total->processes), "events", json_count(total->events),
			 "truncated_stacks", json_count(total->truncated_stacks), "stack_ends",
			 json_stack_ends(total->stack_ends), "reconciled",
			 json_count(total->reconciled), "untold", json_count(total->untold),
			 "untold_handles", json_count(total->untold_handles));
}

json_t *json_report_head(const struct report *report, const char *schema)
{
	struct symbolizer_stats symbols = {0};
	json_t *head;

	symbolizer_stats(report->symbolizer, &symbols);
	head = json_pack(
	    "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:o}", "schema", schema, "version",
	    HTRACE_VERSION, "collector", json_text(report->collector), "time", json_wall(report),
	    "now_ns", json_known_ns(report->now_ns), "lost_events", json_count(report->lost_events),
	    "foreign_processes", json_count(report->foreign_processes), "unseen_processes",
	    json_count(report->unseen_processes), "modules_without_symbols",
	    (int)symbols.modules_without_symbols, "modules_unreadable",
	    (int)symbols.modules_unreadable, "forgotten", json_forgotten(report));
	json_object_set_new(head, "details", json_details_limits(report->details));
	if (report->filter)
		json_object_set_new(head, "hidden", json_hidden(&report->hidden));
	json_object_set_new(head, "occasion", json_text(report->occasion));
	return head;
}

static int write_json(const struct report *report, const struct report_style *style, FILE *stream)
{
	_cleanup_(output) struct output output = {.report = report, .stream = stream};
	const char *separator = "\n  ";

	fputs("{", stream);
	json_write_members_take(stream, json_report_head(report, "htrace.report/1"), "processes");
	fputs("[", stream);
	array_each (process, &report->processes) {
		fputs(separator, stream);
		write_process(&output, process);
		separator = ",\n  ";
	}
	fputs("]", stream);
	json_cloexec(report, stream);
	fputs("}\n", stream);
	return stream_finish(stream);
}

const struct report_format report_json = {
    .name = "json",
    .help = "for programs: schema htrace.report/1",
    .details = DETAILS_OF_ALL,
    .write = write_json,
    .write_traces = json_traces,
    .write_handles = json_handles,
    .write_processes = json_processes,
};
