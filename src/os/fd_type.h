/*
 * What kind of object a descriptor of a living process stands for: what its link in /proc/PID/fd
 * says, and where that is not all, a look through the link.
 */
#ifndef HTRACE_OS_FD_TYPE_H
#define HTRACE_OS_FD_TYPE_H

#include <stdint.h>
#include <sys/types.h>

/*
 * "directory", "tty", "tcp", ... (model/handle_type.h); what procfs_link_type() says where there
 * was nothing to see. `link` is the link's text. Nothing is opened; file systems are not asked for
 * what they know already (AT_STATX_DONT_SYNC), so that one that does not answer keeps nobody
 * waiting. Static.
 */
const char *fd_type_look(pid_t pid, int32_t fd, const char *link);

/* The type of a socket by its protocol's name in the kernel ("TCPv6", "UNIX-STREAM"; the extended
 * attribute system.sockprotoname); "socket" of one that is not known. Static. */
const char *fd_type_of_protocol(const char *name);

/* The type of what has a path, by its mode and (of devices) the major number. Static. */
const char *fd_type_of_mode(uint32_t mode, uint32_t device_major);

#endif
