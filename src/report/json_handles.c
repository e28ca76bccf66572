/*
 * Owns the JSON document "htrace.handles/1": its fields are a contract, additions only. A handle
 * is told in the same words as in the report.
 */
#include "base/cleanup.h"
#include "report/handle_list.h"
#include "report/json_parts.h"
#include "report/names.h"
#include "report/opener.h"
#include "report/text_cache.h"

struct output {
	const struct report *report;
	const struct report_query *query;
	FILE *stream;
	struct text_cache places; /* stack_id -> the value of "opened_at" */
	struct json_handle_writer handles;
};

static void cleanup_output(struct output *output)
{
	text_cache_fini(&output->places);
	json_handle_writer_fini(&output->handles);
}

static void write_place(const void *context, uint64_t key, FILE *stream)
{
	const struct symbol *symbol = opener_find(context, (uint32_t)key);

	json_write_take(stream, symbol ? json_symbol(symbol) : json_null());
}

/* Behind other members. */
static void write_stack(struct output *output, uint32_t stack_id)
{
	json_t *object = json_stack_end(output->report, stack_id);

	fputs(", ", output->stream);
	json_write_members_take(output->stream, object, "stack");
	json_write_take(output->stream, json_stack(output->report, stack_id));
}

static void write_handle(struct output *output, const struct handle *handle, uint64_t end_ns)
{
	uint32_t stack_id = handle->opened.stack_id;

	fputs("{", output->stream);
	json_write_handle(&output->handles, handle, end_ns, output->stream);
	if (output->query->number >= 0)
		write_stack(output, stack_id);
	fprintf(output->stream, ", \"opened_at\": %s}",
		text_cache_get(&output->places, stack_id, write_place, output->report));
}

static json_t *json_section(const struct output *output, const struct handle_section *section)
{
	const struct process *process = section->process->process;
	const struct diff *diff = &section->process->diff;

	json_t *object = json_pack("{s:i, s:o, s:b, s:b, s:o}", "pid", process->pid, "exe",
				   json_text(section->process->exe), "exited",
				   process_has_ended(process), "incomplete", process->incomplete,
				   "open_handles", json_count(diff->open_handles));
	uint64_t closed_ns =
	    section->closed ? model_handle_past(section->closed)->closed.time_ns : 0;

	if (output->query->number >= 0)
		json_object_set_new(object, "closed_ns", json_known_ns(closed_ns));
	return object;
}

static void write_section(struct output *output, const struct handle_section *section)
{
	const char *separator = "\n      ";

	fputs("{", output->stream);
	output->handles.details = output->report->details;
	output->handles.pid = section->process->process->pid;
	json_write_members_take(output->stream, json_section(output, section), "handles");
	fputs("[", output->stream);
	array_each (handle, &section->handles) {
		fputs(separator, output->stream);
		write_handle(output, *handle, section->end_ns);
		separator = ",\n      ";
	}
	fputs("]}", output->stream);
}

int json_handles(const struct report *report, const struct report_query *query,
		 const struct report_style *style, FILE *stream)
{
	_cleanup_(handle_list_fini) struct handle_list list;
	_cleanup_(output) struct output output = {
	    .report = report, .query = query, .stream = stream};
	const char *separator = "\n  ";
	json_t *head;

	handle_list_make(&list, report, query);
	fputs("{", stream);
	head = json_answer(report, query, "htrace.handles/1");
	if (report->filter)
		json_object_set_new(head, "hidden", json_hidden(&list.hidden));
	json_write_members_take(stream, head, "processes");
	fputs("[", stream);
	array_each (section, &list.sections) {
		fputs(separator, stream);
		write_section(&output, section);
		separator = ",\n  ";
	}
	fputs("]}\n", stream);
	return stream_finish(stream);
}
