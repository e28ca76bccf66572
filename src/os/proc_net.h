/*
 * Sockets as /proc/PID/net tells them, for tables that sock_diag(7) does not have and namespaces
 * that may not be entered: it tells less (no memory, no peers of unix sockets).
 */
#ifndef HTRACE_OS_PROC_NET_H
#define HTRACE_OS_PROC_NET_H

#include "os/socket_info.h"

#include <sys/types.h>

/* Calls `each` for every socket of a table in the network namespace of `pid`; a negative errno. */
int proc_net_dump(pid_t pid, enum socket_table table,
		  void (*each)(void *context, const struct socket_info *info), void *context);

/* Parses one line (ended by NUL) of such a file; `family` is AF_INET6 for tcp6 and the like. False:
 * it is none, or a head. */
bool proc_net_parse(const char *line, enum socket_table table, uint8_t family,
		    struct socket_info *out);

#endif
