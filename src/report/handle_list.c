/* Owns the choice and the order of open handles. Knows nothing of how they look. */
#include "report/handle_list.h"

#include "base/hash.h"
#include "base/map.h"

#include <string.h>

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

/* ---- what a filter hides ---- */

struct place_count {
	uint64_t key, count;
};

/* Places that open handles are of; equal in all processes. */
static uint64_t place_key(const struct handle *handle)
{
	uint64_t type = handle->type ? hash_bytes(handle->type, strlen(handle->type), 0) : 0;

	return hash_combine(type, (uint64_t)handle->opened.stack_id << 8 | handle->origin);
}

static void hide(struct handle_list *list, struct handle_section *section, enum filter_rule rule)
{
	list->hidden.handles++;
	list->hidden.by |= 1u << rule;
	section->hidden++;
}

static void section_thin(struct handle_list *list, struct handle_section *section,
			 const struct report *report)
{
	size_t kept = 0;

	array_each (handle, &section->handles) {
		enum filter_rule rule =
		    filter_try_handle(report->filter, report, *handle, section->end_ns);

		if (rule)
			hide(list, section, rule);
		else
			section->handles.data[kept++] = *handle;
	}
	section->handles.count = kept;
}

static int compare_places(const void *left, const void *right)
{
	const struct place_count *a = left, *b = right;

	return a->count != b->count ? (a->count > b->count ? -1 : 1)
				    : (a->key > b->key) - (a->key < b->key);
}

/* The keys of the `top` places that have most handles open. */
static void count_places(const struct handle_list *list, uint32_t top, struct map *kept)
{
	ARRAY(struct place_count) places = {0};
	struct map index = {0};

	array_each (section, &list->sections)
		array_each (handle, &section->handles) {
			uint64_t key = place_key(*handle), *slot = map_put(&index, key);

			if (!*slot) {
				array_push(&places, (struct place_count){.key = key});
				*slot = places.count;
			}
			places.data[*slot - 1].count++;
		}
	if (places.count)
		qsort(places.data, places.count, sizeof(*places.data), compare_places);
	for (size_t i = 0; i < places.count && i < top; i++)
		*map_put(kept, places.data[i].key) = 1;
	array_fini(&places);
	map_fini(&index);
}

static void keep_top(struct handle_list *list, const struct report *report)
{
	struct map places = {0};

	count_places(list, filter_top(report->filter), &places);
	array_each (section, &list->sections) {
		size_t kept = 0;

		array_each (handle, &section->handles) {
			if (map_get(&places, place_key(*handle)))
				section->handles.data[kept++] = *handle;
			else
				hide(list, section, FILTER_TOP);
		}
		section->handles.count = kept;
	}
	map_fini(&places);
}

static void list_filter(struct handle_list *list, const struct report *report, bool by_pid)
{
	size_t kept = 0;

	array_each (section, &list->sections)
		section_thin(list, section, report);
	if (filter_top(report->filter) != UINT32_MAX)
		keep_top(list, report);
	list->handles = 0;
	array_each (section, &list->sections) {
		if (!section->handles.count && !by_pid) {
			array_fini(&section->handles);
			continue;
		}
		list->handles += section->handles.count;
		list->sections.data[kept++] = *section;
	}
	list->sections.count = kept;
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
	if (report->filter && query->number < 0)
		list_filter(out, report, query->pid);
}

void handle_list_fini(struct handle_list *list)
{
	array_each (section, &list->sections)
		array_fini(&section->handles);
	array_fini(&list->sections);
}
