/* The verdict on one opening place, with its reason: rules on counts, the same for all types. */
#ifndef HTRACE_TRACE_LEAK_H
#define HTRACE_TRACE_LEAK_H

#include <stddef.h>
#include <stdint.h>

enum verdict {
	VERDICT_LEAK = 1,
	VERDICT_GROWING = 2,
	VERDICT_STEADY = 3,
	VERDICT_TRANSIENT = 4,
	VERDICT_UNKNOWN = 5,
};

/* What a verdict is made of. */
struct leak_facts {
	uint64_t opened, closed; /* by this place since tracing began */
	uint64_t open;           /* still */
	uint64_t open_most;      /* at once */
	uint64_t oldest_open_ns; /* age */
	uint64_t youngest_open_ns;
	int process_ended; /* the handles were still open when it ended */
};

/* Writes one line of reason, with its numbers. The rules and thresholds stand in leak.c. */
enum verdict leak_judge(const struct leak_facts *facts, char *reason, size_t reason_bytes);

const char *verdict_name(enum verdict verdict); /* "leak", ...; static */

#endif
