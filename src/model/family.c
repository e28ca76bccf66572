/* Owns what fork, exec and exit do to tables: who shares, who copies, what is inherited. */
#include "model/kinds.h"
#include "model/model_private.h"

#include <limits.h>

static void fork_thread(struct model *model, const struct actor *parent,
			struct process_record *record, int32_t child_tid, uint16_t flags,
			const struct event_data *fds)
{
	struct handle_table *table;

	task_end(model, record, child_tid); /* left over from an earlier life of the number */
	table = task_table(model, record, parent->tid);
	if (flags & EVENT_FORK_FILES) {
		if (table == record->table) {
			record->threads = true;
			return;
		}
		table->refs++;
		task_own(model, record, child_tid, table, parent->time_ns);
		return;
	}
	task_own(model, record, child_tid, table_copy(model, table, record, true), parent->time_ns);
	fds_correct(model, task_table(model, record, child_tid), fds, parent, table,
		    ORIGIN_INHERITED);
}

void model_fork(struct model *model, const struct actor *parent, int32_t child_pid,
		int32_t child_tid, uint16_t fork_flags, const struct event_data *fds)
{
	struct process_record *record = process_of(model, parent), *child;
	struct handle_table *table;

	close_settle(model, record, parent->tid);
	if (fork_flags & EVENT_FORK_THREAD || child_pid == parent->pid) {
		fork_thread(model, parent, record, child_tid, fork_flags, fds);
		return;
	}
	child = process_add(model, child_pid, parent->pid, parent->time_ns);
	task_end(model, child, child_tid); /* left over from an earlier life of the number */
	table = task_table(model, record, parent->tid);
	child->forked = true;
	child->public.incomplete = record->public.incomplete;
	if (fork_flags & EVENT_FORK_FILES) {
		table->refs++;
		child->table = table;
		return;
	}
	child->table = table_copy(model, table, child, true);
	fds_correct(model, child->table, fds, parent, table, ORIGIN_INHERITED);
}

struct exec_closing {
	struct model *model;
	struct handle_table *table;
	const struct event_data *fds;
	struct handle_moment moment;
};

static bool fds_speaks_for(const struct event_data *fds, uint32_t number)
{
	return fds && fds->kind == EVENT_DATA_FDS &&
	       (!(fds->header.flags & EVENT_DATA_CUT) || number < fds->size / 8 * 64);
}

static bool fds_holds(const struct event_data *fds, uint32_t number)
{
	return number / 8 < fds->size / 8 * 8 && fds->bytes[number / 8] >> number % 8 & 1;
}

/* The kernel's own table decides where it was told; close-on-exec as we know it, elsewhere. */
static void exec_one(void *context, struct handle *handle)
{
	struct exec_closing *closing = context;
	bool stays = !handle->cloexec;

	if (!handle->open)
		return;
	if (fds_speaks_for(closing->fds, handle->number))
		stays = fds_holds(closing->fds, handle->number);
	if (!stays) {
		handle_shut(closing->model, closing->table, handle, &closing->moment,
			    CLOSED_BY_EXEC, TRACE_CALL_NONE);
		return;
	}
	handle->cloexec = false;
	if (handle->origin != ORIGIN_BEFORE_TRACING)
		handle->origin = ORIGIN_INHERITED; /* its place goes on counting it */
}

/* The table that the new program goes on with; all other threads are gone. */
static struct handle_table *exec_table(struct model *model, struct process_record *record,
				       int32_t old_tid)
{
	struct handle_table *table = task_table(model, record, old_tid), *copy;

	table->refs++;
	while (record->own_tables.count)
		task_end(model, record, record->own_tables.data[--record->own_tables.count]);
	table_release(model, record->table, record);
	if (table->refs > 1) {
		copy = table_copy(model, table, record, false);
		table_release(model, table, record);
		table = copy;
	}
	return table;
}

static void tasks_settle(struct model *model, struct process_record *record)
{
	map_each (entry, &model->tasks) {
		const struct task *task = (const struct task *)(uintptr_t)entry->value;

		if (task->pid == record->public.pid)
			close_settle(model, record, task->tid);
	}
}

void model_exec(struct model *model, const struct actor *actor, int32_t old_tid,
		const struct event_data *fds)
{
	struct process_record *record = process_of(model, actor);
	struct exec_closing closing = {.model = model, .fds = fds, .moment = moment_of(actor)};

	if (record->threads) /* they have died, and their closes were over before */
		tasks_settle(model, record);
	close_settle(model, record, old_tid);
	record->table = exec_table(model, record, old_tid);
	record->threads = false;
	closing.table = record->table;
	handle_table_each(record->table, 0, INT32_MAX, false, exec_one, &closing);
	kinds_free(record); /* none of that code is there any more */
	stale_close_forget(record->table);
	fds_correct(model, record->table, fds, actor, NULL, ORIGIN_INHERITED);
	crossings_add(model, record, actor->time_ns);
}

void model_exit(struct model *model, const struct actor *actor, uint16_t exit_flags, int32_t status,
		const struct event_data *fds)
{
	struct process_record *record = process_of(model, actor);

	close_settle(model, record, actor->tid);
	if (!(exit_flags & EVENT_EXIT_PROCESS)) {
		task_end(model, record, actor->tid);
		return;
	}
	fds_correct(model, task_table(model, record, actor->tid), fds, actor, NULL, ORIGIN_UNKNOWN);
	record->public.exit_status = status;
	record->public.exit_ns = actor->time_ns;
	process_end(model, record);
}
