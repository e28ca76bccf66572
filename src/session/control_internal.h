/* The two halves of the control: the socket with its clients, and one client. */
#ifndef HTRACE_SESSION_CONTROL_INTERNAL_H
#define HTRACE_SESSION_CONTROL_INTERNAL_H

#include "session/control.h"

#include "base/array.h"

enum {
	CONTROL_STEP_NS_MAX = 20000000,    /* after it no more requests are handed over in a step */
	CONTROL_STEP_BYTES_MAX = 1 << 20,  /* read in a step, from all clients */
	CONTROL_QUEUE_BYTES_MAX = 1 << 20, /* of events and progress that a client has not read */
	CONTROL_ACCEPTS_MAX = 32,          /* let in in a step */
	CONTROL_PAUSE_NS = 100000000,      /* before the next try where accept(2) lacks something */
};

struct control_client {
	struct control *control;
	int fd;
	uid_t uid;
	void *data;
	bool known;       /* a request was handed over: it will be told that the client is gone */
	bool pending;     /* its request is not answered yet */
	bool handed_over; /* another process writes the answer */
	bool ended;       /* sends nothing more */
	bool leaving;     /* is cut off once it was told why */
	bool dead;        /* the step that comes removes it */
	uint64_t line_since_ns; /* a line may have begun then */
	uint64_t sent_ns;       /* the output has made progress then */
	ARRAY(char) input;
	size_t input_at; /* what is before was a line */
	ARRAY(char) output;
	size_t output_at; /* what is before is sent */
};

struct control {
	struct control_ops ops;
	int fd;
	uint64_t line_ns_max, stuck_ns_max;
	ARRAY(struct control_client *) clients;
	ARRAY(struct pollfd) polled;
	size_t turn;              /* who is served first */
	uint64_t accept_after_ns; /* not before this time again */
	uint64_t step_ns;         /* when the step began */
	size_t step_bytes;        /* that were read in it */
};

static inline bool control_is_full(const struct control *control)
{
	return control->clients.count >= CONTROL_CLIENTS_MAX;
}

/* Takes the socket. Who may not come in is told so and is about to leave; NULL: has gone. */
struct control_client *control_client_new(struct control *control, int fd);

/* Closes the connection, and tells that the client has gone to who knows it. */
void control_client_free(struct control_client *client);

/* What to poll its socket for. */
short control_client_events(const struct control_client *client);

/* Does what `revents` allow. */
void control_client_serve(struct control_client *client, short revents);

/* When there is something to do even if nothing happens on its socket; UINT64_MAX: never. */
uint64_t control_client_due_ns(const struct control_client *client);

#endif
