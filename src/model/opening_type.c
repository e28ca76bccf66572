/*
 * Owns what paths, flags and socket(2)'s arguments say of a type. Numbers stand as literals, as in
 * fd_syscalls_table.c.
 */
#include "model/opening_type.h"

#include <stdbool.h>
#include <string.h>

enum { SOCKET_NUMBER = 41, SOCKETPAIR_NUMBER = 53 };
enum { O_DIRECTORY_BIT = 0200000, O_TMPFILE_BIT = 020000000 };

/* Device nodes have a type of their own, as they have in /proc/PID/fd. NULL: a way to what is open
 * already, whatever that is. */
static const char *type_of_path(const char *path, size_t bytes)
{
	static const char *const ways[] = {"/dev/fd/", "/dev/std", "/proc/self/fd/"};
	static const char device[] = "/dev/", shared_memory[] = "/dev/shm/";

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (bytes >= strlen(ways[i]) && !memcmp(path, ways[i], strlen(ways[i])))
			return NULL;
	if (bytes < sizeof(device) - 1 || memcmp(path, device, sizeof(device) - 1))
		return "file";
	if (bytes >= sizeof(shared_memory) - 1 &&
	    !memcmp(path, shared_memory, sizeof(shared_memory) - 1))
		return "file";
	return "device";
}

/* Where the flags say that nothing but a directory will do. */
static bool wants_directory(const struct event_syscall *event)
{
	static const struct {
		uint16_t number;
		uint8_t flags_arg;
	} calls[] = {{2, 1}, {257, 2}, {304, 2}};
	uint64_t flags = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (calls[i].number == event->number)
			flags = event->args[calls[i].flags_arg];
	return flags & O_DIRECTORY_BIT && !(flags & O_TMPFILE_BIT);
}

/* What socket() and socketpair() make, by domain, type and protocol (socket(2)). */
static const char *type_of_socket(const struct event_syscall *event)
{
	static const struct {
		uint32_t domain;
		const char *type;
	} domains[] = {{1, "unix"}, {16, "netlink"}, {17, "packet"},
		       {29, "can"}, {30, "tipc"},    {31, "bluetooth"},
		       {38, "alg"}, {40, "vsock"},   {44, "xdp"}};
	uint32_t kind = event->args[1] & 0xf, protocol = (uint32_t)event->args[2];

	for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++)
		if (domains[i].domain == (uint32_t)event->args[0])
			return domains[i].type;
	if ((uint32_t)event->args[0] != 2 && (uint32_t)event->args[0] != 10)
		return "socket";
	if (kind == 3)
		return "raw";
	if (kind == 1 && (protocol == 0 || protocol == 6))
		return "tcp";
	if (kind == 2 && (protocol == 0 || protocol == 17))
		return "udp";
	if (kind == 2 && (protocol == 1 || protocol == 58))
		return "ping";
	return protocol == 132 ? "sctp" : protocol == 262 ? "mptcp" : "socket";
}

const char *opening_type(const struct event_syscall *event, const char *type, const char *path,
			 uint32_t bytes)
{
	if (event->number == SOCKET_NUMBER || event->number == SOCKETPAIR_NUMBER)
		return type_of_socket(event);
	if (!type || strcmp(type, "file") != 0)
		return type;
	if (path)
		type = type_of_path(path, bytes);
	return type && wants_directory(event) ? "directory" : type;
}
