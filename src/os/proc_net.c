/* Owns the lines of /proc/PID/net/{tcp,udp,raw,icmp,unix,netlink,packet} (proc_pid_net(5)). */
#include "os/proc_net.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

enum { STATE_LISTEN = 10, UNIX_ACCEPTS = 0x10000, LINE_BYTES = 512 };

/* An address as words of the machine in hexadecimal, and a port. */
static bool parse_end(const char *text, uint8_t family, struct socket_end *out)
{
	size_t words = family == AF_INET6 ? 4 : 1;
	uint32_t port;

	for (size_t i = 0; i < words; i++) {
		uint32_t word;

		if (strspn(text, "0123456789abcdefABCDEF") < 8 || sscanf(text, "%8x", &word) != 1)
			return false;
		memcpy(out->address + i * 4, &word, 4);
		text += 8;
	}
	if (sscanf(text, ":%4x", &port) != 1)
		return false;
	out->port = port;
	return true;
}

/* "  0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 1234 ..." */
static bool parse_inet(const char *line, uint8_t family, struct socket_info *out)
{
	char local[48], remote[48];
	uint32_t state, send, receive;

	if (sscanf(line, " %*d: %47s %47s %2x %8x:%8x %*x:%*x %*x %*u %*d %" SCNu32, local, remote,
		   &state, &send, &receive, &out->inode) != 6 ||
	    !parse_end(local, family, &out->local) || !parse_end(remote, family, &out->remote))
		return false;
	out->family = family;
	out->state = state;
	out->listens = out->table == SOCKET_TCP && state == STATE_LISTEN;
	if (out->listens) { /* the backlog is not told */
		out->waiting = receive;
		return true;
	}
	out->receive_bytes = receive;
	out->send_bytes = send;
	return true;
}

/* "0000000000000000: 00000002 00000000 00010000 0001 01 1234 /run/x"; states are those of struct
 * socket: 1 unconnected, 2 connecting, 3 connected. */
static bool parse_unix(const char *line, struct socket_info *out)
{
	uint32_t flags, kind, state;
	int at = 0;

	if (sscanf(line, "%*x: %*x %*x %8x %4x %2x %" SCNu32 "%n", &flags, &kind, &state,
		   &out->inode, &at) != 4)
		return false;
	out->kind = kind;
	out->listens = flags & UNIX_ACCEPTS;
	out->state = out->listens ? STATE_LISTEN : state == 3 ? 1 : 7;
	if (line[at] == ' ')
		snprintf(out->path, sizeof(out->path), "%.*s", SOCKET_PATH_MAX, line + at + 1);
	return true;
}

/* "0000000000000000 0   1234  00000000 0  0  0  2  0  5678" */
static bool parse_netlink(const char *line, struct socket_info *out)
{
	uint32_t receive, send;

	if (sscanf(line,
		   "%*x %" SCNu32 " %" SCNu32 " %*x %" SCNu32 " %" SCNu32 " %*d %*d %*u %" SCNu32,
		   &out->protocol, &out->port_id, &receive, &send, &out->inode) != 5)
		return false;
	out->receive_bytes = receive;
	out->send_bytes = send;
	return true;
}

/* "0000000000000000 3      3    0003   2     1 0      0      1234" */
static bool parse_packet(const char *line, struct socket_info *out)
{
	uint32_t kind, receive;

	if (sscanf(line, "%*x %*d %" SCNu32 " %4x %" SCNu32 " %*d %" SCNu32 " %*u %" SCNu32, &kind,
		   &out->protocol, &out->interface, &receive, &out->inode) != 5)
		return false;
	out->kind = kind;
	out->receive_bytes = receive;
	return true;
}

bool proc_net_parse(const char *line, enum socket_table table, uint8_t family,
		    struct socket_info *out)
{
	*out = (struct socket_info){.table = table};
	switch (table) {
	case SOCKET_TCP:
	case SOCKET_UDP:
	case SOCKET_RAW:
	case SOCKET_PING:
		return parse_inet(line, family, out);
	case SOCKET_UNIX:
		return parse_unix(line, out);
	case SOCKET_NETLINK:
		return parse_netlink(line, out);
	case SOCKET_PACKET:
		return parse_packet(line, out);
	default:
		return false;
	}
}

static int dump_file(pid_t pid, const char *name, enum socket_table table, uint8_t family,
		     void (*each)(void *context, const struct socket_info *info), void *context)
{
	_cleanup_(fclose) FILE *file = NULL;
	char path[64], line[LINE_BYTES];

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		struct socket_info info;

		line[strcspn(line, "\n")] = '\0';
		if (proc_net_parse(line, table, family, &info))
			each(context, &info);
	}
	return ferror(file) ? -EIO : 0;
}

int proc_net_dump(pid_t pid, enum socket_table table,
		  void (*each)(void *context, const struct socket_info *info), void *context)
{
	static const char *const files[SOCKET_TABLES_N][2] = {
	    [SOCKET_TCP] = {"tcp", "tcp6"}, [SOCKET_UDP] = {"udp", "udp6"},
	    [SOCKET_RAW] = {"raw", "raw6"}, [SOCKET_PING] = {"icmp", "icmp6"},
	    [SOCKET_UNIX] = {"unix"},       [SOCKET_NETLINK] = {"netlink"},
	    [SOCKET_PACKET] = {"packet"},
	};
	int result = -ENOENT;

	if (files[table][0])
		result = dump_file(pid, files[table][0], table, AF_INET, each, context);
	if (!result && files[table][1]) /* a kernel without IPv6 has none */
		dump_file(pid, files[table][1], table, AF_INET6, each, context);
	return result;
}
