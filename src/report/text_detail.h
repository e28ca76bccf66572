/* What handles are, in the text report: a line of a table, the lines of one handle, those of a
 * group. Nothing where nothing is known. */
#ifndef HTRACE_REPORT_TEXT_DETAIL_H
#define HTRACE_REPORT_TEXT_DETAIL_H

#include "report/detail_group.h"
#include "report/page.h"

/* Below the row of a table of handles. */
void text_detail_row(const struct page *page, const struct detail *detail);

/* What is known of one handle; `write` writes a line with its label. */
void text_detail_one(const struct page *page, const struct detail *detail,
		     void (*write)(const struct page *page, const char *label, const char *text));

/* One line of a group. */
void text_detail_group(const struct page *page, const struct report_process *process,
		       const struct group *group);

#endif
