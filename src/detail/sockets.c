/*
 * Owns the question which of the kernel's sockets the wanted handles are: by inode, in the network
 * namespaces of their processes.
 */
#include "detail/private.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "os/proc_net.h"
#include "os/sock_diag.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* The processes of one network namespace. */
struct space {
	uint64_t inode;    /* of the namespace; 0: not to be seen */
	int32_t pid;       /* one of them */
	uint32_t tables;   /* bit N: enum socket_table N is wanted */
	uint32_t answered; /* likewise: all of it was told */
};

struct search {
	struct details *details;
	struct map by_inode;  /* of a socket -> index of the first wanted one + 1 */
	ARRAY(uint32_t) next; /* of the same inode, by index: index + 1 */
	ARRAY(struct space) spaces;
	struct map by_ends; /* of a tcp connection in the space that is searched -> its inode */
};

static uint64_t namespace_of(int32_t pid)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return stat(path, &status) ? 0 : status.st_ino;
}

static struct space *space_of(struct search *search, int32_t pid, struct map *by_pid)
{
	uint64_t *slot = map_put(by_pid, (uint32_t)pid);
	uint64_t inode;

	if (*slot)
		return &search->spaces.data[*slot - 1];
	inode = namespace_of(pid);
	array_each (space, &search->spaces)
		if (inode && space->inode == inode)
			*slot = space - search->spaces.data + 1;
	if (!*slot) {
		array_push(&search->spaces, (struct space){.inode = inode, .pid = pid});
		*slot = search->spaces.count;
	}
	return &search->spaces.data[*slot - 1];
}

/* An address of the internet over IPv6 is the same one (RFC 4291, 2.5.5.2). */
static uint64_t hash_end(const struct socket_info *info, const struct socket_end *end)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_mapped = info->family == AF_INET6 && !memcmp(end->address, mapped, sizeof(mapped));
	const uint8_t *address = end->address + (is_mapped ? sizeof(mapped) : 0);

	return hash_bytes(address, is_mapped || info->family == AF_INET ? 4 : 16, end->port);
}

static uint64_t hash_ends(const struct socket_info *info, const struct socket_end *from,
			  const struct socket_end *to)
{
	return hash_combine(hash_end(info, from), hash_end(info, to));
}

/* Both ends may be on this machine: then one is the other's peer. */
static void find_tcp_peers(struct search *search)
{
	array_each (wanted, &search->details->wanted) {
		struct socket_info *socket = wanted->detail.socket;
		const uint64_t *inode;

		if (!socket || socket->table != SOCKET_TCP || socket->listens)
			continue;
		inode =
		    map_get(&search->by_ends, hash_ends(socket, &socket->remote, &socket->local));
		if (inode && !socket->peer_inode && *inode != socket->inode)
			socket->peer_inode = *inode;
	}
	map_fini(&search->by_ends);
}

static void take(void *context, const struct socket_info *info)
{
	struct search *search = context;
	const uint64_t *first = map_get(&search->by_inode, info->inode);

	if (!info->inode)
		return;
	if (info->table == SOCKET_TCP && !info->listens)
		*map_put(&search->by_ends, hash_ends(info, &info->local, &info->remote)) =
		    info->inode;
	for (uint32_t at = first ? *first : 0; at; at = search->next.data[at - 1]) {
		struct wanted *wanted = &search->details->wanted.data[at - 1];

		if (wanted->table == info->table && !wanted->detail.socket)
			wanted->detail.socket = xmemdup(info, sizeof(*info));
	}
}

/* In our own namespace where `space` is that; else entered, which root may. */
static int ask(const struct space *space)
{
	_cleanup_(close_fd) int netns = -1;
	char path[64];

	if (space->inode && space->inode == namespace_of(getpid()))
		return sock_diag_open(-1);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", space->pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	return netns < 0 ? -errno : sock_diag_open(netns);
}

static void search_space(struct search *search, struct space *space)
{
	_cleanup_(close_fd) int fd = ask(space);

	for (enum socket_table table = 1; table < SOCKET_TABLES_N; table++) {
		if (!(space->tables >> table & 1))
			continue;
		if (details_time_is_up(search->details))
			return;
		if (fd >= 0 && sock_diag_dump(fd, table, take, search) >= 0)
			space->answered |= 1u << table;
		else
			proc_net_dump(space->pid, table, take, search);
	}
}

/* What the kernel does not list is bound to nothing and connected to nobody. */
static void tell_unlisted(struct search *search, struct map *by_pid)
{
	array_each (wanted, &search->details->wanted)
		if (wanted->table && wanted->link && !wanted->detail.socket &&
		    space_of(search, wanted->detail.pid, by_pid)->answered >> wanted->table & 1)
			wanted->detail.unlisted = true;
}

void details_find_sockets(struct details *details)
{
	struct search search = {.details = details};
	struct map by_pid = {0};
	uint32_t at = 0;

	array_each (wanted, &details->wanted) {
		uint64_t *slot;

		array_push(&search.next, 0);
		at++;
		if (!wanted->table || !wanted->link || !wanted->detail.has_file)
			continue;
		slot = map_put(&search.by_inode, wanted->detail.inode);
		search.next.data[at - 1] = *slot;
		*slot = at;
		space_of(&search, wanted->detail.pid, &by_pid)->tables |= 1u << wanted->table;
	}
	array_each (space, &search.spaces) {
		search_space(&search, space);
		find_tcp_peers(&search);
	}
	tell_unlisted(&search, &by_pid);
	map_fini(&by_pid);
	map_fini(&search.by_inode);
	array_fini(&search.next);
	array_fini(&search.spaces);
}
