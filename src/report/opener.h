/* The one place that a person looks for in a stack: the innermost function outside of libc. */
#ifndef HTRACE_REPORT_OPENER_H
#define HTRACE_REPORT_OPENER_H

#include "report/report.h"
#include "report/words.h"

/* Names frames only as far as it must. NULL: the stack has no frames. Borrowed from the
 * symbolizer. */
const struct symbol *opener_find(const struct report *report, uint32_t stack_id);

/* "fun4 leakyhandles.c:41", "open_log+0x1c in libfoo.so", "libfoo.so+0x1234" */
void opener_add(struct words *words, const struct symbol *symbol);

#endif
