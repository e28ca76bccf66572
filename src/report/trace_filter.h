/* Which traces a filter hides: a trace has a stack and a time, and is of a handle that had a type
 * and a name. */
#ifndef HTRACE_REPORT_TRACE_FILTER_H
#define HTRACE_REPORT_TRACE_FILTER_H

#include "report/trace_list.h"

/* Drops what report->filter hides, and counts it in list->hidden. The order stays. */
void trace_list_filter(struct trace_list *list, const struct report *report);

#endif
