/* The parts that the text report is made of; text.c puts them together. */
#ifndef HTRACE_REPORT_TEXT_PARTS_H
#define HTRACE_REPORT_TEXT_PARTS_H

#include "report/page.h"

/* The column of a part's own lines, and of the frames below them. */
enum { TEXT_INDENT = 4, TEXT_FRAME_INDENT = 8 };

/* The line that begins what is told of a process; `text` follows the program and its pid. */
void text_head(const struct page *page, int32_t pid, const char *exe, const char *text);

/* One group: verdict, reason, ages, handles, names, stack. `rank` counts from 1. */
void text_group(const struct page *page, const struct report_process *process,
		const struct group *group, uint32_t rank);

/* A line with what was open over time, where the report tells that. `open` NULL: nothing. */
void text_growth(const struct page *page, const struct growth_times *times, const uint32_t *open);

/* The frames of a stack, innermost first, and why there are no more. */
void text_stack(const struct page *page, const struct report_process *process, uint32_t stack_id);

/* All bad references of a process, those with the same stacks as one; those that are harmless in a
 * line or two. */
void text_bad_references(const struct page *page, const struct report_process *process);

/* Are there any that may need mending, and would two processes' look the same? */
bool text_bad_references_worry(const struct report_process *shown);
bool text_bad_references_alike(const struct report_process *a, const struct report_process *b);

/* The handles that are in no group, a line for each origin where they are few. */
void text_others(const struct page *page, const struct diff *diff);

/* How much a filter hides, where it hides anything. */
void text_hidden(const struct page *page, const struct hidden *hidden);

/* What the report does not know, where there is anything; over all processes. */
void text_losses(const struct page *page);

/* The pages of `show` and `handles`, as struct report_format has them. */
int text_traces(const struct report *report, const struct report_query *query,
		const struct report_style *style, FILE *stream);
int text_handles(const struct report *report, const struct report_query *query,
		 const struct report_style *style, FILE *stream);

#endif
