/*
 * A session's half of the control socket: who may come in, whole lines in, answers out. Never
 * blocks; a client that is too big, too slow or not permitted is cut off, and nobody else notices.
 * Knows no verb.
 */
#ifndef HTRACE_SESSION_CONTROL_H
#define HTRACE_SESSION_CONTROL_H

#include "session/request.h"

#include <sys/types.h>

enum {
	CONTROL_CLIENTS_MAX = 256,          /* at once; more wait to be let in */
	CONTROL_LINE_NS_MAX = 10000000000,  /* from a line's first byte to its last */
	CONTROL_STUCK_NS_MAX = 10000000000, /* for which an answer may make no progress */
};

struct control;
struct control_client;

struct control_ops {
	/* A request that is well-formed. It is borrowed; to be answered, now or later, by one
	 * control_answer() or control_hand_over(); the next one of this client waits till then. */
	void (*request)(void *context, struct control_client *client,
			const struct request *request);
	/* The client has gone, answered or not; `client` is not to be used again. Only of clients
	 * that had a request, and only from control_step() and control_free(). */
	void (*gone)(void *context, struct control_client *client);
	void *context;
};

/* Takes over the listening socket `fd` (socket_dir_listen()). control_free() cuts everybody off:
 * what is not sent by then (only long answers are not sent at once) is lost. */
struct control *control_new(int fd, const struct control_ops *ops);
void control_free(struct control *control);

/* Does what can be done at once: lets in, reads, hands over requests, writes. Number of clients
 * that are connected. */
uint32_t control_step(struct control *control);

/* Waits at most timeout_ms until control_step() has something to do. */
void control_wait(struct control *control, int timeout_ms);

/* The answer, or a line of progress or an event before it. Copied. */
void control_answer(struct control_client *client, const struct answer *answer);

/*
 * For an answer that another process writes (a forked child): the client's socket, made blocking,
 * with a limit on how long it may make no progress. It stays the control's, which keeps its hands
 * off it until control_take_back(): then the answer was given. -EPIPE: the client is about to go.
 * control_answer() takes it back too: where the other process ended without an answer.
 */
int control_hand_over(struct control_client *client);
void control_take_back(struct control_client *client);

/*
 * For that other process. control_close_others() closes all of its copies of our sockets but that
 * of `kept`: else they would seem to live on with it. control_send() writes an answer (or a line of
 * progress) to the end; -EPIPE: nobody wants it any more, -EAGAIN: who wants it does not read.
 */
void control_close_others(struct control *control, const struct control_client *kept);
int control_send(int fd, const struct answer *answer);

/* The client goes at the next step: an answer to it was begun and cannot be ended. */
void control_cut_off(struct control_client *client);

/* The user at the other end (SO_PEERCRED), and a place for what the caller knows of the client. */
uid_t control_client_uid(const struct control_client *client);
void **control_client_data(struct control_client *client);

#endif
