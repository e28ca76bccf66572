/*
 * Owns threads and the tables that they use. A thread has a record only while it has something of
 * its own: a table, or a close that may still fail.
 */
#include "model/model_private.h"

#include "base/alloc.h"

#include <limits.h>
#include <stdlib.h>

enum {
	TASKS_PRUNE_MIN = 1024,
};

/* A close that fails with EBADF does so at once. */
static const uint64_t close_memory_ns = 10000000000u;

struct task *task_find(const struct model *model, int32_t pid, int32_t tid)
{
	struct task *task = map_get_pointer(&model->tasks, (uint32_t)tid);

	return task && task->pid == pid ? task : NULL;
}

/* The ends of threads may be left out, so that records of dead ones pile up. */
static void tasks_prune(struct model *model, uint64_t now_ns)
{
	struct map kept = {0};

	if (model->tasks.count < TASKS_PRUNE_MIN || model->tasks.count < 2 * model->tasks_kept)
		return;
	map_each (entry, &model->tasks) {
		struct task *task = (struct task *)(uintptr_t)entry->value;

		if (task->table || task->close.moment.time_ns + close_memory_ns > now_ns)
			map_put_pointer(&kept, entry->key, task);
		else
			free(task);
	}
	map_fini(&model->tasks);
	model->tasks = kept;
	model->tasks_kept = kept.count;
}

static void own_table_drop(struct process_record *record, int32_t tid)
{
	for (size_t i = 0; i < record->own_tables.count; i++)
		if (record->own_tables.data[i] == tid)
			record->own_tables.data[i--] =
			    record->own_tables.data[--record->own_tables.count];
}

struct task *task_put(struct model *model, struct process_record *record, int32_t tid,
		      uint64_t now_ns)
{
	struct task *task = map_get_pointer(&model->tasks, (uint32_t)tid);

	if (task && task->pid == record->public.pid)
		return task;
	if (!task) {
		tasks_prune(model, now_ns);
		task = xcalloc(1, sizeof(*task));
		map_put_pointer(&model->tasks, (uint32_t)tid, task);
	} else if (task->table) { /* the number of a thread whose end was not seen */
		struct process_record *other = process_find(model, task->pid);

		if (other)
			own_table_drop(other, tid);
		table_release(model, task->table, other);
	}
	*task = (struct task){.pid = record->public.pid, .tid = tid};
	return task;
}

void task_end(struct model *model, struct process_record *record, int32_t tid)
{
	struct task *task = task_find(model, record->public.pid, tid);

	if (!task)
		return;
	if (task->table) {
		own_table_drop(record, tid);
		table_release(model, task->table, record);
	}
	task_free(model, task);
}

void task_free(struct model *model, struct task *task)
{
	map_remove(&model->tasks, (uint32_t)task->tid);
	free(task);
}

/* Takes the reference to `table`. */
void task_own(struct model *model, struct process_record *record, int32_t tid,
	      struct handle_table *table, uint64_t now_ns)
{
	struct task *task = task_put(model, record, tid, now_ns);

	if (task->table)
		table_release(model, task->table, record);
	else
		array_push(&record->own_tables, tid);
	task->table = table;
}

struct handle_table *task_table(const struct model *model, const struct process_record *record,
				int32_t tid)
{
	struct task *task = task_find(model, record->public.pid, tid);

	return task && task->table ? task->table : record->table;
}

void model_own_table(struct model *model, int32_t pid, int32_t tid)
{
	struct process_record *record = process_find(model, pid);

	if (record && !(task_find(model, pid, tid) && task_find(model, pid, tid)->table))
		task_own(model, record, tid, table_add(model, record), record->public.start_ns);
}

struct handle_table *table_add(struct model *model, struct process_record *owner)
{
	struct handle_table *table = handle_table_new(++model->table_ids, owner, &model->names);

	map_put_pointer(&model->tables, table->id, table);
	return table;
}

struct copying {
	struct model *model;
	struct handle_table *from, *to;
	bool forked;
};

static void copy_one(void *context, struct handle *handle)
{
	struct copying *copying = context;
	struct handle *copy = handle_table_put(copying->to, handle->number);

	handle_copy(copying->to, copy, handle);
	copy->doubt = 0;
	copy->place = PLACE_NONE;
	if (copying->forked || handle->origin != ORIGIN_BEFORE_TRACING)
		copy->origin = ORIGIN_INHERITED;
	if (handle->open && handle->awaited)
		awaited_copy(copying->model, copying->from->id, copying->to->id, handle->number);
}

struct handle_table *table_copy(struct model *model, struct handle_table *source,
				struct process_record *owner, bool forked)
{
	struct copying copying = {
	    .model = model, .from = source, .to = table_add(model, owner), .forked = forked};

	copying.to->complete = source->complete;
	handle_table_each(source, 0, INT32_MAX, false, copy_one, &copying);
	return copying.to;
}

struct giving {
	struct process_record *from, *to;
};

static void handle_give(void *context, struct handle *handle)
{
	struct giving *giving = context;

	if (!handle->open || handle->place == PLACE_NONE)
		return;
	place_close(giving->from, handle, NULL);
	if (giving->to)
		place_open(giving->to, handle);
	else
		handle->place = PLACE_NONE;
}

static struct process_record *table_user(const struct model *model,
					 const struct handle_table *table,
					 const struct process_record * not )
{
	array_each (record, &model->processes)
		if (*record != not &&!(*record)->public.exited && (*record)->table == table)
			return *record;
	map_each (entry, &model->tasks) {
		struct task *task = (struct task *)(uintptr_t)entry->value;

		if (task->table == table && process_find(model, task->pid))
			return process_find(model, task->pid);
	}
	return NULL;
}

/* `by` (NULL: it is gone) uses the table no more; the last user's end closes what is open. */
void table_release(struct model *model, struct handle_table *table, struct process_record *by)
{
	struct giving giving = {.from = by};

	if (--table->refs) {
		giving.to = table_user(model, table, by);
		if (by && table->owner == by && giving.to) {
			handle_table_each(table, 0, INT32_MAX, false, handle_give, &giving);
			table->owner = giving.to;
		}
		return;
	}
	if (by && table->owner == by)
		handle_table_each(table, 0, INT32_MAX, false, handle_give, &giving);
	map_remove(&model->tables, table->id);
	handle_table_free(table);
}
