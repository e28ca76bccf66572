/* What a verdict is made of, from a place and those of its handles that are open. */
#ifndef HTRACE_TRACE_FACTS_H
#define HTRACE_TRACE_FACTS_H

#include "model/model.h"
#include "trace/leak.h"

#include <stddef.h>

/* `place` counts handles like this one. */
bool facts_counts(const struct place *place, const struct handle *handle);

/*
 * Facts up to end_ns; `place` may be NULL: then nothing is known but `handles`, the open ones that
 * the report looks at. Leaves out what only a report knows: opening_unseen, after_snapshot, kin.
 */
void facts_make(struct leak_facts *out, const struct process *process, const struct place *place,
		const struct handle *handles, size_t handles_n, uint64_t end_ns);

/* The same place in the living and ended processes of the same parent and program, the first
 * hundred of them; now_ns as in diff_make(). */
void facts_find_kin(struct kin *out, const struct model *model, const struct process *process,
		    const struct place *place, uint64_t now_ns);

#endif
