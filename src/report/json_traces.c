/*
 * Owns the JSON document "htrace.traces/1": its fields are a contract, additions only. Written
 * piece by piece; a stack that many traces have is made once.
 */
#include "base/cleanup.h"
#include "report/json_parts.h"
#include "report/names.h"
#include "report/text_cache.h"
#include "report/trace_list.h"
#include "report/when.h"

struct output {
	const struct report *report;
	const struct report_query *query;
	const struct trace_list *list;
	FILE *stream;
	struct text_cache stacks;
};

static void write_stack(const void *context, uint64_t key, FILE *stream)
{
	const struct report *report = context;

	json_write_members_take(stream, json_stack_end(report, (uint32_t)key), "stack");
	json_write_take(stream, json_stack(report, (uint32_t)key));
}

static const char *name_of_kind(enum trace_kind kind)
{
	return kind == TRACE_OPEN ? "open" : kind == TRACE_CLOSE ? "close" : "bad-reference";
}

static json_t *json_operation(const struct trace *trace)
{
	char call[CALL_NAME_BYTES];

	return trace->call == TRACE_CALL_NONE ? json_null()
					      : json_string(name_of_call(trace->call, call));
}

static bool is_harmless(const struct trace *trace)
{
	const struct bad_reference bad = {
	    .number = trace->number, .call = trace->call, .asks = trace->asks};

	return trace->kind == TRACE_BAD_REFERENCE && bad_reference_is_harmless(&bad);
}

static json_t *json_trace(const struct output *output, const struct listed_trace *item)
{
	const struct trace *trace = &item->trace;
	bool is_bad = trace->kind == TRACE_BAD_REFERENCE, is_close = trace->kind == TRACE_CLOSE;
	json_t *object = json_pack(
	    "{s:i, s:s, s:o, s:o, s:i, s:i, s:b}", "handle", trace->number, "trace",
	    name_of_kind(trace->kind), "time_ns", json_known_ns(trace->moment.time_ns), "age_ns",
	    json_count(when_age_ns(trace->moment.time_ns, output->report->now_ns)), "pid",
	    trace->moment.pid, "tid", trace->moment.tid, "in_history", item->kept);

	json_object_set_new(object, "operation", json_operation(trace));
	if (is_close) {
		json_object_set_new(object, "closed_by",
				    json_string(name_of_close_cause(trace->detail)));
		json_object_set_new(object, "opened_ns", json_known_ns(trace->before_ns));
	}
	if (is_bad) {
		json_object_set_new(object, "kind",
				    json_string(name_of_bad_reference(trace->detail)));
		json_object_set_new(object, "harmless", json_boolean(is_harmless(trace)));
		json_object_set_new(object, "closed_ns", json_known_ns(trace->before_ns));
	}
	return object;
}

static void write_trace(struct output *output, const struct listed_trace *item)
{
	json_t *object = json_trace(output, item);

	fputs("{", output->stream);
	json_dumpf(object, output->stream, JSON_EMBED);
	json_decref(object);
	fprintf(output->stream, ", %s}",
		text_cache_get(&output->stacks, item->trace.moment.stack_id, write_stack,
			       output->report));
}

/* What the number that was asked for stands for now. */
static json_t *json_now(const struct output *output, const struct trace_section *section)
{
	const struct process *process = section->process.process;
	const struct handle *now = section->now;

	if (!now || !process)
		return json_null();
	return json_handle(output->report, process->pid, now,
			   process->exited ? process->exit_ns : output->report->now_ns);
}

static json_t *json_section(const struct output *output, const struct trace_section *section)
{
	const struct process *process = section->process.process;
	json_t *object = json_pack(
	    "{s:i, s:o, s:o, s:o}", "pid", section->pid, "exe", json_text(section->process.exe),
	    "exited", process ? json_boolean(process_has_ended(process)) : json_true(),
	    "incomplete", process ? json_boolean(process->incomplete) : json_null());

	if (output->query->number >= 0)
		json_object_set_new(object, "open_handle", json_now(output, section));
	return object;
}

static void write_section(struct output *output, const struct trace_section *section)
{
	const char *separator = "\n      ";

	fputs("{", output->stream);
	json_write_members_take(output->stream, json_section(output, section), "traces");
	fputs("[", output->stream);
	for (size_t i = 0; i < section->count; i++) {
		fputs(separator, output->stream);
		write_trace(output, &output->list->traces.data[section->first + i]);
		separator = ",\n      ";
	}
	fputs("]}", output->stream);
}

static json_t *json_head(const struct output *output)
{
	const struct trace_list *list = output->list;
	json_t *object = json_answer(output->report, output->query, "htrace.traces/1");

	json_object_set_new(json_object_get(object, "query"), "traces_max",
			    output->query->traces_max ? json_count(output->query->traces_max)
						      : json_null());
	json_object_set_new(object, "traces_total", json_count(list->total));
	json_object_set_new(object, "traces_kept", json_count(list->kept));
	json_object_set_new(object, "traces_parsed", json_count(list->parsed));
	json_object_set_new(object, "traces_matched", json_count(list->matched));
	json_object_set_new(object, "traces_shown", json_count(list->traces.count));
	if (output->report->filter)
		json_object_set_new(object, "hidden", json_hidden(&list->hidden));
	return object;
}

int json_traces(const struct report *report, const struct report_query *query,
		const struct report_style *style, FILE *stream)
{
	_cleanup_(trace_list_fini) struct trace_list list;
	struct output output = {.report = report, .query = query, .list = &list, .stream = stream};
	const char *separator = "\n  ";

	trace_list_make(&list, report, query);
	fputs("{", stream);
	json_write_members_take(stream, json_head(&output), "processes");
	fputs("[", stream);
	array_each (section, &list.sections) {
		fputs(separator, stream);
		write_section(&output, section);
		separator = ",\n  ";
	}
	fputs("]}\n", stream);
	text_cache_fini(&output.stacks);
	return stream_finish(stream);
}
