/*
 * The signals of the console: held back, but where it waits. Nothing that the terminal sends ends
 * it, and what is sent twice counts once.
 */
#ifndef HTRACE_CLI_CONSOLE_SIGNALS_H
#define HTRACE_CLI_CONSOLE_SIGNALS_H

#include <poll.h>
#include <stdbool.h>

/* Catches SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT and SIGWINCH, and holds them back. */
void console_signals_catch(void);
void console_signals_release(void);

/* Waits like poll(2) without a time limit, and lets the signals in that came before it returns. */
int console_signals_poll(struct pollfd *fds, unsigned fds_n);

/*
 * Between these, SIGINT, SIGTERM and SIGHUP end blocking calls with EINTR, also one that begins
 * just after the signal; SIGTSTP stops the process as usual.
 */
void console_signals_command_begin(void);
void console_signals_command_end(void);

/* Whether `signal` has come since it was asked last. */
bool console_signals_take(int signal);

/* SIGTERM or SIGHUP: the console is to end; 0: neither. It stays so. */
int console_signals_end(void);

/* Stops this process as SIGTSTP would have; returns when it is continued. */
void console_signals_stop(void);

/* SIGTSTP does nothing any more. */
void console_signals_never_stop(void);

#endif
