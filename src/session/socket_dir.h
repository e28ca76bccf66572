/*
 * Where the sessions of a user are found: a folder with one socket for each, NAME.sock. The folder
 * is $XDG_RUNTIME_DIR/htrace, for root /run/htrace, and /tmp/htrace-UID where neither exists (or is
 * another's); $HTRACE_SOCKET_DIR, where it is set, is the folder itself. Mode 0700, and refused
 * where it is another's or anybody else may write there.
 */
#ifndef HTRACE_SESSION_SOCKET_DIR_H
#define HTRACE_SESSION_SOCKET_DIR_H

#include "base/array.h"
#include "base/error.h"

/* A session's name: the target's pid in decimal, or "all". */
enum { SESSION_NAME_BYTES = 64 };
#define SESSION_NAME_ALL "all"

/* The folder's path, made where it is missing; owned by the caller. NULL with a sentence. */
char *socket_dir_path(struct error *error);

/*
 * A listening, non-blocking socket for `name`. A socket that nobody listens on any more is taken
 * away first. -EADDRINUSE: a session with that name lives. -EINVAL: no such name can be.
 */
int socket_dir_listen(const char *name, struct error *error);

/*
 * A connected socket (blocking), close-on-exec; the listener is who we are, or root. -ENOENT: there
 * is no such session. -ECONNREFUSED: there was one, and it ended without a word (was killed); what
 * it has left behind is gone now.
 */
int socket_dir_connect(const char *name, struct error *error);

/* The names of all that have a socket, dead or alive, in ascending order of pid, "all" last. */
struct session_names {
	ARRAY(char *) names;
};
int socket_dir_list(struct session_names *out, struct error *error);
void session_names_fini(struct session_names *names);

/* From now on the session that listens as `name` goes by another one. -EADDRINUSE: that lives. */
int socket_dir_rename(const char *name, const char *other);

/* A session that ends takes its socket away. One that another session listens on by now stays. */
void socket_dir_remove(const char *name);

#endif
