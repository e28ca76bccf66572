/* agent/ring: what is written is what is read, whoever interrupts whom and whatever is shared. */
#include "agent_harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { RING_BYTES = 1 << 16, RECORD_MAX = RING_BYTES / 4, STEPS = 200000 };

static unsigned seed;

static int start(void **state)
{
	harness_start(2, RING_BYTES);
	return 0;
}

static int end(void **state)
{
	harness_end();
	return 0;
}

/* ---- a model of the ring ---- */

struct model_record {
	void *at;
	uint32_t bytes;
	uint32_t stamp; /* 0: it was cancelled */
	bool complete;
};

struct model {
	struct model_record records[RING_BYTES / 24 + 1];
	uint32_t first, count;
	uint64_t head, tail;
	uint64_t dropped;
};

static struct model_record *model_at(struct model *model, uint32_t index)
{
	return &model->records[(model->first + index) % (RING_BYTES / 24 + 1)];
}

/* Where a record of `bytes` has to go; -1: nowhere. */
static int64_t model_place(const struct model *model, uint32_t bytes, uint32_t keep)
{
	uint64_t at = model->head % RING_BYTES;
	uint64_t skipped = at + bytes > RING_BYTES ? RING_BYTES - at : 0;

	if (model->head + skipped + bytes + keep > model->tail + RING_BYTES)
		return -1;
	return (int64_t)(model->head + skipped);
}

static void model_reserve(struct model *model, struct agent_thread *thread, bool call)
{
	uint32_t bytes = 24 + (uint32_t)rand() % (rand() % 8 ? 200 : RECORD_MAX) / 8 * 8;
	int64_t place = model_place(model, bytes, call ? RING_BYTES / 16 : 0);
	uint8_t *at;

	thread->starved = true; /* nobody reads meanwhile */
	at = call ? ring_reserve_call(thread, bytes) : ring_reserve(thread, bytes);
	thread->open_bytes = 0; /* they stay open here, and nobody may take them for abandoned */
	if (place < 0) {
		assert_null(at);
		model->dropped++;
		return;
	}
	assert_ptr_equal(at, thread->ring + (uint64_t)place % RING_BYTES);
	for (uint32_t i = 0; i < bytes; i++)
		if (i < 8 || i >= 16)
			assert_int_equal(at[i], 0);
	model->head = (uint64_t)place + bytes;
	*model_at(model, model->count++) = (struct model_record){at, bytes, 0, false};
}

static void model_complete(struct model *model, uint32_t index)
{
	struct model_record *record = model_at(model, index);
	struct event_header *header = record->at;

	if (record->complete)
		return;
	record->complete = true;
	if (rand() % 4 == 0) {
		ring_cancel(record->at, record->bytes);
		return;
	}
	record->stamp = 1 + (uint32_t)rand() % 1000000;
	header->pid = (int32_t)record->stamp;
	memset(header + 1, (uint8_t)record->stamp, record->bytes - sizeof(*header));
	ring_commit(record->at, 0x200, record->bytes);
}

static void model_read(struct model *model, struct arena_slot *slot, uint64_t *last_ns)
{
	const struct event_header *header;

	while (model->count && model_at(model, 0)->complete && !model_at(model, 0)->stamp)
		model->first++, model->count--;
	header = harness_next(slot);
	model->tail = slot->tail;
	if (!model->count || !model_at(model, 0)->complete) {
		assert_null(header);
		return;
	}
	assert_non_null(header);
	assert_int_equal(header->pid, model_at(model, 0)->stamp);
	assert_int_equal(header->size, model_at(model, 0)->bytes);
	for (uint32_t i = sizeof(*header); i < header->size; i++)
		assert_int_equal(((const uint8_t *)header)[i], (uint8_t)header->pid);
	assert_true(header->time_ns >= *last_ns);
	*last_ns = header->time_ns;
	model->first++, model->count--;
}

static void test_model(void **state)
{
	static struct model model;
	struct agent_thread *thread = thread_current();
	uint64_t last_ns = 0;

	memset(&model, 0, sizeof(model));
	assert_non_null(thread);
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned what = (unsigned)rand() % 16;

		if (what < 5)
			model_reserve(&model, thread, what & 1);
		else if (what < 12 && model.count)
			model_complete(&model, (uint32_t)rand() % model.count);
		else if (what < 14)
			model_read(&model, thread->slot, &last_ns);
		else if (rand() % 100 == 0)
			while (model.count && model_at(&model, 0)->complete)
				model_read(&model, thread->slot, &last_ns);
		assert_int_equal(thread->slot->dropped, model.dropped);
	}
	assert_true(model.dropped > 100 && model.tail > 10 * RING_BYTES);
}

static void test_full(void **state)
{
	const uint64_t args[6] = {5};
	struct agent_thread *thread = thread_current();
	uint64_t told = 0;

	while (!thread->slot->dropped) {
		harness_before_call(__NR_close, args);
		told++;
	}
	assert_true(thread->starved);
	/* Calls find no room, forks and exits do. */
	assert_non_null(ring_reserve(thread, 32));
	harness_before_call(__NR_close, args);
	assert_int_equal(thread->slot->dropped, 2);
	for (uint64_t i = 1; i < told; i++)
		harness_take(EVENT_SYSCALL);
}

/* ---- signals ---- */

static volatile sig_atomic_t stop_reading;
static volatile uint64_t handled, read_main, read_handler;
static uint64_t by_main;

static void handle(int signal)
{
	const uint64_t args[6] = {77, handled++};

	harness_before_call(__NR_close, args);
}

/* Each writer counts in args[1]; what was lost is counted. */
static void *read_all(void *context)
{
	struct arena_slot *slot = context;
	uint64_t next_main = 0, next_handler = 0, last_ns = 0;

	for (;;) {
		bool last = stop_reading;
		const struct event_header *header = harness_next(slot);
		const struct event_syscall *event = (const struct event_syscall *)header;

		if (!header && last)
			return NULL;
		if (!header)
			continue;
		assert_true(header->time_ns >= last_ns);
		last_ns = header->time_ns;
		if (header->type == EVENT_DATA) {
			header = harness_next(slot);
			event = (const struct event_syscall *)header;
			assert_int_equal(event->number, __NR_openat);
		}
		assert_int_equal(header->type, EVENT_SYSCALL);
		if (event->number == __NR_close) {
			assert_true(event->args[1] >= next_handler);
			next_handler = event->args[1] + 1;
			read_handler++;
		} else {
			assert_true(event->args[4] >= next_main);
			next_main = event->args[4] + 1;
			read_main++;
		}
	}
}

static void test_signals(void **state)
{
	struct sigaction action = {.sa_handler = handle};
	struct itimerval timer = {{0, 20}, {0, 20}}, none = {{0, 0}, {0, 0}};
	struct agent_thread *thread = thread_current();
	sigset_t alarms, before;
	pthread_t reader;
	time_t begin = time(NULL);

	handled = by_main = read_main = read_handler = 0;
	stop_reading = 0;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, &before);
	pthread_create(&reader, NULL, read_all, thread->slot);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	/* A machine that is slow or busy takes longer for as many. */
	while (time(NULL) < begin + 3 ||
	       (time(NULL) < begin + 60 &&
		(handled <= 1000 || read_main <= 1000 || read_handler <= 100))) {
		const uint64_t args[6] = {0, (uint64_t) "/some/path", 0, 0, by_main++};

		harness_after_call(__NR_openat, args, 3);
	}
	setitimer(ITIMER_REAL, &none, NULL);
	stop_reading = 1;
	pthread_join(reader, NULL);
	printf("%lu calls, %lu in handlers; %lu dropped\n", by_main, handled,
	       thread->slot->dropped);
	assert_true(handled > 1000);
	assert_int_equal(by_main + handled, read_main + read_handler + thread->slot->dropped);
	assert_true(read_main > 1000 && read_handler > 100);
	assert_int_equal(thread->slot->head, thread->slot->tail);
}

static sigjmp_buf way_out;

static void leave(int signal)
{
	siglongjmp(way_out, 1);
}

static __attribute__((noinline)) void reserve_and_jump(struct agent_thread *thread, uint32_t bytes)
{
	assert_non_null(ring_reserve_call(thread, bytes));
	raise(SIGUSR1);
}

/* Who jumps out of a handler leaves half a record, which must not stop the reader for ever. */
static void test_abandoned(void **state)
{
	struct agent_thread *thread = thread_current();
	void *volatile nested = NULL;

	stack_readable(thread, (uint64_t)__builtin_frame_address(0));
	signal(SIGUSR1, leave);
	for (volatile int i = 0; i < 2000; i++) {
		if (!sigsetjmp(way_out, 1))
			reserve_and_jump(thread, 24 + (uint32_t)(i * 8 % 3000));
		assert_null(harness_next(thread->slot));
		nested = ring_reserve(thread, 32);
		assert_non_null(nested);
		ring_commit(nested, 0x200, 32);
		assert_non_null(harness_next(thread->slot));
		assert_null(harness_next(thread->slot));
		assert_int_equal(thread->slot->head, thread->slot->tail);
		assert_int_equal(thread->slot->dropped, i + 1); /* told as lost */
	}
}

/* ---- hostile memory ---- */

static uint64_t any_number(void)
{
	uint64_t number = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 16 ^ (uint64_t)rand();

	return rand() % 2 ? number : number % (4 * RING_BYTES);
}

/* The pages around slots and rings, and the other ring, stay as they were. */
static void test_hostile(void **state)
{
	struct agent_thread *thread = thread_current();
	uint8_t *other = agent.rings + (thread->ring == agent.rings ? RING_BYTES : 0);

	for (unsigned i = 0; i < STEPS; i++) {
		const uint64_t args[6] = {5, (uint64_t) "path"};
		uint8_t *record;

		if (rand() % 4 == 0)
			thread->slot->head = any_number();
		if (rand() % 4 == 0)
			thread->slot->tail =
			    rand() % 2 ? any_number() : thread->slot->head - any_number();
		agent.arena->stack_bytes_max = (uint32_t)any_number();
		thread->starved = true;
		if (rand() % 8 == 0)
			harness_before_call(__NR_close, args);
		else if (rand() % 8 == 0)
			harness_after_call(__NR_openat, args, 3);
		record = ring_reserve(thread, (uint32_t)any_number() & ~7u);
		if (record)
			ring_commit(record, ARENA_PAD, 24);
	}
	for (unsigned i = 0; i < RING_BYTES; i++)
		assert_int_equal(other[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_model, start, end),
	    cmocka_unit_test_setup_teardown(test_full, start, end),
	    cmocka_unit_test_setup_teardown(test_signals, start, end),
	    cmocka_unit_test_setup_teardown(test_abandoned, start, end),
	    cmocka_unit_test_setup_teardown(test_hostile, start, end),
	};

	seed = (unsigned)time(NULL);
	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
