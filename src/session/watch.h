/* What the session's other files tell its watch (session.h: session_set_watch); all of it may be
 * called where nobody watches. */
#ifndef HTRACE_SESSION_WATCH_H
#define HTRACE_SESSION_WATCH_H

#include "session/session.h"

struct watch;

void watch_free(struct watch *watch);

/* A call of the process failed for want of a handle, after a time in which none did; `limit` is
 * what its record says of RLIMIT_NOFILE, 0: nothing. */
void watch_exhausted(struct session *session, const struct process *process, uint64_t limit);

/* The process has more handles, or fewer. */
void watch_changed(struct session *session, const struct process *process, uint64_t time_ns);

void watch_ended(struct session *session, pid_t pid);

/* Looks at every process; to be called often. */
void watch_step(struct session *session, uint64_t now_ns);

#endif
