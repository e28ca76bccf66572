/* Owns the look through a link of /proc/PID/fd. Reads no fdinfo and keeps nothing. */
#include "os/fd_type.h"

#include "os/procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Documentation/admin-guide/devices.txt of the kernel. */
enum {
	MAJOR_TTY = 4,
	MAJOR_TTY_ALIASES = 5,
	MAJOR_PTY_MASTER = 128,
	MAJOR_PTY_LAST = 143,
	MAJOR_USB_SERIAL = 188,
	MAJOR_USB_ACM = 166,
	PROTOCOL_MAX = 64,
};

const char *fd_type_of_protocol(const char *name)
{
	static const struct {
		const char *name, *type;
	} protocols[] = {
	    {"TCP", "tcp"},       {"UDP", "udp"},         {"UDP-Lite", "udp"},
	    {"UDPLITE", "udp"},   {"UNIX", "unix"},       {"NETLINK", "netlink"},
	    {"PACKET", "packet"}, {"RAW", "raw"},         {"PING", "ping"},
	    {"MPTCP", "mptcp"},   {"SCTP", "sctp"},       {"ALG", "alg"},
	    {"XDP", "xdp"},       {"AF_VSOCK", "vsock"},  {"VSOCK", "vsock"},
	    {"TIPC", "tipc"},     {"CAN_RAW", "can"},     {"CAN_BCM", "can"},
	    {"CAN_ISOTP", "can"}, {"L2CAP", "bluetooth"}, {"RFCOMM", "bluetooth"},
	    {"HCI", "bluetooth"}, {"SCO", "bluetooth"},
	};

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		size_t length = strlen(protocols[i].name);

		if (strncmp(name, protocols[i].name, length))
			continue;
		/* The same over IPv6, or of a kind that has a protocol of its own. */
		if (!name[length] || !strcmp(name + length, "v6") ||
		    !strcmp(name + length, "-STREAM"))
			return protocols[i].type;
	}
	return "socket";
}

const char *fd_type_of_mode(uint32_t mode, uint32_t device_major)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFIFO:
		return "fifo";
	case S_IFBLK:
		return "block";
	case S_IFLNK:
		return "symlink";
	case S_IFSOCK: /* a path to one, opened with O_PATH */
	case S_IFREG:
		return "file";
	case S_IFCHR:
		if (device_major == MAJOR_TTY || device_major == MAJOR_TTY_ALIASES ||
		    (device_major >= MAJOR_PTY_MASTER && device_major <= MAJOR_PTY_LAST) ||
		    device_major == MAJOR_USB_SERIAL || device_major == MAJOR_USB_ACM)
			return "tty";
		return "device";
	default:
		return NULL; /* an object of the kernel */
	}
}

static const char *type_of_socket(const char *path)
{
	char protocol[PROTOCOL_MAX];
	ssize_t bytes = getxattr(path, "system.sockprotoname", protocol, sizeof(protocol) - 1);

	if (bytes <= 0)
		return "socket";
	protocol[bytes] = '\0';
	return fd_type_of_protocol(protocol);
}

const char *fd_type_look(pid_t pid, int32_t fd, const char *link)
{
	const char *type = procfs_link_type(link);
	struct statx status;
	const char *seen;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	if (!strcmp(type, "socket"))
		return type_of_socket(path);
	if (strcmp(type, "file") && strcmp(type, "device"))
		return type;
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &status))
		return type;
	seen = fd_type_of_mode(status.stx_mode, status.stx_rdev_major);
	return seen ?: type;
}
