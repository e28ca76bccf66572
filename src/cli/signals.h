/* The signals that htrace itself gets: noted by a handler, looked at between events. */
#ifndef HTRACE_CLI_SIGNALS_H
#define HTRACE_CLI_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

/* Notes SIGINT, SIGTERM, SIGHUP and SIGQUIT from now on; one that was ignored stays ignored. */
void signals_catch(void);

/* The next noted signal, or 0. `from_terminal`: the kernel sent it to the whole foreground group.
 */
int signals_next(bool *from_terminal);

/* SIGTSTP, SIGTTIN and SIGTTOU stop this process no more: the last of them is noted. */
void signals_catch_stops(void);
void signals_ignore_stops(void);

/* Undoes signals_catch_stops(). */
void signals_release_stops(void);

/* The noted one, while it is not older than a few seconds; 0: none. */
int signals_stop_asked(void);

/* Stops this process as that signal would have; returns when it is continued. */
void signals_stop(void);

/* Ends this process as `signal` would have: for a program that died of it. No core is dumped. */
void signals_die(int signal) __attribute__((noreturn));

#endif
