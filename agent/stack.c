/*
 * Owns what is known of a thread's stack: how far it may be read without a fault. That is believed
 * of two kinds only, which nobody unmaps under a running thread: the process's first stack, and a
 * pthread's, at whose upper end its control block lies.
 */
#include "agent.h"

#include "maps.h"
#include "system.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum {
	TRIES_MAX = 8,
	GROWTH_MAX = 16 << 20,  /* of a stack between two calls */
	ABOVE_FIRST_BYTES = 64, /* of a new thread's stack; then come its thread-local variables */
	PAGES_AT_ONCE = 8,
	MAPS_BYTES = 8192,
};

/* process_vm_readv(2) on ourselves. */
static int64_t read_self(const struct iovec *to, const struct iovec *from, uint64_t from_n)
{
	int64_t got = system_call6(__NR_process_vm_readv, (uint64_t)agent.pid, (uint64_t)to, 1,
				   (uint64_t)from, from_n, 0);

	if (got == -ESRCH) /* the process's first thread is gone */
		got = system_call6(__NR_process_vm_readv,
				   (uint64_t)system_call3(__NR_gettid, 0, 0, 0), (uint64_t)to, 1,
				   (uint64_t)from, from_n, 0);
	return got;
}

uint64_t safe_copy(void *to, uint64_t from, uint64_t bytes)
{
	struct iovec local = {to, bytes}, remote = {(void *)from, bytes};
	int64_t got = bytes ? read_self(&local, &remote, 1) : 0;

	return got > 0 ? (uint64_t)got : 0;
}

/* Whether all pages in [low, high) can be read; the upper ones are tried first. */
static bool pages_readable(uint64_t low, uint64_t high)
{
	struct iovec pages[PAGES_AT_ONCE];
	uint8_t bytes[PAGES_AT_ONCE];

	while (high > low) {
		struct iovec local = {bytes, 0};

		while (high > low && local.iov_len < PAGES_AT_ONCE) {
			high -= AGENT_PAGE;
			pages[local.iov_len++] = (struct iovec){(void *)high, 1};
		}
		if (read_self(&local, pages, local.iov_len) != (int64_t)local.iov_len)
			return false;
	}
	return true;
}

/* ---- where a stack is ---- */

struct search {
	const struct agent_thread *thread;
	uint64_t sp;
	uint64_t low, high; /* found: high is not 0 */
};

static bool is_first_stack(const char *path)
{
	const char *name = "[stack]";

	while (*name && *path == *name)
		path++, name++;
	return !*name && !*path;
}

static bool search_line(void *context, const struct maps_line *line)
{
	struct search *search = context;
	uint64_t block = search->thread->fs_base;

	if (search->thread->own_tid == search->thread->own_pid) {
		if (!is_first_stack(line->path))
			return true;
		search->low = line->start;
		search->high = line->end;
		return false;
	}
	if (search->sp < line->start || search->sp >= line->end)
		return true;
	/* The block begins with its own address (the psABI's supplement, thread-local storage). */
	if (block > search->sp && block < line->end && *(const uint64_t *)block == block) {
		search->low = line->start;
		search->high = block & ~7ull;
	}
	return false;
}

/* Neither the stack that we run on nor anything that another thread may be using: own memory. */
static void find_stack(struct agent_thread *thread, uint64_t sp)
{
	struct search search = {.thread = thread, .sp = sp};
	int64_t buffer;

	if (thread->stack_tries >= TRIES_MAX)
		return;
	thread->stack_tries++;
	buffer = system_call6(__NR_mmap, 0, MAPS_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
	if (buffer < 0)
		return;
	maps_each((char *)buffer, MAPS_BYTES, search_line, &search);
	system_call3(__NR_munmap, (uint64_t)buffer, MAPS_BYTES, 0);
	if (!search.high)
		return;
	thread->stack_low = search.low;
	__atomic_store_n(&thread->stack_high, search.high, __ATOMIC_RELEASE);
}

void stack_begins(struct agent_thread *thread, uint64_t sp)
{
	uint64_t page = sp & ~(uint64_t)(AGENT_PAGE - 1), high = (sp + ABOVE_FIRST_BYTES) & ~7ull;

	if (!pages_readable(page, (high + AGENT_PAGE - 1) & ~(uint64_t)(AGENT_PAGE - 1)))
		return;
	thread->stack_low = page;
	thread->stack_high = high;
}

/* A stack grows without telling, or we have not looked at all of it. */
static void lower(struct agent_thread *thread, uint64_t sp)
{
	uint64_t low = thread->stack_low, page = sp & ~(uint64_t)(AGENT_PAGE - 1);

	if (low - sp <= GROWTH_MAX && pages_readable(page, low))
		thread->stack_low = page;
}

uint64_t stack_readable(struct agent_thread *thread, uint64_t sp)
{
	if (!thread->stack_high)
		find_stack(thread, sp);
	if (sp >= thread->stack_high)
		return 0;
	if (sp < thread->stack_low)
		lower(thread, sp);
	return sp >= thread->stack_low ? thread->stack_high - sp : 0;
}
