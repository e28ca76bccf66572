/* What WinDbg's shapes share, and the pages of `show` and `handles` in them. */
#ifndef HTRACE_REPORT_WINDBG_PARTS_H
#define HTRACE_REPORT_WINDBG_PARTS_H

#include "report/report.h"
#include "report/words.h"

#define WINDBG_SEPARATOR "--------------------------------------\n"

/* What the report does not know, as warnings at the end. */
void windbg_losses(const struct process *process, FILE *stream);
void windbg_common_losses(const struct report *report, FILE *stream);

/* How much a filter hides, where it hides anything. */
void windbg_hidden(const struct hidden *hidden, FILE *stream);

/* A stack in the kernel-mode form: "0x8018FCB9: module!function+0x103", a line each. */
void windbg_add_stack(struct words *words, const struct report *report, uint32_t stack_id);

int windbg_traces(const struct report *report, const struct report_query *query,
		  const struct report_style *style, FILE *stream);
int windbg_handles(const struct report *report, const struct report_query *query,
		   const struct report_style *style, FILE *stream);

#endif
