/*
 * Asking the kernel for all sockets of a network namespace, table by table: sock_diag(7) over
 * netlink. Needs no privilege for one's own namespace.
 */
#ifndef HTRACE_OS_SOCK_DIAG_H
#define HTRACE_OS_SOCK_DIAG_H

#include "os/socket_info.h"

#include <stddef.h>

/* A socket for asking, of our own namespace, or of the one of `netns` (an open /proc/PID/ns/net,
 * which is entered for as long as it takes to make it); a negative errno. */
int sock_diag_open(int netns);

/*
 * Calls `each` for every socket of one table. A negative errno: the kernel does not know the table
 * (-ENOENT, -EINVAL), or the answer could not be read (-ETIME: it did not come).
 */
int sock_diag_dump(int fd, enum socket_table table,
		   void (*each)(void *context, const struct socket_info *info), void *context);

/*
 * One buffer of such an answer: calls `each` for what it tells. 0: more follows; 1: that was the
 * end; a negative errno: the kernel's, or -EBADMSG where it is none. Its bytes are not trusted.
 */
int sock_diag_parse(const void *bytes, size_t size, enum socket_table table,
		    void (*each)(void *context, const struct socket_info *info), void *context);

#endif
