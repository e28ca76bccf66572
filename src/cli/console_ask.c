/* Owns one question: a connection of its own, the wait, and what is printed. */
#include "cli/console_ask.h"

#include "cli/commands.h"
#include "session/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void say_progress(void *context, const char *text)
{
	const char *term = getenv("TERM");
	bool *shown = context;

	if (!isatty(STDERR_FILENO) || !term || !strcmp(term, "dumb"))
		return;
	fprintf(stderr, "\r\033[Khtrace: %.70s", text);
	*shown = true;
}

/* As cli/output.c decides it for a report. */
static void describe_terminal(struct request *request)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return;
	request->colour = !(no_colour && *no_colour) && term && strcmp(term, "dumb");
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		request->columns = size.ws_col;
}

int console_ask(const char *name, int words_n, char **words, bool *cancelled)
{
	struct request request = {.words = words, .words_n = words_n};
	struct answer answer = {0};
	struct error error = {0};
	bool progress_shown = false;
	struct client *client;
	int result;

	describe_terminal(&request);
	*cancelled = false;
	result = client_open(name, &client, &error);
	if (!result) {
		result =
		    client_call(client, &request, &answer, say_progress, &progress_shown, &error);
		client_close(client);
	}
	if (progress_shown)
		fputs("\r\033[K", stderr);
	*cancelled = result == -EINTR;
	if (result) {
		if (!*cancelled)
			fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_HTRACE_FAILED;
	}
	fwrite(answer.output, 1, answer.output_n, stdout);
	fflush(stdout);
	if (answer.message)
		fprintf(stderr, "htrace: %s\n", answer.message);
	result = answer.status;
	answer_fini(&answer);
	return result;
}
