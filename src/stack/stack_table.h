/*
 * Interned call stacks: the same frames are stored once and have one stack_id. Knows nothing of
 * names, files or what a stack was taken for.
 */
#ifndef HTRACE_STACK_STACK_TABLE_H
#define HTRACE_STACK_STACK_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum { STACK_FRAMES_MAX = 256, STACK_NONE = 0 };

/*
 * One frame. `image` says which loaded file the address lies in (os/image.h; 0: in none), so that
 * a frame keeps its meaning when the file is unmapped or the process is gone.
 */
struct frame {
	uint64_t pc; /* address in the target; a return address unless `exact` */
	uint32_t image : 31;
	uint32_t exact : 1; /* the innermost frame, or one that a signal interrupted: look up pc
			       itself; for any other frame look up pc - 1 (the call) */
};

/* Why a stack has no more frames. Append only. */
enum stack_end {
	STACK_END_COMPLETE = 0,  /* the outermost frame was reached */
	STACK_END_TRUNCATED = 1, /* the next frame lies in bytes that were not copied */
	STACK_END_NO_CFI = 2,    /* no unwinding rule for the pc, and no frame pointer to follow */
	STACK_END_BAD_READ = 3,  /* a rule led to an address outside any copied stack */
	STACK_END_BAD_PC = 4,    /* a return address that lies in no executable mapping */
	STACK_END_TOO_DEEP = 5,  /* STACK_FRAMES_MAX reached */
	STACK_END_NO_COPY = 6,   /* the collector could not read any of the stack */
	STACK_END_N,
};

struct stack {
	const struct frame *frames; /* innermost first */
	uint32_t frames_n;
	enum stack_end end;
};

struct stack_table;

struct stack_table *stack_table_new(void);
void stack_table_free(struct stack_table *table);

/* The id of this stack, the same for equal frames and end; never STACK_NONE. Copies `frames`. */
uint32_t stack_table_intern(struct stack_table *table, const struct frame *frames,
			    uint32_t frames_n, enum stack_end end);

/* The stack of `stack_id`; one without frames for STACK_NONE. Borrowed, good until the next sweep.
 */
struct stack stack_table_get(const struct stack_table *table, uint32_t stack_id);

/* A hash of the innermost STACK_NEAR_FRAMES frames, and no id: not 0. */
enum { STACK_NEAR_FRAMES = 3 };
uint32_t stack_table_near(const struct stack_table *table, uint32_t stack_id);

/*
 * Drops every stack whose id is not marked: kept[id] is 0, for ids up to stack_table_last(). Such
 * an id is given out again later; whoever remembers ids must have marked them or forget them.
 */
void stack_table_sweep(struct stack_table *table, const uint8_t *kept);
uint32_t stack_table_last(const struct stack_table *table); /* the largest id in use */

/* Number of stacks, and bytes that the table holds in all. */
uint32_t stack_table_count(const struct stack_table *table);
size_t stack_table_bytes(const struct stack_table *table);

#endif
