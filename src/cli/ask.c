/*
 * Owns what a client does about a question: it finds the session, keeps -p and -o for itself, sends
 * the rest, and prints the answer. Knows no verb.
 */
#include "cli/ask.h"

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/targets.h"
#include "session/client.h"
#include "session/socket_dir.h"

#include <string.h>

static void show_progress(void *context, const char *text)
{
	(void)context;
	output_say_progress(text);
}

/* It is another process than the one that the session goes by: a child, or one of all. */
static bool needs_pid(const char *name, const struct options *options)
{
	char own[16];

	snprintf(own, sizeof(own), "%d", options->pid);
	return options->pid && strcmp(name, own);
}

static int call(const char *name, const struct verb *verb, const struct options *options,
		const struct option_words *typed, struct answer *answer, struct error *error)
{
	struct report_style style = output_style(options, stdout);
	char *words[REQUEST_WORDS_MAX + 1] = {(char *)verb->name};
	struct request request = {
	    .words = words, .words_n = 1, .columns = style.columns, .colour = style.colour};
	struct client *client;
	char pid[24];
	int result;

	if (typed->sent_n + 4 > REQUEST_WORDS_MAX)
		return error_set(error, -E2BIG, "more than %d words", REQUEST_WORDS_MAX - 4);
	if (needs_pid(name, options)) {
		snprintf(pid, sizeof(pid), "%d", options->pid);
		words[request.words_n++] = "-p";
		words[request.words_n++] = pid;
	}
	for (int i = 0; i < typed->sent_n; i++)
		words[request.words_n++] = typed->sent[i];
	result = client_open(name, &client, error);
	if (result)
		return result;
	result = client_call(client, &request, answer, show_progress, NULL, error);
	client_close(client);
	output_say_progress(NULL);
	return result;
}

static int print(const struct options *options, const struct answer *answer)
{
	int result = output_bytes(options, answer->output, answer->output_n, stdout);

	if (answer->message)
		fprintf(stderr, "htrace: %s\n", answer->message);
	return result && !answer->status ? EXIT_HTRACE_FAILED : answer->status;
}

static int fail(int status, const struct error *error)
{
	fprintf(stderr, "htrace: %s\n", error->message);
	return status;
}

static int ask_typed(const char *name, const struct verb *verb, const struct options *options,
		     const struct option_words *typed, bool *cancelled)
{
	struct error error = {0};
	struct answer answer;
	int result = call(name, verb, options, typed, &answer, &error);

	*cancelled = result == -EINTR;
	if (*cancelled)
		return EXIT_HTRACE_FAILED;
	if (result == -ENOENT || result == -ECONNREFUSED) {
		fprintf(stderr, "htrace: %s; htrace enable -p %s starts one\n", error.message,
			name);
		return EXIT_HTRACE_FAILED;
	}
	if (result < 0)
		return fail(EXIT_HTRACE_FAILED, &error);
	result = print(options, &answer);
	answer_fini(&answer);
	return result;
}

int ask_named(const char *name, const struct verb *verb, int argc, char **argv, bool *cancelled)
{
	struct option_words typed;
	struct options options;
	struct error error = {0};
	int result;

	*cancelled = false;
	if (options_parse_mixed(verb, argc, argv, &options, &typed, &error) < 0)
		return fail(EXIT_USAGE, &error);
	output_check(&options);
	result = ask_typed(name, verb, &options, &typed, cancelled);
	option_words_fini(&typed);
	options_fini(&options);
	return result;
}

int ask_session(const struct verb *verb, int argc, char **argv)
{
	_cleanup_(free) char *name = NULL;
	struct option_words typed;
	struct options options;
	struct error error = {0};
	bool cancelled;
	int result;

	if (options_parse_mixed(verb, argc, argv, &options, &typed, &error) < 0)
		return fail(EXIT_USAGE, &error);
	output_check(&options);
	name = target_session(options.pid, &error);
	result = name ? ask_typed(name, verb, &options, &typed, &cancelled)
		      : fail(EXIT_HTRACE_FAILED, &error);
	option_words_fini(&typed);
	options_fini(&options);
	return result;
}
