/*
 * Chooses the stubs that each site needs for what the plan wants. Owns the table of stubs: each
 * stands for one place and keeps its code for good, for somebody may be in it. Writes to no text.
 */
#include "sites.h"

#include "agent.h"
#include "stub.h"

#include "event/site_search.h"

#include <asm/unistd.h>

struct stub stub_table[STUBS_N];
uint32_t stub_table_n;
uint32_t patch_sites_left;
bool patch_rcx_kept;

static bool stub_is_same(const struct stub *a, const struct stub *b)
{
	return a->at == b->at && a->site_ip == b->site_ip && a->number == b->number &&
	       a->kind == b->kind && a->filter == b->filter && a->bytes == b->bytes &&
	       !((a->original ^ b->original) << (64 - a->bytes * 8));
}

/* The stub like that which there is already, or else a new one; NULL: the table is full. */
static struct stub *stub_get(struct patching *patching, const struct stub *wanted)
{
	for (uint32_t n = 0; patching->had_stubs && n < patching->old_stubs; n++) {
		uint32_t i = (patching->next_old + n) % patching->old_stubs;

		if (stub_is_same(&stub_table[i], wanted)) {
			patching->next_old = i + 1;
			return &stub_table[i];
		}
	}
	if (stub_table_n == STUBS_N)
		return NULL;
	stub_table[stub_table_n] = *wanted;
	return &stub_table[stub_table_n++];
}

static bool is_patched(uint64_t at)
{
	if (*(const uint8_t *)at != 0xe9)
		return false;
	for (uint32_t i = 0; i < stub_table_n; i++) {
		if (stub_table[i].placed && stub_table[i].at == at)
			return true;
	}
	return false;
}

static struct stub *stub_for(struct patching *patching, const struct site *site,
			     enum stub_kind kind, uint8_t filter, uint16_t number)
{
	uint64_t ip = patching->start + site->behind;
	struct stub wanted = {
	    .at = kind == STUB_AFTER ? ip : patching->start + site->at,
	    .site_ip = ip,
	    .number = number,
	    .kind = (uint8_t)kind,
	    .filter = filter,
	    .bytes = kind == STUB_AFTER ? site->compare_bytes : site->set_bytes,
	    .between_bytes = kind == STUB_AFTER ? 0 : site->between_bytes,
	};

	__builtin_memcpy(&wanted.original, (const void *)wanted.at, sizeof(wanted.original));
	return stub_get(patching, &wanted);
}

/* Which results agent_after is to be told; false: none. */
static bool wants_after(uint32_t number, uint8_t *filter)
{
	uint8_t when = agent.arena->plan.calls[number].when;
	bool lifetime = site_is_lifetime_after(number);
	bool maps = number == __NR_mmap || number == __NR_mprotect;

	*filter = 0;
	if (when & (PLAN_LEAVE_OK | PLAN_LEAVE_FULL) || (lifetime && !maps))
		return true;
	if (maps)
		*filter |= STUB_IF_EXECUTABLE;
	if (when & PLAN_LEAVE_FAILED)
		*filter |= STUB_IF_NEGATIVE;
	else if (when & PLAN_LEAVE_EBADF)
		*filter |= STUB_IF_EBADF;
	return *filter != 0;
}

static bool wants_before(uint32_t number)
{
	return agent.arena->plan.calls[number].when & PLAN_ENTER || site_is_lifetime_before(number);
}

/* Bytes can be read as two sites where one ends inside of the other, or be listed twice. */
static bool is_apart(const struct stub *stub)
{
	for (uint32_t i = 0; i < stub_table_n; i++) {
		const struct stub *other = &stub_table[i];

		if (other->wanted && other != stub && other->at < stub->at + stub->bytes &&
		    stub->at < other->at + other->bytes)
			return false;
	}
	return true;
}

/* A jump is wanted to each; but without room for all of them the site is left as it is. */
static void want(struct patching *patching, struct stub *const *wanted, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!wanted[i] || !is_apart(wanted[i])) {
			patch_sites_left++;
			return;
		}
	}
	for (uint32_t i = 0; i < n; i++)
		wanted[i]->wanted = true;
	patching->sites += n > 0;
}

/* Can a jump stand in place of the mov? */
static bool may_move(const struct site *site, enum stub_kind kind)
{
	if (site->set_bytes >= STUB_JUMP && stub_has_room(kind, site->between_bytes))
		return true;
	patch_sites_left++;
	return false;
}

/* mov; syscall; cmp: up to two jumps. */
static void choose_compared(struct patching *patching, const struct site *site)
{
	uint8_t filter;
	bool before = wants_before(site->number), after = wants_after(site->number, &filter);
	struct stub *wanted[2];
	uint32_t n = 0;

	/* hook_before gives rcx the value that hook_compared looks for. */
	if (before || (after && patch_rcx_kept)) {
		if (!may_move(site, STUB_BEFORE))
			return;
		wanted[n++] = stub_for(patching, site, STUB_BEFORE, 0, site->number);
	}
	if (after)
		wanted[n++] = stub_for(patching, site, STUB_AFTER, filter, site->number);
	want(patching, wanted, n);
}

/* mov; syscall, or an exit, which does not come back: a jump in place of the mov only. */
static void choose_bare(struct patching *patching, const struct site *site)
{
	uint8_t filter;
	bool before = wants_before(site->number);
	bool after = site->kind == ARENA_SITE_BARE && wants_after(site->number, &filter);
	enum stub_kind kind = after ? STUB_WHOLE : STUB_BEFORE;
	struct stub *wanted;

	if ((!before && !after) || !may_move(site, kind))
		return;
	wanted = stub_for(patching, site, kind, 0, site->number);
	want(patching, &wanted, 1);
}

/* There is one table of numbers, and so one syscall(2): a second C library's is left alone. */
static bool is_other_patched(uint64_t at)
{
	for (uint32_t i = 0; i < stub_table_n; i++) {
		const struct stub *stub = &stub_table[i];

		if (stub->kind == STUB_NUMBERS && stub->at != at && (stub->placed || stub->wanted))
			return true;
	}
	return false;
}

/* syscall(2): a stub for each number that is of interest. */
static void choose_any_number(struct patching *patching, const struct site *site)
{
	struct stub *wanted;

	if (is_other_patched(patching->start + site->at)) {
		patch_sites_left++;
		return;
	}
	for (uint16_t number = 0; number < PLAN_SYSCALLS_MAX; number++) {
		struct stub *stub = NULL;

		if (site_is_wanted(&agent.arena->plan, number))
			stub = stub_for(patching, site, STUB_WHOLE, 0, number);
		stub_numbers[number] =
		    stub ? (uint64_t)stubs[stub - stub_table] + STUB_ENTRY_WHOLE : 0;
	}
	wanted = stub_for(patching, site, STUB_NUMBERS, 0, 0);
	if (wanted)
		stub_numbers_plain = (uint64_t)stubs[wanted - stub_table] + STUB_PLAIN;
	want(patching, &wanted, 1);
}

/* The site is what it is believed to be: chooses the stubs for it. */
static void choose(struct patching *patching, const struct site *site)
{
	uint64_t end = patching->start + site->behind;

	if (end + site->compare_bytes + 8 > patching->end || is_patched(end))
		return;
	if (site->kind == ARENA_SITE_ANY_NUMBER)
		choose_any_number(patching, site);
	else if (site->kind == ARENA_SITE_COMPARED)
		choose_compared(patching, site);
	else
		choose_bare(patching, site);
}

static void choose_found(struct patching *patching)
{
	const uint8_t *bytes = (const uint8_t *)patching->start;
	size_t n = patching->end - patching->start, from = 0;
	struct site site;

	while ((from = site_next(bytes, n, from, &agent.arena->plan, &site)))
		choose(patching, &site);
}

/* Others wrote the list: nothing of it is believed. */
static void choose_known(struct patching *patching, uint64_t file_offset,
			 const struct arena_file *file)
{
	const uint8_t *bytes = (const uint8_t *)patching->start;
	size_t n = patching->end - patching->start;
	uint32_t sites_n = file->sites_n;

	for (uint32_t i = 0; i < sites_n && i < ARENA_FILE_SITES_MAX; i++) {
		struct arena_site known;
		struct site site;
		/* Read once: others may write it. */
		uint64_t bits =
		    __atomic_load_n((const uint64_t *)&file->sites[i], __ATOMIC_RELAXED);

		memcpy(&known, &bits, sizeof(known));

		if (known.offset < file_offset || known.offset - file_offset >= n)
			continue;
		if (site_read(bytes, n, known.offset - file_offset, &site) &&
		    site.kind == known.kind && site.number == known.number)
			choose(patching, &site);
	}
}

/* Was this text patched before, by an agent that left it? */
static bool has_stubs(const struct patching *patching)
{
	for (uint32_t i = 0; i < patching->old_stubs; i++)
		if (stub_table[i].at >= patching->start && stub_table[i].at < patching->end)
			return true;
	return false;
}

void sites_choose(struct patching *patching, uint64_t file_offset, const struct arena_file *file)
{
	patching->had_stubs = has_stubs(patching);
	if (file)
		choose_known(patching, file_offset, file);
	else
		choose_found(patching);
}
