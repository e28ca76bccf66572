/* Owns the choice and the order of open handles. Knows nothing of how they look. */
#include "report/handle_list.h"

static void add_handle(void *context, const struct handle *handle)
{
	struct handle_section *section = context;

	if (handle->open)
		array_push(&section->handles, handle);
}

static void add_wanted(void *context, const struct handle *handle)
{
	struct handle_section *section = context;

	if (!handle->open)
		section->closed = handle;
	add_handle(context, handle);
}

static int compare_handles(const void *left, const void *right)
{
	const struct handle *a = *(const struct handle *const *)left;
	const struct handle *b = *(const struct handle *const *)right;

	return (a->number > b->number) - (a->number < b->number);
}

struct order {
	const struct report *report;
	int32_t pid;
};

static uint64_t cost_of(const struct order *order, const struct handle *handle)
{
	const struct detail *detail = details_get(order->report->details, order->pid, handle);

	return detail ? detail->cost_bytes : 0;
}

/* The largest cost, or the greatest age, first; one that was open before tracing is the oldest. */
static int compare_as_wanted(const void *left, const void *right, void *context)
{
	const struct handle *a = *(const struct handle *const *)left;
	const struct handle *b = *(const struct handle *const *)right;
	const struct order *order = context;
	bool by_cost = order->report->sort == SORT_COST;
	uint64_t a_key = by_cost ? cost_of(order, b) : a->opened.time_ns;
	uint64_t b_key = by_cost ? cost_of(order, a) : b->opened.time_ns;

	return a_key != b_key ? (a_key > b_key) - (a_key < b_key) : compare_handles(left, right);
}

static void sort_as_wanted(struct handle_section *section, const struct report *report)
{
	struct order order = {report, section->process->process->pid};

	if ((report->sort == SORT_COST || report->sort == SORT_AGE) && section->handles.count)
		qsort_r(section->handles.data, section->handles.count,
			sizeof(*section->handles.data), compare_as_wanted, &order);
}

static void section_make(struct handle_section *section, const struct report *report,
			 const struct report_query *query)
{
	const struct process *process = section->process->process;
	bool ascending = true;

	section->end_ns = process->exited ? process->exit_ns : report->now_ns;
	if (query->number < 0)
		model_open_handles(report->model, process, add_handle, section);
	else
		model_known_handles(report->model, process, query->number, add_wanted, section);
	for (size_t i = 1; i < section->handles.count; i++)
		if (section->handles.data[i]->number < section->handles.data[i - 1]->number)
			ascending = false;
	if (!ascending) /* threads with tables of their own */
		qsort(section->handles.data, section->handles.count, sizeof(*section->handles.data),
		      compare_handles);
	sort_as_wanted(section, report);
}

void handle_list_make(struct handle_list *out, const struct report *report,
		      const struct report_query *query)
{
	*out = (struct handle_list){0};
	array_each (process, &report->processes) {
		struct handle_section section = {.process = process};

		if (query->pid && process->process->pid != query->pid)
			continue;
		section_make(&section, report, query);
		if (section.handles.count || query->pid)
			array_push(&out->sections, section);
		out->handles += section.handles.count;
	}
}

void handle_list_fini(struct handle_list *list)
{
	array_each (section, &list->sections)
		array_fini(&section->handles);
	array_fini(&list->sections);
}
