/*
 * What is said over a session's control socket: one request, one answer, each a line of JSON in
 * UTF-8 (docs/SESSIONS.md). A connection may carry several, one after the other. Whoever is there
 * may send anything: every field is checked, and what is not known is refused.
 */
#ifndef HTRACE_SESSION_REQUEST_H
#define HTRACE_SESSION_REQUEST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	REQUEST_VERSION = 1,
	REQUEST_BYTES_MAX = 64 * 1024, /* of a line, its end included */
	REQUEST_WORDS_MAX = 64,
	REQUEST_COLUMNS_MAX = 10000,
	ANSWER_BYTES_MAX = 1 << 30, /* a session is not believed either */
};

/* {"htrace":1,"words":["diff","--format=windbg"],"columns":80,"colour":true} */
struct request {
	char **words;     /* the verb and what follows it, as typed; ends with NULL */
	uint32_t words_n; /* at least 1 */
	uint32_t columns; /* of the client's terminal; 0: unlimited */
	bool colour;
};

/*
 * {"htrace":1,"status":0,"output":"...","message":"..."} ends what was asked for. Lines before it
 * may be {"htrace":1,"progress":"reading the names of libc.so.6"}, and, to who has asked to be
 * told, {"htrace":1,"event":"process 4242 exited with status 0"}.
 */
struct answer {
	int status;      /* exit status of the verb */
	char *output;    /* for standard output; "" where there is none */
	size_t output_n; /* bytes, without the NUL that follows */
	char *message;   /* for standard error, without "htrace: " and line end; NULL: none */
	char *progress;  /* not NULL: only this, the answer is yet to come */
	char *event;     /* likewise */
};

/* `line` has `bytes` bytes and no line end. 0, or -EINVAL with a sentence; *out is then empty. */
int request_parse(const char *line, size_t bytes, struct request *out, struct error *error);
int answer_parse(const char *line, size_t bytes, struct answer *out, struct error *error);

/* The line with its end, owned by the caller; *bytes is its length. Bytes that are not UTF-8 become
 * U+FFFD. */
char *request_write(const struct request *request, size_t *bytes);
char *answer_write(const struct answer *answer, size_t *bytes);

/* What the parsers have filled in. */
void request_fini(struct request *request);
void answer_fini(struct answer *answer);

#endif
