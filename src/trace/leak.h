/* The verdict on one opening place, with its reason: rules on counts, the same for all types. */
#ifndef HTRACE_TRACE_LEAK_H
#define HTRACE_TRACE_LEAK_H

#include "trace/level.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
	VERDICT_LEAK = 1,
	VERDICT_GROWING = 2,
	VERDICT_STEADY = 3,
	VERDICT_TRANSIENT = 4,
	VERDICT_UNKNOWN = 5,
};

/*
 * Handles that are kept: open ones that are older than what the closed ones of their place let
 * expect (leak_age_limit()); where none was closed, all. Their openings, in order of time.
 */
struct kept {
	uint64_t count;
	uint64_t span_ns;  /* from the first to the last */
	uint64_t gap_ns;   /* the longest between two of them */
	uint64_t quiet_ns; /* from the last to the moment after which none can be known as kept yet,
			      or at which the place opened its last handle, if that was before */
	uint64_t since_ns; /* from the place's first opening to the last kept one */
	uint64_t closed;   /* that lived as long as the kept ones, and were closed after all */
};

/* The same place in other processes of the same parent. */
struct kin {
	uint32_t keeping; /* processes where it has kept ones */
	uint32_t late;    /* of them, processes where leak_kept_late() */
};

/* What a verdict is made of. Times are lengths, up to the report or the process's end. */
struct leak_facts {
	uint64_t opened, closed; /* by this place since tracing began */
	uint64_t open;           /* still, of those that the report looks at */
	uint64_t open_most;      /* at once */
	uint64_t oldest_open_ns; /* age; 0: not known */
	uint64_t burst_ns;       /* from the place's first opening to its last */
	uint64_t quiet_ns;       /* since its last opening; 0: not known */
	uint64_t watched_ns;     /* since tracing of the process began */
	/* Closed ones whose length of life is known; a length that one in a thousand outlived, and
	 * one that half of them did. */
	uint64_t lived_known, lived_ns, lived_half_ns;
	struct kept kept;
	struct kin kin; /* only looked for where one is kept */
	bool levels_known;
	struct level levels[LEVEL_QUARTERS]; /* since the place's first opening */
	bool after_snapshot; /* the place opened nothing before the snapshot that the report is
				about, which was taken while tracing went on */
	bool process_ended;  /* the handles were still open when it ended */
	bool one_call;       /* all that the place opened was opened at one moment */
	bool opening_unseen; /* nothing is known of the opening but that it must have been */
};

enum { LEAK_REASON_BYTES = 256 };

/* The age from which on an open handle is kept; UINT64_MAX: too few were closed to tell. Reads
 * closed and lived_*. */
uint64_t leak_age_limit(const struct leak_facts *facts);

/* Nearly no closed one lived so long; UINT64_MAX as above. */
uint64_t leak_outlived(const struct leak_facts *facts);

/* The last kept one was opened after a third of the time watched. */
bool leak_kept_late(const struct leak_facts *facts);

/* So many lived as long as the kept ones and were closed that a leak is not what keeps them: then
 * all closed ones count for lived_ns, not all but a thousandth. */
bool leak_lives_long(const struct leak_facts *facts);

/* Writes one line of reason, with its numbers. The rules and thresholds stand in leak.c. */
enum verdict leak_judge(const struct leak_facts *facts, char *reason, size_t reason_bytes);

const char *verdict_name(enum verdict verdict); /* "leak", ...; static */

/* Rank for sorting: 0 is what a reader should see first. What may be a leak comes before what is
 * known to be none. */
int verdict_rank(enum verdict verdict);

#endif
