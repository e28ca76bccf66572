/* The open handles that `handles` tells, by process, ascending. Every format prints this list. */
#ifndef HTRACE_REPORT_HANDLE_LIST_H
#define HTRACE_REPORT_HANDLE_LIST_H

#include "report/report.h"

struct handle_section {
	const struct report_process *process;
	uint64_t end_ns;             /* ages are counted up to here: its exit, or the report */
	const struct handle *closed; /* the number that was asked for, where its record is known
					and it is not open; NULL otherwise */
	ARRAY(const struct handle *) handles;
	uint64_t hidden; /* by a filter */
};

/*
 * A process that is asked for by its pid has a section, with or without handles; others only when
 * they have any. Good until the model's next change.
 */
struct handle_list {
	ARRAY(struct handle_section) sections;
	uint64_t handles;     /* in all */
	struct hidden hidden; /* open, but hidden by a filter; not where one number was asked for */
};

void handle_list_make(struct handle_list *out, const struct report *report,
		      const struct report_query *query);
void handle_list_fini(struct handle_list *list);

#define cleanup_handle_list_fini handle_list_fini

#endif
