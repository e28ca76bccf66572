/*
 * What the kernel tells of one socket, however it was asked (os/sock_diag.h, os/proc_net.h): its
 * two ends, its state, what waits in its queues.
 */
#ifndef HTRACE_OS_SOCKET_INFO_H
#define HTRACE_OS_SOCKET_INFO_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SOCKET_PATH_MAX = 108, /* sun_path of unix(7) */
	SOCKET_END_TEXT = 160, /* room for one end as text */
};

/* Which of the kernel's tables it stands in. */
enum socket_table {
	SOCKET_TCP = 1,
	SOCKET_UDP = 2,
	SOCKET_RAW = 3,
	SOCKET_PING = 4,
	SOCKET_UNIX = 5,
	SOCKET_NETLINK = 6,
	SOCKET_PACKET = 7,
	SOCKET_VSOCK = 8,
	SOCKET_MPTCP = 9,
	SOCKET_TABLES_N = 10,
};

/* An address of the internet, in network order, or (vsock) a context id. */
struct socket_end {
	uint8_t address[16];
	uint32_t context;
	uint32_t port;
};

struct socket_info {
	uint32_t inode;
	enum socket_table table;
	uint8_t family;    /* AF_INET or AF_INET6 */
	uint8_t kind;      /* SOCK_STREAM, ... */
	uint8_t state;     /* enum of the kernel's net/tcp_states.h */
	uint32_t protocol; /* netlink, packet, raw */
	struct socket_end local, remote;
	uint32_t interface;             /* packet: index; 0: all */
	uint32_t port_id;               /* netlink */
	uint32_t peer_inode;            /* unix, and within this machine tcp; 0: none known */
	char path[SOCKET_PATH_MAX + 1]; /* unix: what it is bound to, '@' for the abstract; "" */

	bool listens;
	uint32_t waiting, backlog; /* of one that listens: to be accepted, and as many as may */
	uint64_t receive_bytes, send_bytes; /* in the queues */
	bool memory_known;
	uint64_t memory_bytes; /* that the kernel holds for it */
};

/* The table in which sockets of a type (model/handle_type.h) are; 0: none that can be read. */
enum socket_table socket_table_of_type(const char *type);

/* "CLOSE_WAIT", "LISTEN", "ESTABLISHED"; of datagram sockets NULL: they have none. Static. */
const char *socket_info_state(const struct socket_info *info);

/* "127.0.0.1:80", "[::1]:80", "*:80"; "" where the socket has no such end. The path of a unix
 * socket is its local end: it may contain any byte but NUL. */
void socket_info_local(const struct socket_info *info, char out[static SOCKET_END_TEXT]);
void socket_info_remote(const struct socket_info *info, char out[static SOCKET_END_TEXT]);

/* "stream", "dgram", ...; static. */
const char *socket_info_kind(const struct socket_info *info);

#endif
