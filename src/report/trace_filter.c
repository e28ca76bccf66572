/*
 * Owns what is known of the handle that a trace is of. The model tells type and name of what a
 * number stands for now, or stood for last; of what was before that, the type where its opening is
 * listed: a place opens one type.
 */
#include "report/trace_filter.h"

#include "base/hash.h"
#include "base/map.h"

/* One handle from its opening to its close. */
struct life {
	const char *type, *name; /* NULL: not known */
};

struct lives {
	const struct report *report;
	int32_t pid; /* of the process that is looked at */
	ARRAY(struct life) lives;
	struct map opened; /* hash of (pid, number, opening time) -> index + 1 */
	struct map closed; /* hash of (pid, number, closing time) -> index + 1 */
	struct map places; /* hash of (pid, stack_id) -> type, by its address */
};

static uint64_t key_of(int32_t pid, int32_t number, uint64_t time_ns)
{
	return hash_combine(hash_combine((uint32_t)pid, (uint32_t)number), time_ns);
}

static uint64_t life_at(struct lives *lives, int32_t pid, int32_t number, uint64_t opened_ns)
{
	uint64_t *slot = map_put(&lives->opened, key_of(pid, number, opened_ns));

	if (!*slot) {
		array_push(&lives->lives, (struct life){0});
		*slot = lives->lives.count;
	}
	return *slot;
}

static void add_known(void *context, const struct handle *handle)
{
	struct lives *lives = context;
	uint64_t at = life_at(lives, lives->pid, handle->number, handle->opened.time_ns);

	lives->lives.data[at - 1] =
	    (struct life){handle->type, handle->name ?: fd_syscalls_fixed_name(handle->type)};
}

static void add_process(struct lives *lives, const struct process *process)
{
	lives->pid = process->pid;
	model_known_handles(lives->report->model, process, -1, add_known, lives);
	array_each (place, &process->places) {
		uint64_t key = hash_combine((uint32_t)process->pid, place->stack_id);

		if (place->type && place->stack_id != STACK_NONE)
			*map_put(&lives->places, key) = (uintptr_t)place->type;
	}
}

/* The handle that a trace opens or closes; a bad reference is of the one that was closed before. */
static void add_trace(struct lives *lives, const struct trace *trace)
{
	const char *type;
	uint64_t at;

	if (trace->kind == TRACE_OPEN) {
		at = life_at(lives, trace->pid, trace->number, trace->moment.time_ns);
		type = map_get_pointer(&lives->places,
				       hash_combine((uint32_t)trace->pid, trace->moment.stack_id));
		if (!lives->lives.data[at - 1].type)
			lives->lives.data[at - 1].type = type;
	} else if (trace->kind == TRACE_CLOSE && trace->before_ns) {
		at = life_at(lives, trace->pid, trace->number, trace->before_ns);
		*map_put(&lives->closed, key_of(trace->pid, trace->number, trace->moment.time_ns)) =
		    at;
	}
}

static const struct life *life_of(const struct lives *lives, const struct trace *trace)
{
	static const struct life unknown;
	uint64_t time_ns = trace->kind == TRACE_OPEN ? trace->moment.time_ns : trace->before_ns;
	const struct map *index =
	    trace->kind == TRACE_BAD_REFERENCE ? &lives->closed : &lives->opened;
	const uint64_t *at = map_get(index, key_of(trace->pid, trace->number, time_ns));

	return at ? &lives->lives.data[*at - 1] : &unknown;
}

static enum filter_rule try_trace(const struct lives *lives, const struct trace *trace)
{
	const struct life *life = life_of(lives, trace);
	const struct filter_subject subject = {
	    .type = life->type,
	    .name = life->name,
	    .begin_ns = trace->moment.time_ns,
	    .end_ns = lives->report->now_ns,
	    .stack_id = trace->moment.stack_id,
	};

	return filter_try(lives->report->filter, lives->report, &subject);
}

void trace_list_filter(struct trace_list *list, const struct report *report)
{
	struct lives lives = {.report = report};
	size_t kept = 0;

	if (!report->filter)
		return;
	array_each (shown, &report->processes)
		add_process(&lives, shown->process);
	array_each (item, &list->traces)
		add_trace(&lives, &item->trace);
	array_each (item, &list->traces) {
		enum filter_rule rule = try_trace(&lives, &item->trace);

		if (rule) {
			list->hidden.traces++;
			list->hidden.by |= 1u << rule;
			continue;
		}
		list->traces.data[kept++] = *item;
	}
	list->traces.count = kept;
	array_fini(&lives.lives);
	map_fini(&lives.opened);
	map_fini(&lives.closed);
	map_fini(&lives.places);
}
