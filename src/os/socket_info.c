/* Owns how the ends and states of sockets are written. */
#include "os/socket_info.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* net/tcp_states.h of the kernel; unix and vsock sockets have the same numbers. */
enum { STATE_ESTABLISHED = 1, STATE_CLOSE = 7, STATE_LISTEN = 10 };

enum socket_table socket_table_of_type(const char *type)
{
	static const struct {
		const char *type;
		enum socket_table table;
	} types[] = {
	    {"tcp", SOCKET_TCP},       {"udp", SOCKET_UDP},     {"raw", SOCKET_RAW},
	    {"ping", SOCKET_PING},     {"unix", SOCKET_UNIX},   {"netlink", SOCKET_NETLINK},
	    {"packet", SOCKET_PACKET}, {"vsock", SOCKET_VSOCK}, {"mptcp", SOCKET_MPTCP},
	};

	for (size_t i = 0; type && i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(type, types[i].type))
			return types[i].table;
	return 0;
}

const char *socket_info_state(const struct socket_info *info)
{
	static const char *const names[] = {
	    NULL,    "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
	    "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "SYN_RECV",  NULL,
	};

	switch (info->table) {
	case SOCKET_TCP:
	case SOCKET_MPTCP:
	case SOCKET_VSOCK:
		break;
	case SOCKET_UNIX:
		if (info->kind == SOCK_DGRAM)
			return NULL;
		return info->state == STATE_LISTEN        ? "LISTEN"
		       : info->state == STATE_ESTABLISHED ? "ESTABLISHED"
							  : "UNCONNECTED";
	default:
		return NULL;
	}
	return info->state < sizeof(names) / sizeof(*names) ? names[info->state] : NULL;
}

static bool is_inet(const struct socket_info *info)
{
	return info->family == AF_INET || info->family == AF_INET6;
}

static void write_inet(uint8_t family, const struct socket_end *end, bool has_port,
		       char out[static SOCKET_END_TEXT])
{
	static const uint8_t any[16];
	size_t bytes = family == AF_INET ? 4 : 16;
	char address[INET6_ADDRSTRLEN] = "*";
	bool brackets = family == AF_INET6 && memcmp(end->address, any, bytes) != 0;

	if (memcmp(end->address, any, bytes))
		inet_ntop(family, end->address, address, sizeof(address));
	if (has_port)
		snprintf(out, SOCKET_END_TEXT, "%s%s%s:%u", brackets ? "[" : "", address,
			 brackets ? "]" : "", end->port);
	else
		snprintf(out, SOCKET_END_TEXT, "%s", address);
}

static void write_context(const struct socket_end *end, char out[static SOCKET_END_TEXT])
{
	if (end->context == UINT32_MAX)
		snprintf(out, SOCKET_END_TEXT, "*:%u", end->port);
	else
		snprintf(out, SOCKET_END_TEXT, "%u:%u", end->context, end->port);
}

static bool is_bound(const struct socket_end *end)
{
	static const uint8_t any[16];

	return end->port || memcmp(end->address, any, sizeof(any)) != 0;
}

void socket_info_local(const struct socket_info *info, char out[static SOCKET_END_TEXT])
{
	bool has_port = info->table != SOCKET_RAW;

	*out = '\0';
	if (info->table == SOCKET_UNIX)
		snprintf(out, SOCKET_END_TEXT, "%s", info->path);
	else if (info->table == SOCKET_VSOCK && info->local.port != UINT32_MAX)
		write_context(&info->local, out);
	else if (is_inet(info) && (is_bound(&info->local) || !has_port))
		write_inet(info->family, &info->local, has_port, out);
}

void socket_info_remote(const struct socket_info *info, char out[static SOCKET_END_TEXT])
{
	*out = '\0';
	if (info->table == SOCKET_VSOCK && !info->listens && info->remote.port != UINT32_MAX &&
	    info->remote.port)
		write_context(&info->remote, out);
	else if (is_inet(info) && is_bound(&info->remote))
		write_inet(info->family, &info->remote, info->table != SOCKET_RAW, out);
}

const char *socket_info_kind(const struct socket_info *info)
{
	switch (info->kind) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_DGRAM:
		return "dgram";
	case SOCK_SEQPACKET:
		return "seqpacket";
	case SOCK_RAW:
		return "raw";
	default:
		return NULL;
	}
}
