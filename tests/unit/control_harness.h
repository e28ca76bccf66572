/*
 * A session's host that only answers: it repeats the words, or leaves them unanswered. And raw
 * clients, whose sockets do not block: one process plays both ends.
 */
#ifndef HTRACE_TESTS_CONTROL_HARNESS_H
#define HTRACE_TESTS_CONTROL_HARNESS_H

#include "session/control_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "session/client.h"
#include "session/socket_dir.h"
#include "socket_folder.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <cmocka.h>

#define MS UINT64_C(1000000)

enum { PATIENCE_S = 20 }; /* more than anything here takes */

struct host {
	struct control *control;
	bool silent; /* leaves requests to the test */
	uint32_t requests, gone;
	char words[REQUEST_BYTES_MAX]; /* of the last one */
	struct control_client *last, *last_gone;
};

static inline void host_answer(struct control_client *client, const char *output)
{
	control_answer(client,
		       &(struct answer){.output = (char *)output, .output_n = strlen(output)});
}

static inline void join_words(const struct request *request, char *out)
{
	out += sprintf(out, "%s", request->words[0]);
	for (uint32_t i = 1; i < request->words_n; i++)
		out += sprintf(out, " %s", request->words[i]);
}

static inline void host_request(void *context, struct control_client *client,
				const struct request *request)
{
	struct host *host = context;

	host->requests++;
	host->last = client;
	join_words(request, host->words);
	if (!host->silent)
		host_answer(client, host->words);
}

static inline void host_gone(void *context, struct control_client *client)
{
	struct host *host = context;

	host->gone++;
	host->last_gone = client;
}

static inline void host_begin(struct host *host, bool silent)
{
	struct control_ops ops = {host_request, host_gone, host};
	struct error error;
	int fd = socket_dir_listen("4242", &error);

	if (fd < 0)
		fail_msg("%s", error.message);
	*host = (struct host){.silent = silent};
	host->control = control_new(fd, &ops);
}

static inline void host_end(struct host *host)
{
	control_free(host->control);
	host->control = NULL;
}

static inline void host_steps(struct host *host, int count)
{
	while (count--)
		control_step(host->control);
}

/* Until `milliseconds` have passed. */
static inline void host_run(struct host *host, int milliseconds)
{
	uint64_t end_ns = clock_now_ns() + milliseconds * MS;

	while (clock_now_ns() < end_ns) {
		control_step(host->control);
		control_wait(host->control, 1);
	}
}

/* `number` steps at a time until `condition`. */
#define host_until(host, condition)                                                                \
	for (uint64_t until_ns = clock_now_ns() + PATIENCE_S * 1000 * MS; !(condition);) {         \
		control_step((host)->control);                                                     \
		control_wait((host)->control, 1);                                                  \
		if (clock_now_ns() > until_ns)                                                     \
			fail_msg("never: %s", #condition);                                         \
	}

static inline int raw_connect(void)
{
	int fd = socket_dir_connect("4242", NULL);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline void raw_say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void raw_ask(int fd, const char *word)
{
	_cleanup_(free) char *line = xasprintf("{\"htrace\":1,\"words\":[\"%s\"]}\n", word);

	raw_say(fd, line);
}

/* The next line that the host sends, whose answer_fini() is the caller's. */
static inline void raw_hear(struct host *host, int fd, struct answer *out)
{
	static char line[1 << 16];
	struct error error;
	size_t bytes = 0;

	while (!bytes || line[bytes - 1] != '\n') {
		host_until(host, recv(fd, line + bytes, 1, MSG_DONTWAIT) == 1);
		bytes++;
	}
	if (answer_parse(line, bytes - 1, out, &error))
		fail_msg("%.*s: %s", (int)bytes, line, error.message);
}

static inline void raw_expect(struct host *host, int fd, int status, const char *output,
			      const char *message)
{
	struct answer answer;

	raw_hear(host, fd, &answer);
	assert_int_equal(answer.status, status);
	assert_string_equal(answer.output, output);
	if (message && (!answer.message || !strstr(answer.message, message)))
		fail_msg("\"%s\" does not say \"%s\"", answer.message, message);
	if (!message)
		assert_null(answer.message);
	answer_fini(&answer);
}

/* Whether the other end has closed; what is not read yet is dropped. */
static inline bool raw_is_cut(int fd)
{
	static char rest[1 << 16];
	ssize_t got;

	do
		got = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
	while (got > 0);
	return got == 0 || errno != EAGAIN;
}

/* Steps the host until the child has exited; its status. */
static inline int host_wait_for(struct host *host, pid_t pid)
{
	int status = -1;

	host_until(host, waitpid(pid, &status, WNOHANG) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
