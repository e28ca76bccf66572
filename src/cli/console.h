/*
 * The console: a prompt at which the verbs of a session are typed, with or without "!htrace". It is
 * a client of the session like any other, and knows no verb but by the table.
 */
#ifndef HTRACE_CLI_CONSOLE_H
#define HTRACE_CLI_CONSOLE_H

#include "base/error.h"

/*
 * Runs the prompt on standard input and output until `quit`, the end of input, or the end of the
 * session `name`. `target` is what the prompt shows: "leakyhandles(4242)". Exit status.
 *
 * First it asks the session with {"words":["hold"]}: the answer comes at once, then events (the
 * target has ended, ...) for as long as this connection is open; when it closes, the session ends.
 * Each command goes over a connection of its own, so that Ctrl-C can cancel it by closing that.
 */
int console_run(const char *name, const char *target);

/*
 * A typed line as words: blanks separate, "..." and '...' keep them, \ takes the next character as
 * it is (not within '...'). A leading "!htrace" or "htrace" is dropped. Number of words, which end
 * with NULL and are freed by console_words_free(); 0: none; -EINVAL with a sentence: a quote is not
 * closed, or there are too many.
 */
int console_words(const char *line, char ***words, struct error *error);
void console_words_free(char **words);

#endif
