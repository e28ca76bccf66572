/*
 * Owns one connection: its bytes until they are a line, its answers until they are sent, and when
 * it is cut off. It is freed by the control only, between two steps: who answers may keep using it.
 */
#include "session/control_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	STATUS_USAGE = 2,     /* the request is wrong */
	STATUS_REFUSED = 125, /* htrace's own failures, as everywhere */
	MESSAGE_BYTES = ERROR_MESSAGE_MAX,
};

static size_t unsent(const struct control_client *client)
{
	return client->output.count - client->output_at;
}

static size_t unread(const struct control_client *client)
{
	return client->input.count - client->input_at;
}

/* Nothing is owed to it: what it says next counts. */
static bool is_heard(const struct control_client *client)
{
	return !client->pending && !client->leaving && !client->dead && !unsent(client);
}

static const char *line_end(const struct control_client *client)
{
	return unread(client) ? memchr(client->input.data + client->input_at, '\n', unread(client))
			      : NULL;
}

/* Sends what the socket takes. */
static void flush(struct control_client *client)
{
	while (unsent(client) && !client->dead) {
		ssize_t sent = send(client->fd, client->output.data + client->output_at,
				    unsent(client), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		client->dead |= sent < 0;
		client->output_at += sent < 0 ? 0 : sent;
		client->sent_ns = clock_now_ns();
	}
	client->output_at = 0;
	array_fini(&client->output);
	client->dead |= client->leaving;
}

static void queue_take(struct control_client *client, char *line, size_t bytes)
{
	if (!unsent(client)) {
		array_fini(&client->output);
		client->output_at = 0;
		client->output.data = line;
		client->output.count = client->output.capacity = bytes;
		client->sent_ns = clock_now_ns();
		return;
	}
	array_reserve(&client->output, client->output.count + bytes);
	memcpy(client->output.data + client->output.count, line, bytes);
	client->output.count += bytes;
	free(line);
}

void control_answer(struct control_client *client, const struct answer *answer)
{
	bool is_last = !answer->progress && !answer->event;
	size_t bytes;
	char *line;

	if (client->dead || client->leaving)
		return;
	if (is_last && client->handed_over)
		control_take_back(client);
	if (!is_last && unsent(client) > CONTROL_QUEUE_BYTES_MAX) {
		client->dead = true;
		return;
	}
	line = answer_write(answer, &bytes);
	queue_take(client, line, bytes);
	client->pending &= !is_last;
	if (!client->handed_over)
		flush(client);
}

/* What we ourselves have to say of a request, as far as it can be said. */
static void complain(struct control_client *client, int status, const char *message)
{
	control_answer(client, &(struct answer){.status = status, .message = (char *)message});
}

static void complain_and_leave(struct control_client *client, int status, const char *message)
{
	complain(client, status, message);
	client->leaving = true;
	if (!unsent(client))
		client->dead = true;
}

struct control_client *control_client_new(struct control *control, int fd)
{
	struct control_client *client;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	char message[MESSAGE_BYTES];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) {
		close(fd);
		return NULL;
	}
	client = xcalloc(1, sizeof(*client));
	client->control = control;
	client->fd = fd;
	client->uid = peer.uid;
	client->line_since_ns = control->step_ns;
	if (peer.uid != 0 && peer.uid != geteuid()) {
		snprintf(message, sizeof(message),
			 "this session is user %u's: it answers that user and root, not user %u",
			 (unsigned)geteuid(), (unsigned)peer.uid);
		complain_and_leave(client, STATUS_REFUSED, message);
	}
	return client;
}

void control_client_free(struct control_client *client)
{
	struct control_ops *ops = &client->control->ops;

	if (client->known && ops->gone)
		ops->gone(ops->context, client);
	/* A forked process may have the socket too: the other end is to see the end even so. */
	shutdown(client->fd, SHUT_RDWR);
	close(client->fd);
	array_fini(&client->input);
	array_fini(&client->output);
	free(client);
}

short control_client_events(const struct control_client *client)
{
	bool reads = is_heard(client) && !client->ended && !line_end(client);

	return (reads ? POLLIN : 0) | (unsent(client) && !client->handed_over ? POLLOUT : 0);
}

/* Once: what more there is can wait for the next step. */
static void read_input(struct control_client *client)
{
	struct control *control = client->control;
	ssize_t got;

	if (control->step_bytes >= CONTROL_STEP_BYTES_MAX)
		return;
	array_reserve(&client->input, REQUEST_BYTES_MAX);
	if (client->input_at) {
		memmove(client->input.data, client->input.data + client->input_at, unread(client));
		client->input.count = unread(client);
		client->input_at = 0;
	}
	got = recv(client->fd, client->input.data + client->input.count,
		   REQUEST_BYTES_MAX - client->input.count, MSG_DONTWAIT);
	if (got < 0) {
		client->dead |= errno != EAGAIN && errno != EINTR;
		return;
	}
	client->ended = got == 0;
	if (!client->input.count)
		client->line_since_ns = control->step_ns;
	client->input.count += got;
	control->step_bytes += got;
}

static void receive_line(struct control_client *client, const char *line, size_t bytes)
{
	struct control_ops *ops = &client->control->ops;
	struct request request;
	struct error error;

	if (request_parse(line, bytes, &request, &error)) {
		complain(client, STATUS_USAGE, error.message);
		return;
	}
	client->known = client->pending = true;
	ops->request(ops->context, client, &request);
	request_fini(&request);
}

static void take_line(struct control_client *client, const char *end)
{
	size_t start = client->input_at;

	client->input_at = end + 1 - client->input.data;
	client->line_since_ns = client->control->step_ns;
	receive_line(client, client->input.data + start, client->input_at - 1 - start);
	if (!unread(client)) {
		array_fini(&client->input);
		client->input_at = 0;
	}
}

/* Hands over the next request, if there is a whole one. */
static void hear(struct control_client *client)
{
	const char *end = line_end(client);
	char message[MESSAGE_BYTES];

	if (!end && unread(client) >= REQUEST_BYTES_MAX) {
		snprintf(message, sizeof(message), "the request is longer than %d bytes",
			 REQUEST_BYTES_MAX);
		complain_and_leave(client, STATUS_USAGE, message);
	}
	if (end && clock_now_ns() - client->control->step_ns <= CONTROL_STEP_NS_MAX)
		take_line(client, end);
}

/* Who says nothing at all may stay, but not in the place of those who wait outside. */
static uint64_t line_due_ns(const struct control_client *client)
{
	bool counts = is_heard(client) && !line_end(client) &&
		      (unread(client) || (!client->known && control_is_full(client->control)));

	return counts ? client->line_since_ns + client->control->line_ns_max : UINT64_MAX;
}

static uint64_t stuck_due_ns(const struct control_client *client)
{
	return unsent(client) && !client->handed_over
		   ? client->sent_ns + client->control->stuck_ns_max
		   : UINT64_MAX;
}

uint64_t control_client_due_ns(const struct control_client *client)
{
	uint64_t line_ns = line_due_ns(client), stuck_ns = stuck_due_ns(client);

	if (client->dead || (is_heard(client) && (client->ended || line_end(client))))
		return 0;
	return line_ns < stuck_ns ? line_ns : stuck_ns;
}

static void check_limits(struct control_client *client)
{
	uint64_t now_ns = client->control->step_ns;

	if (line_due_ns(client) < now_ns)
		complain_and_leave(client, STATUS_USAGE, "the request took too long to arrive");
	if (stuck_due_ns(client) < now_ns)
		client->dead = true;
	if (client->ended && is_heard(client) && !line_end(client))
		client->dead = true;
}

void control_client_serve(struct control_client *client, short revents)
{
	/* Both directions are closed. Who only sends no more still waits for its answer. */
	if (revents & (POLLHUP | POLLERR | POLLNVAL))
		client->dead = true;
	if (client->dead || client->handed_over)
		return;
	if (unsent(client))
		flush(client);
	if (is_heard(client) && (revents & POLLIN))
		read_input(client);
	if (is_heard(client))
		hear(client);
	if (!is_heard(client)) /* the next line's time begins when this one was answered */
		client->line_since_ns = client->control->step_ns;
	check_limits(client);
}

int control_hand_over(struct control_client *client)
{
	uint64_t limit_us = client->control->stuck_ns_max / 1000;
	struct timeval limit = {limit_us / 1000000, limit_us % 1000000};

	if (!client->dead && !client->handed_over)
		flush(client);
	/* A line that was begun here would have to be ended there. */
	if (unsent(client) || client->dead || client->handed_over || !client->pending ||
	    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    fcntl(client->fd, F_SETFL, 0)) {
		client->dead = true;
		return -EPIPE;
	}
	client->handed_over = true;
	return client->fd;
}

void control_take_back(struct control_client *client)
{
	if (!client->handed_over)
		return;
	client->handed_over = client->pending = false;
	client->sent_ns = clock_now_ns();
	client->dead |= fcntl(client->fd, F_SETFL, O_NONBLOCK) != 0;
	flush(client); /* events that have waited */
}

void control_cut_off(struct control_client *client)
{
	client->dead = true;
}

int control_send(int fd, const struct answer *answer)
{
	size_t bytes, at = 0;
	char *line = answer_write(answer, &bytes);
	int result = 0;

	while (at < bytes && !result) {
		ssize_t sent = send(fd, line + at, bytes - at, MSG_NOSIGNAL);

		if (sent >= 0)
			at += sent;
		else if (errno != EINTR)
			result = -errno;
	}
	free(line);
	return result;
}

uid_t control_client_uid(const struct control_client *client)
{
	return client->uid;
}

void **control_client_data(struct control_client *client)
{
	return &client->data;
}
