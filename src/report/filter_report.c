/*
 * Owns what a filter takes out of a report, so that no format has to know of it. Order and verdicts
 * of what is left stay as they were.
 */
#include "report/filter.h"

#include "base/hash.h"
#include "base/map.h"
#include "report/detail_group.h"
#include "report/report.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct filtering {
	struct report *report;
	struct filter *filter;
	struct hidden *hidden;
};

static void hide(struct filtering *filtering, enum filter_rule rule)
{
	filtering->hidden->by |= 1u << rule;
}

/* Drops hidden handles; returns how many. */
static uint64_t thin_group(struct filtering *filtering, struct group *group, uint64_t end_ns)
{
	size_t kept = 0, before = group->handles.count;

	group->oldest_ns = group->newest_ns = 0;
	array_each (handle, &group->handles) {
		uint64_t opened_ns = handle->opened.time_ns;
		enum filter_rule rule =
		    filter_try_handle(filtering->filter, filtering->report, handle, end_ns);

		if (rule) {
			hide(filtering, rule);
			continue;
		}
		if (opened_ns && (!group->oldest_ns || opened_ns < group->oldest_ns))
			group->oldest_ns = opened_ns;
		if (opened_ns > group->newest_ns)
			group->newest_ns = opened_ns;
		group->handles.data[kept++] = *handle;
	}
	group->open = group->handles.count = kept;
	return before - kept;
}

static void thin_groups(struct filtering *filtering, struct diff *diff)
{
	size_t kept = 0;

	array_each (group, &diff->groups) {
		uint64_t gone = thin_group(filtering, group, diff->end_ns);

		diff->hidden += gone;
		if (group->handles.count) {
			filtering->hidden->handles += gone;
			diff->groups.data[kept++] = *group;
			continue;
		}
		filtering->hidden->places++;
		filtering->hidden->place_handles += gone;
		array_fini(&group->handles);
	}
	diff->groups.count = kept;
}

/* The counts say what is told. */
static void uncount_other(struct diff *diff, const struct handle *handle)
{
	if (handle->origin == ORIGIN_BEFORE_TRACING)
		diff->before_tracing--;
	else if (handle->origin == ORIGIN_INHERITED)
		diff->inherited--;
	else if (handle->opened.time_ns < diff->snapshot_ns)
		diff->before_snapshot--;
	else
		diff->after_snapshots--;
}

static void thin_others(struct filtering *filtering, struct diff *diff)
{
	size_t kept = 0;

	array_each (handle, &diff->others) {
		enum filter_rule rule =
		    filter_try_handle(filtering->filter, filtering->report, handle, diff->end_ns);

		if (!rule) {
			diff->others.data[kept++] = *handle;
			continue;
		}
		hide(filtering, rule);
		uncount_other(diff, handle);
		filtering->hidden->handles++;
		diff->hidden++;
	}
	diff->others.count = kept;
}

/*
 * A bad reference has no type, name or age. Of its stacks one has to meet --stack, and none may
 * meet --not-stack.
 */
static enum filter_rule try_bad(struct filtering *filtering, const struct bad_reference *bad)
{
	const struct handle_moment *moments[] = {&bad->now, &bad->closed, &bad->opened,
						 &bad->earlier};
	bool met = false;

	for (size_t i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
		enum filter_rule rule;

		if (i && !moments[i]->time_ns)
			continue;
		rule = filter_try_stack(filtering->filter, filtering->report, moments[i]->stack_id);
		if (rule == FILTER_NOT_STACK)
			return rule;
		met |= rule == FILTER_NONE;
	}
	return met ? FILTER_NONE : FILTER_STACK;
}

static void hide_bad(struct filtering *filtering, struct report_process *shown)
{
	size_t count = shown->process->bad_references.count;

	for (size_t i = 0; i < count; i++) {
		enum filter_rule rule = try_bad(filtering, &shown->process->bad_references.data[i]);

		if (!rule)
			continue;
		if (!shown->bad_hidden)
			shown->bad_hidden = xcalloc(count, sizeof(*shown->bad_hidden));
		shown->bad_hidden[i] = true;
		filtering->hidden->bad_references++;
		hide(filtering, rule);
	}
}

/* ---- --top ---- */

/* One place, in all processes that have it. */
struct ranked {
	const char *type;
	uint32_t stack_id;
	enum handle_origin origin;
	int rank;        /* of its best verdict */
	uint64_t weight; /* group_weight(), of all its groups */
	uint64_t newest_ns;
	size_t order; /* in which they were found */
	bool kept;
};

struct ranking {
	ARRAY(struct ranked) places;
	struct map index; /* hash of the place -> index + 1 */
};

static bool is_place(const struct ranked *place, const struct group *group)
{
	return place->stack_id == group->stack_id && place->origin == group->origin &&
	       (place->type == group->type ||
		(place->type && group->type && !strcmp(place->type, group->type)));
}

/* The place of a group, made where there was none. */
static struct ranked *ranked_of(struct ranking *ranking, const struct group *group)
{
	uint64_t type = group->type ? hash_bytes(group->type, strlen(group->type), 0) : 0;
	uint64_t key = hash_combine(type, (uint64_t)group->stack_id << 8 | group->origin);
	uint64_t *slot;

	for (;; key = hash_u64(key + 1)) { /* two places with one hash: the next key */
		slot = map_put(&ranking->index, key);
		if (!*slot)
			break;
		if (is_place(&ranking->places.data[*slot - 1], group))
			return &ranking->places.data[*slot - 1];
	}
	array_push(&ranking->places, (struct ranked){.type = group->type,
						     .stack_id = group->stack_id,
						     .origin = group->origin,
						     .rank = INT_MAX,
						     .order = ranking->places.count});
	*slot = ranking->places.count;
	return &ranking->places.data[ranking->places.count - 1];
}

static int compare_ranked(const void *left, const void *right)
{
	const struct ranked *a = *(const struct ranked *const *)left;
	const struct ranked *b = *(const struct ranked *const *)right;

	if (a->rank != b->rank)
		return a->rank - b->rank;
	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	if (a->newest_ns != b->newest_ns)
		return a->newest_ns > b->newest_ns ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static void rank(struct ranking *ranking, const struct report *report,
		 const struct report_process *process, const struct group *group)
{
	struct ranked *place = ranked_of(ranking, group);
	uint64_t weight = group_weight(report, process, group);
	int order = report->sort == SORT_DEFAULT ? verdict_rank(group->verdict) : 0;

	if (report->sort != SORT_AGE)
		place->weight += weight;
	else if (weight > place->weight)
		place->weight = weight;
	if (order < place->rank)
		place->rank = order;
	if (group->newest_ns > place->newest_ns)
		place->newest_ns = group->newest_ns;
}

static void ranking_make(struct ranking *ranking, const struct report *report, uint32_t top)
{
	ARRAY(struct ranked *) sorted = {0};

	array_each (process, &report->processes)
		array_each (group, &process->diff.groups)
			rank(ranking, report, process, group);
	array_each (place, &ranking->places)
		array_push(&sorted, place);
	if (sorted.count)
		qsort(sorted.data, sorted.count, sizeof(*sorted.data), compare_ranked);
	for (size_t i = 0; i < sorted.count && i < top; i++)
		sorted.data[i]->kept = true;
	array_fini(&sorted);
}

static void keep_ranked(struct filtering *filtering, struct ranking *ranking, struct diff *diff)
{
	size_t kept = 0;

	array_each (group, &diff->groups) {
		if (ranked_of(ranking, group)->kept) {
			diff->groups.data[kept++] = *group;
			continue;
		}
		hide(filtering, FILTER_TOP);
		filtering->hidden->places++;
		filtering->hidden->place_handles += group->open;
		diff->hidden += group->open;
		array_fini(&group->handles);
	}
	diff->groups.count = kept;
}

void report_keep_top(struct report *report)
{
	struct filtering filtering = {
	    .report = report, .filter = report->filter, .hidden = &report->hidden};
	struct ranking ranking = {0};

	if (filter_top(report->filter) == UINT32_MAX)
		return;
	ranking_make(&ranking, report, filter_top(report->filter));
	array_each (process, &report->processes)
		keep_ranked(&filtering, &ranking, &process->diff);
	array_fini(&ranking.places);
	map_fini(&ranking.index);
}

void report_filter(struct report *report, struct filter *filter)
{
	struct filtering filtering = {
	    .report = report, .filter = filter, .hidden = &report->hidden};

	report->filter = filter;
	if (!filter)
		return;
	array_each (process, &report->processes) {
		thin_groups(&filtering, &process->diff);
		thin_others(&filtering, &process->diff);
		hide_bad(&filtering, process);
	}
}

bool report_tells_bad(const struct report_process *shown, const struct bad_reference *bad)
{
	return !shown->bad_hidden || !shown->bad_hidden[bad - shown->process->bad_references.data];
}
