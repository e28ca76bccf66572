/* Owns the geometry of a line that libedit shows, which it does not tell itself. */
#include "cli/prompt_screen.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

unsigned screen_columns(EditLine *editor)
{
	int columns = 0;

	el_get(editor, EL_GETTC, "co", &columns);
	return columns > 0 ? columns : 80;
}

/* As libedit shows it. */
static unsigned character_columns(wchar_t c, unsigned column)
{
	int width = wcwidth(c);

	if (c == L'\t')
		return 8 - column % 8;
	if (width >= 0)
		return width;
	return c < 0x80 ? 2 : 8; /* ^X, \U+12345 */
}

/* Moves *row and *column on by what is between `at` and `end`. */
static void advance(const wchar_t *at, const wchar_t *end, unsigned columns, unsigned *row,
		    unsigned *column)
{
	for (; at < end; at++) {
		unsigned width = character_columns(*at, *column);

		if (*column + width > columns) { /* a wide one does not fit there any more */
			++*row;
			*column = 0;
		}
		*column += width;
		if (*column >= columns) {
			++*row;
			*column = 0;
		}
	}
}

/* The rows of the cursor and of the end, counted from that where the prompt begins. */
static void line_rows(EditLine *editor, const char *prompt, unsigned *cursor, unsigned *last)
{
	const LineInfoW *line = el_wline(editor);
	unsigned columns = screen_columns(editor), column = 0, row = 0;
	size_t n = strlen(prompt);
	wchar_t *text = xcalloc(n + 1, sizeof(*text));

	n = mbstowcs(text, prompt, n);
	advance(text, text + (n == (size_t)-1 ? strlen(prompt) : n), columns, &row, &column);
	free(text);
	advance(line->buffer, line->cursor, columns, &row, &column);
	*cursor = row;
	advance(line->cursor, line->lastchar, columns, &row, &column);
	*last = row;
}

/* A sequence that the terminal understands as it is, or NULL. */
static const char *terminal_sequence(EditLine *editor, const char *name)
{
	char *sequence = NULL;

	el_get(editor, EL_GETTC, name, &sequence);
	return sequence && *sequence && !strstr(sequence, "$<") ? sequence : NULL;
}

void screen_erase_row(EditLine *editor)
{
	const char *erase = terminal_sequence(editor, "ce");

	if (erase)
		printf("\r%s", erase);
	else
		printf("\r%*s\r", (int)screen_columns(editor) - 1, "");
}

/*
 * Takes the line off the screen; where that is not possible, goes below it. Row by row: some
 * terminals keep what one sequence erases (tmux, when that is the whole screen).
 */
void screen_erase_line(EditLine *editor, const char *prompt)
{
	const char *up = terminal_sequence(editor, "up"), *erase = terminal_sequence(editor, "ce");
	unsigned cursor, last;

	line_rows(editor, prompt, &cursor, &last);
	if (up && erase) {
		for (; cursor < last; cursor++)
			putchar('\n');
		for (; cursor; cursor--)
			printf("\r%s%s", erase, up);
		screen_erase_row(editor);
	} else if (!last) {
		screen_erase_row(editor);
	} else {
		for (; cursor <= last; cursor++)
			putchar('\n');
	}
}

/* Leaves the line where it is. */
void screen_leave_line(EditLine *editor, const char *prompt)
{
	unsigned cursor, last;

	line_rows(editor, prompt, &cursor, &last);
	for (; cursor <= last; cursor++)
		putchar('\n');
	fflush(stdout);
}
