/* The client's side of a verb that a session answers: shell and console go the same way. */
#ifndef HTRACE_CLI_ASK_H
#define HTRACE_CLI_ASK_H

#include "cli/commands.h"

/*
 * Asks the session that is meant, and prints what it says. `argv` is what follows the verb. Exit
 * status.
 */
int ask_session(const struct verb *verb, int argc, char **argv);

/*
 * The same for a known session (the console's). *cancelled: a signal handler ended the wait; the
 * request is cancelled then, and nothing was printed.
 */
int ask_named(const char *name, const struct verb *verb, int argc, char **argv, bool *cancelled);

#endif
