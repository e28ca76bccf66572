/*
 * One table of handles, found by number. Memory follows the records kept, not the largest number.
 * Knows nothing of tasks, processes and counts.
 */
#ifndef HTRACE_MODEL_HANDLE_TABLE_H
#define HTRACE_MODEL_HANDLE_TABLE_H

#include "base/map.h"
#include "model/model.h"
#include "model/name.h"
#include "model/stale_close.h"

enum { HANDLES_PER_CHUNK = 32 };

struct handle_chunk {
	uint32_t known;           /* bit n: handles[n] is in use */
	struct handle_past *past; /* of all, once one of them was closed */
	struct handle handles[HANDLES_PER_CHUNK];
};

struct process_record;

struct handle_table {
	uint64_t id; /* never used twice */
	uint32_t refs;
	bool complete;                /* what is not in it is not open */
	struct process_record *owner; /* counts the places of what is opened in it */
	uint64_t open;                /* handles that are */
	struct names *names;          /* of all tables */
	struct map chunks;            /* number / HANDLES_PER_CHUNK -> struct handle_chunk * */
	struct stale_memory *stale;   /* NULL: nothing to remember */
};

struct handle_table *handle_table_new(uint64_t id, struct process_record *owner,
				      struct names *names);
void handle_table_free(struct handle_table *table);

/* The record of `number`; NULL where there is none. Good until the next handle_table_forget(). */
struct handle *handle_table_get(const struct handle_table *table, int32_t number);

/* Likewise, made empty where there was none. `number` >= 0. */
struct handle *handle_table_put(struct handle_table *table, int32_t number);

/* Drops one record, or all of numbers that are not open, and the past of the others unless it is
 * to be kept: nothing more will happen in the table. */
void handle_table_forget(struct handle_table *table, int32_t number);
void handle_table_trim(struct handle_table *table, bool keep_past);

/* The handle is open from now on, or no longer. */
void handle_set_open(struct handle_table *table, struct handle *handle, bool open);

/* Sets the name (copied; NULL: none). */
void handle_set_name(const struct handle_table *table, struct handle *handle, const char *name,
		     size_t bytes);
void handle_share_name(struct handle *handle, const struct handle *source);

/* What the number stood for before (never NULL), to be changed. */
struct handle_past *handle_past(struct handle *handle);

/* `copy`, of `table`, becomes as `source`, with its name and past. */
void handle_copy(struct handle_table *table, struct handle *copy, const struct handle *source);

size_t handle_table_bytes(const struct handle_table *table);

/* Calls `each` for all records in first..last, in ascending order if `sorted`; it may change them,
 * but neither put nor forget. */
void handle_table_each(const struct handle_table *table, int32_t first, int32_t last, bool sorted,
		       void (*each)(void *context, struct handle *handle), void *context);

#endif
