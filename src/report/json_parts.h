/* What the JSON documents share: writing piece by piece, a handle, the head of an answer. */
#ifndef HTRACE_REPORT_JSON_PARTS_H
#define HTRACE_REPORT_JSON_PARTS_H

#include "report/json_stack.h"

/* Writes the value and drops it. */
void json_write_take(FILE *stream, json_t *value);

/* The members of `object` without its braces, and the name of the member that follows. */
void json_write_members_take(FILE *stream, json_t *object, const char *next);

/* What is told of calls that failed for want of a handle; null: none did. */
json_t *json_exhausted(const struct report *report, const struct process *process);

/* What was open at `times` (NULL: never): `open` (NULL: nothing) has a count for each; null where
 * the report does not tell it. */
json_t *json_growth(const struct report *report, const struct growth_times *times,
		    const uint32_t *open);

/* A handle's type, or "unknown". */
json_t *json_handle_type(const char *type);

/* "stack_complete" and "stack_end" of a stack; no end where none was taken. */
json_t *json_stack_end(const struct report *report, uint32_t stack_id);

/* All that is known of a handle of `pid` but its stack. */
json_t *json_handle(const struct report *report, int32_t pid, const struct handle *handle,
		    uint64_t end_ns);

/* A string as JSON text: that of the handle before, for neighbours often have the same. */
struct json_quoted {
	const char *of;
	char *text;
};

/* The same, written without a tree: there may be a million. A zeroed one is ready;
 * json_handle_writer_fini() frees. */
struct json_handle_writer {
	struct json_quoted name, type;
	const struct details *details; /* NULL: none are known */
	int32_t pid;                   /* of the process that has the handles */
};
/* The members without braces. */
void json_write_handle(struct json_handle_writer *writer, const struct handle *handle,
		       uint64_t end_ns, FILE *stream);
void json_handle_writer_fini(struct json_handle_writer *writer);

/* Time of day of the report; null: not known. */
json_t *json_wall(const struct report *report);

/* What a report says of itself and over all processes: what was lost, what was forgotten. */
json_t *json_report_head(const struct report *report, const char *schema);

/* What a filter hides: the value of "hidden", which only a filtered document has. */
json_t *json_hidden(const struct hidden *hidden);

/* What an answer to `show` or `handles` begins with. */
json_t *json_answer(const struct report *report, const struct report_query *query,
		    const char *schema);

int json_traces(const struct report *report, const struct report_query *query,
		const struct report_style *style, FILE *stream);
int json_handles(const struct report *report, const struct report_query *query,
		 const struct report_style *style, FILE *stream);

#endif
