/* Owns the handlers, their flags and the mask. Knows nothing of terminals and sessions. */
#include "cli/console_signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH, SIGALRM, SIGQUIT};
enum { CAUGHT_N = sizeof(caught) / sizeof(*caught) };

static volatile sig_atomic_t noted[NSIG];
static struct sigaction actions_before[CAUGHT_N];
static sigset_t mask_before, mask_held;
static volatile sig_atomic_t in_command;
static bool never_stops;

static bool ends_command(int signal)
{
	return signal == SIGINT || signal == SIGTERM || signal == SIGHUP;
}

/*
 * A signal may come between the last look at its flag and the call that it should end: so another
 * one follows, every second, until the command is over.
 */
static void note(int signal)
{
	noted[signal] = 1;
	if (in_command && (signal == SIGALRM || ends_command(signal)))
		alarm(1);
}

static void handle(int signal, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	sigfillset(&action.sa_mask);
	sigaction(signal, &action, NULL);
}

void console_signals_catch(void)
{
	sigemptyset(&mask_held);
	for (int i = 0; i < CAUGHT_N; i++)
		sigaddset(&mask_held, caught[i]);
	sigprocmask(SIG_BLOCK, &mask_held, &mask_before);
	for (int i = 0; i < CAUGHT_N; i++) {
		noted[caught[i]] = 0;
		sigaction(caught[i], NULL, &actions_before[i]);
		/* A core of this process helps nobody: ^\ does nothing, as in a shell. */
		handle(caught[i], caught[i] == SIGQUIT ? SIG_IGN : note);
	}
	in_command = 0;
	never_stops = false;
}

void console_signals_release(void)
{
	/* What is still held back was meant for the console: it is not to kill what comes after. */
	for (int i = 0; i < CAUGHT_N; i++)
		handle(caught[i], SIG_IGN);
	for (int i = 0; i < CAUGHT_N; i++)
		sigaction(caught[i], &actions_before[i], NULL);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* The mask that lets `signals` in; 0 ends the list. */
static sigset_t mask_without(const int *signals)
{
	sigset_t mask = mask_before;

	for (int i = 0; i < CAUGHT_N; i++)
		sigaddset(&mask, caught[i]);
	for (; *signals; signals++)
		sigdelset(&mask, *signals);
	return mask;
}

int console_signals_poll(struct pollfd *fds, unsigned fds_n)
{
	static const int let_in[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH, 0};
	sigset_t mask = mask_without(let_in), held;
	int ready = ppoll(fds, fds_n, NULL, &mask);

	/* Where a descriptor is ready it lets no signal in, but what was typed may follow a ^C. */
	sigprocmask(SIG_SETMASK, &mask, &held);
	sigprocmask(SIG_SETMASK, &held, NULL);
	return ready;
}

void console_signals_command_begin(void)
{
	static const int let_in[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGALRM, 0};
	sigset_t mask = mask_without(let_in);

	in_command = 1;
	handle(SIGTSTP, never_stops ? SIG_IGN : SIG_DFL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

void console_signals_command_end(void)
{
	sigset_t mask = mask_without(&(const int){0});

	sigprocmask(SIG_SETMASK, &mask, NULL);
	in_command = 0;
	alarm(0);
	handle(SIGTSTP, never_stops ? SIG_IGN : note);
}

bool console_signals_take(int signal)
{
	bool came = noted[signal];

	noted[signal] = 0;
	return came;
}

int console_signals_end(void)
{
	return noted[SIGTERM] ? SIGTERM : noted[SIGHUP] ? SIGHUP : 0;
}

void console_signals_stop(void)
{
	sigset_t mask = mask_without((const int[]){SIGTSTP, SIGCONT, 0}), held;

	handle(SIGTSTP, SIG_DFL);
	raise(SIGTSTP);
	sigprocmask(SIG_SETMASK, &mask, &held); /* stops here */
	sigprocmask(SIG_SETMASK, &held, NULL);
	handle(SIGTSTP, note);
}

void console_signals_never_stop(void)
{
	never_stops = true;
	handle(SIGTSTP, SIG_IGN);
}
