/* Owns the list of all that has a stack: what the stack table must not drop. */
#include "model/model_private.h"

#include <limits.h>

struct telling {
	void (*each)(void *context, uint32_t stack_id);
	void *context;
};

static void tell_handle(void *context, struct handle *handle)
{
	const struct handle_past *past = model_handle_past(handle);
	struct telling *telling = context;

	telling->each(telling->context, handle->opened.stack_id);
	telling->each(telling->context, past->opened.stack_id);
	telling->each(telling->context, past->closed.stack_id);
}

static void tell_moment(struct telling *telling, const struct handle_moment *moment)
{
	telling->each(telling->context, moment->stack_id);
}

static void tell_memory(struct telling *telling, const struct stale_memory *memory)
{
	for (uint32_t i = 0; i < ELDER_SETS * ELDER_WAYS; i++) {
		tell_moment(telling, &memory->elders[i / ELDER_WAYS][i % ELDER_WAYS].closed);
		tell_moment(telling, &memory->elders[i / ELDER_WAYS][i % ELDER_WAYS].opened);
	}
	for (uint32_t i = 0; i < memory->suspects_n; i++) {
		tell_moment(telling, &memory->suspects[i].now);
		tell_moment(telling, &memory->suspects[i].opened);
		tell_moment(telling, &memory->suspects[i].wrong);
		tell_moment(telling, &memory->suspects[i].next);
		tell_moment(telling, &memory->suspects[i].earlier_closed);
		tell_moment(telling, &memory->suspects[i].earlier_opened);
	}
}

static void tell_close(struct telling *telling, const struct close_in_flight *close)
{
	telling->each(telling->context, close->moment.stack_id);
	telling->each(telling->context, close->closed.stack_id);
	telling->each(telling->context, close->opened.stack_id);
	telling->each(telling->context, close->rival.stack_id);
}

void model_stacks_each(const struct model *model, void (*each)(void *context, uint32_t stack_id),
		       void *context)
{
	struct telling telling = {each, context};

	map_each (entry, &model->tables) {
		const struct handle_table *table =
		    (const struct handle_table *)(uintptr_t)entry->value;

		handle_table_each(table, 0, INT32_MAX, false, tell_handle, &telling);
		if (table->stale)
			tell_memory(&telling, table->stale);
	}
	map_each (entry, &model->tasks) {
		const struct task *task = (const struct task *)(uintptr_t)entry->value;

		if (task->close.table_id) /* it may still fail */
			tell_close(&telling, &task->close);
	}
	array_each (place, &model->crossings.places)
		each(context, place->stack_id);
	array_each (record, &model->processes) {
		array_each (place, &(*record)->public.places) {
			each(context, place->stack_id);
			for (uint32_t i = 0; place->ends && i < place->ends->closers_n; i++)
				each(context, place->ends->closers[i].stack_id);
		}
		array_each (bad, &(*record)->public.bad_references) {
			each(context, bad->now.stack_id);
			each(context, bad->closed.stack_id);
			each(context, bad->opened.stack_id);
			each(context, bad->earlier.stack_id);
			each(context, bad->noticed.stack_id);
		}
		exhausted_stacks_each((*record)->public.exhausted, each, context);
	}
}
