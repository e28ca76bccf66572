/*
 * Owns the model: applies handle operations to the tables. Forks are in family.c, closes in
 * close.c, the truth in observe.c.
 */
#include "model/model.h"

#include "base/alloc.h"
#include "model/handle_type.h"
#include "model/kinds.h"
#include "model/model_private.h"
#include "stack/stack_table.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(STACK_END_N <= 8, "process.stack_ends has a count for each");
_Static_assert(sizeof(struct handle) + sizeof(struct handle_past) <= 96, "there are many");
_Static_assert(sizeof(struct trace) == 40, "there are many");

struct model *model_new(const struct model_observer *observer)
{
	struct model *model = xcalloc(1, sizeof(*model));

	model->quiet_ns = EXHAUSTED_QUIET_NS;
	model->every_ns = GROWTH_STEP_NS;
	if (observer)
		model->observer = *observer;
	return model;
}

void model_set_near(struct model *model, uint32_t (*near)(const void *context, uint32_t stack_id),
		    const void *context)
{
	model->near = near;
	model->near_context = context;
}

void model_free(struct model *model)
{
	if (!model)
		return;
	map_each (entry, &model->tables)
		handle_table_free((struct handle_table *)(uintptr_t)entry->value);
	map_each (entry, &model->tasks)
		free((void *)(uintptr_t)entry->value);
	array_each (record, &model->processes)
		process_free(*record);
	map_fini(&model->tables);
	map_fini(&model->tasks);
	map_fini(&model->by_pid);
	array_fini(&model->processes);
	array_fini(&model->awaited);
	map_fini(&model->awaited_keys);
	strtab_fini(&model->strings);
	crossings_fini(model);
	names_fini(&model->names);
	free(model);
}

struct handle_moment moment_of(const struct actor *actor)
{
	return (struct handle_moment){.time_ns = actor->time_ns,
				      .pid = actor->pid,
				      .tid = actor->tid,
				      .stack_id = actor->stack_id};
}

uint16_t trace_call(uint32_t call)
{
	return call < TRACE_CALL_NONE ? call : TRACE_CALL_NONE;
}

void handle_shut(struct model *model, struct handle_table *table, struct handle *handle,
		 const struct handle_moment *moment, enum close_cause cause, uint16_t call)
{
	const struct trace trace = {.kind = TRACE_CLOSE,
				    .detail = cause,
				    .call = call,
				    .pid = moment->pid,
				    .number = handle->number,
				    .moment = *moment,
				    .before_ns = handle->opened.time_ns};

	stale_close_remember(table, handle, moment);
	handle_set_open(table, handle, false);
	*handle_past(handle) = (struct handle_past){.closed = *moment, .opened = handle->opened};
	handle->closed_by = cause;
	if (table->owner)
		place_close(table->owner, handle, moment);
	if (model->observer.trace)
		model->observer.trace(model->observer.context, &trace);
}

/* A number that is open, as somebody else than a system call of the process told. */
struct handle *handle_found(struct model *model, struct handle_table *table, int32_t number,
			    enum handle_origin origin, const char *type)
{
	struct handle *handle = handle_table_put(table, number);

	handle_set_open(table, handle, true);
	handle->cloexec = false;
	handle->origin = origin;
	handle->opened = (struct handle_moment){0};
	handle->doubt = 0;
	handle->awaited = false;
	handle->observed = false;
	handle->type = type ? strtab_intern(&model->strings, type) : NULL;
	handle->opened_as = type ? OPENED_AS_TYPE : OPENED_AS_UNKNOWN;
	handle_set_name(table, handle, NULL, 0);
	if (table->owner)
		place_open(table->owner, handle);
	return handle;
}

static void tell_opened(struct model *model, const struct handle *handle, uint32_t call)
{
	const struct trace trace = {.kind = TRACE_OPEN,
				    .call = trace_call(call),
				    .pid = handle->opened.pid,
				    .number = handle->number,
				    .moment = handle->opened};

	if (model->observer.trace)
		model->observer.trace(model->observer.context, &trace);
}

/* accept() says "socket"; the listening one is known to be a tcp one. */
static const char *type_of_op(struct model *model, const struct handle_table *table,
			      const struct handle_op *op)
{
	const struct handle *like = op->alike ? handle_table_get(table, op->source) : NULL;

	if (!op->type)
		return NULL;
	if (like && like->open && like->type && handle_type_is(like->type, op->type))
		return like->type;
	return strtab_intern(&model->strings, op->type);
}

static void open_one(struct model *model, const struct actor *actor, struct handle_table *table,
		     const struct handle_op *op)
{
	struct handle_moment now = moment_of(actor), closed;
	const struct handle *source =
	    op->kind == HANDLE_DUPLICATE ? handle_table_get(table, op->source) : NULL;
	struct handle *handle = handle_table_put(table, op->number);
	const char *type = type_of_op(model, table, op);

	if (source == handle || (source && !source->open))
		source = NULL;
	if (handle->open) {
		bool onto = op->kind == HANDLE_DUPLICATE;

		if (close_explain(model, table, handle, onto, &closed))
			handle_shut(model, table, handle, &closed, CLOSED_BY_CALL, TRACE_CALL_NONE);
		else if (onto)
			handle_shut(model, table, handle, &now, CLOSED_BY_DUP,
				    trace_call(actor->call));
		else
			handle_shut(model, table, handle, &now, CLOSED_UNSEEN, TRACE_CALL_NONE);
	}
	handle_set_open(table, handle, true);
	handle->cloexec = op->cloexec;
	handle->origin = op->kind == HANDLE_RECEIVE ? ORIGIN_RECEIVED : ORIGIN_OPENED;
	handle->opened = now;
	handle->touched_ns = actor->time_ns;
	handle->doubt = 0;
	handle->awaited = false;
	handle->observed = false;
	handle->type = source ? source->type : type;
	handle->opened_as = source && source->opened_as != OPENED_AS_TYPE
				? source->opened_as
				: opened_as_of(handle->type);
	if (source)
		handle_share_name(handle, source);
	else
		handle_set_name(table, handle, op->name, op->name_bytes);
	if (table->owner)
		place_open(table->owner, handle);
	tell_opened(model, handle, actor->call);
	if (model->awaited.count)
		awaited_arrived(model, table, handle, actor->time_ns);
}

struct cloexec_setting {
	uint64_t time_ns;
	bool cloexec;
};

static void cloexec_one(void *context, struct handle *handle)
{
	const struct cloexec_setting *setting = context;

	if (!handle->open)
		return;
	handle->cloexec = setting->cloexec;
	handle->touched_ns = setting->time_ns;
}

static void unshare(struct model *model, const struct actor *actor, struct process_record *record)
{
	struct handle_table *table = task_table(model, record, actor->tid), *own;
	bool only_user = table == record->table && actor->tid == actor->pid && !record->threads;

	if (table->refs == 1 && (only_user || table != record->table))
		return;
	own = table_copy(model, table, record, false);
	if (only_user) { /* shared with another process */
		record->table = own;
		table_release(model, table, record);
		return;
	}
	task_own(model, record, actor->tid, own, actor->time_ns);
}

/* The kernel said EBADF. Of a number that is open: another argument, or opened for reading only. */
static void bad_reference(struct model *model, const struct actor *actor,
			  struct process_record *record, const struct handle_op *op)
{
	struct handle_table *table = task_table(model, record, actor->tid);
	const struct handle *handle = handle_table_get(table, op->number);
	struct bad_reference bad = {.number = op->number,
				    .call = actor->call,
				    .kind = BAD_NEVER_OPENED,
				    .asks = op->asks,
				    .count = 1,
				    .now = moment_of(actor)};

	if (handle && handle->open)
		return;
	if (handle && model_handle_past(handle)->closed.time_ns) {
		bad.kind = BAD_USE_AFTER_CLOSE;
		bad.closed = model_handle_past(handle)->closed;
		bad.opened = model_handle_past(handle)->opened;
	} else if (!table->complete || record->public.incomplete) {
		return;
	}
	stale_close_notice(model, record, table, &bad);
	bad_reference_add(model, record, &bad);
}

void model_apply(struct model *model, const struct actor *actor, const struct handle_op *op)
{
	struct process_record *record = process_of(model, actor);
	struct cloexec_setting setting = {actor->time_ns, op->cloexec};

	if (op->kind != HANDLE_CLOSE_FAILED)
		close_settle(model, record, actor->tid);
	switch (op->kind) {
	case HANDLE_OPEN:
	case HANDLE_DUPLICATE:
	case HANDLE_RECEIVE:
		if (op->number >= 0)
			open_one(model, actor, task_table(model, record, actor->tid), op);
		break;
	case HANDLE_CLOSE:
		close_begin(model, actor, record, op);
		break;
	case HANDLE_CLOSE_FAILED:
		close_failed(model, actor, record, op);
		break;
	case HANDLE_CLOSE_RANGE:
		close_range_begin(model, actor, record, op);
		break;
	case HANDLE_CLOEXEC:
		handle_table_each(task_table(model, record, actor->tid), op->number, op->last,
				  false, cloexec_one, &setting);
		break;
	case HANDLE_UNSHARE:
		unshare(model, actor, record);
		break;
	case HANDLE_BAD_REFERENCE:
		bad_reference(model, actor, record, op);
		break;
	case HANDLE_RECONCILE:
		record->public.incomplete = true;
		break;
	case HANDLE_EXHAUSTED:
		exhausted_add(model, record, actor, op);
		break;
	}
}

void model_lost(struct model *model)
{
	array_each (record, &model->processes)
		if (!(*record)->public.exited)
			(*record)->public.incomplete = true;
}

void model_stack_ended(struct model *model, int32_t pid, int end)
{
	struct process_record *record = map_get_pointer(&model->by_pid, (uint32_t)pid);

	if (!record || end < 0 || end >= STACK_END_N)
		return;
	record->public.stack_ends[end]++;
	record->public.truncated_stacks += end == STACK_END_TRUNCATED;
}

struct telling {
	int32_t number; /* -1: all */
	bool open_only;
	void (*each)(void *context, const struct handle *handle);
	void *context;
};

static void tell_one(void *context, struct handle *handle)
{
	struct telling *telling = context;

	if (handle->open || !telling->open_only)
		telling->each(telling->context, handle);
}

static void tell_table(const struct handle_table *table, void *context)
{
	struct telling *telling = context;
	bool all = telling->number < 0;

	handle_table_each(table, all ? 0 : telling->number, all ? INT32_MAX : telling->number, all,
			  tell_one, telling);
}

/* The tables of a process: its leader's first. */
static void tables_each(const struct model *model, const struct process *process,
			void (*each)(const struct handle_table *table, void *context),
			void *context)
{
	const struct process_record *record = (const struct process_record *)process;
	const struct handle_table *leader = task_table(model, record, process->pid);

	if (process->exited)
		leader = record->table;
	each(leader, context);
	if (leader != record->table)
		each(record->table, context);
	array_each (tid, &record->own_tables) {
		const struct task *task = task_find(model, process->pid, *tid);

		if (task && task->table && task->table != leader)
			each(task->table, context);
	}
	array_each (table, &record->ended)
		each(*table, context);
}

static void tell_tables(const struct model *model, const struct process *process,
			struct telling *telling)
{
	tables_each(model, process, tell_table, telling);
}

static void count_open(const struct handle_table *table, void *context)
{
	*(uint64_t *)context += table->open;
}

uint64_t model_open_count(const struct model *model, const struct process *process)
{
	uint64_t open = 0;

	tables_each(model, process, count_open, &open);
	return open;
}

void model_open_handles(const struct model *model, const struct process *process,
			void (*each)(void *context, const struct handle *handle), void *context)
{
	struct telling telling = {
	    .number = -1, .open_only = true, .each = each, .context = context};

	tell_tables(model, process, &telling);
}

void model_known_handles(const struct model *model, const struct process *process, int32_t number,
			 void (*each)(void *context, const struct handle *handle), void *context)
{
	struct telling telling = {.number = number, .each = each, .context = context};

	tell_tables(model, process, &telling);
}

const struct handle *model_handle(const struct model *model, const struct process *process,
				  int32_t number)
{
	const struct process_record *record = (const struct process_record *)process;

	return handle_table_get(
	    process->exited ? record->table : task_table(model, record, process->pid), number);
}

const struct place *model_place(const struct model *model, const struct process *process,
				const struct handle *handle)
{
	const struct place *place;

	(void)model;
	if (handle->place >= process->places.count)
		return NULL;
	place = &process->places.data[handle->place];
	return place->stack_id == handle->opened.stack_id && place->type == handle_class(handle)
		   ? place
		   : NULL;
}

size_t model_bytes(const struct model *model)
{
	size_t bytes = sizeof(*model);

	bytes += model->by_pid.capacity * sizeof(struct map_entry);
	bytes += model->tables.capacity * sizeof(struct map_entry);
	bytes += model->tasks.capacity * sizeof(struct map_entry);
	bytes += model->tasks.count * sizeof(struct task);
	bytes += model->awaited.capacity * sizeof(struct awaited);
	bytes += model->awaited_keys.capacity * sizeof(struct map_entry);
	bytes += model->processes.capacity * sizeof(void *);
	bytes += crossings_bytes(model);
	map_each (entry, &model->tables)
		bytes += handle_table_bytes((struct handle_table *)(uintptr_t)entry->value);
	array_each (item, &model->processes) {
		const struct process_record *record = *item;

		bytes += sizeof(*record);
		bytes += record->public.places.capacity * sizeof(struct place);
		array_each (place, &record->public.places) {
			bytes += place->ends ? sizeof(*place->ends) : 0;
			bytes += place->growth ? sizeof(*place->growth) : 0;
		}
		bytes += record->public.growth_times ? sizeof(struct growth_times) : 0;
		bytes += record->public.bad_references.capacity * sizeof(struct bad_reference);
		bytes += exhausted_bytes(record->public.exhausted);
		bytes += record->place_index.capacity * sizeof(struct map_entry);
		bytes += record->bad_index.capacity * sizeof(struct map_entry);
		bytes += kinds_bytes(record);
		bytes += record->own_tables.capacity * sizeof(int32_t);
	}
	return bytes;
}
