/*
 * Puts jumps to stubs into the program's text, and takes them out again; owns both texts'
 * protection. Knows nothing of what a site is, nor of what is recorded.
 */
#include "agent.h"
#include "sites.h"
#include "stub.h"
#include "system.h"

#include <asm/mman.h>
#include <linux/errno.h>

enum { TEXT = PROT_READ | PROT_EXEC, RANGES_MAX = 64 };

/* A mapping that patch_mapping() has written to. */
struct range {
	uint64_t start, end;
};

static struct range ranges[RANGES_MAX];
static uint32_t ranges_n;

static int64_t protect(uint64_t from, uint64_t to, int protection)
{
	from &= -(uint64_t)AGENT_PAGE;
	to = (to + AGENT_PAGE - 1) & -(uint64_t)AGENT_PAGE;
	return system_call3(__NR_mprotect, from, to - from, (uint64_t)protection);
}

static uint64_t text_read(uint64_t at)
{
	uint64_t value;

	__builtin_memcpy(&value, (const void *)at, sizeof(value));
	return value;
}

/* One instruction: a signal handler of this thread sees all eight bytes or none. */
static void text_write(uint64_t at, uint64_t value)
{
	__asm__ volatile("movq %1, (%0)" : : "r"(at), "r"(value) : "memory");
}

static uint64_t replaced_mask(const struct stub *stub)
{
	return (1ull << stub->bytes * 8) - 1;
}

/* `current` with the stub's bytes of it replaced. */
static uint64_t with_original(const struct stub *stub, uint64_t current)
{
	uint64_t mask = replaced_mask(stub);

	return (current & ~mask) | (stub->original & mask);
}

/* jmp rel32, and a nop where six bytes are replaced. */
static uint64_t with_jump(const struct stub *stub, uint64_t current)
{
	uint64_t mask = replaced_mask(stub);
	uint64_t target = (uint64_t)stubs[stub - stub_table] + stub->entry;
	uint32_t relative = (uint32_t)(target - (stub->at + STUB_JUMP));
	uint64_t jump = 0xe9 | (uint64_t)relative << 8 | 0x90ull << 40;

	return (current & ~mask) | (jump & mask);
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

static int write_stubs(uint32_t first)
{
	uint64_t from = (uint64_t)stubs[first], to = (uint64_t)stubs[stub_table_n];
	int64_t error;

	if (first == stub_table_n)
		return 0;
	error = protect(from, to, TEXT | PROT_WRITE);
	if (error)
		return (int)error;
	for (uint32_t i = first; i < stub_table_n; i++)
		stub_write(stubs[i], &stub_table[i]);
	protect(from, to, TEXT);
	return 0;
}

static int write_jumps(const struct patching *patching)
{
	int64_t error;

	if (!patching->sites)
		return 0;
	/* All of it: what is written to in part stays in pieces for good. */
	error = protect(patching->start, patching->end, TEXT | PROT_WRITE);
	if (error)
		return (int)error;
	for (uint32_t i = 0; i < stub_table_n; i++) {
		struct stub *stub = &stub_table[i];

		if (!stub->wanted)
			continue;
		text_write(stub->at, with_jump(stub, text_read(stub->at)));
		stub->wanted = false;
		stub->placed = true;
	}
	protect(patching->start, patching->end, TEXT);
	if (ranges_n < RANGES_MAX) /* else patch_restore() goes page by page */
		ranges[ranges_n++] = (struct range){patching->start, patching->end};
	return 0;
}

static int patch_failed(const struct patching *patching, int error, uint32_t *reason)
{
	for (uint32_t i = 0; i < stub_table_n; i++)
		stub_table[i].wanted = false;
	stub_table_n = patching->old_stubs;
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
	struct patching patching = {start, end, .old_stubs = stub_table_n};
	int error;

	if (start < (uint64_t)stubs + sizeof(stubs) && end > (uint64_t)stubs)
		return 0;
	if (!text_is_near(start, end)) {
		*reason = ARENA_OFF_FAR;
		return -ERANGE;
	}
	patch_rcx_kept = patch_rcx_kept || rcx_is_kept();
	sites_choose(&patching, file_offset, file);
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
	for (uint32_t i = 0; i < stub_table_n; i++) {
		uint64_t current;

		if (stub_table[i].placed && stub_table[i].at >= range->start &&
		    stub_table[i].at < range->end && !jump_is_there(&stub_table[i], &current))
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
	for (uint32_t i = 0; i < stub_table_n; i++) {
		struct stub *stub = &stub_table[i];

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
			restore_range(ranges[i].start, ranges[i].end);
	}
	ranges_n = 0;
	/* What is left: of text that is gone, or gone in part. */
	for (uint32_t i = 0; i < stub_table_n; i++) {
		struct stub *stub = &stub_table[i];
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
