/* Owns the member "details": an object's own part has the name of its type. Additions only. */
#include "report/json_detail.h"

#include "report/detail_words.h"

#include <sys/stat.h>

enum { TALLIES_MAX = 32 };

static json_t *json_filled(const char *text)
{
	return *text ? json_text(text) : json_null();
}

static json_t *json_holders(const struct detail_holders *holders)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < holders->shown; i++)
		json_array_append_new(array,
				      json_pack("{s:i, s:o, s:i}", "pid", holders->items[i].pid,
						"process", json_filled(holders->items[i].comm),
						"handle", holders->items[i].number));
	return array;
}

static json_t *json_locks(const struct fdinfo *info)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < info->locks_n && i < FDINFO_LOCKS_MAX; i++) {
		const struct fdinfo_lock *lock = &info->locks[i];

		json_array_append_new(
		    array,
		    json_pack("{s:o, s:s, s:o, s:o, s:o}", "kind", json_text(lock->kind), "mode",
			      lock->write ? "write" : "read", "pid",
			      lock->pid > 0 ? json_integer(lock->pid) : json_null(), "first",
			      json_count(lock->first), "last",
			      lock->last == UINT64_MAX ? json_null() : json_count(lock->last)));
	}
	return array;
}

static json_t *json_socket(const struct socket_info *socket)
{
	char local[SOCKET_END_TEXT], remote[SOCKET_END_TEXT];
	const char *state = socket_info_state(socket), *kind = socket_info_kind(socket);
	bool has_protocol = socket->table == SOCKET_NETLINK || socket->table == SOCKET_PACKET;
	json_t *object;

	socket_info_local(socket, local);
	socket_info_remote(socket, remote);
	object = json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:o}", "state", state ? json_string(state) : json_null(),
	    "local", json_filled(local), "remote", json_filled(remote), "receive_bytes",
	    json_count(socket->receive_bytes), "send_bytes", json_count(socket->send_bytes),
	    "memory_bytes", socket->memory_known ? json_count(socket->memory_bytes) : json_null());
	if (kind)
		json_object_set_new(object, "kind", json_string(kind));
	if (has_protocol)
		json_object_set_new(object, "protocol", json_integer(socket->protocol));
	if (socket->table == SOCKET_NETLINK)
		json_object_set_new(object, "port", json_integer(socket->port_id));
	if (socket->table == SOCKET_PACKET)
		json_object_set_new(object, "interface", json_integer(socket->interface));
	if (socket->listens) {
		json_object_set_new(object, "waiting", json_integer(socket->waiting));
		json_object_set_new(object, "backlog",
				    socket->backlog ? json_integer(socket->backlog) : json_null());
	}
	return object;
}

static json_t *json_pipe(const struct detail *detail)
{
	return json_pack("{s:s, s:o, s:o}", "end",
			 !detail->writes ? "read"
			 : detail->reads ? "both"
					 : "write",
			 "bytes", detail->pipe_known ? json_count(detail->pipe_bytes) : json_null(),
			 "capacity",
			 detail->pipe_known ? json_count(detail->pipe_capacity) : json_null());
}

static json_t *json_signals(uint64_t signals)
{
	json_t *array = json_array();

	for (int number = 1; number <= 64; number++)
		if (signals >> (number - 1) & 1)
			json_array_append_new(array, json_integer(number));
	return json_pack("{s:o}", "signals", array);
}

static json_t *json_epoll(const struct fdinfo *info)
{
	json_t *targets = json_array();

	for (uint32_t i = 0; i < info->targets_n && i < FDINFO_TARGETS_MAX; i++)
		json_array_append_new(targets, json_integer(info->targets[i]));
	return json_pack("{s:i, s:o}", "targets_total", info->targets_n, "targets", targets);
}

static json_t *json_timer(const struct fdinfo *info)
{
	const char *clock = detail_clock(info->clock);

	return json_pack("{s:o, s:o, s:o, s:o}", "clock", clock ? json_string(clock) : json_null(),
			 "ticks", json_count(info->ticks), "value_ns", json_count(info->value_ns),
			 "interval_ns", json_count(info->interval_ns));
}

static json_t *json_bpf(const struct fdinfo *info)
{
	return json_pack("{s:o, s:o, s:i}", "kind", json_filled(info->bpf_kind), "id",
			 info->bpf_id ? json_integer(info->bpf_id) : json_null(), "type",
			 (int)info->bpf_type);
}

/* What kinds of objects of the kernel have of their own. */
static void add_own(json_t *object, const struct detail *detail)
{
	const struct fdinfo *info = &detail->info;

	if (info->has & FDINFO_EVENTFD)
		json_object_set_new(
		    object, "eventfd",
		    json_pack("{s:o, s:o, s:b}", "counter", json_count(info->eventfd_count), "id",
			      info->has & FDINFO_EVENTFD_ID ? json_integer(info->eventfd_id)
							    : json_null(),
			      "semaphore", info->eventfd_semaphore));
	if (info->has & FDINFO_EPOLL)
		json_object_set_new(object, "epoll", json_epoll(info));
	if (info->has & FDINFO_TIMERFD)
		json_object_set_new(object, "timerfd", json_timer(info));
	if (info->has & FDINFO_SIGNALFD)
		json_object_set_new(object, "signalfd", json_signals(info->signals));
	if (info->has & FDINFO_INOTIFY)
		json_object_set_new(object, "inotify",
				    json_pack("{s:i}", "watches", info->watches));
	if (info->has & FDINFO_FANOTIFY)
		json_object_set_new(object, "fanotify", json_pack("{s:i}", "marks", info->watches));
	if (info->has & FDINFO_PIDFD)
		json_object_set_new(object, "pidfd",
				    json_pack("{s:o, s:o, s:b}", "pid",
					      info->pid > 0 ? json_integer(info->pid) : json_null(),
					      "process", json_filled(detail->process), "ended",
					      info->pid < 0));
	if (info->has & FDINFO_BPF)
		json_object_set_new(object, "bpf", json_bpf(info));
	if (info->has & FDINFO_IO_URING)
		json_object_set_new(object, "io_uring",
				    json_pack("{s:i, s:i}", "files", info->ring_files, "buffers",
					      info->ring_buffers));
	if (info->has & FDINFO_USERFAULTFD)
		json_object_set_new(
		    object, "userfaultfd",
		    json_pack("{s:o}", "pending", json_count(info->faults_pending)));
}

static json_t *json_cost(enum detail_cost cost)
{
	return cost == COST_MEMORY ? json_string("memory")
	       : cost == COST_DISK ? json_string("disk")
				   : json_null();
}

json_t *json_detail(const struct detail *detail)
{
	struct words flags = {0};
	json_t *object;

	if (!detail)
		return json_null();
	detail_add_flag_names(&flags, detail->info.flags);
	object = json_pack(
	    "{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "flags", words_text(&flags), "offset",
	    json_count(detail->info.position), "inode",
	    detail->has_file ? json_count(detail->inode) : json_null(), "thread_name",
	    json_filled(detail->opener), "cost", json_cost(detail->cost), "cost_bytes",
	    detail->cost ? json_count(detail->cost_bytes) : json_null(), "shared_with_total",
	    detail->holders_known ? json_integer(detail->holders.count) : json_null());
	words_fini(&flags);
	json_object_set_new(object, "shared_with", json_holders(&detail->holders));
	if (S_ISREG(detail->mode)) {
		json_object_set_new(object, "size_bytes", json_count(detail->size_bytes));
		json_object_set_new(object, "deleted", json_boolean(detail->deleted));
	}
	if (detail->info.locks_n)
		json_object_set_new(object, "locks", json_locks(&detail->info));
	if (detail->socket)
		json_object_set_new(object, "socket", json_socket(detail->socket));
	if (detail->unlisted)
		json_object_set_new(object, "unconnected", json_true());
	if (S_ISFIFO(detail->mode))
		json_object_set_new(object, "pipe", json_pipe(detail));
	if (S_ISFIFO(detail->mode) || (detail->socket && (detail->socket->table == SOCKET_UNIX ||
							  detail->socket->peer_inode))) {
		json_object_set_new(object, "peers", json_holders(&detail->peers));
		json_object_set_new(object, "peers_total",
				    detail->peers_known ? json_integer(detail->peers.count)
							: json_null());
	}
	add_own(object, detail);
	return object;
}

static json_t *json_tallies(const struct tallies *tallies, const char *what)
{
	json_t *array = json_array();

	for (size_t i = 0; i < tallies->items.count && i < TALLIES_MAX; i++)
		json_array_append_new(
		    array, json_pack("{s:o, s:o}", what, json_text(tallies->items.data[i].text),
				     "count", json_count(tallies->items.data[i].count)));
	return array;
}

json_t *json_group_detail(const struct group_detail *group)
{
	if (!group->known)
		return json_null();
	return json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "known",
	    json_count(group->known), "types", json_tallies(&group->types, "type"), "states",
	    json_tallies(&group->states, "state"), "remotes",
	    json_tallies(&group->remotes, "remote"), "locals",
	    json_tallies(&group->locals, "local"), "peers", json_tallies(&group->peers, "process"),
	    "without_peer", json_count(group->without_peer), "shared_with",
	    json_tallies(&group->shared, "process"), "deleted", json_count(group->deleted),
	    "pidfds_ended", json_count(group->ended), "receive_bytes",
	    json_count(group->receive_bytes), "send_bytes", json_count(group->send_bytes),
	    "memory_bytes", group->memory_known ? json_count(group->memory_bytes) : json_null(),
	    "disk_bytes", group->disk_known ? json_count(group->disk_bytes) : json_null());
}

json_t *json_details_limits(const struct details *details)
{
	const struct details_limits *limits = details ? details_limits(details) : NULL;

	if (!limits)
		return json_null();
	return json_pack("{s:b, s:o, s:i}", "cut", limits->cut, "left_out",
			 json_count(limits->left_out), "hidden_processes",
			 (int)limits->hidden_processes);
}
