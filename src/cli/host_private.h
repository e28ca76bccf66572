/* What the host's files share. */
#ifndef HTRACE_CLI_HOST_PRIVATE_H
#define HTRACE_CLI_HOST_PRIVATE_H

#include "cli/host.h"

#include "base/array.h"
#include "cli/caught.h"
#include "cli/notices.h"
#include "session/control.h"

/* A request that a forked child answers, or will: clients wait for one another. */
struct reader {
	struct control_client *client; /* NULL: it has gone */
	struct request request;        /* a copy */
	pid_t pid;                     /* 0: not begun */
	int alive;                     /* a pipe that the child's end closes */
	bool begun;                    /* part of its answer may have been written */
};

struct host {
	const struct host_options *options;
	struct session *session;
	struct control *control;
	ARRAY(struct reader) readers;  /* in the order in which they came */
	struct control_client *holder; /* the session lives as long as it is connected */
	uint64_t begun_ns, ended_ns;   /* CLOCK_MONOTONIC; ended: the target's end, 0: it lives */
	uint64_t compared_ns;          /* when the tables were last compared with /proc */
	struct notices notices;        /* what it says and writes by itself */
	bool over;                     /* nothing is left to trace */
	char
	    *failure; /* why, where the collector failed while its target lived; NULL: it did not */
	struct catching catching;
	bool ending;
	struct host_options arrived; /* once the awaited program has come */
	char arrived_name[16];
};

/* Parses and serves one request; the answer's parts are the caller's to free. */
void host_serve(struct host *host, const struct request *request, struct answer *answer,
		void (*progress)(void *context, const char *module_path), void *context);

/* The verb that `request` names, and the words behind it; NULL: there is none. `words` is to be
 * freed. */
const struct verb *host_verb(const struct request *request, char ***words, int *argc);

/* host_readers.c: answers by a child, in turn; steps on; forgets a client; ends all. */
void readers_add(struct host *host, struct control_client *client, const struct request *request);
void readers_step(struct host *host);
bool readers_gone(struct host *host, const struct control_client *client);
void readers_end(struct host *host);

#endif
