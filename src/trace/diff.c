/*
 * Owns the grouping of open handles: which belong together, in what order they are shown, and the
 * facts that leak.c judges them by. Knows no names and writes nothing.
 */
#include "trace/diff.h"

#include "base/hash.h"
#include "base/map.h"
#include "model/handle_type.h"
#include "trace/facts.h"

#include <stdlib.h>
#include <string.h>

/* The first snapshot of a session is as old as the session, but for so much. */
static const uint64_t FIRST_SNAPSHOT_NS = UINT64_C(1000000000);

struct builder {
	struct diff *diff;
	const struct snapshot *snapshot;
	struct map groups; /* hash of the key -> index of the group + 1 */
};

static bool types_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool group_holds(const struct group *group, const struct handle *handle)
{
	return group->stack_id == handle->opened.stack_id && group->origin == handle->origin &&
	       types_equal(handle_class(&group->handles.data[0]), handle_class(handle));
}

static uint64_t group_key(const struct handle *handle)
{
	const char *class = handle_class(handle);
	uint64_t type = class ? hash_bytes(class, strlen(class), 0) : 0;

	return hash_combine(type, (uint64_t)handle->opened.stack_id << 8 | handle->origin);
}

/* What all of them are, or as much as was known of them when they were opened. */
static const char *group_type(const struct group *group)
{
	const char *type = group->handles.data[0].type;

	array_each (handle, &group->handles)
		type = handle_type_common(type, handle->type);
	if (type && !strcmp(type, "mixed"))
		return handle_class(&group->handles.data[0]) ?: type;
	return type;
}

/* The group of `handle`, made where there was none. */
static struct group *group_of(struct builder *builder, const struct handle *handle)
{
	struct diff *diff = builder->diff;
	uint64_t key = group_key(handle);
	uint64_t *slot;

	for (;; key = hash_u64(key + 1)) { /* two groups with one hash: the next key */
		slot = map_put(&builder->groups, key);
		if (!*slot)
			break;
		if (group_holds(&diff->groups.data[*slot - 1], handle))
			return &diff->groups.data[*slot - 1];
	}
	array_push(&diff->groups, (struct group){
				      .stack_id = handle->opened.stack_id,
				      .origin = handle->origin,
				  });
	*slot = diff->groups.count;
	return &diff->groups.data[diff->groups.count - 1];
}

static void add_other(struct diff *diff, const struct snapshot *snapshot,
		      const struct handle *handle)
{
	if (handle->origin == ORIGIN_BEFORE_TRACING)
		diff->before_tracing++;
	else if (handle->origin == ORIGIN_INHERITED)
		diff->inherited++;
	else if (snapshot_after(snapshot, handle))
		diff->after_snapshots++;
	else
		diff->before_snapshot++;
	array_push(&diff->others, *handle);
}

static void add_handle(void *context, const struct handle *known)
{
	struct builder *builder = context;
	struct handle copy = *known;
	const struct handle *handle = &copy;
	struct diff *diff = builder->diff;
	uint64_t opened_ns = handle->opened.time_ns;
	struct group *group;

	/* What ended before anybody looked at its folder in /proc has a name all the same. */
	if (!copy.name)
		copy.name = fd_syscalls_fixed_name(copy.type);
	diff->open_handles++;
	if (handle->origin == ORIGIN_BEFORE_TRACING || handle->origin == ORIGIN_INHERITED ||
	    snapshot_before(builder->snapshot, handle) ||
	    snapshot_after(builder->snapshot, handle)) {
		add_other(diff, builder->snapshot, handle);
		return;
	}
	group = group_of(builder, handle);
	array_push(&group->handles, *handle);
	if (opened_ns && (!group->oldest_ns || opened_ns < group->oldest_ns))
		group->oldest_ns = opened_ns;
	if (opened_ns > group->newest_ns)
		group->newest_ns = opened_ns;
}

/*
 * The place that counts `handle`; NULL: none does. Its index is that of the process that counts it,
 * which is another one where two share a table.
 */
static const struct place *place_of(const struct process *process, const struct handle *handle)
{
	if (!process)
		return NULL;
	if (handle->place < process->places.count &&
	    facts_counts(&process->places.data[handle->place], handle))
		return &process->places.data[handle->place];
	array_each (place, &process->places)
		if (facts_counts(place, handle))
			return place;
	return NULL;
}

static uint64_t length_ns(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}

static void group_judge(struct group *group, const struct diff *diff, const struct model *model,
			const struct place *place)
{
	struct leak_facts facts;

	facts_make(&facts, diff->process, place, group->handles.data, group->handles.count,
		   diff->end_ns);
	facts.opening_unseen = group->origin == ORIGIN_UNKNOWN;
	if (place) {
		facts.after_snapshot =
		    length_ns(diff->process->start_ns, diff->snapshot_ns) >= FIRST_SNAPSHOT_NS &&
		    place->first_ns >= diff->snapshot_ns;
		if (facts.kept.count == 1 && facts.closed)
			facts_find_kin(&facts.kin, model, diff->process, place, diff->now_ns);
	}
	group->verdict = leak_judge(&facts, group->reason, sizeof(group->reason));
}

static int compare_numbers(const void *left, const void *right)
{
	const struct handle *a = left, *b = right;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return (a->opened.time_ns > b->opened.time_ns) - (a->opened.time_ns < b->opened.time_ns);
}

/* The model gives them in order, table by table: only tables of single threads break it. */
static void sort_handles(struct handle *handles, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (compare_numbers(&handles[i - 1], &handles[i]) <= 0)
			continue;
		qsort(handles, count, sizeof(*handles), compare_numbers);
		return;
	}
}

static void group_finish(struct group *group, const struct diff *diff, const struct model *model)
{
	const struct handle *first = &group->handles.data[0];
	const struct place *place = place_of(diff->process, first);

	if (!place && first->opened.pid != diff->process->pid)
		place = place_of(model_process(model, first->opened.pid), first);
	group->type = group_type(group);
	group->open = group->handles.count;
	group->opened = place ? place->opened : group->open;
	group->closed = place ? place->closed : 0;
	group->ends = place ? place->ends : NULL;
	group->growth =
	    place && place->growth && diff->process->growth_times ? place->growth : NULL;
	group_judge(group, diff, model, place);
	sort_handles(group->handles.data, group->handles.count);
}

/* Verdict, then how many are open, then the newest; the stack only so that equal runs print alike.
 */
static int compare_groups(const void *left, const void *right)
{
	const struct group *a = left, *b = right;
	int rank = verdict_rank(a->verdict) - verdict_rank(b->verdict);

	if (rank)
		return rank;
	if (a->open != b->open)
		return a->open > b->open ? -1 : 1;
	if (a->newest_ns != b->newest_ns)
		return a->newest_ns > b->newest_ns ? -1 : 1;
	return (a->stack_id > b->stack_id) - (a->stack_id < b->stack_id);
}

void diff_make(struct diff *out, const struct model *model, const struct process *process,
	       const struct snapshot *snapshot, uint64_t now_ns)
{
	struct builder builder = {.diff = out, .snapshot = snapshot};

	*out = (struct diff){
	    .process = process,
	    .snapshot_ns = snapshot->time_ns,
	    .now_ns = now_ns,
	    .end_ns = process->exited && process->exit_ns ? process->exit_ns : now_ns,
	};
	model_open_handles(model, process, add_handle, &builder);
	map_fini(&builder.groups);
	sort_handles(out->others.data, out->others.count);
	array_each (group, &out->groups)
		group_finish(group, out, model);
	if (out->groups.count)
		qsort(out->groups.data, out->groups.count, sizeof(*out->groups.data),
		      compare_groups);
}

void diff_fini(struct diff *diff)
{
	array_each (group, &diff->groups)
		array_fini(&group->handles);
	array_fini(&diff->groups);
	array_fini(&diff->others);
}
