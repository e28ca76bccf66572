/*
 * The traces that `show` tells: those that the history keeps, and what the model still knows where
 * the history has lost it, each once, by process and newest first. Every format prints this list.
 */
#ifndef HTRACE_REPORT_TRACE_LIST_H
#define HTRACE_REPORT_TRACE_LIST_H

#include "report/report.h"

struct listed_trace {
	struct trace trace;
	bool kept; /* in the history; else only the model still knows it */
};

/* The traces of one process. */
struct trace_section {
	int32_t pid;
	struct report_process process; /* borrowed; .process NULL: it has been forgotten */
	const struct handle *now;      /* the handle that was asked for; NULL: it is not open */
	size_t first, count;           /* in trace_list.traces */
};

struct trace_list {
	ARRAY(struct listed_trace) traces;
	ARRAY(struct trace_section) sections; /* the process of the newest trace comes first */
	uint64_t parsed;                      /* traces that were looked at */
	uint64_t matched;                     /* of these, what was asked for */
	struct hidden hidden;                 /* matched what was asked for, but not the filter */
	uint64_t kept, total;                 /* by the history now; ever told to it */
	uint64_t horizon_ns; /* older ones than this have fallen out of it; 0: none has */
};

/*
 * A process that is asked for by its pid has a section, with or without traces; so has one in which
 * the number that is asked for is open. Good until the next change of model and history.
 */
void trace_list_make(struct trace_list *out, const struct report *report,
		     const struct report_query *query);
void trace_list_fini(struct trace_list *list);

#define cleanup_trace_list_fini trace_list_fini

#endif
