/*
 * Handles opened since a snapshot and still open, grouped by (class, opening stack, origin), sorted
 * by what matters: leaks first, then by how many are open.
 */
#ifndef HTRACE_TRACE_DIFF_H
#define HTRACE_TRACE_DIFF_H

#include "base/array.h"
#include "model/model.h"
#include "trace/leak.h"
#include "trace/snapshot.h"

struct group {
	const char *type; /* what all of its handles are (model/handle_type.h) */
	uint32_t stack_id;
	enum handle_origin origin;
	uint64_t opened, closed; /* by this place since tracing began */
	uint64_t open;           /* in handles */
	enum verdict verdict;
	char reason[LEAK_REASON_BYTES];
	uint64_t oldest_ns, newest_ns; /* opening times of handles; 0: not known */
	const struct lived *ends;     /* of the place's closed ones; NULL: not known. The model's */
	const struct growth *growth;  /* open over time, at the times of diff.process; likewise */
	ARRAY(struct handle) handles; /* copies, ascending by number */
};

struct diff {
	const struct process *process;
	uint64_t open_handles;    /* of the process, all */
	uint64_t before_tracing;  /* of these */
	uint64_t inherited;       /* of these */
	uint64_t before_snapshot; /* of these, opened under tracing */
	uint64_t after_snapshots; /* of these, opened after the second of two snapshots */
	uint64_t hidden; /* of these, taken out by a filter: in no list, and not counted above */
	uint64_t snapshot_ns; /* the snapshot's time */
	uint64_t now_ns;      /* the report's time */
	uint64_t end_ns;      /* ages are counted up to here: the report, or the exit before it */
	ARRAY(struct group) groups;
	ARRAY(struct handle) others; /* copies of those in no group, ascending by number */
};

/* diff_fini() frees. Handles of before the snapshot, and inherited ones, are in no group but are
 * counted. `now_ns` is the time for ages and verdicts. */
void diff_make(struct diff *out, const struct model *model, const struct process *process,
	       const struct snapshot *snapshot, uint64_t now_ns);
void diff_fini(struct diff *diff);

#endif
