/* A condition on one process's handles at which a report shall be written at once. */
#ifndef HTRACE_SESSION_TRIGGER_H
#define HTRACE_SESSION_TRIGGER_H

#include <stdbool.h>
#include <stdint.h>

enum { TRIGGERS_MAX = 8 };

enum trigger_kind {
	TRIGGER_EMFILE = 1, /* a call failed with EMFILE or ENFILE */
	TRIGGER_OPEN = 2,   /* more than `most` handles are open */
	TRIGGER_GROWTH = 3, /* `most` more than were open window_ns ago (or when tracing began) */
};

struct trigger {
	const char *text; /* as it was given: "open>100"; borrowed */
	enum trigger_kind kind;
	uint64_t most;
	uint64_t window_ns;
};

/* "emfile", "open>N", "growth>N/s", "growth>N/min", "growth>N/h"; false: it is none of these. */
bool trigger_parse(const char *text, struct trigger *out);

#endif
