/*
 * The lines that were typed at consoles, kept over sessions: $XDG_STATE_HOME/htrace/history (or
 * ~/.local/state/...), one a line, the last HISTORY_LINES_MAX of them, for the user alone. What
 * cannot be read or written is not remembered, and nobody is bothered.
 */
#ifndef HTRACE_CLI_CONSOLE_HISTORY_H
#define HTRACE_CLI_CONSOLE_HISTORY_H

enum { HISTORY_LINES_MAX = 1000 };

struct console_history;

/* Calls `line` for each line that is kept, the oldest first. */
struct console_history *console_history_open(void (*line)(void *context, const char *text),
					     void *context);
void console_history_close(struct console_history *history);

/* Keeps a line, unless it is blank or the same as the last one. */
void console_history_add(struct console_history *history, const char *line);

#endif
