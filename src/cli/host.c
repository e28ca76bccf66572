/*
 * Owns the loop of a session and what becomes of a request: which verb it is, whether it is
 * answered here or by a forked child. Knows what no verb does.
 */
#include "cli/host_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/await.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "session/socket_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
	STEP_MS = 20,        /* so long a client waits to be seen */
	BUSY_STEP_MS = 2,    /* while clients are connected */
	OVER_STEP_MS = 1000, /* when nothing is traced any more */
	LAST_WORDS_MS = 1000,
	COMPARED_NS_MAX = 100000000,
};

static const uint64_t ATTENDED_NS_MAX = 10000000000ull;

pid_t host_pid(const struct host *host)
{
	return host->options->pid;
}

/* ---- requests ---- */

const struct verb *host_verb(const struct request *request, char ***words, int *argc)
{
	const struct verb *verb;

	*words = verb_spell(request->words_n, request->words, argc);
	verb = verb_find((*words)[0]);
	return verb && verb->serve ? verb : NULL;
}

static int serve_words(struct serving *serving, const struct verb *verb, int argc, char **argv)
{
	struct option_words words;
	struct options options;
	int status;

	if (options_parse_mixed(verb, argc, argv, &options, &words, serving->error) < 0)
		return EXIT_USAGE;
	status = verb->serve(serving, &options, words.plain_n, words.plain);
	option_words_fini(&words);
	options_fini(&options);
	return status;
}

void host_serve(struct host *host, const struct request *request, struct answer *answer,
		void (*progress)(void *context, const char *module_path), void *context)
{
	struct error error = {0};
	struct serving serving = {
	    .host = host,
	    .session = host->session,
	    .error = &error,
	    .style = {.colour = request->colour, .columns = request->columns},
	    .progress = progress,
	    .progress_context = context,
	};
	char **words;
	int argc;
	const struct verb *verb = host_verb(request, &words, &argc);

	*answer = (struct answer){0};
	serving.out = open_memstream(&answer->output, &answer->output_n);
	if (!serving.out) {
		answer->status = EXIT_HTRACE_FAILED;
		error_set(&error, -errno, "no memory for an answer");
	} else if (!verb) {
		answer->status = EXIT_USAGE;
		error_set(&error, -EINVAL, "unknown verb '%s': help lists them", words[0]);
	} else {
		answer->status = serve_words(&serving, verb, argc - 1, words + 1);
	}
	if (serving.out && fclose(serving.out))
		answer->status = EXIT_HTRACE_FAILED;
	if (host->failure && !*error.message)
		error_set(&error, 0, "nothing is recorded any more, tracing has failed: %s",
			  host->failure);
	if (*error.message)
		answer->message = xstrdup(error.message);
	free(words);
}

static void ignore_progress(void *context, const char *module_path)
{
	(void)context, (void)module_path;
}

void host_compare(struct host *host)
{
	if (host->over || clock_now_ns() - host->compared_ns < COMPARED_NS_MAX)
		return;
	session_reconcile(host->session);
	host->compared_ns = clock_now_ns();
}

static void answer_here(struct host *host, struct control_client *client,
			const struct request *request)
{
	struct answer answer;

	host_serve(host, request, &answer, ignore_progress, NULL);
	control_answer(client, &answer);
	answer_fini(&answer);
}

static void hold(struct host *host, struct control_client *client)
{
	struct answer answer = {.output = (char *)""};

	if (host->holder) {
		answer.status = EXIT_HTRACE_FAILED;
		answer.message = (char *)"this session has a console already";
	} else {
		host->holder = client;
	}
	control_answer(client, &answer);
}

static void give_way(struct host *host, struct control_client *client)
{
	struct answer answer = {.output = (char *)""};

	if (host->ended_ns)
		host_end(host);
	else
		answer.status = EXIT_HTRACE_FAILED;
	control_answer(client, &answer);
}

static void receive(void *context, struct control_client *client, const struct request *request)
{
	struct host *host = context;
	const struct verb *verb;
	char **words;
	int argc;

	if (!strcmp(request->words[0], HOST_HOLD)) {
		hold(host, client);
		return;
	}
	if (!strcmp(request->words[0], HOST_GIVE_WAY)) {
		give_way(host, client);
		return;
	}
	verb = host_verb(request, &words, &argc);
	free(words);
	if (verb && verb->reads)
		readers_add(host, client, request);
	else
		answer_here(host, client, request);
}

static void client_gone(void *context, struct control_client *client)
{
	struct host *host = context;

	readers_gone(host, client);
	if (client == host->holder) {
		host->holder = NULL;
		host_end(host);
	}
}

/* ---- the target's end ---- */

static void say_event(struct host *host, char *text)
{
	struct answer answer = {.event = text};

	if (host->holder)
		control_answer(host->holder, &answer);
	free(text);
}

static void say_notice(void *context, const char *text)
{
	say_event(context, xstrdup(text));
}

static void leave_clients(void *context)
{
	struct host *host = context;

	control_close_others(host->control, NULL);
}

static char *end_in_words(const struct process *process)
{
	int status = process->exit_status;

	if (WIFSTOPPED(status))
		return xasprintf("process %d was let go, and is not traced any more", process->pid);
	if (WIFSIGNALED(status))
		return xasprintf("process %d was killed by signal %d (SIG%s)%s", process->pid,
				 WTERMSIG(status), sigabbrev_np(WTERMSIG(status)) ?: "?",
				 WCOREDUMP(status) ? ", core dumped" : "");
	return xasprintf("process %d exited with status %d", process->pid, WEXITSTATUS(status));
}

static void look_for_end(struct host *host)
{
	const struct process *process =
	    host->options->pid ? session_process(host->session, host->options->pid) : NULL;

	if (host->ended_ns)
		return;
	if (process && process->exited) {
		host->ended_ns = clock_now_ns();
		say_event(host, end_in_words(process));
	} else if (host->over) {
		host->ended_ns = clock_now_ns();
		say_event(host, xstrdup(host->failure ?: "nothing is traced any more"));
	}
}

/* ---- the loop ---- */

void host_end(struct host *host)
{
	if (host->ending)
		return;
	host->ending = true;
	session_stop(host->session);
	socket_dir_remove(host->options->name);
}

static void step(struct host *host, uint32_t clients)
{
	struct error error = {0};
	int result;

	if (host->over) {
		control_wait(host->control, host->readers.count ? BUSY_STEP_MS : OVER_STEP_MS);
	} else {
		result = session_step(host->session, clients ? BUSY_STEP_MS : STEP_MS, &error);
		if (result < 0 && result != -EINTR)
			host->over = true;
		if (host->over && result != -ECHILD)
			host->failure = xstrdup(error.message);
	}
	catching_step(&host->catching);
	await_look(host);
	look_for_end(host);
}

static bool is_due_to_end(const struct host *host)
{
	uint64_t now_ns = clock_now_ns();

	if (host->options->awaited)
		return now_ns - host->begun_ns > host->options->linger_ns;
	if (host->options->attended && !host->holder)
		return now_ns - host->begun_ns > ATTENDED_NS_MAX;
	return host->over && now_ns - host->ended_ns > host->options->linger_ns;
}

/* What was answered is still on its way. */
static void say_last_words(struct host *host)
{
	uint64_t until_ns = clock_now_ns() + LAST_WORDS_MS * 1000000ull;

	host->holder = NULL;
	while (clock_now_ns() < until_ns && control_step(host->control))
		control_wait(host->control, BUSY_STEP_MS);
}

void host_run(const struct host_options *options, struct session *session)
{
	struct host host = {.options = options, .session = session, .begun_ns = clock_now_ns()};
	struct control_ops ops = {.request = receive, .gone = client_gone, .context = &host};
	bool from_terminal;

	host.catching = (struct catching){.session = session,
					  .signal = options->bad_reference_signal,
					  .say = say_notice,
					  .in_copy = leave_clients,
					  .context = &host};
	host.control = control_new(options->socket, &ops);
	host.notices =
	    (struct notices){.say = say_notice, .in_copy = leave_clients, .context = &host};
	notices_begin(&host.notices, options->options, session);
	while (!host.ending) {
		uint32_t clients = control_step(host.control);

		readers_step(&host);
		step(&host, clients);
		notices_step(&host.notices);
		if (signals_next(&from_terminal) || is_due_to_end(&host))
			host_end(&host);
	}
	say_last_words(&host);
	catching_end(&host.catching);
	notices_end(&host.notices);
	notices_fini(&host.notices);
	readers_end(&host);
	control_free(host.control);
	free(host.failure);
}
