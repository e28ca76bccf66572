/*
 * What the files of the model share with each other: its structs, and the small steps that forks,
 * closes and comparisons are made of. Nobody outside src/model/ includes it.
 */
#ifndef HTRACE_MODEL_MODEL_PRIVATE_H
#define HTRACE_MODEL_MODEL_PRIVATE_H

#include "base/map.h"
#include "base/strtab.h"
#include "model/handle_table.h"
#include "model/model.h"

enum close_found {
	FOUND_OPEN = 1,    /* the close took this handle */
	FOUND_CLOSED = 2,  /* it came too late, or the opening is not recorded yet */
	FOUND_UNKNOWN = 3, /* the number was never seen */
	FOUND_RANGE = 4,   /* close_range */
};

/* The last close of a thread, for as long as it may still say that it failed. */
struct close_in_flight {
	uint64_t table_id; /* 0: none */
	int32_t first, last;
	enum close_found found;
	bool guessed; /* FOUND_OPEN, but nothing proves it */
	struct handle_moment moment;
	struct handle_moment closed, opened; /* of the number, as it was before this close */
	struct handle_moment rival; /* FOUND_OPEN: another thread's close of the same number, which
				       began after this one; time_ns 0: none */
};

/* A thread that has something of its own. */
struct task {
	int32_t pid, tid;
	struct handle_table *table; /* NULL: the process's */
	struct close_in_flight close;
};

/* A place of struct crossings, if it is still kept there. */
struct crossed {
	uint64_t id;
	uint32_t index;
};

struct process_record {
	struct process public;
	struct handle_table *table;         /* of all threads that have none of their own */
	bool forked;                        /* known by its fork, not by model_attach() */
	bool threads;                       /* other threads than the leader use `table` */
	ARRAY(int32_t) own_tables;          /* tids of the tasks with a table of their own */
	ARRAY(struct handle_table *) ended; /* of threads that lived when the process ended */
	struct map place_index;             /* hash -> index + 1 */
	struct map bad_index;               /* hash -> index + 1 */
	struct map kinds;                   /* of handles: kinds.c's */
	struct map homes;                   /* who closes what, likewise */
	ARRAY(struct crossed) crossed;      /* of its last exec, whose program is not told yet */
	uint64_t crossed_ns;                /* that exec's time */
};

/* `number` of the child's table was being opened in the parent's when it forked. */
struct awaited {
	uint64_t source_id, child_id; /* tables */
	int32_t number;
	uint64_t time_ns;
};

struct model {
	struct model_observer observer;
	uint32_t (*near)(const void *context,
			 uint32_t stack_id); /* NULL: stacks are what they are */
	const void *near_context;
	ARRAY(struct process_record *) processes; /* in order of start */
	struct map by_pid;                        /* the latest process of that pid */
	struct map tasks;                         /* tid -> struct task * */
	struct map tables;                        /* id -> struct handle_table * */
	uint64_t table_ids;
	size_t tasks_kept;     /* at the last pruning */
	struct strtab strings; /* types, and paths of programs */
	struct names names;    /* of handles */
	ARRAY(struct awaited) awaited;
	struct map awaited_keys; /* hash of (source, number) -> how many of them */
	bool forgets_attached;
	uint64_t every_ns;   /* between the first samples of a process */
	uint64_t quiet_ns;   /* between two episodes of exhaustion */
	uint32_t ended_kept; /* forked processes that ended and stay */
	struct forgotten forgotten;
	struct crossings crossings;
	struct map crossing_index; /* hash -> index + 1 */
	uint32_t crossings_standard;
	uint64_t crossing_ids;
	uint64_t crossings_full; /* number of an exec for which there is no more room */
};

/* process.c */
struct process_record *process_find(const struct model *model, int32_t pid); /* NULL: none lives */
struct process_record *process_add(struct model *model, int32_t pid, int32_t parent,
				   uint64_t time_ns);
void process_end(struct model *model, struct process_record *record);
void process_free(struct process_record *record);
struct process_record *process_of(struct model *model, const struct actor *actor);

/* task.c: which thread uses which table */
struct task *task_find(const struct model *model, int32_t pid, int32_t tid);
struct task *task_put(struct model *model, struct process_record *record, int32_t tid,
		      uint64_t now_ns);
void task_end(struct model *model, struct process_record *record, int32_t tid);
void task_free(struct model *model, struct task *task); /* its table is another's now */
void task_own(struct model *model, struct process_record *record, int32_t tid,
	      struct handle_table *table, uint64_t now_ns);
struct handle_table *task_table(const struct model *model, const struct process_record *record,
				int32_t tid);
struct handle_table *table_add(struct model *model, struct process_record *owner);
void table_release(struct model *model, struct handle_table *table, struct process_record *by);
/* A new table with all that `source` has. */
struct handle_table *table_copy(struct model *model, struct handle_table *source,
				struct process_record *owner, bool forked);

/* place.c: who counts what */
void place_open(struct process_record *record, struct handle *handle);
/* `closed`: what closed it; NULL: it goes to another process's count. */
void place_close(struct process_record *record, struct handle *handle,
		 const struct handle_moment *closed);
void place_retype(struct process_record *record, struct handle *handle, const char *type);
enum opened_as opened_as_of(const char *type);

/* close.c */
void close_begin(struct model *model, const struct actor *actor, struct process_record *record,
		 const struct handle_op *op);
void close_range_begin(struct model *model, const struct actor *actor,
		       struct process_record *record, const struct handle_op *op);
void close_failed(struct model *model, const struct actor *actor, struct process_record *record,
		  const struct handle_op *op);
/* The thread did something else: its close has succeeded. */
void close_settle(struct model *model, struct process_record *record, int32_t tid);
/* Finds the close that closed `handle` though it did not seem so; `guess`: or it may not have. */
bool close_explain(struct model *model, const struct handle_table *table,
		   const struct handle *handle, bool guess, struct handle_moment *out);
/* True where the last close of `handle` may not have taken effect at `now_ns`. */
bool close_under_way(const struct model *model, const struct handle_table *table,
		     const struct handle *handle, uint64_t now_ns);

/* bad_reference.c */
void bad_reference_add(struct model *model, struct process_record *record,
		       const struct bad_reference *bad);

/* exhausted.c: a call failed for want of a handle */
void exhausted_add(struct model *model, struct process_record *record, const struct actor *actor,
		   const struct handle_op *op);
void exhausted_free(struct exhaustion *exhausted);
void exhausted_stacks_each(const struct exhaustion *exhausted,
			   void (*each)(void *context, uint32_t stack_id), void *context);
size_t exhausted_bytes(const struct exhaustion *exhausted);

/* crossing.c: what stays open over an exec, once its table is right; then which program it is */
void crossings_add(struct model *model, struct process_record *record, uint64_t time_ns);
void crossings_name(struct model *model, struct process_record *record);
void crossings_fini(struct model *model);
size_t crossings_bytes(const struct model *model);

/* fds.c: corrections by an EVENT_DATA_FDS; `unseen` is the origin of what a complete table lacks */
void fds_correct(struct model *model, struct handle_table *table, const struct event_data *fds,
		 const struct actor *actor, const struct handle_table *forked_from,
		 enum handle_origin unseen);
void awaited_arrived(struct model *model, const struct handle_table *source,
		     const struct handle *handle, uint64_t now_ns);
void awaited_copy(struct model *model, uint64_t from_id, uint64_t to_id, int32_t number);

/* model.c */
struct handle_moment moment_of(const struct actor *actor);
void handle_shut(struct model *model, struct handle_table *table, struct handle *handle,
		 const struct handle_moment *moment, enum close_cause cause, uint16_t call);
/* An actor's call as a trace has it. */
uint16_t trace_call(uint32_t call);
struct handle *handle_found(struct model *model, struct handle_table *table, int32_t number,
			    enum handle_origin origin, const char *type);
enum handle_origin origin_of_unseen(const struct handle_table *table);

#endif
