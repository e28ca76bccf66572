/*
 * Owns the order in which processes begin: whoever nobody has announced yet waits for its parent's
 * word, for a while.
 */
#include "collect/agent/lifetimes_private.h"

#include "base/alloc.h"
#include "os/procfs.h"

#include <stdlib.h>
#include <unistd.h>

enum { STRANGER_NS_MAX = 100000000 };

bool lifetimes_may_read(void *context, int32_t pid)
{
	struct lifetimes *lifetimes = context;

	if (lifetimes_find(lifetimes, pid))
		return true;
	if (lifetimes->awaits && pid != getpid()) {
		lifetimes->awaits = false;
		lifetimes_add(lifetimes, pid);
		return true;
	}
	array_each (stranger, &lifetimes->strangers)
		if (stranger->pid == pid)
			return false;
	array_push(&lifetimes->strangers,
		   (struct stranger){pid, rings_last_pass(lifetimes->rings)});
	return false;
}

static void forget_stranger(struct lifetimes *lifetimes, pid_t pid)
{
	size_t kept = 0;

	array_each (stranger, &lifetimes->strangers)
		if (stranger->pid != pid)
			lifetimes->strangers.data[kept++] = *stranger;
	lifetimes->strangers.count = kept;
}

/* The child's own table, if it was told by now: as its parent's event wants it. */
static void tell_child_fds(struct lifetimes *lifetimes, const struct event_fork *fork)
{
	const struct event_header *record = rings_peek(lifetimes->rings, fork->child_pid);
	struct event_data *data;

	if (!record || record->type != ARENA_CHILD)
		return;
	record = rings_peek_second(lifetimes->rings, fork->child_pid);
	if (!record || record->type != EVENT_DATA ||
	    ((const struct event_data *)record)->kind != EVENT_DATA_FDS)
		return;
	data = xmemdup(record, record->size);
	data->header.pid = fork->header.pid;
	data->header.tid = fork->header.tid;
	data->header.time_ns = fork->header.time_ns;
	lifetimes_emit(lifetimes, &data->header);
	free(data);
}

void lifetimes_announce(struct lifetimes *lifetimes, struct event_fork *fork, bool made_up)
{
	struct traced_process *child;

	forget_stranger(lifetimes, fork->child_pid);
	child = lifetimes_add(lifetimes, fork->child_pid);
	child->made_up = made_up;
	tell_child_fds(lifetimes, fork);
	lifetimes_emit(lifetimes, &fork->header);
	rings_release(lifetimes->rings, fork->child_pid, fork->header.time_ns);
}

void lifetimes_make_up_fork(struct lifetimes *lifetimes, pid_t parent, pid_t child, uint16_t flags,
			    uint64_t time_ns)
{
	struct event_fork fork = {
	    .header = {.size = sizeof(fork),
		       .type = EVENT_FORK,
		       .flags = flags,
		       .time_ns = time_ns,
		       .pid = parent,
		       .tid = parent},
	    .child_pid = child,
	    .child_tid = child,
	};

	lifetimes_announce(lifetimes, &fork, true);
}

/* Its parent has not told of it: it is gone, or its record was lost. */
static void accept_stranger(struct lifetimes *lifetimes, pid_t pid)
{
	const struct event_header *first = rings_peek(lifetimes->rings, pid);
	struct procfs_status status;
	pid_t parent = 0;

	if (first && first->type == ARENA_CHILD)
		parent = ((const struct arena_child *)first)->parent_pid;
	else if (procfs_status(pid, &status, NULL) == 0)
		parent = status.ppid;
	if (!lifetimes->follow_children || pid == getpid()) {
		forget_stranger(lifetimes, pid);
		rings_ignore(lifetimes->rings, pid);
	} else if (parent > 0 && parent != pid && lifetimes_find(lifetimes, parent)) {
		lifetimes_make_up_fork(lifetimes, parent, pid, 0,
				       rings_last_pass(lifetimes->rings));
	} else {
		forget_stranger(lifetimes, pid);
		lifetimes_add(lifetimes, pid)->made_up = true;
		rings_release(lifetimes->rings, pid, 0);
	}
}

void lifetimes_accept_strangers(struct lifetimes *lifetimes)
{
	uint64_t now_ns = rings_last_pass(lifetimes->rings);

	for (size_t i = 0; i < lifetimes->strangers.count;) {
		struct stranger stranger = lifetimes->strangers.data[i];

		if (now_ns - stranger.since_ns < STRANGER_NS_MAX)
			i++;
		else
			accept_stranger(lifetimes, stranger.pid);
	}
}
