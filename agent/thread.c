/*
 * Owns the table of threads, by FS base, and the slots of the arena that they sit in. An entry is
 * only ever made by the thread that it is for, or by a signal handler that interrupts it just then;
 * so each step either is one instruction, or may be done twice with the same outcome.
 */
#include "agent.h"

#include "system.h"

/* agent_thread.fs_base, besides real ones. */
enum {
	KEY_NONE = 0,
	KEY_GONE = 1,   /* was used: searches go on behind it */
	KEY_ENDING = 2, /* about to be KEY_GONE */
};

enum { CLAIMS_MAX = 64, THREADS_LOG2 = 12 };

_Static_assert(1 << THREADS_LOG2 == AGENT_THREADS_MAX, "a hash of so many bits");

static uint64_t fs_base(void)
{
	uint64_t base;

	__asm__("rdfsbase %0" : "=r"(base));
	return base;
}

/* The entry where `step` steps of a search for `key` lead. */
static struct agent_thread *entry_at(uint64_t key, uint32_t step)
{
	uint32_t home = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> (64 - THREADS_LOG2));

	return &agent.threads[(home + step) & (AGENT_THREADS_MAX - 1)];
}

static uint64_t key_of(const struct agent_thread *entry)
{
	return __atomic_load_n(&entry->fs_base, __ATOMIC_RELAXED);
}

static struct agent_thread *find(uint64_t key)
{
	for (uint32_t step = 0; step < AGENT_THREADS_MAX; step++) {
		struct agent_thread *entry = entry_at(key, step);
		uint64_t its = key_of(entry);

		if (its == key)
			return entry;
		if (its == KEY_NONE)
			return NULL;
	}
	return NULL;
}

/* Another entry of `key` than `own`: a handler made it while we made ours. */
static struct agent_thread *find_other(uint64_t key, const struct agent_thread *own)
{
	for (uint32_t step = 0; step < AGENT_THREADS_MAX; step++) {
		struct agent_thread *entry = entry_at(key, step);
		uint64_t its = key_of(entry);

		if (its == key && entry != own)
			return entry;
		if (its == KEY_NONE)
			return NULL;
	}
	return NULL;
}

/* The first entry that `key` could have; NULL: all are in use. */
static struct agent_thread *find_unused(uint64_t key)
{
	for (uint32_t step = 0; step < AGENT_THREADS_MAX; step++) {
		struct agent_thread *entry = entry_at(key, step);

		if (key_of(entry) <= KEY_GONE)
			return entry;
	}
	return NULL;
}

static struct agent_thread *entry_make(uint64_t key)
{
	for (int i = 0; i < CLAIMS_MAX; i++) {
		struct agent_thread *entry = find_unused(key), *other;
		uint64_t unused = entry ? key_of(entry) : 0;

		if (!entry)
			return NULL;
		if (unused > KEY_GONE ||
		    !__atomic_compare_exchange_n(&entry->fs_base, &unused, key, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		other = find_other(key, entry);
		if (!other)
			return entry;
		__atomic_store_n(&entry->fs_base, KEY_GONE, __ATOMIC_RELEASE);
		return other;
	}
	return NULL;
}

/* ---- slots ---- */

/* The number of a slot that is ours now; agent.slots_n: there is none. */
static uint32_t slot_take(void)
{
	for (uint32_t i = 0; i < agent.slots_n; i++) {
		uint32_t unused = ARENA_SLOT_FREE;

		if (__atomic_load_n(&agent.slots[i].state, __ATOMIC_RELAXED) == ARENA_SLOT_FREE &&
		    __atomic_compare_exchange_n(&agent.slots[i].state, &unused, ARENA_SLOT_TAKEN,
						false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return i;
	}
	return agent.slots_n;
}

static void slot_leave(struct arena_slot *slot)
{
	__atomic_store_n(&slot->state, ARENA_SLOT_LEFT, __ATOMIC_RELEASE);
}

/* The slot of the arena of `generation`: another one is taken only by who comes first. */
static bool seat_take(struct agent_thread *thread, uint32_t generation, uint32_t *number)
{
	uint64_t seat = __atomic_load_n(&thread->seat, __ATOMIC_RELAXED), taken;
	uint32_t slot, waits = 0;

	if (seat >> 32 != generation) {
		/* Threads that have ended leave theirs, which the collector has yet to empty. */
		while ((slot = slot_take()) == agent.slots_n)
			if (!ring_wait(&agent.no_slots, &waits))
				return false;
		agent.no_slots = false;
		taken = (uint64_t)generation << 32 | slot;
		if (__atomic_compare_exchange_n(&thread->seat, &seat, taken, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			seat = taken;
		else
			slot_leave(&agent.slots[slot]);
	}
	*number = (uint32_t)seat;
	return seat >> 32 == generation;
}

/* Nothing here depends on how often it is done. */
static bool entry_complete(struct agent_thread *thread)
{
	uint32_t generation = agent.generation, number;
	int32_t pid = (int32_t)system_call3(__NR_getpid, 0, 0, 0);

	if (pid != agent.pid && !agent.check_tid) /* it shares our memory, but is not of us */
		return false;
	if (!seat_take(thread, generation, &number)) {
		__atomic_fetch_add(&agent.arena->dropped, 1, __ATOMIC_RELAXED);
		return false;
	}
	thread->slot = &agent.slots[number];
	thread->ring = agent.rings + (uint64_t)number * agent.ring_bytes;
	thread->ring_bytes = agent.ring_bytes;
	thread->pid = thread->own_pid = pid;
	thread->tid = thread->own_tid = (int32_t)system_call3(__NR_gettid, 0, 0, 0);
	thread->slot->pid = pid;
	thread->slot->tid = thread->own_tid;
	thread->open_bytes = 0;
	__atomic_store_n(&thread->generation, generation, __ATOMIC_RELEASE);
	return true;
}

/* ---- the calling thread ---- */

/* No address: what a process that shares our memory, and somebody's FS base, is found by. */
static uint64_t key_of_guest(int32_t tid)
{
	return 1ull << 63 | (uint32_t)tid;
}

static struct agent_thread *thread_with(uint64_t key)
{
	struct agent_thread *thread = find(key) ?: entry_make(key);

	if (!thread) {
		__atomic_fetch_add(&agent.arena->dropped, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	if (thread->generation != agent.generation && !entry_complete(thread))
		return NULL;
	return thread;
}

/* The entry of the thread that really runs, which `thread` may be or not. */
static struct agent_thread *who_runs(struct agent_thread *thread)
{
	int32_t tid = (int32_t)system_call3(__NR_gettid, 0, 0, 0);

	if (tid == thread->own_tid || (thread->vforked && tid == thread->tid))
		return thread;
	return thread_with(key_of_guest(tid));
}

static bool is_recorded(void)
{
	return agent.on && __atomic_load_n(&agent.arena->active, __ATOMIC_RELAXED) &&
	       (*agent.alive == AGENT_ALIVE || lifetime_forked());
}

struct agent_thread *thread_current(void)
{
	struct agent_thread *thread;
	uint64_t key;

	if (!is_recorded())
		return NULL;
	key = fs_base();
	if (key <= KEY_ENDING) /* a static program that has only just begun */
		key = key_of_guest((int32_t)system_call3(__NR_gettid, 0, 0, 0));
	thread = thread_with(key);
	if (!thread)
		return NULL;
	return agent.check_tid ? who_runs(thread) : thread;
}

void thread_ends(struct agent_thread *thread)
{
	struct arena_slot *slot = thread->generation == agent.generation ? thread->slot : NULL;

	/* From here on a handler finds nothing, and would begin anew. */
	__atomic_store_n(&thread->fs_base, KEY_ENDING, __ATOMIC_RELEASE);
	/* Not with fs_base: whoever finds it 0 for a moment takes the entry, or ends a search here.
	 */
	memset((uint8_t *)thread + sizeof(thread->fs_base), 0,
	       sizeof(*thread) - sizeof(thread->fs_base));
	__atomic_store_n(&thread->fs_base, KEY_GONE, __ATOMIC_RELEASE);
	if (slot)
		slot_leave(slot);
}

int32_t thread_that_starts(uint64_t child_sp)
{
	for (uint32_t i = 0; i < AGENT_THREADS_MAX; i++)
		if (key_of(&agent.threads[i]) > KEY_ENDING && agent.threads[i].child_sp == child_sp)
			return agent.threads[i].tid;
	return 0;
}

struct agent_thread *thread_started(uint64_t sp)
{
	struct agent_thread *thread;

	if (!is_recorded())
		return NULL;
	thread = find(fs_base());
	if (thread)
		thread_ends(thread);
	thread = thread_current();
	if (thread)
		stack_begins(thread, sp);
	return thread;
}
