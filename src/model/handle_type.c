/* Owns the table of types. Knows no handle and no system call. */
#include "model/handle_type.h"

#include <stddef.h>
#include <string.h>

const struct handle_type handle_types[] = {
    {"file", "file"},
    {"directory", "directory"},
    {"device", "device"}, /* of characters; "block" of blocks */
    {"block", "device"},
    {"tty", "device"},
    {"pipe", "pipe"},
    {"fifo", "pipe"}, /* has a name in a folder */
    {"symlink", "symlink"},

    {"socket", "socket"}, /* of a protocol that has no name here */
    {"tcp", "socket"},
    {"udp", "socket"},
    {"unix", "socket"},
    {"netlink", "socket"},
    {"packet", "socket"},
    {"vsock", "socket"},
    {"raw", "socket"},
    {"ping", "socket"},
    {"mptcp", "socket"},
    {"sctp", "socket"},
    {"alg", "socket"},
    {"bluetooth", "socket"},
    {"can", "socket"},
    {"tipc", "socket"},
    {"xdp", "socket"},

    {"eventfd", "eventfd"},
    {"epoll", "epoll"},
    {"timerfd", "timerfd"},
    {"signalfd", "signalfd"},
    {"inotify", "inotify"},
    {"fanotify", "fanotify"},
    {"memfd", "memfd"},
    {"mqueue", "mqueue"},
    {"pidfd", "pidfd"},
    {"io_uring", "io_uring"},
    {"bpf", "bpf"},
    {"perf", "perf"},
    {"userfaultfd", "userfaultfd"},
    {"namespace", "namespace"},
    {"fscontext", "fscontext"},
    {"landlock", "landlock"},
    {"seccomp", "seccomp"},
    {"kvm", "kvm"},
    {"dmabuf", "dmabuf"},
    {"anon_inode", "anon_inode"}, /* an object of the kernel that has no name here */

    {"mixed", "mixed"},     /* of a group: its handles have nothing in common */
    {"unknown", "unknown"}, /* what only a look at the living process would have told */
    {NULL, NULL},
};

const struct handle_type *handle_type_find(const char *name)
{
	for (const struct handle_type *row = handle_types; row->name; row++)
		if (!strcmp(row->name, name))
			return row;
	return NULL;
}

const char *handle_type_family(const char *type)
{
	const struct handle_type *row = type ? handle_type_find(type) : NULL;

	return row ? row->family : type;
}

bool handle_type_is(const char *type, const char *wanted)
{
	if (!type)
		type = "unknown";
	return !strcmp(type, wanted) || !strcmp(handle_type_family(type), wanted);
}

const char *handle_type_common(const char *a, const char *b)
{
	if (a == b || (a && b && !strcmp(a, b)))
		return a;
	if (!a || !b)
		return a ? a : b;
	if (!strcmp(handle_type_family(a), handle_type_family(b)))
		return handle_type_family(a);
	return "mixed";
}
