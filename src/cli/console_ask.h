/* A command of the console: the words go to the session, what it answers is printed. */
#ifndef HTRACE_CLI_CONSOLE_ASK_H
#define HTRACE_CLI_CONSOLE_ASK_H

#include <stdbool.h>

/* Asks the session `name`. *cancelled: a signal ended the wait, and nothing was printed. Exit
 * status. */
int console_ask(const char *name, int words_n, char **words, bool *cancelled);

#endif
