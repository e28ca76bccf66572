/* Owns the handlers and the flags that they set. */
#include "cli/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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
