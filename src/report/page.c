/* Owns wrapping and colour. Knows nothing of what is written. */
#include "report/page.h"

#include "report/words.h"

#include <string.h>

static const char *const colours[] = {
    [PAGE_PLAIN] = "",         [PAGE_BOLD] = "\033[1m",     [PAGE_FAINT] = "\033[2m",
    [PAGE_BAD] = "\033[1;31m", [PAGE_DOUBT] = "\033[1;33m", [PAGE_GOOD] = "\033[32m",
    [PAGE_NAME] = "\033[36m",
};

void page_put(const struct page *page, enum page_colour colour, const char *text)
{
	bool coloured = page->style->colour && colour != PAGE_PLAIN;

	if (coloured)
		fputs(colours[colour], page->stream);
	fputs(text, page->stream);
	if (coloured)
		fputs("\033[0m", page->stream);
}

void page_spaces(const struct page *page, uint32_t spaces)
{
	fprintf(page->stream, "%*s", (int)spaces, "");
}

void page_paragraph(const struct page *page, uint32_t indent, uint32_t hanging,
		    enum page_colour colour, const char *head, const char *text)
{
	uint32_t column = indent + words_width(head);
	uint32_t columns = page->style->columns;
	bool empty =
	    !*head; /* nothing on this line yet: a word that is too long goes here anyway */

	page_spaces(page, indent);
	page_put(page, colour, head);
	for (;;) {
		size_t blank = strspn(text, " ");
		size_t size = strcspn(text + blank, " ");
		uint32_t width = 0;

		if (!size)
			break;
		for (size_t i = 0; i < size; i++)
			width += (text[blank + i] & 0xc0) != 0x80;
		/* A new line that starts no further to the left makes no room. */
		if (columns && !empty && column + blank > hanging &&
		    column + blank + width > columns) {
			fputc('\n', page->stream);
			page_spaces(page, hanging);
			column = hanging;
			blank = 0;
			text += strspn(text, " ");
		}
		fwrite(text, 1, blank + size, page->stream);
		column += blank + width;
		text += blank + size;
		empty = false;
	}
	fputc('\n', page->stream);
}
