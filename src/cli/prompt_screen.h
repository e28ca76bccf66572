/* Where the line that is being typed is on the screen, and how it is taken off. */
#ifndef HTRACE_CLI_PROMPT_SCREEN_H
#define HTRACE_CLI_PROMPT_SCREEN_H

#include <histedit.h>

unsigned screen_columns(EditLine *editor);

/* Takes the line behind `prompt` off the screen; where that is not possible, goes below it. */
void screen_erase_line(EditLine *editor, const char *prompt);

/* Goes below the line, and leaves it where it is. */
void screen_leave_line(EditLine *editor, const char *prompt);

/* Empties the cursor's row, and goes to its beginning. */
void screen_erase_row(EditLine *editor);

#endif
