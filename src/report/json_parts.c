/* Owns what several JSON documents have in common. Knows nothing of what they are made of. */
#include "report/json_parts.h"

#include "report/json_detail.h"
#include "report/names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

void json_write_take(FILE *stream, json_t *value)
{
	json_dumpf(value, stream, JSON_ENCODE_ANY);
	json_decref(value);
}

void json_write_members_take(FILE *stream, json_t *object, const char *next)
{
	json_dumpf(object, stream, JSON_EMBED);
	json_decref(object);
	fprintf(stream, ", \"%s\": ", next);
}

json_t *json_handle_type(const char *type)
{
	return json_text(type ? type : "unknown");
}

json_t *json_stack_end(const struct report *report, uint32_t stack_id)
{
	struct stack stack = stack_table_get(report->stacks, stack_id);

	return json_pack("{s:b, s:o}", "stack_complete",
			 stack.frames_n && stack.end == STACK_END_COMPLETE, "stack_end",
			 stack_id == STACK_NONE ? json_null()
						: json_string(name_of_stack_end(stack.end)));
}

static uint64_t age_of(const struct handle *handle, uint64_t end_ns)
{
	uint64_t opened_ns = handle->opened.time_ns;

	return opened_ns && end_ns > opened_ns ? end_ns - opened_ns : 0;
}

json_t *json_handle(const struct report *report, int32_t pid, const struct handle *handle,
		    uint64_t end_ns)
{
	const struct detail *detail = details_get(report->details, pid, handle);
	uint64_t opened_ns = handle->opened.time_ns;

	return json_pack("{s:i, s:o, s:o, s:i, s:i, s:o, s:o, s:b, s:s, s:o}", "handle",
			 handle->number, "type", json_handle_type(handle->type), "name",
			 json_text(handle->name), "pid", handle->opened.pid, "tid",
			 handle->opened.tid, "opened_ns", json_known_ns(opened_ns), "age_ns",
			 opened_ns ? json_count(age_of(handle, end_ns)) : json_null(), "cloexec",
			 handle->cloexec, "origin", name_of_origin(handle->origin), "details",
			 json_detail(detail));
}

static const char *quote(struct json_quoted *quoted, const char *text)
{
	json_t *value;

	if (quoted->text && quoted->of == text)
		return quoted->text;
	free(quoted->text);
	value = json_text(text);
	quoted->text = json_dumps(value, JSON_ENCODE_ANY);
	quoted->of = text;
	json_decref(value);
	return quoted->text;
}

void json_write_handle(struct json_handle_writer *writer, const struct handle *handle,
		       uint64_t end_ns, FILE *stream)
{
	uint64_t opened_ns = handle->opened.time_ns;
	const struct detail *detail;

	fprintf(stream, "\"handle\": %d, \"type\": %s, \"name\": %s, \"pid\": %d, \"tid\": %d",
		handle->number, quote(&writer->type, handle->type ? handle->type : "unknown"),
		quote(&writer->name, handle->name), handle->opened.pid, handle->opened.tid);
	if (opened_ns)
		fprintf(stream, ", \"opened_ns\": %" PRIu64 ", \"age_ns\": %" PRIu64, opened_ns,
			age_of(handle, end_ns));
	else
		fputs(", \"opened_ns\": null, \"age_ns\": null", stream);
	fprintf(stream, ", \"cloexec\": %s, \"origin\": \"%s\", \"details\": ",
		handle->cloexec ? "true" : "false", name_of_origin(handle->origin));
	detail = details_get(writer->details, writer->pid, handle);
	if (detail)
		json_write_take(stream, json_detail(detail));
	else
		fputs("null", stream);
}

void json_handle_writer_fini(struct json_handle_writer *writer)
{
	free(writer->name.text);
	free(writer->type.text);
}

json_t *json_hidden(const struct hidden *hidden)
{
	json_t *by = json_array();

	for (int rule = FILTER_TYPE; rule < FILTER_RULES; rule++)
		if (hidden->by & 1u << rule)
			json_array_append_new(by, json_string(filter_rule_name(rule)));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "by", by, "places",
			 json_count(hidden->places), "handles",
			 json_count(hidden->place_handles + hidden->handles), "bad_references",
			 json_count(hidden->bad_references), "traces", json_count(hidden->traces),
			 "processes", json_count(hidden->processes));
}

json_t *json_wall(const struct report *report)
{
	char text[40];
	struct tm utc;

	if (!report->wall.tv_sec || !gmtime_r(&report->wall.tv_sec, &utc))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

json_t *json_answer(const struct report *report, const struct report_query *query,
		    const char *schema)
{
	json_t *asked =
	    json_pack("{s:o, s:o}", "pid", query->pid ? json_integer(query->pid) : json_null(),
		      "handle", query->number >= 0 ? json_integer(query->number) : json_null());

	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", schema, "version",
			 HTRACE_VERSION, "collector", json_text(report->collector), "time",
			 json_wall(report), "now_ns", json_known_ns(report->now_ns), "lost_events",
			 json_count(report->lost_events), "query", asked, "details",
			 json_details_limits(report->details));
}
