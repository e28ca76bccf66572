/* What a record of the agent costs the thread that makes it; printed, for machines differ. */
#include "agent_harness.h"

#include "base/clock.h"

#include <sys/syscall.h>
#include <unistd.h>

enum { ROUNDS = 200, RECORDS = 100, WORDS = 25 };

/* A footprint of words that stand at `sp`, over as many bytes as 20 frames have: whatever a
 * sanitizer has put between our variables. */
static __attribute__((no_sanitize("address"))) struct known_stack *
make_known(const struct call_frame *frame, uint64_t ip, uint64_t sp, unsigned way)
{
	struct known_stack *entry =
	    &agent.arena->known_stacks[known_stack_first(agent.mappings, ip, sp) + way];
	struct footprint *footprint = &entry->footprint;

	*footprint = (struct footprint){
	    .ip = ip, .sp = sp, .words_n = WORDS, .registers_used = 1, .span = WORDS * 64};
	footprint->registers[FOOTPRINT_BP] = frame->bp;
	for (unsigned i = 0; i < WORDS; i++) {
		footprint->offsets[i] = (uint16_t)(i * 64);
		footprint->values[i] = *(const uint64_t *)(sp + i * 64);
	}
	entry->mappings = agent.mappings;
	entry->stack = 7;
	entry->version = 2;
	return entry;
}

/* The least of many rounds, which no other program disturbed; each is read outside of the time. */
static void measure(const char *what, uint32_t number, int64_t result, struct call_frame *frame,
		    uint64_t ip, uint64_t sp, uint32_t bytes)
{
	struct arena_slot *slot = harness_slot(gettid());
	uint64_t least = UINT64_MAX;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t begin = clock_now_ns(), taken;
		const struct event_header *header;
		unsigned told = 0;

		for (unsigned i = 0; i < RECORDS; i++) {
			frame->ax = (uint64_t)result;
			if (result < 0)
				agent_before(frame, number, ip, sp);
			else
				agent_after(frame, number, ip, sp);
		}
		taken = clock_now_ns() - begin;
		least = taken < least ? taken : least;
		while ((header = harness_next(slot))) {
			assert_true(header->type == EVENT_DATA || header->size == bytes);
			told += header->type != EVENT_DATA;
		}
		assert_int_equal(told, bytes ? RECORDS : 0);
	}
	printf("%-28s %4lu ns\n", what, (unsigned long)(least / RECORDS));
}

static void test_cost(void **state)
{
	struct call_frame frame = {.di = 5, .si = (uint64_t) "/some/path/of/usual/length"};
	struct agent_thread *thread = thread_current();
	struct known_stack *known;
	uint64_t ip, sp, high;
	uint8_t room[4096];

	memset(room, 1, sizeof(room));
	HARNESS_CAPTURE(&frame, ip, sp);
	high = stack_readable(thread, sp) + sp;
	measure("nothing wanted", __NR_read, 0, &frame, ip, sp, 0);
	thread->stack_high = sp + 512;
	measure("512 bytes of stack", __NR_close, -1, &frame, ip, sp, 216 + 512);
	thread->stack_high = sp + 2048;
	measure("2048 bytes of stack", __NR_close, -1, &frame, ip, sp, 216 + 2048);
	thread->stack_high = high;
	known = make_known(&frame, ip, sp, 0);
	measure("a known stack", __NR_close, -1, &frame, ip, sp, EVENT_SYSCALL_SHORT_BYTES);
	measure("a known stack and a path", __NR_openat, 5, &frame, ip, sp,
		EVENT_SYSCALL_SHORT_BYTES);
	known->footprint.values[WORDS - 1]++;
	make_known(&frame, ip, sp, 1);
	measure("the second of its place", __NR_close, -1, &frame, ip, sp,
		EVENT_SYSCALL_SHORT_BYTES);
}

enum { PAINTED = 8192, STACK_MOST = 640 };

/* Bytes below our stack pointer that a hook has written to. */
static unsigned stack_used(uint32_t number, int64_t result, struct call_frame *frame, uint64_t ip,
			   uint64_t from)
{
	volatile uint8_t *low;
	uint64_t sp;
	unsigned untouched = 0;

	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	low = (volatile uint8_t *)(sp - PAINTED);
	for (unsigned i = 0; i < PAINTED; i++)
		low[i] = 0xa5;
	frame->ax = (uint64_t)result;
	if (result < 0)
		agent_before(frame, number, ip, from);
	else
		agent_after(frame, number, ip, from);
	while (untouched < PAINTED && low[untouched] == 0xa5)
		untouched++;
	return PAINTED - untouched;
}

/* It may be the small stack of a coroutine. */
static void test_stack(void **state)
{
	struct call_frame frame = {.di = 5, .si = (uint64_t) "/some/path/of/usual/length"};
	struct agent_thread *thread = thread_current();
	uint64_t ip, sp;

#ifdef __SANITIZE_ADDRESS__
	skip(); /* these are the sanitizer's frames, the agent is built without one */
#endif
	HARNESS_CAPTURE(&frame, ip, sp);
	stack_readable(thread, sp);
	for (int known = 0; known < 2; known++) {
		unsigned before = stack_used(__NR_close, -1, &frame, ip, sp);
		unsigned after = stack_used(__NR_openat, 5, &frame, ip, sp);

		printf("stack used: %u before a call, %u after one\n", before, after);
		assert_true(before < STACK_MOST && after < STACK_MOST);
		make_known(&frame, ip, sp, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_cost, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_stack, harness_setup, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
