/* Owns the words for what a handle is. Knows nothing of how it was found out. */
#include "report/detail_words.h"

#include "trace/duration.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void words_add_size(struct words *words, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double size = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		words_add_counted(words, bytes, "byte", "bytes");
		return;
	}
	for (; size >= 1024 && unit + 1 < sizeof(units) / sizeof(*units); unit++)
		size /= 1024;
	words_addf(words, "%.1f %s", size, units[unit]);
}

/* A comma before all parts but the first. */
static void part(struct words *words, size_t *begin)
{
	if (words->text.count > *begin)
		words_add(words, ", ");
	*begin = 0;
}

void detail_add_holders(struct words *words, const struct detail_holders *holders)
{
	for (uint32_t i = 0; i < holders->shown; i++) {
		const struct detail_holder *holder = &holders->items[i];

		words_add(words, i ? ", " : "");
		words_add_target(words, *holder->comm ? holder->comm : "process");
		words_addf(words, " (%d) handle %d", holder->pid, holder->number);
	}
	if (holders->count > holders->shown) {
		words_add(words, " and ");
		words_add_count(words, holders->count - holders->shown);
		words_add(words, " more");
	}
}

/* ---- sockets ---- */

static void add_queue(struct words *words, size_t *begin, uint64_t bytes, const char *what)
{
	if (!bytes)
		return;
	part(words, begin);
	words_add_size(words, bytes);
	words_add(words, what);
}

static void add_ends(struct words *words, size_t *begin, const struct socket_info *socket)
{
	char local[SOCKET_END_TEXT], remote[SOCKET_END_TEXT];

	socket_info_local(socket, local);
	socket_info_remote(socket, remote);
	if (!*local && !*remote)
		return;
	part(words, begin);
	words_add_target(words, *local ? local : "?");
	if (*remote) {
		words_add(words, " -> ");
		words_add_target(words, remote);
	}
}

static void add_protocol(struct words *words, size_t *begin, const struct socket_info *socket)
{
	static const char *const netlink[] = {
	    [0] = "route",      [2] = "usersock", [4] = "sock_diag", [6] = "xfrm",   [9] = "audit",
	    [12] = "netfilter", [15] = "uevent",  [16] = "generic",  [21] = "crypto"};
	const char *name = socket->protocol < sizeof(netlink) / sizeof(*netlink)
			       ? netlink[socket->protocol]
			       : NULL;

	if (socket->table == SOCKET_NETLINK) {
		part(words, begin);
		if (name)
			words_add(words, name);
		else
			words_addf(words, "protocol %u", socket->protocol);
		if (socket->port_id)
			words_addf(words, ", port %u", socket->port_id);
	}
	if (socket->table == SOCKET_PACKET) {
		part(words, begin);
		words_addf(words, "protocol 0x%04x", socket->protocol);
		if (socket->interface)
			words_addf(words, ", interface %u", socket->interface);
	}
}

static void add_socket(struct words *words, size_t *begin, const struct detail *detail)
{
	const struct socket_info *socket = detail->socket;
	const char *kind = socket_info_kind(socket), *state = socket_info_state(socket);

	if (socket->table == SOCKET_UNIX && kind) {
		part(words, begin);
		words_add(words, kind);
	}
	add_ends(words, begin, socket);
	add_protocol(words, begin, socket);
	if (state) {
		part(words, begin);
		words_add(words, state);
	}
	if (socket->listens) {
		part(words, begin);
		words_add_count(words, socket->waiting);
		if (socket->backlog) {
			words_add(words, " of ");
			words_add_count(words, socket->backlog);
		}
		words_add(words, " waiting to be accepted");
	}
	add_queue(words, begin, socket->receive_bytes, " unread");
	if (socket->table != SOCKET_UNIX) /* there it is memory, not what was written */
		add_queue(words, begin, socket->send_bytes, " not yet taken by the other end");
	if (detail->peers.count) {
		part(words, begin);
		words_add(words, "other end: ");
		detail_add_holders(words, &detail->peers);
	} else if (socket->peer_inode && detail->peers_known) {
		part(words, begin);
		words_add(words, "other end: nobody that can be seen");
	}
}

/* ---- pipes ---- */

static void add_pipe(struct words *words, size_t *begin, const struct detail *detail)
{
	part(words, begin);
	words_add(words, !detail->writes ? "read end" : detail->reads ? "both ends" : "write end");
	if (detail->pipe_known) {
		words_add(words, ", ");
		words_add_size(words, detail->pipe_bytes);
		words_add(words, " of ");
		words_add_size(words, detail->pipe_capacity);
		words_add(words, " inside");
	}
	if (!detail->peers_known && !detail->peers.count)
		return;
	words_add(words, detail->reads ? ", written by " : ", read by ");
	if (detail->peers.count)
		detail_add_holders(words, &detail->peers);
	else
		words_add(words, "nobody that can be seen");
}

/* ---- objects of the kernel ---- */

const char *detail_clock(int32_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
		return "CLOCK_REALTIME";
	case CLOCK_MONOTONIC:
		return "CLOCK_MONOTONIC";
	case CLOCK_BOOTTIME:
		return "CLOCK_BOOTTIME";
	case CLOCK_REALTIME_ALARM:
		return "CLOCK_REALTIME_ALARM";
	case CLOCK_BOOTTIME_ALARM:
		return "CLOCK_BOOTTIME_ALARM";
	default:
		return NULL;
	}
}

static void add_timer(struct words *words, const struct fdinfo *info)
{
	char length[DURATION_BYTES];

	words_add(words, detail_clock(info->clock) ?: "a clock of its own");
	if (info->value_ns)
		words_addf(words, ", expires in %s", duration_write(info->value_ns, length));
	else
		words_add(words, ", not armed");
	if (info->interval_ns)
		words_addf(words, ", every %s", duration_write(info->interval_ns, length));
	if (info->ticks) {
		words_add(words, ", ");
		words_add_counted(words, info->ticks, "expiration unread", "expirations unread");
	}
}

static void add_signals(struct words *words, uint64_t signals)
{
	const char *separator = "";

	for (int number = 1; number <= 64; number++) {
		const char *name = sigabbrev_np(number);

		if (!(signals >> (number - 1) & 1))
			continue;
		if (name)
			words_addf(words, "%sSIG%s", separator, name);
		else
			words_addf(words, "%ssignal %d", separator, number);
		separator = " ";
	}
	if (!*separator)
		words_add(words, "no signals");
}

static void add_targets(struct words *words, const struct fdinfo *info)
{
	uint32_t shown =
	    info->targets_n < FDINFO_TARGETS_MAX ? info->targets_n : FDINFO_TARGETS_MAX;

	words_add(words, "watches ");
	words_add_counted(words, info->targets_n, "handle", "handles");
	for (uint32_t i = 0; i < shown; i++)
		words_addf(words, "%s%d", i ? ", " : ": ", info->targets[i]);
	if (info->targets_n > shown)
		words_add(words, ", ...");
}

static void add_process(struct words *words, const struct detail *detail)
{
	if (detail->info.pid < 0) {
		words_add(words, "of a process that has ended");
	} else if (!detail->info.pid) {
		words_add(words, "of a process that cannot be seen from here");
	} else {
		words_addf(words, "of process %d", detail->info.pid);
		if (*detail->process) {
			words_add(words, " (");
			words_add_target(words, detail->process);
			words_add(words, ")");
		}
	}
}

static void add_counts(struct words *words, const struct detail *detail)
{
	const struct fdinfo *info = &detail->info;

	if (info->has & FDINFO_EVENTFD)
		words_addf(words, "counter %" PRIu64, info->eventfd_count);
	if (info->has & FDINFO_EVENTFD_ID)
		words_addf(words, ", id %d", info->eventfd_id);
	if (info->eventfd_semaphore)
		words_add(words, ", a semaphore");
	if (info->has & FDINFO_INOTIFY)
		words_add_counted(words, info->watches, "watch", "watches");
	if (info->has & FDINFO_FANOTIFY)
		words_add_counted(words, info->watches, "mark", "marks");
	if (info->has & FDINFO_BPF) {
		words_add(words, *info->bpf_kind ? info->bpf_kind : "object");
		if (info->bpf_id)
			words_addf(words, " %u", info->bpf_id);
	}
	if (info->has & FDINFO_IO_URING) {
		words_add_counted(words, info->ring_files, "file", "files");
		words_add(words, " and ");
		words_add_counted(words, info->ring_buffers, "buffer registered",
				  "buffers registered");
	}
	if (info->has & FDINFO_USERFAULTFD)
		words_add_counted(words, info->faults_pending, "fault pending", "faults pending");
}

void detail_add_object(struct words *words, const struct detail *detail)
{
	size_t begin = words->text.count ?: 1;

	if (!detail)
		return;
	if (detail->socket)
		add_socket(words, &begin, detail);
	else if (detail->unlisted)
		words_add(words, "neither bound nor connected");
	else if (S_ISFIFO(detail->mode))
		add_pipe(words, &begin, detail);
	else if (detail->info.has & FDINFO_EPOLL)
		add_targets(words, &detail->info);
	else if (detail->info.has & FDINFO_TIMERFD)
		add_timer(words, &detail->info);
	else if (detail->info.has & FDINFO_SIGNALFD)
		add_signals(words, detail->info.signals);
	else if (detail->info.has & FDINFO_PIDFD)
		add_process(words, detail);
	else
		add_counts(words, detail);
	if (detail->deleted && detail->cost == COST_DISK) {
		part(words, &begin);
		words_add(words, "deleted");
	}
}

/* ---- what every open file description has ---- */

void detail_add_flags(struct words *words, const struct detail *detail)
{
	uint32_t flags = detail->info.flags;

	if (flags & O_PATH) {
		words_add(words, "only its path");
		return;
	}
	words_add(words, (flags & O_ACCMODE) == O_RDONLY   ? "reading"
			 : (flags & O_ACCMODE) == O_WRONLY ? "writing"
							   : "reading and writing");
	if (flags & O_APPEND)
		words_add(words, ", at the end");
	if (flags & O_NONBLOCK)
		words_add(words, ", without waiting");
	if (flags & O_ASYNC)
		words_add(words, ", with signals");
	if (flags & O_DIRECT)
		words_add(words, ", past the cache");
}

void detail_add_position(struct words *words, const struct detail *detail)
{
	words_add(words, "at ");
	words_add_count(words, detail->info.position);
	words_add(words, " of ");
	words_add_counted(words, detail->size_bytes, "byte", "bytes");
}

void detail_add_locks(struct words *words, const struct detail *detail)
{
	const struct fdinfo *info = &detail->info;

	for (uint32_t i = 0; i < info->locks_n && i < FDINFO_LOCKS_MAX; i++) {
		const struct fdinfo_lock *lock = &info->locks[i];

		words_add(words, i ? ", " : "");
		words_add_target(words, lock->kind);
		words_addf(words, " for %s", lock->write ? "writing" : "reading");
		if (lock->pid > 0)
			words_addf(words, " by process %d", lock->pid);
		if (lock->first || lock->last != UINT64_MAX)
			words_addf(words, " of bytes %" PRIu64 " to ", lock->first);
		if (lock->last != UINT64_MAX)
			words_addf(words, "%" PRIu64, lock->last);
		else if (lock->first)
			words_add(words, "the end");
	}
	if (info->locks_n > FDINFO_LOCKS_MAX)
		words_add(words, " and more");
}

void detail_add_cost(struct words *words, enum detail_cost cost, uint64_t bytes)
{
	if (cost == COST_UNKNOWN)
		return;
	words_add_size(words, bytes);
	words_add(words, cost == COST_DISK ? " on disk" : " of memory");
}

void detail_add_flag_names(struct words *words, uint32_t flags)
{
	static const struct {
		uint32_t bits;
		const char *name;
	} names[] = {
	    {O_APPEND, "O_APPEND"},   {O_NONBLOCK, "O_NONBLOCK"},   {O_SYNC, "O_SYNC"},
	    {O_DSYNC, "O_DSYNC"},     {O_ASYNC, "O_ASYNC"},         {O_DIRECT, "O_DIRECT"},
	    {O_TMPFILE, "O_TMPFILE"}, {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"},
	    {O_NOATIME, "O_NOATIME"}, {O_PATH, "O_PATH"},           {O_CLOEXEC, "O_CLOEXEC"},
	    {0100000, "O_LARGEFILE"},
	};
	uint32_t left = flags & ~O_ACCMODE;

	words_add(words, (flags & O_ACCMODE) == O_RDONLY   ? "O_RDONLY"
			 : (flags & O_ACCMODE) == O_WRONLY ? "O_WRONLY"
							   : "O_RDWR");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!names[i].bits || (left & names[i].bits) != names[i].bits)
			continue;
		words_addf(words, "|%s", names[i].name);
		left &= ~names[i].bits;
	}
	if (left)
		words_addf(words, "|0%o", left);
}
