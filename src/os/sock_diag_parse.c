/* Owns the messages of sock_diag(7): their headers, their fixed parts, their attributes. */
#include "os/sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/vm_sockets_diag.h>
#include <string.h>
#include <sys/socket.h>

enum { STATE_LISTEN = 10 };

static void attributes_each(const uint8_t *at, size_t size, struct socket_info *info,
			    void (*each)(struct socket_info *info, uint16_t type,
					 const uint8_t *value, size_t bytes))
{
	while (size >= sizeof(struct nlattr)) {
		struct nlattr attribute;
		size_t step;

		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < sizeof(attribute) || attribute.nla_len > size)
			return;
		each(info, attribute.nla_type & NLA_TYPE_MASK, at + sizeof(attribute),
		     attribute.nla_len - sizeof(attribute));
		step = NLA_ALIGN(attribute.nla_len);
		if (step > size)
			return;
		at += step;
		size -= step;
	}
}

/* SK_MEMINFO_...: what waits to be read, what was sent and is not done with (for TCP it is in both
 * counts of sent bytes), and what is set aside. */
static void add_memory(struct socket_info *info, const uint8_t *value, size_t bytes)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};

	memcpy(memory, value, bytes < sizeof(memory) ? bytes : sizeof(memory));
	info->memory_known = true;
	info->memory_bytes = (uint64_t)memory[SK_MEMINFO_RMEM_ALLOC] +
			     memory[SK_MEMINFO_FWD_ALLOC] + memory[SK_MEMINFO_OPTMEM] +
			     memory[SK_MEMINFO_BACKLOG];
	info->memory_bytes += memory[SK_MEMINFO_WMEM_ALLOC] > memory[SK_MEMINFO_WMEM_QUEUED]
				  ? memory[SK_MEMINFO_WMEM_ALLOC]
				  : memory[SK_MEMINFO_WMEM_QUEUED];
	if (info->table == SOCKET_NETLINK || info->table == SOCKET_PACKET) {
		info->receive_bytes = memory[SK_MEMINFO_RMEM_ALLOC];
		info->send_bytes = memory[SK_MEMINFO_WMEM_ALLOC];
	}
}

static void inet_attribute(struct socket_info *info, uint16_t type, const uint8_t *value,
			   size_t bytes)
{
	if (type == INET_DIAG_SKMEMINFO)
		add_memory(info, value, bytes);
}

static bool parse_inet(const uint8_t *body, size_t size, struct socket_info *info)
{
	struct inet_diag_msg message;

	if (size < sizeof(message))
		return false;
	memcpy(&message, body, sizeof(message));
	if (message.idiag_family != AF_INET && message.idiag_family != AF_INET6)
		return false;
	info->inode = message.idiag_inode;
	info->family = message.idiag_family;
	info->state = message.idiag_state;
	info->listens = info->table != SOCKET_UDP && info->state == STATE_LISTEN;
	memcpy(info->local.address, message.id.idiag_src, info->family == AF_INET ? 4 : 16);
	memcpy(info->remote.address, message.id.idiag_dst, info->family == AF_INET ? 4 : 16);
	info->local.port = ntohs(message.id.idiag_sport);
	info->remote.port = ntohs(message.id.idiag_dport);
	if (info->listens) {
		info->waiting = message.idiag_rqueue;
		info->backlog = message.idiag_wqueue;
	} else {
		info->receive_bytes = message.idiag_rqueue;
		info->send_bytes = message.idiag_wqueue;
	}
	attributes_each(body + sizeof(message), size - sizeof(message), info, inet_attribute);
	return true;
}

static void unix_attribute(struct socket_info *info, uint16_t type, const uint8_t *value,
			   size_t bytes)
{
	struct unix_diag_rqlen queue = {0};

	switch (type) {
	case UNIX_DIAG_NAME: /* an abstract one begins with NUL, and may contain more */
		if (bytes > SOCKET_PATH_MAX)
			bytes = SOCKET_PATH_MAX;
		for (size_t i = 0; i < bytes; i++)
			info->path[i] = value[i] || value[0] ? (char)value[i] : '@';
		info->path[bytes] = '\0';
		break;
	case UNIX_DIAG_PEER:
		if (bytes >= sizeof(info->peer_inode))
			memcpy(&info->peer_inode, value, sizeof(info->peer_inode));
		break;
	case UNIX_DIAG_RQLEN:
		memcpy(&queue, value, bytes < sizeof(queue) ? bytes : sizeof(queue));
		if (info->listens) {
			info->waiting = queue.udiag_rqueue;
			info->backlog = queue.udiag_wqueue;
		} else {
			info->receive_bytes = queue.udiag_rqueue;
			info->send_bytes = queue.udiag_wqueue;
		}
		break;
	case UNIX_DIAG_MEMINFO:
		add_memory(info, value, bytes);
		break;
	}
}

static bool parse_unix(const uint8_t *body, size_t size, struct socket_info *info)
{
	struct unix_diag_msg message;

	if (size < sizeof(message))
		return false;
	memcpy(&message, body, sizeof(message));
	info->inode = message.udiag_ino;
	info->kind = message.udiag_type;
	info->state = message.udiag_state;
	info->listens = info->state == STATE_LISTEN;
	attributes_each(body + sizeof(message), size - sizeof(message), info, unix_attribute);
	return true;
}

static void netlink_attribute(struct socket_info *info, uint16_t type, const uint8_t *value,
			      size_t bytes)
{
	if (type == NETLINK_DIAG_MEMINFO)
		add_memory(info, value, bytes);
}

static bool parse_netlink(const uint8_t *body, size_t size, struct socket_info *info)
{
	struct netlink_diag_msg message;

	if (size < sizeof(message))
		return false;
	memcpy(&message, body, sizeof(message));
	info->inode = message.ndiag_ino;
	info->kind = message.ndiag_type;
	info->protocol = message.ndiag_protocol;
	info->port_id = message.ndiag_portid;
	attributes_each(body + sizeof(message), size - sizeof(message), info, netlink_attribute);
	return true;
}

static void packet_attribute(struct socket_info *info, uint16_t type, const uint8_t *value,
			     size_t bytes)
{
	struct packet_diag_info packet;

	if (type == PACKET_DIAG_MEMINFO)
		add_memory(info, value, bytes);
	if (type != PACKET_DIAG_INFO || bytes < sizeof(packet))
		return;
	memcpy(&packet, value, sizeof(packet));
	info->interface = packet.pdi_index;
}

static bool parse_packet(const uint8_t *body, size_t size, struct socket_info *info)
{
	struct packet_diag_msg message;

	if (size < sizeof(message))
		return false;
	memcpy(&message, body, sizeof(message));
	info->inode = message.pdiag_ino;
	info->kind = message.pdiag_type;
	info->protocol = message.pdiag_num;
	attributes_each(body + sizeof(message), size - sizeof(message), info, packet_attribute);
	return true;
}

static bool parse_vsock(const uint8_t *body, size_t size, struct socket_info *info)
{
	struct vsock_diag_msg message;

	if (size < sizeof(message))
		return false;
	memcpy(&message, body, sizeof(message));
	info->inode = message.vdiag_ino;
	info->kind = message.vdiag_type;
	info->state = message.vdiag_state;
	info->listens = info->state == STATE_LISTEN;
	info->local =
	    (struct socket_end){.context = message.vdiag_src_cid, .port = message.vdiag_src_port};
	info->remote =
	    (struct socket_end){.context = message.vdiag_dst_cid, .port = message.vdiag_dst_port};
	return true;
}

static bool parse_body(const uint8_t *body, size_t size, struct socket_info *info)
{
	switch (info->table) {
	case SOCKET_UNIX:
		return parse_unix(body, size, info);
	case SOCKET_NETLINK:
		return parse_netlink(body, size, info);
	case SOCKET_PACKET:
		return parse_packet(body, size, info);
	case SOCKET_VSOCK:
		return parse_vsock(body, size, info);
	default:
		return parse_inet(body, size, info);
	}
}

/* What both an error and the end carry: 0, or a negative errno. */
static int result_of(const uint8_t *body, size_t size)
{
	int32_t result = 0;

	if (size >= sizeof(result))
		memcpy(&result, body, sizeof(result));
	return result < 0 && result >= -4095 ? result : 0;
}

int sock_diag_parse(const void *bytes, size_t size, enum socket_table table,
		    void (*each)(void *context, const struct socket_info *info), void *context)
{
	const uint8_t *at = bytes;

	while (size >= sizeof(struct nlmsghdr)) {
		struct socket_info info = {.table = table};
		struct nlmsghdr header;
		const uint8_t *body = at + NLMSG_HDRLEN;
		size_t body_size, step;

		memcpy(&header, at, sizeof(header));
		if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > size)
			return -EBADMSG;
		body_size = header.nlmsg_len - NLMSG_HDRLEN;
		if (header.nlmsg_type == NLMSG_DONE)
			return result_of(body, body_size) ?: 1;
		if (header.nlmsg_type == NLMSG_ERROR)
			return result_of(body, body_size) ?: -EBADMSG;
		if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY && parse_body(body, body_size, &info))
			each(context, &info);
		step = NLMSG_ALIGN(header.nlmsg_len);
		if (step >= size)
			return 0;
		at += step;
		size -= step;
	}
	return size ? -EBADMSG : 0;
}
