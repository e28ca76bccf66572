/* Owns the questions and the reading of answers; what a message says is sock_diag_parse.c's. */
#include "os/sock_diag.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/vm_sockets_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { ANSWER_BYTES = 64 << 10, BUFFERS_MAX = 100000, WAIT_SECONDS = 2, MPTCP_PROTOCOL = 262 };

static int netlink_open(void)
{
	const struct timeval wait = {.tv_sec = WAIT_SECONDS};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

int sock_diag_open(int netns)
{
	_cleanup_(close_fd) int own = -1;
	int fd;

	if (netns < 0)
		return netlink_open();
	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	/* Of this thread only; a socket stays in the namespace that it was made in. */
	if (setns(netns, CLONE_NEWNET))
		return -errno;
	fd = netlink_open();
	if (setns(own, CLONE_NEWNET) && fd >= 0) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int send_request(int fd, const void *body, size_t bytes)
{
	struct {
		struct nlmsghdr header;
		char body[128];
	} request = {.header = {.nlmsg_len = NLMSG_LENGTH(bytes),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	memcpy(request.body, body, bytes);
	if (sendto(fd, &request, request.header.nlmsg_len, 0, (const struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static int request_inet(int fd, uint8_t family, uint32_t protocol)
{
	struct {
		struct inet_diag_req_v2 request;
		struct nlattr attribute;
		uint32_t protocol;
	} body = {
	    .request = {.sdiag_family = family,
			.sdiag_protocol = protocol > UINT8_MAX ? IPPROTO_RAW : protocol,
			.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1),
			.idiag_states = UINT32_MAX},
	    .attribute = {.nla_len = sizeof(struct nlattr) + sizeof(uint32_t),
			  .nla_type = INET_DIAG_REQ_PROTOCOL},
	    .protocol = protocol,
	};

	return send_request(fd, &body, protocol > UINT8_MAX ? sizeof(body) : sizeof(body.request));
}

static int request_table(int fd, enum socket_table table, uint8_t family)
{
	const struct unix_diag_req unix_request = {.sdiag_family = AF_UNIX,
						   .udiag_states = UINT32_MAX,
						   .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER |
								 UDIAG_SHOW_RQLEN |
								 UDIAG_SHOW_MEMINFO};
	const struct netlink_diag_req netlink_request = {.sdiag_family = AF_NETLINK,
							 .sdiag_protocol = NDIAG_PROTO_ALL,
							 .ndiag_show = NDIAG_SHOW_MEMINFO};
	const struct packet_diag_req packet_request = {
	    .sdiag_family = AF_PACKET, .pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MEMINFO};
	const struct vsock_diag_req vsock_request = {.sdiag_family = AF_VSOCK,
						     .vdiag_states = UINT32_MAX};

	switch (table) {
	case SOCKET_TCP:
		return request_inet(fd, family, IPPROTO_TCP);
	case SOCKET_UDP:
		return request_inet(fd, family, IPPROTO_UDP);
	case SOCKET_RAW:
		return request_inet(fd, family, IPPROTO_RAW);
	case SOCKET_MPTCP:
		return request_inet(fd, family, MPTCP_PROTOCOL);
	case SOCKET_UNIX:
		return send_request(fd, &unix_request, sizeof(unix_request));
	case SOCKET_NETLINK:
		return send_request(fd, &netlink_request, sizeof(netlink_request));
	case SOCKET_PACKET:
		return send_request(fd, &packet_request, sizeof(packet_request));
	case SOCKET_VSOCK:
		return send_request(fd, &vsock_request, sizeof(vsock_request));
	default:
		return -ENOENT;
	}
}

static int read_answer(int fd, enum socket_table table,
		       void (*each)(void *context, const struct socket_info *info), void *context)
{
	_cleanup_(free) char *buffer = xmalloc(ANSWER_BYTES);

	for (int i = 0; i < BUFFERS_MAX; i++) {
		struct sockaddr_nl from = {0};
		socklen_t from_bytes = sizeof(from);
		ssize_t bytes =
		    recvfrom(fd, buffer, ANSWER_BYTES, 0, (struct sockaddr *)&from, &from_bytes);
		int result;

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0)
			return errno == EAGAIN ? -ETIME : -errno;
		if (from.nl_pid) /* not the kernel's */
			continue;
		result = sock_diag_parse(buffer, bytes, table, each, context);
		if (result)
			return result < 0 ? result : 0;
	}
	return -ETIME;
}

int sock_diag_dump(int fd, enum socket_table table,
		   void (*each)(void *context, const struct socket_info *info), void *context)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	bool inet = table == SOCKET_TCP || table == SOCKET_UDP || table == SOCKET_RAW ||
		    table == SOCKET_MPTCP;
	int result = 0;

	for (int i = 0; i < (inet ? 2 : 1) && !result; i++) {
		result = request_table(fd, table, families[i]);
		if (!result)
			result = read_answer(fd, table, each, context);
	}
	return result;
}
