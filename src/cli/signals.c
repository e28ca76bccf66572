/* Owns the handlers and the flags that they set. */
#include "cli/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STOP_MEMORY_S = 5 }; /* a program that did not stop by then does not want to */

static const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
enum { STOPS_N = sizeof(stops) / sizeof(*stops) };
static volatile sig_atomic_t stop_asked;
static volatile time_t stop_asked_s;

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { CAUGHT_N = sizeof(caught) / sizeof(*caught) };

enum { FROM_TERMINAL = 1, FROM_PROCESS = 2 };
static volatile sig_atomic_t pending[CAUGHT_N];

static void note(int signal, siginfo_t *info, void *context)
{
	(void)context;
	for (int i = 0; i < CAUGHT_N; i++)
		if (caught[i] == signal)
			pending[i] = info->si_code > 0 ? FROM_TERMINAL : FROM_PROCESS;
}

void signals_catch(void)
{
	struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO}, old;

	sigemptyset(&action.sa_mask);
	for (int i = 0; i < CAUGHT_N; i++) {
		sigaction(caught[i], NULL, &old);
		if (!(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_IGN)
			continue;
		sigaction(caught[i], &action, NULL);
	}
}

int signals_next(bool *from_terminal)
{
	for (int i = 0; i < CAUGHT_N; i++) {
		if (!pending[i])
			continue;
		*from_terminal = pending[i] == FROM_TERMINAL;
		pending[i] = 0;
		return caught[i];
	}
	return 0;
}

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void note_stop(int signal)
{
	stop_asked = signal;
	stop_asked_s = now_s();
}

static void stops_set(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}, old;

	sigemptyset(&action.sa_mask);
	for (int i = 0; i < STOPS_N; i++) {
		sigaction(stops[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaction(stops[i], &action, NULL);
	}
}

void signals_catch_stops(void)
{
	stops_set(note_stop);
}

void signals_release_stops(void)
{
	stops_set(SIG_DFL);
}

void signals_ignore_stops(void)
{
	stops_set(SIG_IGN);
}

int signals_stop_asked(void)
{
	if (stop_asked && now_s() - stop_asked_s > STOP_MEMORY_S)
		stop_asked = 0;
	return stop_asked;
}

void signals_stop(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL}, old;
	int signal = stop_asked;
	sigset_t set, mask;

	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_UNBLOCK, &set, &mask);
	sigaction(signal, &action, &old);
	stop_asked = 0;
	raise(signal); /* stops here */
	sigaction(signal, &old, NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

void signals_die(int signal)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t set;

	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	sigaction(signal, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signal);
	_exit(128 + signal);
}
