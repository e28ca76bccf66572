/*
 * A page of a text report: indented paragraphs that wrap at the terminal's width and are never cut,
 * and colour where it is wanted. Text that is given here is harmless already (report/words.h).
 */
#ifndef HTRACE_REPORT_PAGE_H
#define HTRACE_REPORT_PAGE_H

#include "report/report.h"

enum page_colour {
	PAGE_PLAIN = 0,
	PAGE_BOLD,
	PAGE_FAINT,
	PAGE_BAD,   /* a leak, a bad reference */
	PAGE_DOUBT, /* growing, unknown, losses */
	PAGE_GOOD,
	PAGE_NAME, /* a function of the program itself */
};

struct page {
	const struct report *report;
	const struct report_style *style;
	FILE *stream;
};

/* `head` in its colour, then `text`, from column `indent`; further lines start at `hanging`. */
void page_paragraph(const struct page *page, uint32_t indent, uint32_t hanging,
		    enum page_colour colour, const char *head, const char *text);

/* Writes `text` in a colour, with no line end. */
void page_put(const struct page *page, enum page_colour colour, const char *text);
void page_spaces(const struct page *page, uint32_t spaces);

#endif
