/* Owns the list of processes and what is left of those that ended. */
#include "model/kinds.h"
#include "model/model_private.h"

#include "base/alloc.h"

#include <stdlib.h>

struct process_record *process_find(const struct model *model, int32_t pid)
{
	struct process_record *record = map_get_pointer(&model->by_pid, (uint32_t)pid);

	return record && !record->public.exited ? record : NULL;
}

struct process_record *process_add(struct model *model, int32_t pid, int32_t parent,
				   uint64_t time_ns)
{
	struct process_record *record = process_find(model, pid);

	if (record) { /* its end was not seen, but its number was given out again */
		record->public.exit_ns = time_ns;
		record->public.incomplete = true;
		process_end(model, record);
	}
	record = xcalloc(1, sizeof(*record));
	record->public.pid = pid;
	record->public.parent = parent;
	record->public.start_ns = time_ns;
	array_push(&model->processes, record);
	map_put_pointer(&model->by_pid, (uint32_t)pid, record);
	return record;
}

struct process *model_attach(struct model *model, int32_t pid, int32_t parent, uint64_t time_ns)
{
	struct process_record *record = process_find(model, pid);

	if (!record) {
		record = process_add(model, pid, parent, time_ns);
		record->table = table_add(model, record);
	}
	return &record->public;
}

void model_forget_attached(struct model *model)
{
	model->forgets_attached = true;
}

void model_set_exe(struct model *model, int32_t pid, const char *exe)
{
	struct process_record *record = process_find(model, pid);

	if (!record)
		return;
	record->public.exe = strtab_intern(&model->strings, exe);
	crossings_name(model, record);
}

struct process_record *process_of(struct model *model, const struct actor *actor)
{
	struct process_record *record = process_find(model, actor->pid);

	if (!record) {
		model_attach(model, actor->pid, 0, actor->time_ns);
		record = process_find(model, actor->pid);
		record->public.incomplete = true;
	}
	record->public.events++;
	if (actor->tid != actor->pid)
		record->threads = true;
	return record;
}

void process_free(struct process_record *record)
{
	array_each (place, &record->public.places) {
		free(place->ends);
		free(place->growth);
	}
	free(record->public.growth_times);
	array_fini(&record->public.places);
	array_fini(&record->public.bad_references);
	exhausted_free(record->public.exhausted);
	array_fini(&record->own_tables);
	array_fini(&record->crossed);
	array_fini(&record->ended);
	map_fini(&record->place_index);
	map_fini(&record->bad_index);
	kinds_free(record);
	free(record);
}

/* Of what it opened itself. */
static uint64_t process_open_handles(const struct process_record *record)
{
	uint64_t open = 0;

	array_each (place, &record->public.places)
		open += place->opened - place->closed;
	return open;
}

/* Whether it stays for the report. */
static bool process_is_kept(struct model *model, const struct process_record *record)
{
	uint64_t open = process_open_handles(record);

	if (!record->forked && !model->forgets_attached)
		return true;
	if (!open && !record->public.incomplete && !record->public.bad_references.count &&
	    !record->public.exhausted)
		return false;
	if (model->ended_kept < PROCESSES_ENDED_MAX) {
		model->ended_kept++;
		return true;
	}
	model->forgotten.untold++;
	model->forgotten.untold_handles += open;
	return false;
}

static void process_forget(struct model *model, struct process_record *record)
{
	struct forgotten *total = &model->forgotten;
	size_t at = model->processes.count;

	total->processes++;
	total->events += record->public.events;
	total->truncated_stacks += record->public.truncated_stacks;
	total->reconciled += record->public.reconciled;
	for (size_t i = 0; i < 8; i++)
		total->stack_ends[i] += record->public.stack_ends[i];
	while (at > 0 && model->processes.data[at - 1] != record)
		at--;
	for (; at < model->processes.count; at++)
		model->processes.data[at - 1] = model->processes.data[at];
	model->processes.count--;
	if (map_get_pointer(&model->by_pid, (uint32_t)record->public.pid) == record)
		map_remove(&model->by_pid, (uint32_t)record->public.pid);
	record->public.exited = false; /* its tables go now, counted or not */
	table_release(model, record->table, record);
	array_each (table, &record->ended)
		table_release(model, *table, record);
	process_free(record);
}

/* A table that others go on using is theirs: this process has nothing open in it any more. */
static struct handle_table *table_keep(struct model *model, struct process_record *record,
				       struct handle_table *table)
{
	if (table->refs > 1) {
		table_release(model, table, record);
		table = table_add(model, record);
	}
	/* A bad reference says how the number was closed. */
	handle_table_trim(table, record->public.bad_references.count);
	return table;
}

/* Threads that are still there end with the process: their tables are kept for the report. */
void process_end(struct model *model, struct process_record *record)
{
	int32_t pid = record->public.pid;
	struct task *leader = task_find(model, pid, pid);

	if (leader && leader->table) {
		struct handle_table *shared = record->table;

		record->table = leader->table;
		leader->table = shared; /* an odd thread's now, kept as such below */
	}
	array_each (tid, &record->own_tables) {
		struct task *task = task_find(model, pid, *tid);

		if (task && task->table) {
			array_push(&record->ended, task->table);
			task_free(model, task);
		}
	}
	array_fini(&record->own_tables);
	leader = task_find(model, pid, pid);
	if (leader)
		task_free(model, leader);
	record->table = table_keep(model, record, record->table);
	array_each (table, &record->ended)
		*table = table_keep(model, record, *table);
	record->public.exited = true;
	map_fini(&record->bad_index);
	map_fini(&record->place_index);
	kinds_free(record);
	if (!process_is_kept(model, record))
		process_forget(model, record);
}

size_t model_processes(const struct model *model)
{
	return model->processes.count;
}

const struct process *model_process_at(const struct model *model, size_t index)
{
	return index < model->processes.count ? &model->processes.data[index]->public : NULL;
}

const struct process *model_process(const struct model *model, int32_t pid)
{
	const struct process_record *record = map_get_pointer(&model->by_pid, (uint32_t)pid);

	return record ? &record->public : NULL;
}

const struct forgotten *model_forgotten_totals(const struct model *model)
{
	return &model->forgotten;
}

uint64_t model_forgotten(const struct model *model)
{
	return model->forgotten.processes;
}
