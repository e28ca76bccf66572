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

struct weight {
	struct group group;
	uint64_t cost_bytes;
	size_t rank; /* in the order that is there */
};

static int compare(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int compare_weights(const void *left, const void *right, void *context)
{
	const struct weight *a = left, *b = right;
	enum report_sort sort = *(const enum report_sort *)context;
	uint64_t a_age = -(a->group.oldest_ns ?: UINT64_MAX);
	uint64_t b_age = -(b->group.oldest_ns ?: UINT64_MAX);
	int order = sort == SORT_COST   ? compare(a->cost_bytes, b->cost_bytes)
		    : sort == SORT_OPEN ? compare(a->group.open, b->group.open)
					: compare(a_age, b_age);

	return order ?: -compare(a->rank, b->rank);
}

static void sort_groups(struct report *report, struct report_process *process)
{
	size_t count = process->diff.groups.count;
	_cleanup_(free) struct weight *weights = xcalloc(count + 1, sizeof(*weights));

	for (size_t i = 0; i < count; i++) {
		_cleanup_(group_detail_fini) struct group_detail detail;

		weights[i].group = process->diff.groups.data[i];
		weights[i].rank = i;
		group_detail_make(&detail, report->details, process->process->pid,
				  &weights[i].group);
		weights[i].cost_bytes = detail.memory_bytes + detail.disk_bytes;
	}
	qsort_r(weights, count, sizeof(*weights), compare_weights, &report->sort);
	for (size_t i = 0; i < count; i++)
		process->diff.groups.data[i] = weights[i].group;
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
