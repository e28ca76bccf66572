/* Owns a client's connection: whole lines out of it, and the events that came between. */
#include "session/client.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "session/socket_dir.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_BYTES = 64 * 1024 };

struct client {
	int fd;
	ARRAY(char) input;
	size_t at;            /* what is before was a line */
	size_t searched;      /* no line ends before */
	ARRAY(char *) events; /* that nobody has asked for yet */
	size_t events_at;
};

int client_open(const char *name, struct client **out, struct error *error)
{
	int fd = socket_dir_connect(name, error);

	if (fd < 0)
		return fd;
	*out = xcalloc(1, sizeof(**out));
	(*out)->fd = fd;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	for (size_t i = client->events_at; i < client->events.count; i++)
		free(client->events.data[i]);
	array_fini(&client->events);
	array_fini(&client->input);
	free(client);
}

int client_fd(const struct client *client)
{
	return client->fd;
}

/* The next whole line that was read already. */
static bool next_line(struct client *client, const char **line, size_t *bytes)
{
	const char *end = client->searched < client->input.count
			      ? memchr(client->input.data + client->searched, '\n',
				       client->input.count - client->searched)
			      : NULL;

	if (!end) {
		client->searched = client->input.count;
		return false;
	}
	*line = client->input.data + client->at;
	*bytes = end - *line;
	client->at = client->searched = end + 1 - client->input.data;
	return true;
}

/* 1, or 0 without anything to read (MSG_DONTWAIT), -EPIPE at the end, another negative errno. */
static int read_more(struct client *client, int flags)
{
	ssize_t got;

	if (client->at) { /* the lines are dealt with */
		client->input.count -= client->at;
		client->searched -= client->at;
		memmove(client->input.data, client->input.data + client->at, client->input.count);
		client->at = 0;
	}
	if (client->input.count >= ANSWER_BYTES_MAX)
		return -EMSGSIZE;
	array_reserve(&client->input, client->input.count + READ_BYTES);
	got = recv(client->fd, client->input.data + client->input.count,
		   client->input.capacity - client->input.count, flags);
	if (got < 0)
		return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	client->input.count += got;
	return got ? 1 : -EPIPE;
}

static int tell_lost(int result, struct error *error)
{
	if (result == -EINTR)
		return error_set(error, result, "interrupted");
	if (result == -EPIPE)
		return error_set(error, result, "the session has ended without an answer");
	if (result == -EMSGSIZE)
		return error_set(error, result, "the session's answer has more than %d bytes",
				 ANSWER_BYTES_MAX);
	return error_set_errno(error, result, "cannot read the session's answer");
}

/* Takes what is worth keeping out of `line`; true: it was the answer. */
static bool deal_with(struct client *client, struct answer *line,
		      void (*progress)(void *context, const char *text), void *context)
{
	if (line->event) {
		array_push(&client->events, line->event);
		line->event = NULL;
		return false;
	}
	if (line->progress && progress)
		progress(context, line->progress);
	return !line->progress;
}

static int receive(struct client *client, struct answer *out,
		   void (*progress)(void *context, const char *text), void *context,
		   struct error *error)
{
	const char *line;
	size_t bytes;
	int result;

	for (;;) {
		while (!next_line(client, &line, &bytes)) {
			result = read_more(client, 0);
			if (result < 0)
				return tell_lost(result, error);
		}
		if (answer_parse(line, bytes, out, error)) {
			if (error)
				error->code = -EPROTO;
			return -EPROTO;
		}
		if (deal_with(client, out, progress, context))
			return 0;
		answer_fini(out);
	}
}

static int send_all(int fd, const char *line, size_t bytes, struct error *error)
{
	while (bytes) {
		ssize_t sent = send(fd, line, bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			return error_set(error, -EINTR, "interrupted");
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0; /* it may have said why before it closed */
		if (sent < 0)
			return error_set_errno(error, -errno, "cannot ask the session");
		line += sent;
		bytes -= sent;
	}
	return 0;
}

int client_call(struct client *client, const struct request *request, struct answer *out,
		void (*progress)(void *context, const char *text), void *context,
		struct error *error)
{
	_cleanup_(free) char *line = NULL;
	size_t bytes;
	int result;

	*out = (struct answer){0};
	line = request_write(request, &bytes);
	if (bytes > REQUEST_BYTES_MAX || request->words_n > REQUEST_WORDS_MAX)
		return error_set(error, -E2BIG,
				 "the command is too long: at most %d words, %d bytes in all",
				 REQUEST_WORDS_MAX, REQUEST_BYTES_MAX);
	result = send_all(client->fd, line, bytes, error);
	return result ? result : receive(client, out, progress, context, error);
}

/* Of the lines that have come already only the events matter: who would wait for the others? */
static void keep_events(struct client *client)
{
	struct answer answer;
	const char *line;
	size_t bytes;

	while (next_line(client, &line, &bytes)) {
		if (answer_parse(line, bytes, &answer, NULL))
			continue;
		deal_with(client, &answer, NULL, NULL);
		answer_fini(&answer);
	}
}

int client_event(struct client *client, char **text)
{
	int result;

	*text = NULL;
	for (;;) {
		keep_events(client);
		if (client->events_at < client->events.count) {
			*text = client->events.data[client->events_at++];
			return 1;
		}
		client->events.count = client->events_at = 0;
		result = read_more(client, MSG_DONTWAIT);
		if (result <= 0)
			return result;
	}
}
