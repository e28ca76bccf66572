/* Owns the arithmetic between what the model keeps of a place and the facts that rules read. */
#include "trace/facts.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

/* A hundred workers tell what a thousand would. */
enum { KIN_MAX = 100 };

static bool strings_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool facts_counts(const struct place *place, const struct handle *handle)
{
	return place->stack_id == handle->opened.stack_id && place->origin == handle->origin &&
	       strings_equal(place->type, handle_class(handle));
}

static uint64_t length_ns(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}

static int compare_times(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

struct open_ones {
	const struct place *place;
	const struct handle *handles;
	size_t handles_n;
	uint64_t end_ns;
};

static void count_kept(struct leak_facts *facts, const struct open_ones *open)
{
	const struct place *place = open->place;
	uint64_t limit_ns = leak_age_limit(facts);
	uint64_t until_ns = open->end_ns > limit_ns ? open->end_ns - limit_ns : 0;
	struct kept *kept = &facts->kept;
	ARRAY(uint64_t) times = {0};
	uint64_t last_ns;

	*kept = (struct kept){.closed = place->ends ? lived_longer(place->ends, limit_ns) : 0};
	for (size_t i = 0; i < open->handles_n; i++) {
		uint64_t opened_ns = open->handles[i].opened.time_ns;

		if (opened_ns && opened_ns <= until_ns)
			array_push(&times, opened_ns);
	}
	kept->count = times.count;
	if (!times.count)
		return;
	qsort(times.data, times.count, sizeof(*times.data), compare_times);
	last_ns = times.data[times.count - 1];
	for (size_t i = 1; i < times.count; i++)
		if (times.data[i] - times.data[i - 1] > kept->gap_ns)
			kept->gap_ns = times.data[i] - times.data[i - 1];
	kept->span_ns = last_ns - times.data[0];
	kept->quiet_ns = length_ns(
	    last_ns, facts->closed && place->last_ns < until_ns ? place->last_ns : until_ns);
	kept->since_ns = length_ns(place->first_ns, last_ns);
	array_fini(&times);
}

static void add_place(struct leak_facts *facts, const struct process *process,
		      const struct open_ones *open)
{
	const struct place *place = open->place;

	facts->opened = place->opened;
	facts->closed = place->closed;
	facts->open_most = place->open_most;
	facts->one_call = place->first_ns == place->last_ns;
	facts->burst_ns = length_ns(place->first_ns, place->last_ns);
	facts->quiet_ns = length_ns(place->last_ns, open->end_ns);
	facts->levels_known = place->growth && process->growth_times &&
			      level_read(process->growth_times, place->growth, place->first_ns,
					 open->end_ns, facts->levels);
	if (place->ends) {
		facts->lived_known = place->ends->known;
		facts->lived_ns = lived_quantile(place->ends, 1);
		facts->lived_half_ns = lived_quantile(place->ends, 500);
	}
	count_kept(facts, open);
	if (place->ends && leak_lives_long(facts)) {
		facts->lived_ns = place->ends->longest_ns;
		count_kept(facts, open);
	}
}

void facts_make(struct leak_facts *out, const struct process *process, const struct place *place,
		const struct handle *handles, size_t handles_n, uint64_t end_ns)
{
	*out = (struct leak_facts){
	    .opened = handles_n,
	    .open = handles_n,
	    .open_most = handles_n,
	    .watched_ns = length_ns(process->start_ns, end_ns),
	    .process_ended = process->exited,
	};
	for (size_t i = 0; i < handles_n; i++) {
		uint64_t age_ns = length_ns(handles[i].opened.time_ns, end_ns);

		if (age_ns > out->oldest_open_ns)
			out->oldest_open_ns = age_ns;
	}
	if (place)
		add_place(out, process, &(struct open_ones){place, handles, handles_n, end_ns});
}

struct gathering {
	const struct place *place;
	ARRAY(struct handle) handles;
};

static void gather(void *context, const struct handle *handle)
{
	struct gathering *gathering = context;

	if (facts_counts(gathering->place, handle))
		array_push(&gathering->handles, *handle);
}

static const struct place *place_like(const struct process *process, const struct place *like)
{
	array_each (place, &process->places)
		if (place->stack_id == like->stack_id && place->origin == like->origin &&
		    strings_equal(place->type, like->type))
			return place;
	return NULL;
}

void facts_find_kin(struct kin *out, const struct model *model, const struct process *process,
		    const struct place *place, uint64_t now_ns)
{
	uint32_t looked_at = 0;

	*out = (struct kin){0};
	for (size_t i = 0; i < model_processes(model) && looked_at < KIN_MAX; i++) {
		const struct process *other = model_process_at(model, i);
		uint64_t end_ns = other->exited && other->exit_ns ? other->exit_ns : now_ns;
		struct gathering gathering = {0};
		struct leak_facts facts;

		if (other == process || other->parent != process->parent ||
		    !strings_equal(other->exe, process->exe))
			continue;
		looked_at++;
		gathering.place = place_like(other, place);
		if (!gathering.place || !gathering.place->closed ||
		    gathering.place->opened == gathering.place->closed)
			continue;
		model_open_handles(model, other, gather, &gathering);
		facts_make(&facts, other, gathering.place, gathering.handles.data,
			   gathering.handles.count, end_ns);
		array_fini(&gathering.handles);
		out->keeping += facts.kept.count > 0;
		out->late += leak_kept_late(&facts);
	}
}
