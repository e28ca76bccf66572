/* A session that waits for its target (htrace enable --await), or for a debugger to let it in
 * (--by-debugger). */
#ifndef HTRACE_CLI_AWAIT_H
#define HTRACE_CLI_AWAIT_H

#include "cli/commands.h"
#include "session/session.h"

struct host;

/* htrace enable --await. Exit status. */
int command_await(const struct options *options);

/* Begins to wait for the program options->awaited, and tells on standard output what its
 * environment needs: lines of NAME=VALUE, or JSON. */
int await_begin(const struct options *options, struct session *session, struct error *error);

/* Takes in a process that a debugger holds, and tells what that has to do. */
int adopt_begin(struct session *session, pid_t pid, struct error *error);

/* Whether it has come: then the session goes by its number. */
void await_look(struct host *host);

#endif
