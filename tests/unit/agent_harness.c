/* Owns the arena of the agent's tests, and stands in for the parts of the agent that they leave
 * out. */
#include "agent_harness.h"

#include "event/codec.h"
#include "model/fd_syscalls.h"

#include <assert.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

struct agent agent;

bool harness_forked_returns;
unsigned harness_forked, harness_before, harness_after;

static uint8_t *memory;
static size_t memory_bytes;
static uint32_t alive;

bool lifetime_forked(void)
{
	harness_forked++;
	return harness_forked_returns;
}

void lifetime_before(struct call_frame *frame, uint32_t number)
{
	harness_before++;
}

void lifetime_after(struct call_frame *frame, uint32_t number, uint64_t sp)
{
	harness_after++;
}

static size_t pages(size_t bytes)
{
	return (bytes + AGENT_PAGE - 1) / AGENT_PAGE * AGENT_PAGE;
}

void harness_start(uint32_t slots_n, uint32_t ring_bytes)
{
	size_t slots_at = pages(sizeof(struct arena)) + AGENT_PAGE;
	size_t rings_at = slots_at + pages(slots_n * sizeof(struct arena_slot)) + AGENT_PAGE;
	size_t rings_bytes = pages((size_t)slots_n * ring_bytes);
	uint32_t generation = agent.generation;

	memory_bytes = rings_at + rings_bytes + AGENT_PAGE;
	memory =
	    mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	mprotect(memory + slots_at - AGENT_PAGE, AGENT_PAGE, PROT_NONE);
	mprotect(memory + rings_at - AGENT_PAGE, AGENT_PAGE, PROT_NONE);
	mprotect(memory + rings_at + rings_bytes, AGENT_PAGE, PROT_NONE);
	alive = AGENT_ALIVE;
	agent = (struct agent){
	    .arena = (struct arena *)memory,
	    .arena_bytes = memory_bytes,
	    .on = true,
	    .generation = generation + 1,
	    .rings = memory + rings_at,
	    .slots = (struct arena_slot *)(memory + slots_at),
	    .slots_n = slots_n,
	    .ring_bytes = ring_bytes,
	    .slots_offset = slots_at,
	    .mappings = 1,
	    .clock = vdso_find_clock(getauxval(AT_SYSINFO_EHDR)),
	    .threads = calloc(AGENT_THREADS_MAX, sizeof(struct agent_thread)),
	    .alive = &alive,
	    .pid = getpid(),
	};
	agent.arena->active = 1;
	agent.arena->stack_bytes_max = EVENT_STACK_BYTES_MAX;
	fd_syscalls_plan(&agent.arena->plan, true);
	harness_forked = harness_before = harness_after = 0;
}

void harness_end(void)
{
	agent.on = false;
	free(agent.threads);
	munmap(memory, memory_bytes);
}

int harness_setup(void **state)
{
	harness_start(4, HARNESS_RING_BYTES);
	return 0;
}

int harness_teardown(void **state)
{
	harness_end();
	return 0;
}

struct arena_slot *harness_slot(int32_t tid)
{
	for (uint32_t i = 0; i < agent.slots_n; i++)
		if (agent.slots[i].state == ARENA_SLOT_TAKEN && agent.slots[i].tid == tid)
			return &agent.slots[i];
	return NULL;
}

static pthread_key_t record_key;
static pthread_once_t record_once = PTHREAD_ONCE_INIT;

static void make_record_key(void)
{
	pthread_key_create(&record_key, free);
}

/* Each reading thread's; too large for a place on its stack. */
static uint8_t *own_record(void)
{
	uint8_t *record;

	pthread_once(&record_once, make_record_key);
	record = pthread_getspecific(record_key);
	if (!record) {
		record = malloc(EVENT_SIZE_MAX);
		pthread_setspecific(record_key, record);
	}
	return record;
}

const struct event_header *harness_next(struct arena_slot *slot)
{
	uint8_t *ring = agent.rings + (size_t)(slot - agent.slots) * agent.ring_bytes;
	uint8_t *record = own_record();

	for (;;) {
		struct event_header *at =
		    (struct event_header *)(ring + (slot->tail & (agent.ring_bytes - 1)));
		uint32_t size;
		uint16_t type;

		if (slot->tail == __atomic_load_n(&slot->head, __ATOMIC_ACQUIRE))
			return NULL;
		size = __atomic_load_n(&at->size, __ATOMIC_ACQUIRE);
		if (!size)
			return NULL;
		assert_true(size % 8 == 0 && size <= ring + agent.ring_bytes - (uint8_t *)at);
		type = at->type;
		if (type != ARENA_PAD)
			memcpy(record, at, size);
		memset(at, 0, size);
		__atomic_store_n(&slot->tail, slot->tail + size, __ATOMIC_RELEASE);
		if (type == ARENA_PAD)
			continue;
		assert_true(type >= 0x100 || event_check(record, size) == size);
		return (const struct event_header *)record;
	}
}

const void *harness_take(enum event_type type)
{
	struct arena_slot *slot = harness_slot(gettid());
	const struct event_header *header;

	assert_non_null(slot);
	header = harness_next(slot);
	assert_non_null(header);
	assert_int_equal(header->type, type);
	assert_int_equal(header->pid, getpid());
	assert_int_equal(header->tid, gettid());
	return header;
}

void harness_nothing(void)
{
	struct arena_slot *slot = harness_slot(gettid());

	assert_true(!slot || !harness_next(slot));
}

static struct call_frame frame_of(const uint64_t args[6], int64_t result)
{
	return (struct call_frame){
	    .di = args[0],
	    .si = args[1],
	    .dx = args[2],
	    .r10 = args[3],
	    .r8 = args[4],
	    .r9 = args[5],
	    .ax = (uint64_t)result,
	};
}

void harness_before_call(uint32_t number, const uint64_t args[6])
{
	struct call_frame frame = frame_of(args, 0);
	uint64_t ip, sp;

	HARNESS_CAPTURE(&frame, ip, sp);
	agent_before(&frame, number, ip, sp);
}

void harness_after_call(uint32_t number, const uint64_t args[6], int64_t result)
{
	struct call_frame frame = frame_of(args, result);
	uint64_t ip, sp;

	HARNESS_CAPTURE(&frame, ip, sp);
	agent_after(&frame, number, ip, sp);
}
