/*
 * Owns the one pass over the descriptors of all processes: who has the other end of a pipe or a
 * unix socket, and who holds the same open file description. Those are found among the descriptors
 * with the same link, by kcmp(2).
 */
#include "detail/private.h"

#include "os/procfs.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MEMBERS_MAX = 300000, LOOKS_PER_CLOCK = 256 };

/* A descriptor with a link that is of interest. */
struct member {
	int32_t pid, number;
	uint32_t wanted; /* index + 1; 0: it is none of those */
};

/* All descriptors with one link. */
struct class
{
	ARRAY(struct member) members;
	bool is_pipe;
	bool has_wanted;
	struct detail_holders readers, writers; /* of a pipe */
};

struct pass {
	struct details *details;
	ARRAY(struct class) classes;
	struct map by_link; /* hash of the link -> index + 1 */
	size_t members;
	uint32_t looks;
	int32_t pid; /* that is being looked at */
};

static struct class *class_put(struct pass *pass, uint64_t link)
{
	uint64_t *slot = map_put(&pass->by_link, link);

	if (!*slot) {
		array_push(&pass->classes, (struct class){0});
		*slot = pass->classes.count;
	}
	return &pass->classes.data[*slot - 1];
}

static struct class *class_get(const struct pass *pass, uint64_t link)
{
	const uint64_t *slot = map_get(&pass->by_link, link);

	return slot && *slot ? &pass->classes.data[*slot - 1] : NULL;
}

/* The link of the other end of a unix socket; 0: there is none. */
static uint64_t peer_link(const struct wanted *wanted)
{
	const struct socket_info *socket = wanted->detail.socket;
	char link[32];

	if (!socket || !socket->peer_inode)
		return 0;
	snprintf(link, sizeof(link), "socket:[%u]", socket->peer_inode);
	return details_link(link);
}

static void make_classes(struct pass *pass)
{
	array_each (wanted, &pass->details->wanted) {
		uint64_t peer = peer_link(wanted);
		struct class *class;

		if (!wanted->link)
			continue;
		class = class_put(pass, wanted->link);
		class->has_wanted = true;
		class->is_pipe = wanted->is_pipe;
		if (peer)
			class_put(pass, peer);
	}
}

/* ---- the pass ---- */

static bool time_is_up(struct pass *pass)
{
	if (pass->details->limits.cut)
		return true;
	if (pass->members > MEMBERS_MAX)
		pass->details->limits.cut = true;
	else if (++pass->looks % LOOKS_PER_CLOCK == 0)
		details_time_is_up(pass->details);
	return pass->details->limits.cut;
}

static bool look_at(void *context, int32_t number, const char *link)
{
	struct pass *pass = context;
	struct class *class = class_get(pass, details_link(link));

	if (class) {
		const uint64_t *slot = map_get(
		    &pass->details->index, (uint64_t)(uint32_t)pass->pid << 32 | (uint32_t)number);

		array_push(&class->members, (struct member){.pid = pass->pid,
							    .number = number,
							    .wanted = slot ? *slot : 0});
		pass->members++;
	}
	return !time_is_up(pass);
}

static void look_at_process(struct pass *pass, int32_t pid)
{
	struct procfs_status status;
	int result;

	pass->pid = pid;
	result = procfs_fd_links(pid, look_at, pass);
	if ((result == -EACCES || result == -EPERM) && !procfs_status(pid, &status, NULL) &&
	    !status.ending && !status.kernel_thread)
		pass->details->limits.hidden_processes++;
}

/* Those first that handles are wanted of: should time run out, they have been looked at. */
static void look_at_all(struct pass *pass)
{
	struct procfs_fds pids;
	struct map seen = {0};

	*map_put(&seen, (uint32_t)getpid()) = 1;
	array_each (wanted, &pass->details->wanted) {
		uint64_t *slot = map_put(&seen, (uint32_t)wanted->detail.pid);

		if (!*slot)
			look_at_process(pass, wanted->detail.pid);
		*slot = 1;
	}
	if (!procfs_pids(&pids, NULL))
		array_each (pid, &pids.numbers)
			if (!time_is_up(pass) && !map_get(&seen, (uint32_t)*pid))
				look_at_process(pass, *pid);
	procfs_fds_fini(&pids);
	map_fini(&seen);
}

/* ---- peers ---- */

static int compare_numbers(const void *left, const void *right)
{
	const struct member *a = left, *b = right;

	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

/* A link's own mode says what its descriptor is open for. */
static void add_ends(struct details *details, struct class *class)
{
	array_each (member, &class->members) {
		struct stat status;
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", member->pid, member->number);
		if (lstat(path, &status))
			continue;
		if (status.st_mode & S_IRUSR)
			detail_holders_add(details, &class->readers, member->pid, member->number);
		if (status.st_mode & S_IWUSR)
			detail_holders_add(details, &class->writers, member->pid, member->number);
	}
}

/* Who both reads and writes is no peer of itself. */
static void remove_own(struct detail_holders *holders, const struct detail *own)
{
	uint32_t at = 0;

	while (at < holders->shown &&
	       (holders->items[at].pid != own->pid || holders->items[at].number != own->number))
		at++;
	if (!holders->count || !(own->reads && own->writes))
		return;
	holders->count--;
	if (at == holders->shown)
		return;
	holders->shown--;
	memmove(&holders->items[at], &holders->items[at + 1],
		(holders->shown - at) * sizeof(*holders->items));
}

static void find_peers(struct pass *pass, struct wanted *wanted)
{
	struct detail *detail = &wanted->detail;
	uint64_t peer = peer_link(wanted);
	const struct class *class = class_get(pass, peer ?: wanted->link);

	if (!class || !(peer || wanted->is_pipe))
		return;
	detail->peers_known = !pass->details->limits.cut;
	if (!peer) {
		detail->peers = detail->reads ? class->writers : class->readers;
		remove_own(&detail->peers, detail);
		return;
	}
	array_each (member, &class->members) {
		if (detail->peers.shown == DETAIL_HOLDERS_MAX)
			break;
		detail_holders_add(pass->details, &detail->peers, member->pid, member->number);
	}
	detail->peers.count = class->members.count;
}

/* ---- the same open file description ---- */

static int same(const struct member *a, const struct member *b)
{
	return syscall(SYS_kcmp, a->pid, b->pid, KCMP_FILE, a->number, b->number);
}

/* The kernel orders its objects; what has gone meanwhile stands anywhere. */
static int compare_descriptions(const void *left, const void *right, void *context)
{
	const struct member *a = left, *b = right;
	int order = time_is_up(context) ? 0 : same(a, b);

	return order == 1 ? -1 : order == 2 ? 1 : compare_numbers(a, b);
}

static void tell_holders(struct details *details, const struct member *run, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct detail *detail =
		    run[i].wanted ? &details->wanted.data[run[i].wanted - 1].detail : NULL;

		for (size_t k = 0; detail && k < count; k++) {
			if (k == i)
				continue;
			if (detail->holders.shown == DETAIL_HOLDERS_MAX)
				break;
			detail_holders_add(details, &detail->holders, run[k].pid, run[k].number);
		}
		if (detail)
			detail->holders.count = count - 1;
	}
}

static void find_same(struct pass *pass, struct class *class)
{
	struct member *members = class->members.data;
	size_t count = class->members.count, first = 0;

	if (count < 2)
		return;
	qsort_r(members, count, sizeof(*members), compare_descriptions, pass);
	for (size_t i = 1; i <= count; i++) {
		if (time_is_up(pass))
			return;
		if (i < count && same(&members[first], &members[i]) == 0)
			continue;
		tell_holders(pass->details, members + first, i - first);
		first = i;
	}
}

/* kcmp(2) is refused for processes that we may not trace. */
static void tell_known(struct details *details)
{
	bool may = false;
	int32_t pid = 0;

	array_each (wanted, &details->wanted) {
		const struct member own = {.pid = wanted->detail.pid,
					   .number = wanted->detail.number};

		if (wanted->link && own.pid != pid) {
			pid = own.pid;
			may = same(&own, &own) == 0;
		}
		wanted->detail.holders_known = may && !details->limits.cut;
	}
}

void details_find_holders(struct details *details)
{
	struct pass pass = {.details = details};

	make_classes(&pass);
	look_at_all(&pass);
	array_each (class, &pass.classes) {
		if (class->members.count)
			qsort(class->members.data, class->members.count,
			      sizeof(*class->members.data), compare_numbers);
		if (class->is_pipe)
			add_ends(details, class);
	}
	array_each (wanted, &details->wanted)
		find_peers(&pass, wanted);
	array_each (class, &pass.classes)
		if (class->has_wanted)
			find_same(&pass, class);
	tell_known(details);
	array_each (class, &pass.classes)
		array_fini(&class->members);
	array_fini(&pass.classes);
	map_fini(&pass.by_link);
}
