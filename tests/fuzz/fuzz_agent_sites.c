/*
 * Text that the agent is about to patch, and a list of its sites from memory that others write: the
 * stubs that it chooses stand for places inside of the text, no two of them for the same bytes,
 * and their code has room.
 */
#include "sites.h"

#include "agent.h"
#include "model/fd_syscalls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { LIST = 1, KEEPS_RCX = 2, FILE_OFFSET = 0x1000 };

/* What hook.S has. */
struct agent agent;
uint8_t stubs[STUBS_N][STUB_BYTES] __attribute__((aligned(STUB_BYTES)));
void hook_before(void);
void hook_after(void);
void hook_compared(void);
void hook_numbers(void);

void hook_before(void)
{
}

void hook_after(void)
{
}

void hook_compared(void)
{
}

void hook_numbers(void)
{
}

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_place(const struct stub *stub, const struct patching *patching)
{
	require(stub->at >= patching->start && stub->at + 8 <= patching->end);
	require(stub->bytes == 5 || stub->bytes == 6);
	require(stub->site_ip > patching->start + 1 && stub->site_ip <= patching->end);
	require(!memcmp((const uint8_t *)stub->site_ip - 2, "\x0f\x05", 2));
	require(!memcmp(&stub->original, (const void *)stub->at, 8));
}

/* The code is where it has room, and the jump leads into it. */
static void check_code(struct stub *stub)
{
	uint8_t *code = malloc(STUB_BYTES);
	uint64_t field;

	require(code != NULL);
	stub_write(code, stub);
	memcpy(&field, code + STUB_FIELD, sizeof(field));
	require(field == (stub->site_ip | (uint64_t)stub->number << STUB_NUMBER_SHIFT));
	require(stub->entry < STUB_FIELD);
	free(code);
}

static void check_apart(const struct stub *a)
{
	for (const struct stub *b = stub_table; b < a; b++)
		require(!b->wanted || a->at >= b->at + b->bytes || b->at >= a->at + a->bytes);
}

static uint32_t choose(const uint8_t *code, size_t size, const struct arena_file *file)
{
	struct patching patching = {(uint64_t)code, (uint64_t)code + size,
				    .old_stubs = stub_table_n};
	uint32_t wanted_n = 0;

	sites_choose(&patching, FILE_OFFSET, file);
	require(stub_table_n <= STUBS_N);
	for (uint32_t i = 0; i < stub_table_n; i++) {
		check_place(&stub_table[i], &patching);
		check_code(&stub_table[i]);
		if (!stub_table[i].wanted)
			continue;
		wanted_n++;
		check_apart(&stub_table[i]);
	}
	require((wanted_n != 0) == (patching.sites != 0));
	for (uint32_t i = 0; i < stub_table_n; i++)
		stub_table[i].wanted = false;
	return wanted_n;
}

/* A byte of flags, a byte n, n sites of a list, and the text. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct arena_file file;
	size_t list_bytes = size < 2 ? 0 : bytes[1] * sizeof(struct arena_site);
	uint32_t first_n, first_stubs;

	if (size < 2 + list_bytes)
		return 0;
	if (!agent.arena) {
		agent.arena = calloc(1, sizeof(*agent.arena));
		require(agent.arena != NULL);
		fd_syscalls_plan(&agent.arena->plan, true);
	}
	patch_rcx_kept = bytes[0] & KEEPS_RCX;
	stub_table_n = 0;
	file.sites_n = bytes[1] == 255 ? UINT32_MAX : bytes[1];
	memcpy(file.sites, bytes + 2, list_bytes);
	first_n =
	    choose(bytes + 2 + list_bytes, size - 2 - list_bytes, bytes[0] & LIST ? &file : NULL);
	/* An agent that comes again finds its stubs. */
	first_stubs = stub_table_n;
	require(choose(bytes + 2 + list_bytes, size - 2 - list_bytes,
		       bytes[0] & LIST ? &file : NULL) <= first_n);
	require(stub_table_n == first_stubs || first_stubs == STUBS_N);
	return 0;
}
