/*
 * Bytes of code in which system calls are searched for: any file that a program maps, any text that
 * the agent is about to write to. What is found lies in them and depends on nothing behind it.
 */
#include "event/site_search.h"

#include "model/fd_syscalls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_same(const struct site *a, const struct site *b)
{
	return a->at == b->at && a->behind == b->behind && a->number == b->number &&
	       a->kind == b->kind && a->set_bytes == b->set_bytes &&
	       a->between_bytes == b->between_bytes && a->compare_bytes == b->compare_bytes;
}

/* Is all of it where it says? */
static void check(const uint8_t *bytes, size_t size, const struct site *site)
{
	size_t end = site->behind + site->compare_bytes;

	require(site->at < site->behind && site->behind <= size && end <= size);
	require(bytes[site->behind - 2] == 0x0f && bytes[site->behind - 1] == 0x05);
	require(site->number < PLAN_SYSCALLS_MAX && site->between_bytes <= SITE_BETWEEN_MAX);
	if (site->kind == ARENA_SITE_EXIT)
		require(site->behind - site->at >= site->set_bytes + 4u &&
			site->behind - site->at <= SITE_EXIT_MAX + 4u);
	else
		require(site->at + site->set_bytes + site->between_bytes + 2 == site->behind);
	require((site->compare_bytes != 0) ==
		(site->kind == ARENA_SITE_COMPARED || site->kind == ARENA_SITE_ANY_NUMBER));
	require(site->kind != ARENA_SITE_ANY_NUMBER || !site->number);
}

/* Where nothing is behind it, it is the same. */
static void check_cut(const uint8_t *bytes, const struct site *site)
{
	size_t end = site->behind + site->compare_bytes;
	uint8_t *cut = malloc(end);
	struct site again;

	require(cut != NULL);
	memcpy(cut, bytes, end);
	require(site_read(cut, end, site->at, &again) && is_same(&again, site));
	free(cut);
}

static void search(const uint8_t *bytes, size_t size, const struct plan *plan)
{
	size_t from = 0, next;
	struct site site, again;

	while ((next = site_next(bytes, size, from, plan, &site))) {
		require(next > from && next == site.behind);
		require(site.kind == ARENA_SITE_ANY_NUMBER || site_is_wanted(plan, site.number));
		check(bytes, size, &site);
		require(site_read(bytes, size, site.at, &again) && is_same(&again, &site));
		from = next;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct plan plan;
	static const struct plan nothing;
	struct site site;

	if (!plan.calls[3].when)
		fd_syscalls_plan(&plan, true);
	search(bytes, size, &plan);
	search(bytes, size, &nothing);
	for (size_t at = 0; at <= size; at++) {
		if (!site_read(bytes, size, at, &site))
			continue;
		require(site.at == at);
		check(bytes, size, &site);
		check_cut(bytes, &site);
	}
	return 0;
}
