/*
 * What a line that was begun at the console may go on with, by the tables of verbs and options.
 * Knows nothing of terminals.
 */
#ifndef HTRACE_CLI_CONSOLE_COMPLETE_H
#define HTRACE_CLI_CONSOLE_COMPLETE_H

#include "base/array.h"
#include "cli/commands.h"

/* Each word stands for the line from `start` on, and ends with the blank that follows it, if one
 * does. */
struct completion {
	size_t start;
	ARRAY(char *) words;
	bool file; /* the name of a file belongs here: none of the words */
};

/* `line` ends where the cursor is. completion_fini() frees what `out` gets. */
void console_complete(const char *line, struct completion *out);
void completion_fini(struct completion *completion);

/* How many bytes all of the words begin with. */
size_t completion_common(const struct completion *completion);

/* Whether a session answers this verb. */
bool console_has(const struct verb *verb);

#endif
