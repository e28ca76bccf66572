/* Owns the bad references of a process: equal ones are one with a count, distinct ones bounded. */
#include "model/model_private.h"

#include "base/hash.h"

static bool bad_reference_equal(const struct bad_reference *a, const struct bad_reference *b)
{
	return a->number == b->number && a->call == b->call && a->kind == b->kind &&
	       a->asks == b->asks && a->now.stack_id == b->now.stack_id &&
	       a->closed.stack_id == b->closed.stack_id &&
	       a->opened.stack_id == b->opened.stack_id &&
	       a->earlier.stack_id == b->earlier.stack_id;
}

static uint64_t bad_reference_hash(const struct bad_reference *bad)
{
	uint64_t hash = hash_combine((uint32_t)bad->number, bad->call);

	hash = hash_combine(hash, bad->kind);
	hash = hash_combine(hash, bad->now.stack_id);
	hash = hash_combine(hash, bad->closed.stack_id);
	return hash_combine(hash, bad->opened.stack_id);
}

void bad_reference_add(struct model *model, struct process_record *record,
		       const struct bad_reference *bad)
{
	struct process *process = &record->public;
	const struct trace trace = {.kind = TRACE_BAD_REFERENCE,
				    .detail = bad->kind,
				    .asks = bad->asks,
				    .call = trace_call(bad->call),
				    .pid = process->pid,
				    .number = bad->number,
				    .moment = bad->now,
				    .before_ns = bad->closed.time_ns};

	if (model->observer.trace)
		model->observer.trace(model->observer.context, &trace);
	for (uint64_t key = bad_reference_hash(bad);; key++) {
		uint64_t *slot = map_get(&record->bad_index, key);
		struct bad_reference *known;

		if (!slot) {
			if (process->bad_references.count == BAD_REFERENCES_MAX) {
				process->bad_references_dropped++;
				return;
			}
			array_push(&process->bad_references, *bad);
			*map_put(&record->bad_index, key) = process->bad_references.count;
			return;
		}
		known = &process->bad_references.data[*slot - 1];
		if (bad_reference_equal(known, bad)) {
			uint64_t count = known->count + bad->count;

			*known = *bad;
			known->count = count;
			return;
		}
	}
}
