/* How a process that is out of handles is told of, in words. */
#ifndef HTRACE_REPORT_EXHAUSTED_H
#define HTRACE_REPORT_EXHAUSTED_H

#include "report/page.h"
#include "report/words.h"

/* " accept4 failed with EMFILE, with 64 of 64 open; most by: 55 socket in ..." of the newest
 * episode, as it began. */
void exhausted_add_now(struct words *line, const struct report *report,
		       const struct process *process);

/* Which other limit than that of handles may be meant (fd_syscalls_other_limit()), where there are
 * numbers left; else NULL. */
const char *exhausted_other_limit(const struct exhaustion *exhausted);

/* In the text report: all of it, nothing where no call failed; and would two say the same? */
void text_exhausted(const struct page *page, const struct process *process);
bool text_exhausted_alike(const struct process *a, const struct process *b);

#endif
