/* The words that stand for the model's enums, the same in every format, and what a process came
 * to. */
#ifndef HTRACE_REPORT_NAMES_H
#define HTRACE_REPORT_NAMES_H

#include "report/report.h"

const char *name_of_origin(enum handle_origin origin);           /* "before-tracing" */
const char *name_of_stack_end(enum stack_end end);               /* "no-cfi" */
const char *name_of_bad_reference(enum bad_reference_kind kind); /* "double-close" */
const char *name_of_close_cause(enum close_cause cause);         /* "call" */

/* The call's name, or "syscall_N" written into `out`. */
enum { CALL_NAME_BYTES = 24 };
const char *name_of_call(uint32_t call, char out[static CALL_NAME_BYTES]);

/* What closed the handle that `bad` refers to: true where the model still knows. */
bool bad_reference_closed_by(const struct report *report, const struct process *process,
			     const struct bad_reference *bad, enum close_cause *out);

/* It has ended; what is `exited` but was only let go has not (model.h). */
bool process_has_ended(const struct process *process);

/* Flushes; 0, or a negative errno where anything could not be written. */
int stream_finish(FILE *stream);

/* Nothing that needs mending: the call only asked, or it closed "none" (a negative number). */
bool bad_reference_is_harmless(const struct bad_reference *bad);

#endif
