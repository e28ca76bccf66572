/*
 * Puts jumps to stubs into the program's text, and takes them out again. Owns the table of stubs:
 * each stands for one place and keeps its code for good, for somebody may be in it. Knows nothing
 * of what is recorded.
 */
#include "agent.h"
#include "stub.h"
#include "system.h"

#include "event/site_search.h"

#include <asm/mman.h>
#include <linux/errno.h>

enum { TEXT = PROT_READ | PROT_EXEC, RANGES_MAX = 64 };

/* A run of patch_mapping(). */
struct patching {
	uint64_t start, end;
	uint32_t old_stubs; /* there before it, that may be used again */
	uint32_t sites;
	uint64_t low, high; /* addresses that will be written to */
	bool far;
};

/* What patch_mapping() has written to, one piece of text each. */
struct range {
	uint64_t low, high;
};

static struct range ranges[RANGES_MAX];
static uint32_t ranges_n;
static struct stub table[STUBS_N]; /* of stubs[], by index */
static uint32_t table_n;
static uint64_t numbers_at; /* the syscall(2) that stub_numbers is for */
uint32_t patch_sites_left;
/* The CPU gives a system call no return address in rcx (FRED). */
bool patch_rcx_kept;

static int64_t protect(uint64_t from, uint64_t to, int protection)
{
	from &= -(uint64_t)AGENT_PAGE;
	to = (to + AGENT_PAGE - 1) & -(uint64_t)AGENT_PAGE;
	return system_call3(__NR_mprotect, from, to - from, (uint64_t)protection);
}

/* One instruction each: a signal handler of this thread sees all eight bytes or none. */
static uint64_t text_read(uint64_t at)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static void text_write(uint64_t at, uint64_t value)
{
	__asm__ volatile("movq %1, (%0)" : : "r"(at), "r"(value) : "memory");
}

/* `current` with the stub's bytes of it replaced. */
static uint64_t with_original(const struct stub *stub, uint64_t current)
{
	memcpy(&current, stub->original, stub->bytes);
	return current;
}

static uint64_t with_jump(const struct stub *stub, uint64_t current)
{
	uint8_t bytes[8];
	uint64_t target = (uint64_t)stubs[stub - table] + stub->entry;
	int32_t relative = (int32_t)(target - (stub->at + STUB_JUMP));

	memcpy(bytes, &current, sizeof(bytes));
	bytes[0] = 0xe9;
	memcpy(bytes + 1, &relative, sizeof(relative));
	if (stub->bytes > STUB_JUMP)
		bytes[5] = 0x90;
	memcpy(&current, bytes, sizeof(bytes));
	return current;
}

/* Does every stub reach all of the text by a jump, and back? */
static bool text_is_near(uint64_t start, uint64_t end)
{
	uint64_t low = (uint64_t)stubs, high = low + sizeof(stubs);

	if (start < low)
		low = start;
	if (end > high)
		high = end;
	return high - low < INT32_MAX - AGENT_PAGE;
}

static bool stub_is_same(const struct stub *a, const struct stub *b)
{
	return a->at == b->at && a->site_ip == b->site_ip && a->number == b->number &&
	       a->kind == b->kind && a->filter == b->filter && a->bytes == b->bytes &&
	       with_original(a, 0) == with_original(b, 0);
}

/* The stub like that which there is already, or else a new one; NULL: the table is full. */
static struct stub *stub_get(const struct patching *patching, const struct stub *wanted)
{
	for (uint32_t i = 0; i < patching->old_stubs; i++) {
		if (stub_is_same(&table[i], wanted))
			return &table[i];
	}
	if (table_n == STUBS_N)
		return NULL;
	table[table_n] = *wanted;
	return &table[table_n++];
}

static bool is_patched(uint64_t at)
{
	for (uint32_t i = 0; i < table_n; i++) {
		if (table[i].placed && table[i].at == at)
			return true;
	}
	return false;
}

static struct stub *stub_for(const struct patching *patching, const struct site *site,
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
	uint64_t bytes = text_read(wanted.at);

	memcpy(wanted.original, &bytes, sizeof(bytes));
	return stub_get(patching, &wanted);
}

/* Which results agent_after is to be told; false: none. */
static bool wants_after(uint32_t number, uint8_t *filter)
{
	uint8_t when = agent.arena->plan.calls[number].when;
	bool lifetime = site_is_lifetime_after(number);
	bool maps = number == __NR_mmap || number == __NR_mprotect;

	*filter = 0;
	if (when & PLAN_LEAVE_OK || (lifetime && !maps))
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

/* A jump is wanted to each; but without room for all of them the site is left as it is. */
static void want(struct patching *patching, struct stub *const *wanted, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!wanted[i]) {
			patch_sites_left++;
			return;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		wanted[i]->wanted = true;
		if (wanted[i]->at < patching->low)
			patching->low = wanted[i]->at;
		if (wanted[i]->at + 8 > patching->high)
			patching->high = wanted[i]->at + 8;
	}
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

/* syscall(2): a stub for each number that is of interest. There is one such function. */
static void choose_any_number(struct patching *patching, const struct site *site)
{
	uint64_t at = patching->start + site->at;
	struct stub *wanted;

	if (numbers_at && numbers_at != at) {
		patch_sites_left++;
		return;
	}
	numbers_at = at;
	for (uint16_t number = 0; number < PLAN_SYSCALLS_MAX; number++) {
		struct stub *stub = NULL;

		if (site_is_wanted(&agent.arena->plan, number))
			stub = stub_for(patching, site, STUB_WHOLE, 0, number);
		stub_numbers[number] = stub ? (uint64_t)stubs[stub - table] + STUB_ENTRY_WHOLE : 0;
	}
	wanted = stub_for(patching, site, STUB_NUMBERS, 0, 0);
	if (wanted)
		stub_numbers_plain = (uint64_t)stubs[wanted - table] + STUB_PLAIN;
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
		struct arena_site known = file->sites[i];
		struct site site;

		if (known.offset < file_offset || known.offset - file_offset >= n)
			continue;
		if (site_read(bytes, n, known.offset - file_offset, &site) &&
		    site.kind == known.kind && site.number == known.number)
			choose(patching, &site);
	}
}

static int write_stubs(uint32_t first)
{
	uint64_t from = (uint64_t)stubs[first], to = (uint64_t)stubs[table_n];
	int64_t error;

	if (first == table_n)
		return 0;
	error = protect(from, to, TEXT | PROT_WRITE);
	if (error)
		return (int)error;
	for (uint32_t i = first; i < table_n; i++)
		stub_write(stubs[i], &table[i]);
	protect(from, to, TEXT);
	return 0;
}

static int write_jumps(const struct patching *patching)
{
	int64_t error;

	if (!patching->sites)
		return 0;
	error = protect(patching->low, patching->high, TEXT | PROT_WRITE);
	if (error)
		return (int)error;
	for (uint32_t i = 0; i < table_n; i++) {
		struct stub *stub = &table[i];

		if (!stub->wanted)
			continue;
		text_write(stub->at, with_jump(stub, text_read(stub->at)));
		stub->wanted = false;
		stub->placed = true;
	}
	protect(patching->low, patching->high, TEXT);
	if (ranges_n < RANGES_MAX) /* else patch_restore() goes page by page */
		ranges[ranges_n++] = (struct range){patching->low, patching->high};
	return 0;
}

static int patch_failed(const struct patching *patching, int error, uint32_t *reason)
{
	for (uint32_t i = 0; i < table_n; i++)
		table[i].wanted = false;
	table_n = patching->old_stubs;
	*reason = ARENA_OFF_PROTECT;
	return error;
}

/* Does a system call leave rcx as it was? Then hook_compared cannot tell calls by it. */
static bool rcx_is_kept(void)
{
	uint64_t number = __NR_getpid, rcx = 0;

	__asm__ volatile("syscall" : "+a"(number), "+c"(rcx) : : "r11", "memory");
	return rcx == 0;
}

int patch_mapping(uint64_t start, uint64_t end, uint64_t file_offset, const struct arena_file *file,
		  uint32_t *reason)
{
	struct patching patching = {start, end, .old_stubs = table_n, .low = UINT64_MAX};
	int error;

	if (start < (uint64_t)stubs + sizeof(stubs) && end > (uint64_t)stubs)
		return 0;
	if (!text_is_near(start, end)) {
		*reason = ARENA_OFF_FAR;
		return -ERANGE;
	}
	patch_rcx_kept = patch_rcx_kept || rcx_is_kept();
	if (file)
		choose_known(&patching, file_offset, file);
	else
		choose_found(&patching);
	error = write_stubs(patching.old_stubs);
	if (!error)
		error = write_jumps(&patching);
	return error ? patch_failed(&patching, error, reason) : (int)patching.sites;
}

/* The text may be gone, or be another's by now: is the jump still there? */
static bool jump_is_there(const struct stub *stub, uint64_t *current)
{
	return safe_copy(current, stub->at, sizeof(*current)) == sizeof(*current) &&
	       with_jump(stub, *current) == *current;
}

static bool jumps_are_there(const struct range *range)
{
	for (uint32_t i = 0; i < table_n; i++) {
		uint64_t current;

		if (table[i].placed && table[i].at >= range->low && table[i].at < range->high &&
		    !jump_is_there(&table[i], &current))
			return false;
	}
	return true;
}

/* Takes out the jumps that begin in [low, high - 8], all of which are there. */
static int restore_range(uint64_t low, uint64_t high)
{
	int64_t error = protect(low, high, TEXT | PROT_WRITE);

	if (error)
		return (int)error;
	for (uint32_t i = 0; i < table_n; i++) {
		struct stub *stub = &table[i];

		if (!stub->placed || stub->at < low || stub->at + 8 > high)
			continue;
		text_write(stub->at, with_original(stub, text_read(stub->at)));
		stub->placed = false;
	}
	protect(low, high, TEXT);
	return 0;
}

int patch_restore(void)
{
	int result = 0;

	for (uint32_t i = 0; i < ranges_n; i++) {
		if (jumps_are_there(&ranges[i]))
			restore_range(ranges[i].low, ranges[i].high);
	}
	ranges_n = 0;
	/* What is left: of text that is gone, or gone in part. */
	for (uint32_t i = 0; i < table_n; i++) {
		struct stub *stub = &table[i];
		uint64_t current;
		int error = 0;

		if (stub->placed && jump_is_there(stub, &current))
			error = restore_range(stub->at, stub->at + 8);
		if (error)
			result = error;
		stub->placed = stub->placed && error;
	}
	return result;
}
