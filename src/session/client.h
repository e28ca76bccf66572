/*
 * A client's half of the control socket: sends a request, waits for its answer. Blocks; a signal
 * handler (installed without SA_RESTART) ends the wait with -EINTR.
 */
#ifndef HTRACE_SESSION_CLIENT_H
#define HTRACE_SESSION_CLIENT_H

#include "session/request.h"

struct client;

/* Connects to the session `name`; errors as socket_dir_connect(). */
int client_open(const char *name, struct client **out, struct error *error);
void client_close(struct client *client);

/*
 * Sends `request` and waits for the answer, which answer_fini() frees. `progress` (NULL: nobody) is
 * called for each line of progress. -EPIPE: the session has ended; -EINTR: the caller may close the
 * client, which cancels the request; -E2BIG: too many words; -EPROTO: that was no answer.
 */
int client_call(struct client *client, const struct request *request, struct answer *out,
		void (*progress)(void *context, const char *text), void *context,
		struct error *error);

/* For poll(2): readable when client_event() has something, once it has returned 0. */
int client_fd(const struct client *client);

/* The next event's text without waiting, owned by the caller: 1; 0: none yet; -EPIPE: the session
 * has ended. */
int client_event(struct client *client, char **text);

#endif
