/*
 * How long the handles of an opening place lived, and where they were closed: what tells a leak
 * from handles that are merely in use. Bounded: a histogram, and the first few places of closing.
 */
#ifndef HTRACE_MODEL_LIVED_H
#define HTRACE_MODEL_LIVED_H

#include <stdint.h>

enum {
	/* Bucket 0: less than 2 us; bucket n: from 2^n us to less than 2^(n+1) us; the last one:
	 * that and longer (19 hours). */
	LIVED_BUCKETS = 37,
	CLOSERS_MAX = 8,
};

/* Whether it is right that a place closes these handles (model/stale_close.h). */
enum closer_suspicion {
	CLOSER_USUAL = 0,
	CLOSER_SUSPECTED = 1,
	CLOSER_WRONG = 2, /* it was reported */
};

struct closer {
	uint32_t stack_id;
	enum closer_suspicion suspicion : 8;
	uint64_t count;
};

struct lived {
	uint64_t longest_ns;
	uint64_t known; /* closed handles whose length of life is known: the sum of the buckets */
	uint32_t buckets[LIVED_BUCKETS]; /* UINT32_MAX: that many or more */
	uint32_t closers_n;
	struct closer closers[CLOSERS_MAX]; /* in the order in which they were first seen */
	uint64_t closed_elsewhere;          /* by others than these */
};

/* A handle that was opened at opened_ns (0: not known) was closed, at closed_ns, by that stack. */
void lived_add(struct lived *lived, uint64_t opened_ns, uint64_t closed_ns, uint32_t stack_id);

/*
 * A length of life that at most `thousandths` of the closed handles outlived: the upper end of a
 * bucket, or longest_ns where that is less. 0: none is known.
 */
uint64_t lived_quantile(const struct lived *lived, uint32_t thousandths);

/* How many closed handles lived so long or longer, at least: those of whole buckets. */
uint64_t lived_longer(const struct lived *lived, uint64_t length_ns);

#endif
