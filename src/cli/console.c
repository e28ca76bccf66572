/*
 * Owns the loop: a line, its words, the session's answer; and the connection that holds the
 * session. Knows the terminal only through cli/prompt.h.
 */
#include "cli/console.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/ask.h"
#include "cli/console_complete.h"
#include "cli/console_signals.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "session/client.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

enum {
	NAME_BYTES_MAX = 40, /* of the target, in the prompt */
	DISABLE_WAIT_MS = 1000,
	END_WAITS_MAX = 50, /* for a session that is ending, of END_WAIT_NS each */
	END_WAIT_NS = 10 * 1000 * 1000,
};

struct console {
	const char *name;
	struct client *hold;
	bool over; /* the session has ended */
	bool quit;
	pid_t group_before; /* that had the terminal; 0: ours has it still */
};

/* ---- what the session tells ---- */

/* What comes from others does not steer the terminal, and is text in its alphabet. */
static void make_plain(char *text)
{
	while (*text) {
		mbstate_t state = {0};
		wchar_t c;
		size_t n = mbrtowc(&c, text, strlen(text), &state);
		bool is_text = n <= MB_CUR_MAX;

		n = is_text ? n : 1;
		if (!is_text || !iswprint(c))
			memset(text, '?', n);
		text += n;
	}
}

/* For prompt_ops: tells all events that there are; false: the session has ended. */
static bool tell_events(void *context, struct prompt *prompt)
{
	struct console *console = context;

	for (;;) {
		_cleanup_(free) char *text = NULL;
		int result = client_event(console->hold, &text);

		if (result <= 0) {
			console->over = result < 0;
			return !console->over;
		}
		make_plain(text);
		if (prompt)
			prompt_say(prompt, text);
		else
			puts(text);
	}
}

/* A session that ends takes its socket away; one that was killed could not. */
static int tell_end(const struct console *console)
{
	for (int i = 0; i < END_WAITS_MAX; i++) {
		struct client *client;
		struct error error = {0};
		int result = client_open(console->name, &client, &error);

		if (result == -ECONNREFUSED) {
			fprintf(stderr, "htrace: the session was killed; what it traced runs on\n");
			return EXIT_HTRACE_FAILED;
		}
		if (result)
			break;
		client_close(client);
		nanosleep(&(struct timespec){.tv_nsec = END_WAIT_NS}, NULL);
	}
	puts("The session has ended.");
	return EXIT_SUCCESS;
}

/* The connection for as long as which the session lives. Returns an exit status. */
static int hold(struct console *console)
{
	char *words[] = {"hold", NULL};
	struct request request = {.words = words, .words_n = 1};
	struct answer answer = {0};
	struct error error = {0};
	int result = client_open(console->name, &console->hold, &error);

	if (!result)
		result = client_call(console->hold, &request, &answer, NULL, NULL, &error);
	if (result) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_HTRACE_FAILED;
	}
	fwrite(answer.output, 1, answer.output_n, stdout);
	if (answer.message)
		fprintf(stderr, "htrace: %s\n", answer.message);
	result = answer.status;
	answer_fini(&answer);
	return result;
}

/* ---- what is typed ---- */

static void help(int words_n, char **words)
{
	if (words_n > 1) {
		const char *name = words[1] + (words[1][0] == '-');
		const struct verb *verb = verb_find(name);

		if (verb && console_has(verb)) {
			command_help(NULL, 1, &(char *){(char *)name});
			return;
		}
		fprintf(stderr, "htrace: unknown verb '%s': help lists them\n", words[1]);
		return;
	}
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (console_has(verb))
			printf("  %-10s %s\n", verb->name, verb->help);
	puts("  help VERB  the options of a verb\n"
	     "  quit       stop tracing and leave; the target runs on\n"
	     "As in a debugger too: !htrace -diff, !htrace 0x7cc");
}

static bool is_one_of(const char *word, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(word, *names))
			return true;
	return false;
}

static const struct verb *verb_of(const char *word)
{
	const struct verb *verb = verb_find(word);
	const char *names[32] = {0}, *nearest;
	size_t n = 0;

	if (verb && console_has(verb))
		return verb;
	for (verb = verbs; verb->name && n + 1 < sizeof(names) / sizeof(*names); verb++)
		if (console_has(verb))
			names[n++] = verb->name;
	nearest = options_nearest(word, names);
	if (nearest)
		fprintf(stderr, "htrace: no session answers '%s': did you mean %s?\n", word,
			nearest);
	else
		fprintf(stderr, "htrace: no session answers '%s': help lists what it does\n", word);
	return NULL;
}

static void ask(struct console *console, int typed_n, char **typed)
{
	int words_n, status;
	_cleanup_(free) char **words = verb_spell(typed_n, typed, &words_n);
	const struct verb *verb = verb_of(words[0]);
	bool cancelled;

	if (!verb)
		return;
	console_signals_command_begin();
	status = ask_named(console->name, verb, words_n - 1, words + 1, &cancelled);
	console_signals_command_end();
	console_signals_take(SIGINT);
	if (cancelled)
		fprintf(stderr, "\rhtrace: cancelled\n"); /* over the ^C */
	if (!status && verb->bit == VERB_DISABLE) {
		struct pollfd hold = {client_fd(console->hold), POLLIN, 0};

		poll(&hold, 1, DISABLE_WAIT_MS); /* no prompt for a session that is ending */
	}
}

static void obey(struct console *console, const char *line)
{
	static const char *const quits[] = {"quit", "exit", "q", NULL};
	static const char *const helps[] = {"help", "-?", "?", "-help", "--help", "-h", NULL};
	char *all[] = {"show", NULL};
	struct error error = {0};
	char **words;
	int n = console_words(line, &words, &error);

	if (n < 0)
		fprintf(stderr, "htrace: %s\n", error.message);
	else if (!n && line[strspn(line, " \t")])
		ask(console, 1, all); /* "!htrace" alone: the traces of all handles */
	else if (n && is_one_of(words[0], quits))
		console->quit = true;
	else if (n && is_one_of(words[0], helps))
		help(n, words);
	else if (n)
		ask(console, n, words);
	console_words_free(words);
}

/* ---- the terminal ---- */

/*
 * Ctrl-C goes to all of the terminal's foreground process group. Where the target is in ours (a
 * script started both), we leave it, and take the terminal along.
 */
static void leave_target(struct console *console)
{
	pid_t target = atoi(console->name), group = getpgrp();
	sigset_t stops, mask;

	if (target <= 0 || getpgid(target) != group || tcgetpgrp(STDIN_FILENO) != group)
		return;
	if (setpgid(0, 0) || getpgrp() == group)
		return;
	console->group_before = group;
	/* From the background this would stop us. */
	sigemptyset(&stops);
	sigaddset(&stops, SIGTTOU);
	sigprocmask(SIG_BLOCK, &stops, &mask);
	tcsetpgrp(STDIN_FILENO, getpgrp());
	sigprocmask(SIG_SETMASK, &mask, NULL);
	/* Who waits for us would not see that we have stopped. */
	console_signals_never_stop();
}

static void return_to_target(struct console *console)
{
	if (!console->group_before)
		return;
	tcsetpgrp(STDIN_FILENO, console->group_before);
	setpgid(0, console->group_before);
}

/* "leakyhandles(4242)> "; the middle of a long name is left out. */
static char *prompt_text(const char *target)
{
	size_t length = strlen(target), most = NAME_BYTES_MAX;
	const char *end = strrchr(target, '(') ?: target + length;
	char *text;

	if (length > most && strlen(end) < most / 2) {
		size_t kept = most - strlen(end) - strlen("...");

		while (kept && (target[kept] & 0xc0) == 0x80)
			kept--; /* not within a character */
		text = xasprintf("%.*s...%s> ", (int)kept, target, end);
	} else {
		text = xasprintf("%s> ", target);
	}
	make_plain(text);
	return text;
}

static int loop(struct console *console, struct prompt *prompt)
{
	while (!console->quit && !console->over && !console_signals_end()) {
		const char *line = NULL;

		if (!tell_events(console, NULL))
			break;
		switch (prompt_read(prompt, &line)) {
		case PROMPT_LINE:
			prompt_remember(prompt, line);
			obey(console, line);
			break;
		case PROMPT_DROPPED:
		case PROMPT_LEFT:
			break;
		case PROMPT_END:
			console->quit = true;
			break;
		}
	}
	if (console_signals_end())
		return 128 + console_signals_end();
	return console->over ? tell_end(console) : EXIT_SUCCESS;
}

int console_run(const char *name, const char *target)
{
	struct console console = {.name = name};
	struct prompt_ops ops = {tell_events, &console};
	int status = hold(&console);

	if (!status) {
		_cleanup_(free) char *text = NULL;
		struct prompt *prompt;

		/* Names of files are typed in whatever alphabet: UTF-8 where nothing is said. */
		if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
			setlocale(LC_CTYPE, "C.UTF-8");
		text = prompt_text(target);
		console_signals_catch();
		leave_target(&console);
		prompt = prompt_new(text, client_fd(console.hold), &ops);
		status = loop(&console, prompt);
		prompt_free(prompt);
		return_to_target(&console);
		console_signals_release();
	}
	if (console.hold)
		client_close(console.hold);
	return status;
}
