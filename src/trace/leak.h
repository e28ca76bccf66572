/* The verdict on one opening place, with its reason: rules on counts, the same for all types. */
#ifndef HTRACE_TRACE_LEAK_H
#define HTRACE_TRACE_LEAK_H

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

/* What a verdict is made of. Times are lengths, up to the report or the process's end. */
struct leak_facts {
	uint64_t opened, closed; /* by this place since tracing began */
	uint64_t open;           /* still, of those that the report looks at */
	uint64_t open_most;      /* at once */
	uint64_t oldest_open_ns; /* age; 0: not known */
	uint64_t youngest_open_ns;
	uint64_t burst_ns;   /* from the place's first opening to its last */
	uint64_t quiet_ns;   /* since its last opening; 0: not known */
	uint64_t watched_ns; /* since tracing of the process began */
	/* Closed ones whose length of life is known, and a length that one in a thousand outlived.
	 */
	uint64_t lived_known, lived_ns;
	/* Open ones that are much older than that (leak_outlives()): how many, and the time from
	 * the opening of the first of them to that of the last. */
	uint64_t outliers, outliers_ns;
	int process_ended;   /* the handles were still open when it ended */
	bool one_call;       /* all that the place opened was opened at one moment */
	bool opening_unseen; /* nothing is known of the opening but that it must have been */
};

enum { LEAK_REASON_BYTES = 256 };

/* Whether an open handle of that age is no longer one of those that are closed after lived_ns. */
bool leak_outlives(uint64_t age_ns, uint64_t lived_ns);

/* Writes one line of reason, with its numbers. The rules and thresholds stand in leak.c. */
enum verdict leak_judge(const struct leak_facts *facts, char *reason, size_t reason_bytes);

const char *verdict_name(enum verdict verdict); /* "leak", ...; static */

/* Rank for sorting: 0 is what a reader should see first. What may be a leak comes before what is
 * known to be none. */
int verdict_rank(enum verdict verdict);

#endif
