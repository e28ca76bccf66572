/*
 * What a table remembers to tell a stale close: one that succeeded on somebody else's handle,
 * because the number was given out again. docs/BAD_REFERENCES.md has the rule.
 */
#ifndef HTRACE_MODEL_STALE_CLOSE_H
#define HTRACE_MODEL_STALE_CLOSE_H

#include "model/model.h"

enum {
	ELDER_SETS = 32, /* a power of two */
	ELDER_WAYS = 4,
	SUSPECTS_MAX = 8,
};

/* Somebody that a number stood for before the last one. closed.time_ns 0: nobody. */
struct elder {
	int32_t number;
	struct handle_moment closed, opened;
};

/* A close that may have been stale: what happens next to the number will say. */
struct suspect {
	int32_t number;
	uint32_t call;
	uint32_t place;     /* of the handle that it closed */
	uint32_t near;      /* its kind */
	uint32_t last_near; /* kind of the last one that the number stood for since */
	uint32_t links;     /* closes of the number since */
	uint64_t elsewhere; /* handles of its kind that others had closed, until then: at least */
	struct process_record *owner; /* whose places they are */
	bool reported;
	/* Its victim may close another's handle in turn, who then may do the same. */
	uint32_t passes;
	uint32_t lost;                    /* kind of the last one that lost its handle */
	struct handle_moment wrong, next; /* the last wrong close, and the first after `now` */
	struct handle_moment now, opened;
	struct handle_moment earlier_closed, earlier_opened;
};

struct stale_memory {
	struct elder elders[ELDER_SETS][ELDER_WAYS];
	struct suspect suspects[SUSPECTS_MAX];
	uint32_t suspects_n;
};

struct process_record;
struct handle_table;

/* `handle`, which is open, is about to be closed by `closing`: its past will be overwritten. */
void stale_close_remember(struct handle_table *table, const struct handle *handle,
			  const struct handle_moment *closing);

/*
 * Likewise by a call of close(), before anything is counted: true where it may be stale. The caller
 * counts the close and then says stale_close_mark().
 */
bool stale_close_look(struct model *model, struct handle_table *table, const struct handle *handle,
		      const struct handle_moment *closing, uint32_t call);
void stale_close_mark(struct handle_table *table, uint32_t place, uint32_t stack_id);

/* Numbers mean something else now: another program runs, or none. */
void stale_close_forget(struct handle_table *table);

/* `bad`, a bad reference that is not counted yet, may be what a stale close has led to: that one is
 * reported, then. */
void stale_close_notice(struct model *model, struct process_record *record,
			struct handle_table *table, const struct bad_reference *bad);

#endif
