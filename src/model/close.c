/*
 * Owns closes: recorded on entry, before it is known whether they succeed and which of several
 * threads wins. Remembers the last close of each thread, and judges it when the thread's next
 * event (it succeeded) or its failure arrives.
 */
#include "model/model_private.h"

#include <errno.h>
#include <limits.h>

/* How long a close may take from its entry to freeing the number. */
static const uint64_t close_flight_ns = 10000000;

static bool moment_equal(const struct handle_moment *a, const struct handle_moment *b)
{
	return a->time_ns == b->time_ns && a->tid == b->tid && a->pid == b->pid;
}

/* The close under way that closed `handle`; NULL: it has succeeded since, or is not known. */
static struct close_in_flight *
closer_of(const struct model *model, const struct handle_table *table, const struct handle *handle)
{
	struct task *task;

	if (!model_handle_past(handle)->closed.time_ns)
		return NULL;
	task = task_find(model, model_handle_past(handle)->closed.pid,
			 model_handle_past(handle)->closed.tid);
	if (!task || task->close.table_id != table->id ||
	    !moment_equal(&task->close.moment, &model_handle_past(handle)->closed))
		return NULL;
	return &task->close;
}

bool close_under_way(const struct model *model, const struct handle_table *table,
		     const struct handle *handle, uint64_t now_ns)
{
	return !handle->open && closer_of(model, table, handle) &&
	       model_handle_past(handle)->closed.time_ns + close_flight_ns > now_ns;
}

void close_begin(struct model *model, const struct actor *actor, struct process_record *record,
		 const struct handle_op *op)
{
	struct task *task = task_put(model, record, actor->tid, actor->time_ns);
	struct handle_table *table = task_table(model, record, actor->tid);
	struct handle *handle = handle_table_get(table, op->number);
	struct close_in_flight *close = &task->close, *other;

	*close = (struct close_in_flight){.table_id = table->id,
					  .first = op->number,
					  .last = op->number,
					  .found = FOUND_UNKNOWN,
					  .moment = moment_of(actor)};
	if (!handle) {
		/* A number that was open since before tracing is closed now, and that is known. */
		if (!table->complete && op->number >= 0) {
			handle = handle_table_put(table, op->number);
			handle_past(handle)->closed = close->moment;
			handle->touched_ns = actor->time_ns;
		}
		return;
	}
	close->closed = model_handle_past(handle)->closed;
	close->opened = model_handle_past(handle)->opened;
	handle->touched_ns = actor->time_ns;
	handle->doubt = 0;
	if (handle->open) {
		uint32_t place = handle->place;
		bool stale = stale_close_look(model, table, handle, &close->moment, actor->call);

		close->found = FOUND_OPEN;
		handle_shut(model, table, handle, &close->moment, CLOSED_BY_CALL,
			    trace_call(actor->call));
		if (stale)
			stale_close_mark(table, place, close->moment.stack_id);
		return;
	}
	if (model_handle_past(handle)->closed.time_ns)
		close->found = FOUND_CLOSED;
	other = closer_of(model, table, handle);
	if (other && other != close && other->found == FOUND_OPEN)
		other->rival = close->moment;
}

struct range_closing {
	struct model *model;
	struct handle_table *table;
	struct handle_moment moment;
	uint16_t call;
};

static void range_close_one(void *context, struct handle *handle)
{
	struct range_closing *closing = context;
	struct close_in_flight *other;

	if (handle->open) {
		handle->touched_ns = closing->moment.time_ns;
		handle->doubt = 0;
		handle_shut(closing->model, closing->table, handle, &closing->moment,
			    CLOSED_BY_CALL, closing->call);
		return;
	}
	other = closer_of(closing->model, closing->table, handle);
	if (other && other->found == FOUND_OPEN)
		other->rival = closing->moment;
}

void close_range_begin(struct model *model, const struct actor *actor,
		       struct process_record *record, const struct handle_op *op)
{
	struct task *task = task_put(model, record, actor->tid, actor->time_ns);
	struct range_closing closing = {.model = model,
					.table = task_table(model, record, actor->tid),
					.moment = moment_of(actor),
					.call = trace_call(actor->call)};

	task->close = (struct close_in_flight){.table_id = closing.table->id,
					       .first = op->number,
					       .last = op->last,
					       .found = FOUND_RANGE,
					       .moment = closing.moment};
	handle_table_each(closing.table, op->number, op->last, false, range_close_one, &closing);
}

/* The thread's failing close found the number open: the other thread's close was the real one. */
static void blame_swap(const struct model *model, struct handle *handle,
		       struct close_in_flight *close)
{
	struct task *winner = task_find(model, close->rival.pid, close->rival.tid);

	if (winner && moment_equal(&winner->close.moment, &close->rival))
		winner->close.found = FOUND_OPEN;
	if (handle && moment_equal(&model_handle_past(handle)->closed, &close->moment)) {
		handle_past(handle)->closed = close->rival;
		close->opened = model_handle_past(handle)->opened;
	}
	close->closed = close->rival;
}

void close_failed(struct model *model, const struct actor *actor, struct process_record *record,
		  const struct handle_op *op)
{
	struct task *task = task_find(model, record->public.pid, actor->tid);
	struct handle_table *table = task_table(model, record, actor->tid);
	struct handle *handle = handle_table_get(table, op->number);
	struct close_in_flight *close = task ? &task->close : NULL, *other;
	struct bad_reference bad = {.number = op->number, .call = actor->call, .count = 1};
	uint32_t call = actor->call;

	if (!close || close->table_id != table->id || close->first != op->number ||
	    close->found == FOUND_RANGE)
		return; /* its entry was lost */
	if (op->error != -EBADF) {
		close_settle(model, record, actor->tid);
		return;
	}
	if (close->found == FOUND_OPEN && !close->guessed) {
		if (!close->rival.time_ns && handle)
			close_explain(model, table, handle, false, &close->rival);
		if (!close->rival
			 .time_ns) { /* a file's own flush said EBADF: closed all the same */
			close->table_id = 0;
			return;
		}
		blame_swap(model, handle, close);
	} else if (handle) {
		other = closer_of(model, table, handle);
		if (other && moment_equal(&other->rival, &close->moment))
			other->rival = (struct handle_moment){0};
		if (moment_equal(&model_handle_past(handle)->closed,
				 &close->moment)) /* it was not open after all */
			handle_past(handle)->closed = (struct handle_moment){0};
	}
	close->table_id = 0;
	bad.kind = close->closed.time_ns ? BAD_DOUBLE_CLOSE : BAD_NEVER_OPENED;
	if (bad.kind == BAD_NEVER_OPENED && (!table->complete || record->public.incomplete))
		return;
	bad.now = close->moment;
	bad.closed = close->closed;
	bad.opened = close->opened;
	bad.call = call == UINT32_MAX ? 3 : call;
	stale_close_notice(model, record, table, &bad);
	bad_reference_add(model, record, &bad);
}

/*
 * A close that found nothing to close has succeeded all the same: either the one that seemed to
 * have taken the handle has not (yet), or it closed one whose opening was recorded after its entry.
 */
static void close_was_real(struct model *model, struct handle_table *table,
			   struct close_in_flight *close)
{
	struct handle *handle = handle_table_get(table, close->first);
	struct task *taker = task_find(model, close->closed.pid, close->closed.tid);
	struct close_in_flight *other = taker ? &taker->close : NULL;

	if (!handle)
		return;
	if (other && (other->found != FOUND_OPEN || other->table_id != table->id ||
		      !moment_equal(&other->moment, &close->closed)))
		other = NULL;
	if (!other) { /* nor has one that took what was opened since */
		other = closer_of(model, table, handle);
		if (other && (other->found != FOUND_OPEN ||
			      model_handle_past(handle)->opened.time_ns < close->moment.time_ns))
			other = NULL;
	}
	if (other) {
		other->found = FOUND_CLOSED;
		if (moment_equal(&model_handle_past(handle)->closed, &other->moment))
			handle_past(handle)->closed = close->moment;
		other->closed = close->moment;
		other->opened = moment_equal(&other->moment, &close->closed)
				    ? close->opened
				    : model_handle_past(handle)->opened;
		other->rival = (struct handle_moment){0};
	} else if (handle->open && handle->opened.time_ns >= close->moment.time_ns) {
		handle_shut(model, table, handle, &close->moment, CLOSED_BY_CALL, TRACE_CALL_NONE);
	}
}

/*
 * `handle` must have been closed, for its number was given out again: by a close that found nothing
 * at its entry, if there is one under way. Rare, so that a search of all threads will do.
 */
bool close_explain(struct model *model, const struct handle_table *table,
		   const struct handle *handle, bool guess, struct handle_moment *out)
{
	map_each (entry, &model->tasks) {
		struct close_in_flight *close = &((struct task *)(uintptr_t)entry->value)->close;

		if (close->table_id != table->id || close->first != handle->number ||
		    (close->found != FOUND_CLOSED && close->found != FOUND_UNKNOWN))
			continue;
		close->found = FOUND_OPEN;
		close->guessed = guess;
		*out = close->moment;
		return true;
	}
	return false;
}

void close_settle(struct model *model, struct process_record *record, int32_t tid)
{
	struct task *task = task_find(model, record->public.pid, tid);
	struct handle_table *table;
	struct close_in_flight close;

	if (!task || !task->close.table_id)
		return;
	close = task->close;
	table = task_table(model, record, tid);
	task->close.table_id = 0;
	if (close.table_id != table->id || record->public.incomplete || !table->complete)
		return;
	if (close.found == FOUND_CLOSED || close.found == FOUND_UNKNOWN)
		close_was_real(model, table, &close);
}
