/*
 * os/sock_diag, os/proc_net: both tell the sockets that are opened here, with the ends, states and
 * queues that getsockname(2) and the like say they have.
 */
#include "os/fd_type.h"
#include "os/proc_net.h"
#include "os/sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

struct search {
	uint32_t inode;
	uint32_t found;
	struct socket_info info;
};

static void take(void *context, const struct socket_info *info)
{
	struct search *search = context;

	if (info->inode != search->inode)
		return;
	search->info = *info;
	search->found++;
}

static uint32_t inode_of(int fd)
{
	struct stat status;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

/* By both ways, one after the other; `way` 0 is sock_diag. */
static struct socket_info find(int fd, enum socket_table table, int way)
{
	struct search search = {.inode = inode_of(fd)};
	int netlink = sock_diag_open(-1);

	assert_true(netlink >= 0);
	if (way == 0)
		assert_int_equal(sock_diag_dump(netlink, table, take, &search), 0);
	else
		assert_int_equal(proc_net_dump(getpid(), table, take, &search), 0);
	close(netlink);
	assert_int_equal(search.found, 1);
	assert_int_equal(search.info.table, table);
	return search.info;
}

static void check_ends(const struct socket_info *info, const char *local, const char *remote)
{
	char text[SOCKET_END_TEXT];

	socket_info_local(info, text);
	assert_string_equal(text, local);
	socket_info_remote(info, text);
	assert_string_equal(text, remote);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t bytes = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
						  : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static void settle(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void test_tcp(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t bytes = sizeof(address);
	char here[32], there[32];
	int accepted;

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
	assert_int_equal(listen(listener, 7), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, bytes), 0);
	settle();
	snprintf(here, sizeof(here), "127.0.0.1:%u", port_of(listener));
	snprintf(there, sizeof(there), "127.0.0.1:%u", port_of(client));
	for (int way = 0; way < 2; way++) {
		struct socket_info info = find(listener, SOCKET_TCP, way);

		assert_string_equal(socket_info_state(&info), "LISTEN");
		assert_true(info.listens);
		assert_int_equal(info.waiting, 1);
		assert_int_equal(info.backlog, way ? 0 : 7);
		check_ends(&info, here, "");
	}
	accepted = accept(listener, NULL, NULL);
	assert_int_equal(send(accepted, "hello", 5, 0), 5);
	close(accepted);
	settle();
	for (int way = 0; way < 2; way++) {
		struct socket_info info = find(client, SOCKET_TCP, way);

		assert_string_equal(socket_info_state(&info), "CLOSE_WAIT");
		/* The end of the stream counts as a byte in /proc. */
		assert_in_range(info.receive_bytes, 5, 6);
		assert_int_equal(info.memory_known, !way);
		assert_true(way || info.memory_bytes >= 5);
		check_ends(&info, there, here);
	}
	close(client);
	close(listener);
}

static void test_udp6(void **state)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	char here[32];

	(void)state;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		puts("skipped: no IPv6 here");
		skip();
	}
	snprintf(here, sizeof(here), "[::1]:%u", port_of(fd));
	for (int way = 0; way < 2; way++) {
		struct socket_info info = find(fd, SOCKET_UDP, way);

		assert_null(socket_info_state(&info));
		check_ends(&info, here, "");
	}
	close(fd);
}

static void test_unix(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), pair[2];
	char name[64];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(send(pair[0], "hello", 5, 0), 5);
	snprintf(name, sizeof(name), "@htrace-test-%d", getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	assert_int_equal(bind(listener, (struct sockaddr *)&address,
			      offsetof(struct sockaddr_un, sun_path) + strlen(name)),
			 0);
	assert_int_equal(listen(listener, 3), 0);
	for (int way = 0; way < 2; way++) {
		struct socket_info info = find(listener, SOCKET_UNIX, way);

		check_ends(&info, name, "");
		assert_true(info.listens);
		assert_string_equal(socket_info_state(&info), "LISTEN");
		assert_string_equal(socket_info_kind(&info), "seqpacket");
		info = find(pair[1], SOCKET_UNIX, way);
		assert_string_equal(socket_info_state(&info), "ESTABLISHED");
		assert_string_equal(socket_info_kind(&info), "stream");
		assert_int_equal(info.peer_inode, way ? 0 : inode_of(pair[0]));
		assert_int_equal(info.receive_bytes, way ? 0 : 5);
		info = find(pair[0], SOCKET_UNIX, way);
		assert_true(way || info.memory_bytes >= 5);
	}
	close(pair[0]);
	close(pair[1]);
	close(listener);
}

static void test_netlink(void **state)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	socklen_t bytes = sizeof(address);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	for (int way = 0; way < 2; way++) {
		struct socket_info info = find(fd, SOCKET_NETLINK, way);

		assert_int_equal(info.protocol, NETLINK_ROUTE);
		assert_int_equal(info.port_id, address.nl_pid);
	}
	close(fd);
}

static void test_packet(void **state)
{
	int fd = socket(AF_PACKET, SOCK_DGRAM, htons(0x88cc));

	(void)state;
	if (fd < 0) {
		puts("skipped: a packet socket may not be opened");
		skip();
	}
	for (int way = 0; way < 2; way++) {
		struct socket_info info = find(fd, SOCKET_PACKET, way);

		assert_int_equal(info.protocol, 0x88cc);
		assert_int_equal(info.interface, 0);
		assert_string_equal(socket_info_kind(&info), "dgram");
	}
	close(fd);
}

/* A table that the kernel does not have is told as that, at once. */
static void test_no_table(void **state)
{
	struct search search = {0};
	int netlink = sock_diag_open(-1);

	(void)state;
	assert_true(sock_diag_dump(netlink, SOCKET_PING, take, &search) < 0);
	assert_int_equal(search.found, 0);
	close(netlink);
	assert_int_equal(proc_net_dump(getpid(), SOCKET_VSOCK, take, &search), -ENOENT);
}

static void test_protocols(void **state)
{
	(void)state;
	assert_string_equal(fd_type_of_protocol("TCP"), "tcp");
	assert_string_equal(fd_type_of_protocol("TCPv6"), "tcp");
	assert_string_equal(fd_type_of_protocol("UNIX-STREAM"), "unix");
	assert_string_equal(fd_type_of_protocol("UDP-Lite"), "udp");
	assert_string_equal(fd_type_of_protocol("TCPx"), "socket");
	assert_string_equal(fd_type_of_protocol(""), "socket");
	assert_string_equal(fd_type_of_mode(S_IFDIR | 0700, 0), "directory");
	assert_string_equal(fd_type_of_mode(S_IFCHR, 1), "device");
	assert_string_equal(fd_type_of_mode(S_IFCHR, 136), "tty");
	assert_null(fd_type_of_mode(0600, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tcp),       cmocka_unit_test(test_udp6),
	    cmocka_unit_test(test_unix),      cmocka_unit_test(test_netlink),
	    cmocka_unit_test(test_packet),    cmocka_unit_test(test_no_table),
	    cmocka_unit_test(test_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
