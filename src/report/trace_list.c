/*
 * Owns the choice and the order of traces. Knows nothing of how they look. A trace is known by what
 * it is (time, number, thread, kind): so the OPEN that both history and model tell is listed once.
 */
#include "report/trace_list.h"

#include "base/map.h"
#include "report/trace_filter.h"

struct listing {
	struct trace_list *list;
	const struct report *report;
	const struct report_query *query;
	struct map processes; /* pid -> index in report->processes + 1 */
	struct map sections;  /* pid -> index + 1 */
	const struct process *process;
};

static struct trace_section *section_of(struct listing *listing, int32_t pid)
{
	const uint64_t *process = map_get(&listing->processes, (uint32_t)pid);
	uint64_t *slot = map_put(&listing->sections, (uint32_t)pid);
	struct trace_section section = {.pid = pid};

	if (!*slot) {
		if (process)
			section.process = listing->report->processes.data[*process - 1];
		array_push(&listing->list->sections, section);
		*slot = listing->list->sections.count;
	}
	return &listing->list->sections.data[*slot - 1];
}

static void add_kept(struct listing *listing)
{
	const struct report_query *query = listing->query;
	const struct history *history = listing->report->history;
	struct trace_list *list = listing->list;

	list->kept = list->parsed = history_count(history);
	list->total = history_total(history);
	if (list->total > list->kept)
		list->horizon_ns =
		    list->kept ? history_get(history, list->kept - 1)->moment.time_ns : UINT64_MAX;
	for (uint32_t age = 0; age < list->kept; age++) {
		const struct trace *trace = history_get(history, age);

		if (query->pid && trace->pid != query->pid)
			continue;
		if (query->number >= 0 && trace->number != query->number)
			continue;
		array_push(&list->traces, (struct listed_trace){.trace = *trace, .kept = true});
	}
}

static void add_known(struct listing *listing, enum trace_kind kind, uint8_t detail, int32_t number,
		      const struct handle_moment *moment, uint64_t before_ns)
{
	struct trace trace = {.kind = kind,
			      .detail = detail,
			      .call = TRACE_CALL_NONE,
			      .pid = listing->process->pid,
			      .number = number,
			      .moment = *moment,
			      .before_ns = before_ns};

	if (moment->time_ns)
		array_push(&listing->list->traces, (struct listed_trace){.trace = trace});
}

static void add_handle(void *context, const struct handle *handle)
{
	struct listing *listing = context;
	const struct handle_past *past = model_handle_past(handle);

	if (handle->open)
		add_known(listing, TRACE_OPEN, 0, handle->number, &handle->opened, 0);
	add_known(listing, TRACE_CLOSE, handle->closed_by, handle->number, &past->closed,
		  past->opened.time_ns);
	add_known(listing, TRACE_OPEN, 0, handle->number, &past->opened, 0);
	if (listing->query->number >= 0 && handle->open)
		section_of(listing, listing->process->pid)->now = handle;
}

/* As the life went on, backwards. What is one trace stands side by side. */
static int compare_traces(const void *left, const void *right)
{
	static const int ranks[] = {[TRACE_OPEN] = 0, [TRACE_BAD_REFERENCE] = 1, [TRACE_CLOSE] = 2};
	const struct listed_trace *a = left, *b = right;
	const struct trace *s = &a->trace, *t = &b->trace;

	if (s->moment.time_ns != t->moment.time_ns)
		return s->moment.time_ns > t->moment.time_ns ? -1 : 1;
	if (s->number != t->number)
		return s->number < t->number ? -1 : 1;
	if (s->moment.tid != t->moment.tid)
		return s->moment.tid < t->moment.tid ? -1 : 1;
	if (s->kind != t->kind) /* dup2 closes, then opens */
		return ranks[s->kind] - ranks[t->kind];
	if (a->kept != b->kept)
		return a->kept ? -1 : 1;
	return (t->pid == t->moment.pid) - (s->pid == s->moment.pid);
}

static bool same_step(const struct trace *a, const struct trace *b)
{
	return a->moment.time_ns == b->moment.time_ns && a->number == b->number &&
	       a->moment.tid == b->moment.tid;
}

/* Drops what is listed twice, and closes that turned out to be bad references. */
static void drop_repeated(struct listing *listing)
{
	struct trace_list *list = listing->list;
	size_t count = 0;

	for (size_t i = 0; i < list->traces.count; i++) {
		const struct listed_trace *item = &list->traces.data[i];
		const struct trace *last = count ? &list->traces.data[count - 1].trace : NULL;

		if (last && same_step(last, &item->trace) &&
		    (last->kind == item->trace.kind ||
		     (last->kind == TRACE_BAD_REFERENCE && item->trace.kind == TRACE_CLOSE)))
			continue;
		list->parsed += !item->kept;
		list->traces.data[count++] = *item;
	}
	list->traces.count = count;
}

/* The newest of those that are left. */
static void cut(struct listing *listing)
{
	struct trace_list *list = listing->list;
	uint32_t top = filter_top(listing->report->filter);

	trace_list_filter(list, listing->report);
	list->matched = list->traces.count;
	if (listing->query->traces_max && list->traces.count > listing->query->traces_max)
		list->traces.count = listing->query->traces_max;
	if (list->traces.count > top) {
		list->hidden.traces += list->traces.count - top;
		list->hidden.by |= 1u << FILTER_TOP;
		list->matched -= list->traces.count - top;
		list->traces.count = top;
	}
}

/* Brings the traces of each process together; their order stays. */
static void divide(struct listing *listing)
{
	struct trace_list *list = listing->list;
	struct listed_trace *sorted = xcalloc(list->traces.count + 1, sizeof(*sorted));
	size_t first = 0;

	array_each (item, &list->traces)
		section_of(listing, item->trace.pid)->count++;
	array_each (section, &list->sections) {
		section->first = first;
		first += section->count;
		section->count = 0;
	}
	array_each (item, &list->traces) {
		struct trace_section *section = section_of(listing, item->trace.pid);

		sorted[section->first + section->count++] = *item;
	}
	free(list->traces.data);
	list->traces.data = sorted;
	list->traces.capacity = list->traces.count + 1;
}

static uint64_t newest_ns(const struct trace_section *section, const struct trace_list *list)
{
	return section->count ? list->traces.data[section->first].trace.moment.time_ns : 0;
}

static int compare_sections(const void *left, const void *right, void *context)
{
	uint64_t a = newest_ns(left, context), b = newest_ns(right, context);
	const struct trace_section *s = left, *t = right;

	return a != b ? (a > b ? -1 : 1) : (s->pid > t->pid) - (s->pid < t->pid);
}

void trace_list_make(struct trace_list *out, const struct report *report,
		     const struct report_query *query)
{
	struct listing listing = {.list = out, .report = report, .query = query};

	*out = (struct trace_list){0};
	for (size_t i = 0; i < report->processes.count; i++)
		*map_put(&listing.processes, (uint32_t)report->processes.data[i].process->pid) =
		    i + 1;
	if (query->pid && map_get(&listing.processes, (uint32_t)query->pid))
		section_of(&listing, query->pid);
	if (report->history)
		add_kept(&listing);
	array_each (item, &report->processes) {
		listing.process = item->process;
		if (!query->pid || item->process->pid == query->pid)
			model_known_handles(report->model, item->process, query->number, add_handle,
					    &listing);
	}
	if (out->traces.count)
		qsort(out->traces.data, out->traces.count, sizeof(*out->traces.data),
		      compare_traces);
	drop_repeated(&listing);
	cut(&listing);
	divide(&listing);
	if (out->sections.count)
		qsort_r(out->sections.data, out->sections.count, sizeof(*out->sections.data),
			compare_sections, out);
	map_fini(&listing.processes);
	map_fini(&listing.sections);
}

void trace_list_fini(struct trace_list *list)
{
	array_fini(&list->traces);
	array_fini(&list->sections);
}
