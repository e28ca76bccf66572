/* Owns which handles details are wanted of, and the orders that depend on them. */
#include "report/report.h"

#include "base/cleanup.h"
#include "report/detail_group.h"
#include "report/handle_list.h"

#include <stdlib.h>

static void want(struct report *report, const struct report_process *process,
		 enum report_details wanted)
{
	array_each (group, &process->diff.groups)
		array_each (handle, &group->handles)
			details_want(report->details, report->model, process->process, handle);
	if (wanted == DETAILS_OF_GROUPS)
		return;
	array_each (handle, &process->diff.others)
		details_want(report->details, report->model, process->process, handle);
}

/* ---- the order of groups ---- */

struct weighed {
	struct group group;
	uint64_t weight;
	size_t rank; /* in the order that is there */
};

static int compare_weighed(const void *left, const void *right)
{
	const struct weighed *a = left, *b = right;

	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

static void sort_groups(struct report *report, struct report_process *process)
{
	size_t count = process->diff.groups.count;
	_cleanup_(free) struct weighed *weighed = xcalloc(count + 1, sizeof(*weighed));

	for (size_t i = 0; i < count; i++) {
		const struct group *group = &process->diff.groups.data[i];

		weighed[i] =
		    (struct weighed){*group, group_weight(report, process, group), .rank = i};
	}
	qsort(weighed, count, sizeof(*weighed), compare_weighed);
	for (size_t i = 0; i < count; i++)
		process->diff.groups.data[i] = weighed[i].group;
}

uint64_t group_weight(const struct report *report, const struct report_process *process,
		      const struct group *group)
{
	_cleanup_(group_detail_fini) struct group_detail detail = {0};

	switch (report->sort) {
	case SORT_COST:
		group_detail_make(&detail, report->details, process->process->pid, group);
		return detail.memory_bytes + detail.disk_bytes;
	case SORT_AGE: /* of unknown age: last */
		return group->oldest_ns ? UINT64_MAX - group->oldest_ns : 0;
	default:
		return group->open;
	}
}

void report_detail(struct report *report, const struct report_format *format)
{
	enum report_details wanted = format->details;

	if (report->sort == SORT_COST && wanted == DETAILS_OF_NONE)
		wanted = DETAILS_OF_GROUPS;
	if (wanted != DETAILS_OF_NONE) {
		report->details = details_new();
		array_each (process, &report->processes)
			want(report, process, wanted);
		details_gather(report->details);
	}
	if (report->sort == SORT_DEFAULT)
		return;
	array_each (process, &report->processes)
		sort_groups(report, process);
}

void report_detail_handles(struct report *report, const struct report_query *query)
{
	_cleanup_(handle_list_fini) struct handle_list list;

	report->details = details_new();
	handle_list_make(&list, report, query);
	array_each (section, &list.sections)
		array_each (handle, &section->handles)
			details_want(report->details, report->model, section->process->process,
				     *handle);
	details_gather(report->details);
}
