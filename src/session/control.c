/*
 * Owns the listening socket and the list of clients: who is let in, whose turn it is, how long a
 * step may be. What one client says and is told: control_client.c.
 */
#include "session/control_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct control *control_new(int fd, const struct control_ops *ops)
{
	struct control *control = xcalloc(1, sizeof(*control));

	control->ops = *ops;
	control->fd = fd;
	control->line_ns_max = CONTROL_LINE_NS_MAX;
	control->stuck_ns_max = CONTROL_STUCK_NS_MAX;
	return control;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	array_each (client, &control->clients)
		control_client_free(*client);
	array_fini(&control->clients);
	array_fini(&control->polled);
	/* A forked process may have it too: nobody connects any more even so. */
	shutdown(control->fd, SHUT_RDWR);
	close(control->fd);
	free(control);
}

void control_close_others(struct control *control, const struct control_client *kept)
{
	array_each (client, &control->clients)
		if (*client != kept)
			close((*client)->fd);
	close(control->fd);
}

static void accept_clients(struct control *control)
{
	for (int i = 0; i < CONTROL_ACCEPTS_MAX && !control_is_full(control); i++) {
		int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct control_client *client;

		if (fd < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (fd < 0 && errno != ECONNABORTED) { /* no descriptors, no memory */
			control->accept_after_ns = control->step_ns + CONTROL_PAUSE_NS;
			return;
		}
		client = fd < 0 ? NULL : control_client_new(control, fd);
		if (client)
			array_push(&control->clients, client);
	}
}

/* Fills in polled[0...], in the order of the clients. */
static void prepare_poll(struct control *control)
{
	control->polled.count = 0;
	array_each (client, &control->clients)
		array_push(
		    &control->polled,
		    (struct pollfd){.fd = (*client)->fd, .events = control_client_events(*client)});
}

static void sweep(struct control *control)
{
	for (size_t i = 0; i < control->clients.count;) {
		struct control_client *client = control->clients.data[i];

		if (!client->dead) {
			i++;
			continue;
		}
		control->clients.data[i] = control->clients.data[--control->clients.count];
		control_client_free(client);
	}
}

uint32_t control_step(struct control *control)
{
	size_t count;

	control->step_ns = clock_now_ns();
	control->step_bytes = 0;
	if (control->step_ns >= control->accept_after_ns)
		accept_clients(control);
	prepare_poll(control);
	count = control->clients.count;
	if (count && poll(control->polled.data, count, 0) >= 0) {
		control->turn++; /* whoever floods us is the last one some time */
		for (size_t i = 0; i < count; i++) {
			size_t at = (control->turn + i) % count;

			control_client_serve(control->clients.data[at],
					     control->polled.data[at].revents);
		}
	}
	sweep(control);
	return control->clients.count;
}

/* The time that something is due, at most `timeout_ms` away. */
static int shorten(const struct control *control, int timeout_ms, uint64_t now_ns)
{
	uint64_t due_ns = control->accept_after_ns > now_ns ? control->accept_after_ns : UINT64_MAX;
	uint64_t wait_ms;

	array_each (client, &control->clients) {
		uint64_t client_ns = control_client_due_ns(*client);

		due_ns = client_ns < due_ns ? client_ns : due_ns;
	}
	if (due_ns <= now_ns)
		return 0;
	wait_ms = (due_ns - now_ns) / 1000000 + 1;
	return timeout_ms >= 0 && wait_ms > (uint64_t)timeout_ms ? timeout_ms
	       : wait_ms > INT32_MAX                             ? -1
								 : (int)wait_ms;
}

void control_wait(struct control *control, int timeout_ms)
{
	uint64_t now_ns = clock_now_ns();
	bool accepts = !control_is_full(control) && now_ns >= control->accept_after_ns;

	prepare_poll(control);
	array_push(&control->polled,
		   (struct pollfd){.fd = accepts ? control->fd : -1, .events = POLLIN});
	poll(control->polled.data, control->polled.count, shorten(control, timeout_ms, now_ns));
}
