/*
 * A session's main loop: it handles the target's events and answers the clients' requests, until it
 * is told to end, or its target has ended long ago (docs/SESSIONS.md).
 */
#ifndef HTRACE_CLI_HOST_H
#define HTRACE_CLI_HOST_H

#include "cli/commands.h"
#include "session/session.h"

struct host;

struct host_options {
	const char *name;    /* of the session, as socket_dir_listen() */
	int socket;          /* what that returned; taken over */
	pid_t pid;           /* of the target; 0: all processes */
	uint64_t linger_ns;  /* after its end */
	const char *awaited; /* path of the program that is yet to come; NULL: `pid` is there */
	int bad_reference_signal;      /* as session_options has it */
	const struct options *options; /* of triggers */
	bool attended;                 /* it ends unless somebody asks for HOST_HOLD soon */
};

/* Runs until the session has ended; the socket is gone then, and the session stopped. */
void host_run(const struct host_options *options, struct session *session);

/* What programs ask that know sessions from inside, besides verbs. */
#define HOST_HOLD     "hold"     /* live as long as this connection, tell it events */
#define HOST_GIVE_WAY "give-way" /* end, if the target has ended */

/* One request, as a verb's `serve` sees it. */
struct serving {
	struct host *host;
	struct session *session;
	FILE *out;           /* for the client's standard output */
	struct error *error; /* .message: for its standard error, also where all went well; "" */
	struct report_style style;
	/* For session_report(): tells the client what takes time. */
	void (*progress)(void *context, const char *module_path);
	void *progress_context;
};

/* The target's pid, or 0. */
pid_t host_pid(const struct host *host);

/* Makes the tables what /proc says, or said a moment ago. */
void host_compare(struct host *host);

/* Stops tracing, makes room for another session of that name, and ends the loop after the answer.
 */
void host_end(struct host *host);

/* Writes the line, or the JSON object, of `status`. */
int host_status(struct host *host, const struct options *options, const struct report_style *style,
		FILE *out);

/* What a verb does in a session; each returns the exit status. */
int serve_snapshot(struct serving *serving, const struct options *options, int argc, char **argv);
int serve_diff(struct serving *serving, const struct options *options, int argc, char **argv);
int serve_show(struct serving *serving, const struct options *options, int argc, char **argv);
int serve_handles(struct serving *serving, const struct options *options, int argc, char **argv);
int serve_processes(struct serving *serving, const struct options *options, int argc, char **argv);
int serve_status(struct serving *serving, const struct options *options, int argc, char **argv);
int serve_disable(struct serving *serving, const struct options *options, int argc, char **argv);

#endif
