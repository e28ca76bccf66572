/* Owns what several JSON documents have in common. Knows nothing of what they are made of. */
#include "report/json_parts.h"

#include "report/names.h"

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

json_t *json_handle(const struct handle *handle, uint64_t end_ns, json_t *name_take)
{
	uint64_t opened_ns = handle->opened.time_ns;
	uint64_t age_ns = opened_ns && end_ns > opened_ns ? end_ns - opened_ns : 0;

	return json_pack("{s:i, s:o, s:o, s:i, s:i, s:o, s:o, s:b, s:s}", "handle", handle->number,
			 "type", json_handle_type(handle->type), "name", name_take, "pid",
			 handle->opened.pid, "tid", handle->opened.tid, "opened_ns",
			 json_known_ns(opened_ns), "age_ns",
			 opened_ns ? json_count(age_ns) : json_null(), "cloexec", handle->cloexec,
			 "origin", name_of_origin(handle->origin));
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

	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "schema", schema, "version",
			 HTRACE_VERSION, "collector", json_text(report->collector), "time",
			 json_wall(report), "now_ns", json_known_ns(report->now_ns), "lost_events",
			 json_count(report->lost_events), "query", asked);
}
