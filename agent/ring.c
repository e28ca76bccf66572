/*
 * Owns the writing half of a thread's ring. The thread and its signal handlers are the only
 * writers, so no instruction needs a lock prefix; head and tail are shared, and whatever they are,
 * nothing is written outside of the ring.
 */
#include "agent.h"

#include "altstack.h"
#include "system.h"

#include <linux/futex.h>

enum {
	CALLS_SHARE = 16, /* the last of so many parts of the ring takes no calls */
	WAKE_SHARE = 4,   /* so full, the ring is worth a wake-up; */
	YIELD_SHARE = 2,  /* and so full, a moment of our time */
	WAITS_MAX = 20,   /* for room, when there is none */
	WAIT_NS = 100000,
};

/* Another writer can only be a signal handler, which has ended when we go on. */
static bool exchange(uint64_t *at, uint64_t *expected, uint64_t wanted)
{
	bool done;

	__asm__ volatile("cmpxchgq %[wanted], %[at]"
			 : "=@ccz"(done), [at] "+m"(*at), "+a"(*expected)
			 : [wanted] "r"(wanted)
			 : "memory");
	return done;
}

void ring_wake_collector(void)
{
	uint32_t *sleeping = &agent.arena->sleeping;

	if (__atomic_load_n(sleeping, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(sleeping, 0, __ATOMIC_ACQ_REL))
		system_call6(__NR_futex, (uint64_t)sleeping, FUTEX_WAKE, 1, 0, 0, 0);
}

/* Copies of stacks that nobody knows yet fill a ring within a millisecond: the collector has to
 * get a CPU, if need be ours. */
static void make_room(uint64_t used, uint64_t bytes)
{
	if (used < bytes / WAKE_SHARE)
		return;
	ring_wake_collector();
	if (used >= bytes / YIELD_SHARE)
		system_call3(__NR_sched_yield, 0, 0, 0);
}

bool ring_wait(bool *in_vain, uint32_t *waits)
{
	const int64_t moment[2] = {0, WAIT_NS};

	if (*in_vain || ++*waits > WAITS_MAX) {
		*in_vain = true;
		return false;
	}
	ring_wake_collector();
	system_call3(__NR_nanosleep, (uint64_t)moment, 0, 0);
	return true;
}

/*
 * No room: the collector is late by some milliseconds, and we had better wait so long than lose a
 * record. When that was in vain nobody waits again until there is room: it may be stopped. Nor does
 * a handler wait that has interrupted the making of a record, which the collector cannot pass.
 */
static bool wait_for_room(struct agent_thread *thread, uint32_t *waits)
{
	return !thread->open_bytes && ring_wait(&thread->starved, waits);
}

static void count_dropped(struct arena_slot *slot)
{
	__asm__ volatile("incq %0" : "+m"(slot->dropped) : : "cc");
}

void ring_commit(void *record, uint32_t type, uint32_t bytes)
{
	struct event_header *header = record;

	header->type = (uint16_t)type;
	__atomic_store_n(&header->size, bytes, __ATOMIC_RELEASE);
}

void ring_cancel(void *record, uint32_t bytes)
{
	ring_commit(record, ARENA_PAD, bytes);
}

void ring_give_back(struct agent_thread *thread, void *rest, uint32_t bytes)
{
	uint64_t head = __atomic_load_n(&thread->slot->head, __ATOMIC_RELAXED);
	uint64_t end = (uint64_t)((uint8_t *)rest - thread->ring) + bytes;

	/* The last one may be made shorter, as long as no handler has put one behind it. */
	if (((head ^ end) & (thread->ring_bytes - 1)) == 0 &&
	    exchange(&thread->slot->head, &head, head - bytes)) {
		if (thread->open_bytes && thread->open_at + thread->open_bytes == head)
			thread->open_bytes -= bytes;
		return;
	}
	ring_cancel(rest, bytes);
}

void ring_commit_call(struct agent_thread *thread, void *record, uint32_t type, uint32_t bytes)
{
	ring_commit(record, type, bytes);
	if ((uint8_t *)record == thread->ring + (thread->open_at & (thread->ring_bytes - 1)))
		thread->open_bytes = 0;
}

/*
 * A handler that leaves by siglongjmp(3) may leave a call's record behind that nobody will
 * complete, and that the reader would wait for. Whoever runs above the frame that reserved it
 * proves that.
 */
static __attribute__((noinline)) void close_abandoned(struct agent_thread *thread, uint64_t head,
						      uint64_t tail, uint64_t sp)
{
	struct event_header *record =
	    (void *)(thread->ring + (thread->open_at & (thread->ring_bytes - 1)));
	stack_t now; /* that may be an array in a frame above */

	if (sp < thread->open_sp || sp >= thread->stack_high ||
	    thread->open_sp < thread->stack_low || altstack_in_use(&now))
		return;
	if (thread->open_at >= tail && thread->open_at < head &&
	    !__atomic_load_n(&record->size, __ATOMIC_RELAXED)) {
		if (thread->open_skipped && thread->open_at - thread->open_skipped >= tail)
			ring_cancel(thread->ring + thread->ring_bytes - thread->open_skipped,
				    thread->open_skipped);
		ring_cancel(record, thread->open_bytes);
		count_dropped(thread->slot);
	}
	thread->open_bytes = 0;
}

/* The outermost one is remembered: what interrupts it is done before it. `at` is not ours yet. */
static bool note_open(struct agent_thread *thread, uint64_t at, uint64_t skipped, uint32_t bytes,
		      uint64_t sp)
{
	if (thread->open_bytes && thread->open_sp > sp && thread->open_at < at)
		return false;
	thread->open_at = at;
	thread->open_skipped = (uint32_t)skipped;
	thread->open_sp = sp;
	thread->open_bytes = bytes;
	return true;
}

static void *reserve(struct agent_thread *thread, uint32_t bytes, bool is_call, uint64_t sp)
{
	struct arena_slot *slot = thread->slot;
	uint64_t size = thread->ring_bytes;
	uint64_t head = __atomic_load_n(&slot->head, __ATOMIC_RELAXED);
	uint64_t keep = is_call ? size / CALLS_SHARE : 0;
	uint32_t waits = 0;

	if (!thread->starved) /* else nobody may be there who would make any */
		make_room(head - __atomic_load_n(&slot->tail, __ATOMIC_RELAXED), size);

	for (;;) {
		uint64_t tail = __atomic_load_n(&slot->tail, __ATOMIC_ACQUIRE);
		uint64_t at = head & (size - 1), used = head - tail, now;
		uint64_t skipped = at + bytes > size ? size - at : 0;
		struct event_header *record;
		bool noted;

		if (thread->open_bytes)
			close_abandoned(thread, head, tail, sp);
		/* A handler came in between, and what it recorded has been read already. */
		if (used > size && __atomic_load_n(&slot->head, __ATOMIC_RELAXED) != head) {
			head = __atomic_load_n(&slot->head, __ATOMIC_RELAXED);
			continue;
		}
		if (head % 8 || used > size || bytes + keep > size) {
			count_dropped(slot);
			return NULL;
		}
		if (bytes + skipped + keep > size - used) {
			if (wait_for_room(thread, &waits)) {
				head = __atomic_load_n(&slot->head, __ATOMIC_RELAXED);
				continue;
			}
			count_dropped(slot);
			return NULL;
		}
		noted = is_call && note_open(thread, head + skipped, skipped, bytes, sp);
		/* Taken before the place: whoever comes in between makes us take both again. */
		now = clock_now();
		if (!exchange(&slot->head, &head, head + skipped + bytes)) {
			/* A handler came in between, perhaps while this was being noted. */
			if (noted)
				thread->open_bytes = 0;
			continue;
		}
		if (skipped)
			ring_cancel(thread->ring + at, (uint32_t)skipped);
		record = (void *)(thread->ring + (skipped ? 0 : at));
		record->time_ns = now;
		thread->starved = false;
		return record;
	}
}

void *ring_reserve(struct agent_thread *thread, uint32_t bytes)
{
	return reserve(thread, bytes, false, (uint64_t)__builtin_frame_address(0));
}

void *ring_reserve_call(struct agent_thread *thread, uint32_t bytes)
{
	return reserve(thread, bytes, true, (uint64_t)__builtin_frame_address(0));
}
