/* Owns the counting. How it is said is each format's business. */
#include "report/detail_group.h"

#include "base/hash.h"
#include "base/map.h"
#include "model/handle_type.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { TALLY_BYTES = 256 };

/* While it is being counted. */
struct counting {
	struct group_detail *out;
	int32_t pid;
	struct map objects; /* that were counted */
	struct map slots;   /* of a text in one of the tallies -> index + 1 */
};

static void count(struct counting *counting, struct tallies *tallies, const char *text)
{
	uint64_t key = hash_combine(hash_bytes(text, strlen(text), 0), (uintptr_t)tallies);
	uint64_t *slot = map_put(&counting->slots, key);

	if (!*slot) {
		array_push(&tallies->items, (struct tally){.text = xstrdup(text)});
		*slot = tallies->items.count;
	}
	tallies->items.data[*slot - 1].count++;
}

/* Each process once, however many of its descriptors there are. */
static void count_holders(struct counting *counting, struct tallies *tallies,
			  const struct detail_holders *holders, bool others_only)
{
	for (uint32_t i = 0; i < holders->shown; i++) {
		const struct detail_holder *holder = &holders->items[i];
		bool own = holder->pid == counting->pid, first = !(own && others_only);
		char text[TALLY_BYTES];

		for (uint32_t k = 0; k < i; k++)
			first &= holders->items[k].pid != holder->pid;
		if (!first)
			continue;
		snprintf(text, sizeof(text), "%s (%d)", *holder->comm ? holder->comm : "process",
			 holder->pid);
		if (own)
			snprintf(text, sizeof(text), "this process");
		count(counting, tallies, text);
	}
}

static void count_socket(struct counting *counting, const struct socket_info *socket)
{
	struct group_detail *out = counting->out;
	const char *state = socket_info_state(socket);
	char end[SOCKET_END_TEXT];

	if (state)
		count(counting, &out->states, state);
	socket_info_remote(socket, end);
	if (*end)
		count(counting, &out->remotes, end);
	socket_info_local(socket, end);
	if (*end)
		count(counting, &out->locals, end);
	out->receive_bytes += socket->receive_bytes;
	if (socket->table != SOCKET_UNIX) /* there it is memory, not what was written */
		out->send_bytes += socket->send_bytes;
}

static void count_peers(struct counting *counting, const struct detail *detail)
{
	struct group_detail *out = counting->out;
	bool pair = S_ISFIFO(detail->mode) || (detail->socket && detail->socket->peer_inode);

	if (!pair || !detail->peers_known)
		return;
	out->without_peer += !detail->peers.count;
	count_holders(counting, &out->peers, &detail->peers, false);
}

static void count_cost(struct counting *counting, const struct detail *detail)
{
	struct group_detail *out = counting->out;

	if (!detail->cost)
		return;
	out->memory_known |= detail->cost == COST_MEMORY;
	out->disk_known |= detail->cost == COST_DISK;
	if ((*map_put(&counting->objects, hash_combine(detail->object, detail->cost)))++)
		return;
	if (detail->cost == COST_MEMORY)
		out->memory_bytes += detail->cost_bytes;
	else
		out->disk_bytes += detail->cost_bytes;
}

static int compare_tallies(const void *left, const void *right)
{
	const struct tally *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->text, b->text);
}

static void sort(struct tallies *tallies)
{
	if (tallies->items.count)
		qsort(tallies->items.data, tallies->items.count, sizeof(*tallies->items.data),
		      compare_tallies);
}

void group_detail_make(struct group_detail *out, const struct details *details, int32_t pid,
		       const struct group *group)
{
	struct counting counting = {.out = out, .pid = pid};

	*out = (struct group_detail){0};
	array_each (handle, &group->handles) {
		const struct detail *detail = details_get(details, pid, handle);

		count(&counting, &out->types, handle->type ?: "unknown");
		if (!detail)
			continue;
		out->known++;
		if (detail->socket)
			count_socket(&counting, detail->socket);
		if (detail->unlisted)
			count(&counting, &out->states, "neither bound nor connected");
		if (detail->pipe_known && !(*map_put(&counting.objects, detail->object))++)
			out->receive_bytes += detail->pipe_bytes;
		count_peers(&counting, detail);
		count_holders(&counting, &out->shared, &detail->holders, true);
		count_cost(&counting, detail);
		out->deleted += detail->deleted && detail->cost == COST_DISK;
		out->ended += detail->info.has & FDINFO_PIDFD && detail->info.pid < 0;
	}
	sort(&out->types);
	sort(&out->states);
	sort(&out->remotes);
	sort(&out->locals);
	sort(&out->peers);
	sort(&out->shared);
	map_fini(&counting.objects);
	map_fini(&counting.slots);
}

static void tallies_fini(struct tallies *tallies)
{
	array_each (tally, &tallies->items)
		free(tally->text);
	array_fini(&tallies->items);
}

void group_detail_fini(struct group_detail *detail)
{
	tallies_fini(&detail->types);
	tallies_fini(&detail->states);
	tallies_fini(&detail->remotes);
	tallies_fini(&detail->locals);
	tallies_fini(&detail->peers);
	tallies_fini(&detail->shared);
}
