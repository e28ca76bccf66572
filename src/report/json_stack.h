/* What the JSON report shares between its parts: strings of targets, numbers, stacks. */
#ifndef HTRACE_REPORT_JSON_STACK_H
#define HTRACE_REPORT_JSON_STACK_H

#include "report/report.h"

#include <jansson.h>

/* The string as valid UTF-8; null for NULL. */
json_t *json_text(const char *text);

/* JSON integers have 63 bits: what is larger becomes the largest. */
json_t *json_count(uint64_t count);

/* A time or a length that 0 says is not known: null then. */
json_t *json_known_ns(uint64_t time_ns);

/* One frame of a stack. */
json_t *json_symbol(const struct symbol *symbol);

/* The frames of a stack, innermost first; [] where there are none. */
json_t *json_stack(const struct report *report, uint32_t stack_id);

/* {"complete": n, "truncated": n, ...} */
json_t *json_stack_ends(const uint64_t ends[static STACK_END_N]);

#endif
