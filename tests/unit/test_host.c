/*
 * cli/host: a session whose collector fails while its target lives. Everything but the collector is
 * the real thing: the loop in a process of its own, asked over its socket.
 */
#include "cli/host.h"

#include "bare_session.h"
#include "session/client.h"
#include "session/socket_dir.h"
#include "socket_folder.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>
#include <cmocka.h>

#define NAME "4194304" /* BARE_PID */
#define WHY  "the ring was taken away"

enum { WAIT_MS = 10000 };

static bool *failing; /* shared with the session's process */

static int failing_poll(struct collector *collector, int timeout_ms, const struct event_sink *sink,
			struct error *error)
{
	(void)collector, (void)sink;
	if (__atomic_load_n(failing, __ATOMIC_RELAXED))
		return error_set(error, -EIO, WHY);
	nanosleep(&(struct timespec){.tv_nsec = timeout_ms * 1000000l}, NULL);
	return 0;
}

static void no_stats(const struct collector *collector, struct collector_stats *out)
{
	(void)collector;
	*out = (struct collector_stats){0};
}

static void no_detach(struct collector *collector)
{
	(void)collector;
}

static int host_in_child(void)
{
	const struct collector_ops ops = {.name = "failing",
					  .poll = failing_poll,
					  .stats = no_stats,
					  .detach = no_detach,
					  .destroy = bare_destroy};
	const struct options given = {.format = &report_text};
	const struct host_options options = {.name = NAME,
					     .options = &given,
					     .socket = socket_dir_listen(NAME, NULL),
					     .pid = BARE_PID,
					     .linger_ns = 60000000000ull};
	struct session *session = bare_session_new();

	session->ops = &ops;
	bare_exec(session, BARE_PID, 1);
	host_run(&options, session);
	session_free(session);
	return EXIT_SUCCESS;
}

static struct client *connect_to_host(void)
{
	struct client *client;

	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (client_open(NAME, &client, NULL) == 0)
			return client;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	fail_msg("there is no session");
	return NULL;
}

static struct answer ask(struct client *client, const char *verb, const char *option)
{
	char *words[] = {(char *)verb, (char *)option, NULL};
	struct request request = {.words = words, .words_n = option ? 2 : 1};
	struct answer answer = {0};

	assert_int_equal(client_call(client, &request, &answer, NULL, NULL, NULL), 0);
	assert_int_equal(answer.status, EXIT_SUCCESS);
	return answer;
}

/* What an answer says; NULL: it must not say it. */
static void assert_says(struct client *client, const char *verb, const char *option,
			const char *output, const char *message)
{
	struct answer answer = ask(client, verb, option);

	if (!strstr(answer.output, output))
		fail_msg("%s does not say '%s': %s", verb, output, answer.output);
	if (message)
		assert_string_equal(answer.message, message);
	else
		assert_null(answer.message);
	answer_fini(&answer);
}

/* The next event that its holder is told. */
static void assert_told(struct client *holder, const char *wanted)
{
	struct pollfd ready = {client_fd(holder), POLLIN, 0};
	char *text = NULL;
	int got;

	while ((got = client_event(holder, &text)) == 0)
		assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
	assert_int_equal(got, 1);
	assert_string_equal(text, wanted);
	free(text);
}

/* Whoever asks is told that nothing is recorded any more, and why; what was recorded stays. */
static void test_collector_fails(void **state)
{
	const char *failed = "nothing is recorded any more, tracing has failed: " WHY;
	struct client *holder, *client;
	struct answer answer;
	pid_t child;

	(void)state;
	failing =
	    mmap(NULL, sizeof(*failing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(failing != MAP_FAILED);
	child = fork();
	if (child == 0)
		_exit(host_in_child());
	holder = connect_to_host();
	answer = ask(holder, HOST_HOLD, NULL);
	answer_fini(&answer);
	client = connect_to_host();
	assert_says(client, "status", "--format=json", "\"failure\":null", NULL);
	assert_says(client, "status", NULL, "traced for", NULL);
	__atomic_store_n(failing, true, __ATOMIC_RELAXED);
	assert_told(holder, WHY);
	assert_says(client, "status", "--format=json", "\"failure\":\"" WHY "\"", failed);
	assert_says(client, "status", NULL, "; tracing has failed: " WHY, failed);
	assert_says(client, "status", NULL, "ended, was traced", failed);
	assert_says(client, "diff", "--format=json", "\"pid\": " NAME, failed);
	assert_says(client, "disable", NULL, "Handle tracing disabled.\n", failed);
	client_close(client);
	client_close(holder);
	assert_int_equal(wait_for(child), 0);
	munmap(failing, sizeof(*failing));
}

#undef main

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_folder(test_collector_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
