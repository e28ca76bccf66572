/* collect/agent/rings, merge: what agents write comes in order, once, and harms nobody. */
#include "arena_harness.h"
#include "base/array.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <sys/wait.h>

enum { SLOTS = 16, RING = 16 * 1024, ME = 100, PATIENCE_NS = 1000000000 };

struct seen {
	uint32_t slot;
	uint64_t time_ns, value;
	uint16_t type;
};

struct fixture {
	struct arena *arena;
	int fd;
	struct rings rings;
	struct rings_reader reader;
	ARRAY(struct seen) seen;
	int32_t unknown;   /* the process that may not be read */
	uint64_t announce; /* the value that makes it known */
};

static bool may_read(void *context, int32_t pid)
{
	return pid != ((struct fixture *)context)->unknown;
}

static void receive(void *context, uint32_t slot, struct event_header *record)
{
	struct fixture *fixture = context;
	uint64_t value = record->type == EVENT_DATA ? told_value(record) : 0;

	assert_true(rings_check_record(record, record->size));
	array_push(&fixture->seen, (struct seen){slot, record->time_ns, value, record->type});
	if (fixture->announce && value == fixture->announce) {
		int32_t pid = fixture->unknown;

		fixture->unknown = 0;
		rings_release(&fixture->rings, pid, record->time_ns);
	}
}

static struct fixture *fixture_with(uint32_t slots_n)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->arena = arena_make(slots_n, RING, &fixture->fd);
	rings_init(&fixture->rings, fixture->arena, fixture->fd);
	fixture->reader = (struct rings_reader){may_read, receive, fixture};
	return fixture;
}

static struct fixture *fixture_new(void)
{
	return fixture_with(SLOTS);
}

static void fixture_free(struct fixture *fixture)
{
	munmap(fixture->arena, fixture->arena->bytes);
	close(fixture->fd);
	rings_fini(&fixture->rings);
	array_fini(&fixture->seen);
	free(fixture);
}

static bool pass(struct fixture *fixture)
{
	return rings_pass(&fixture->rings, 4096, &fixture->reader);
}

/* ---- one ring, read while it is written ---- */

struct stream {
	struct producer producer;
	uint64_t records, told, seed;
	bool done;
};

static void *run_stream(void *context)
{
	struct stream *stream = context;
	uint64_t state = stream->seed;

	for (uint64_t i = 1; i <= stream->records; i++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		stream->told += producer_tell(&stream->producer, i, 8 + (state >> 33) % 900, 0);
		if (!(state >> 60))
			sched_yield();
	}
	__atomic_store_n(&stream->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void test_wraps(void **state)
{
	struct fixture *fixture = fixture_new();
	struct stream stream = {.records = 200000, .seed = random_next()};
	uint64_t last = 0;
	pthread_t thread;

	(void)state;
	assert_true(producer_take(&stream.producer, fixture->arena, ME, ME));
	assert_int_equal(pthread_create(&thread, NULL, run_stream, &stream), 0);
	while (!__atomic_load_n(&stream.done, __ATOMIC_ACQUIRE))
		pass(fixture);
	pthread_join(thread, NULL);
	while (!pass(fixture))
		;
	array_each (seen, &fixture->seen) {
		assert_true(seen->value > last && seen->value <= stream.records);
		last = seen->value;
	}
	assert_int_equal(fixture->seen.count, stream.told);
	assert_int_equal(fixture->rings.lost, stream.records - stream.told);
	printf("%" PRIu64 " of %" PRIu64 " records fitted\n", stream.told, stream.records);
	/* Nothing is left behind. */
	for (uint32_t i = 0; i < RING; i++)
		assert_int_equal(stream.producer.ring[i], 0);
	fixture_free(fixture);
}

/* ---- order ---- */

static void test_merge(void **state)
{
	struct fixture *fixture = fixture_new();
	uint64_t now = clock_now_ns() - PATIENCE_NS, told = 0, last_ns = 0;
	uint64_t last_of[SLOTS] = {0};

	(void)state;
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct producer producer;
		uint64_t time_ns = now + random_next() % 1000;

		assert_true(producer_take(&producer, fixture->arena, ME, ME + i));
		for (uint64_t n = random_next() % 200; n; n--) {
			assert_true(producer_tell(&producer, ++told, 8, time_ns));
			/* Now and then the clock of this thread seems to go back. */
			time_ns += random_next() % 100 - (random_next() % 8 ? 0 : 120);
		}
	}
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, told);
	array_each (seen, &fixture->seen) {
		assert_true(seen->time_ns >= last_ns);
		assert_true(seen->value > last_of[seen->slot]);
		last_ns = seen->time_ns;
		last_of[seen->slot] = seen->value;
	}
	fixture_free(fixture);
}

/* Each tells a number, then lets the next one tell the next number: causes before effects. */
struct relay {
	struct arena *arena;
	uint64_t *token;
	uint64_t mine, of, end;
};

static void run_relay(const struct relay *relay)
{
	struct producer producer;
	uint64_t token;

	if (!producer_take(&producer, relay->arena, ME, ME + relay->mine))
		abort();
	for (uint64_t tries = 0;;) {
		token = __atomic_load_n(relay->token, __ATOMIC_ACQUIRE);
		if (token >= relay->end)
			return;
		if (token % relay->of != relay->mine) {
			if (++tries % 64 == 0)
				sched_yield();
			continue;
		}
		while (!producer_tell(&producer, token + 1, 8 + token % 64, 0))
			sched_yield();
		__atomic_store_n(relay->token, token + 1, __ATOMIC_RELEASE);
	}
}

static void *relay_thread(void *context)
{
	run_relay(context);
	return NULL;
}

static void check_relay(struct fixture *fixture, const uint64_t *token, uint64_t end)
{
	while (__atomic_load_n(token, __ATOMIC_ACQUIRE) < end)
		pass(fixture);
	while (!pass(fixture))
		;
	assert_int_equal(fixture->seen.count, end);
	for (uint64_t i = 0; i < end; i++)
		assert_int_equal(fixture->seen.data[i].value, i + 1);
}

static void test_causes_of_threads(void **state)
{
	enum { THREADS = 2, END = 20000 };
	struct fixture *fixture = fixture_new();
	struct relay relays[THREADS];
	pthread_t threads[THREADS];
	uint64_t token = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		relays[i] = (struct relay){fixture->arena, &token, i, THREADS, END};
		assert_int_equal(pthread_create(&threads[i], NULL, relay_thread, &relays[i]), 0);
	}
	check_relay(fixture, &token, END);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	fixture_free(fixture);
}

static void test_causes_of_processes(void **state)
{
	enum { PROCESSES = 3, END = 12000 };
	struct fixture *fixture = fixture_new();
	uint64_t *token =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[PROCESSES];

	(void)state;
	assert_true(token != MAP_FAILED);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			run_relay(&(struct relay){fixture->arena, token, i, PROCESSES, END});
			_exit(0);
		}
	}
	check_relay(fixture, token, END);
	for (int i = 0; i < PROCESSES; i++)
		waitpid(pids[i], NULL, 0);
	munmap(token, 4096);
	fixture_free(fixture);
}

/* ---- records that are being written ---- */

/* A handler's record lies behind the one that it interrupted, and one of another thread depends on
 * it: neither is read before the first is complete. */
static void test_interrupted(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer one, other;
	struct event_data *outer;
	uint32_t bytes = sizeof(*outer) + 8;

	(void)state;
	assert_true(producer_take(&one, fixture->arena, ME, ME));
	assert_true(producer_take(&other, fixture->arena, ME, ME + 1));
	producer_tell(&one, 1, 8, 0);
	assert_true(pass(fixture));
	outer = producer_begin(&one, bytes, 0);
	producer_tell(&one, 3, 8, 0);
	producer_tell(&other, 4, 8, 0);
	assert_false(pass(fixture));
	assert_int_equal(fixture->seen.count, 1);
	outer->kind = EVENT_DATA_PATH;
	outer->size = 8;
	outer->bytes[0] = 2;
	producer_commit(outer, EVENT_DATA, bytes);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 4);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(fixture->seen.data[i].value, i + 1);
	fixture_free(fixture);
}

/* A thread that was stopped while it wrote keeps others waiting for a moment only. */
static void test_stuck(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer one, other;
	uint64_t begin_ns = clock_now_ns();

	(void)state;
	assert_true(producer_take(&one, fixture->arena, ME, ME));
	assert_true(producer_take(&other, fixture->arena, ME, ME + 1));
	assert_non_null(producer_begin(&one, 64, 0));
	producer_tell(&other, 1, 8, 0);
	while (!pass(fixture))
		assert_true(clock_now_ns() - begin_ns < PATIENCE_NS);
	assert_int_equal(fixture->seen.count, 1);
	/* It has left: what it began will never be complete. */
	producer_leave(&one);
	pass(fixture);
	assert_int_equal(one.slot->state, ARENA_SLOT_FREE);
	assert_int_equal(one.slot->head, 0);
	assert_int_equal(((struct event_header *)one.ring)->time_ns, 0);
	fixture_free(fixture);
}

/* ---- processes that are not known yet ---- */

static void test_held(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer parent, child;

	(void)state;
	fixture->unknown = ME + 1;
	fixture->announce = 7;
	assert_true(producer_take(&child, fixture->arena, ME + 1, ME + 1));
	assert_true(producer_take(&parent, fixture->arena, ME, ME));
	producer_tell(&child, 8, 8, 0);
	producer_tell(&child, 9, 8, 0);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 0);
	assert_int_equal(told_value(rings_peek(&fixture->rings, ME + 1)), 8);
	assert_int_equal(told_value(rings_peek_second(&fixture->rings, ME + 1)), 9);
	assert_null(rings_peek(&fixture->rings, ME));
	/* Later than what the child told, and yet before it. */
	producer_tell(&parent, 7, 8, 0);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 3);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(fixture->seen.data[i].value, 7 + i);
		assert_true(fixture->seen.data[i].time_ns >= fixture->seen.data[0].time_ns);
	}
	fixture_free(fixture);
}

/* It has had two programs by then, and the later one has the earlier slot. */
static void test_held_images(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer parent, forked, image;

	(void)state;
	fixture->unknown = ME + 1;
	fixture->announce = 7;
	assert_true(producer_take(&image, fixture->arena, ME + 1, ME + 1));
	assert_true(producer_take(&forked, fixture->arena, ME + 1, ME + 1));
	assert_true(producer_take(&parent, fixture->arena, ME, ME));
	producer_tell(&forked, 8, 8, 0);
	producer_tell(&forked, 9, 8, 0);
	producer_tell(&image, 10, 8, 0);
	producer_tell(&image, 11, 8, 0);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 0);
	producer_tell(&parent, 7, 8, 0);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 5);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(fixture->seen.data[i].value, 7 + i);
		assert_true(fixture->seen.data[i].time_ns >= fixture->seen.data[0].time_ns);
	}
	fixture_free(fixture);
}

/* ---- slots that come and go ---- */

/*
 * A pass reads and frees the slots of many threads that have ended, while one more takes the first
 * slot behind them: a long row of free ones lies before it.
 */
static void test_behind_free_ones(void **state)
{
	enum { THREADS = 400 };
	struct fixture *fixture = fixture_with(2 * THREADS);
	struct producer last;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		struct producer producer;

		assert_true(producer_take(&producer, fixture->arena, ME, ME + i));
		producer_tell(&producer, i + 1, 8, 0);
		__atomic_store_n(&producer.slot->state, ARENA_SLOT_LEFT, __ATOMIC_RELEASE);
	}
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, THREADS);
	last = producer_at(fixture->arena, THREADS);
	last.slot->state = ARENA_SLOT_TAKEN;
	last.slot->pid = last.slot->tid = ME;
	producer_tell(&last, THREADS + 1, 8, 0);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, THREADS + 1);
	fixture_free(fixture);
}

static void *run_short_threads(void *context)
{
	struct fixture *fixture = context;

	for (uint64_t i = 1; i <= 5000; i++) {
		struct producer producer;

		while (!producer_take(&producer, fixture->arena, ME, ME + i))
			sched_yield();
		if (producer.slot->head)
			abort(); /* no assertions in a thread */
		for (uint64_t n = 0; n < i % 4; n++)
			while (!producer_tell(&producer, i * 10 + n, 8 + i % 2000, 0))
				sched_yield();
		producer_leave(&producer);
	}
	__atomic_store_n(&fixture->arena->active, 0, __ATOMIC_RELEASE);
	return NULL;
}

static void test_left(void **state)
{
	struct fixture *fixture = fixture_new();
	size_t at = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, run_short_threads, fixture), 0);
	while (__atomic_load_n(&fixture->arena->active, __ATOMIC_ACQUIRE))
		pass(fixture);
	pthread_join(thread, NULL);
	while (!pass(fixture))
		;
	for (uint64_t i = 1; i <= 5000; i++)
		for (uint64_t n = 0; n < i % 4; n++)
			assert_int_equal(fixture->seen.data[at++].value, i * 10 + n);
	assert_int_equal(at, fixture->seen.count);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(producer_at(fixture->arena, i).slot->state, ARENA_SLOT_FREE);
	fixture_free(fixture);
}

/* A new program in the same process: what its threads have told stays, the old ones' slots go. */
static void test_images(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer old, image, thread;

	(void)state;
	assert_true(producer_take(&old, fixture->arena, ME, ME));
	producer_tell(&old, 1, 8, 0);
	assert_true(pass(fixture));
	assert_true(producer_take(&image, fixture->arena, ME, ME));
	assert_true(producer_take(&thread, fixture->arena, ME, ME + 1));
	producer_tell(&image, 2, 8, 0);
	producer_tell(&thread, 3, 8, 0);
	rings_pass(&fixture->rings, 1, &fixture->reader);
	rings_free_image(&fixture->rings, ME, 1);
	assert_int_equal(old.slot->state, ARENA_SLOT_FREE);
	assert_int_equal(image.slot->state, ARENA_SLOT_TAKEN);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 3);
	rings_free_process(&fixture->rings, ME);
	assert_int_equal(image.slot->state, ARENA_SLOT_FREE);
	assert_int_equal(thread.slot->state, ARENA_SLOT_FREE);
	fixture_free(fixture);
}

/* ---- what was read, for known stacks ---- */

static void wait_generation(struct fixture *fixture, uint64_t wanted)
{
	uint64_t begin_ns = clock_now_ns();

	while (fixture->rings.generation < wanted) {
		assert_true(clock_now_ns() - begin_ns < 10ull * PATIENCE_NS);
		pass(fixture);
		usleep(10000);
	}
}

static void test_generations(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer producer;
	uint64_t generation;

	(void)state;
	wait_generation(fixture, 1);
	assert_true(rings_retire(&fixture->rings) > rings_reached(&fixture->rings));
	/* What is there when one begins has to be read before the next one does. */
	assert_true(producer_take(&producer, fixture->arena, ME, ME));
	fixture->unknown = ME;
	producer_tell(&producer, 1, 8, 0);
	for (int i = 0; i < 120; i++) {
		pass(fixture);
		usleep(10000);
	}
	generation = fixture->rings.generation;
	assert_in_range(generation, 1, 3);
	fixture->unknown = 0;
	wait_generation(fixture, generation + 1);
	fixture_free(fixture);
}

/* ---- lies ---- */

static void spoil(uint8_t *bytes, size_t size)
{
	static const uint32_t sizes[] = {0,  1,   7,          8,          16,   24,
					 32, 120, 0x7ffffff8, 0xfffffff8, 16384};
	size_t at = random_next() % (size / 8) * 8;
	uint64_t value = random_next();

	switch (random_next() % 4) {
	case 0:
		for (size_t i = 0; i < size; i++)
			bytes[i] = random_next();
		break;
	case 1: /* a header that may be one */
		value = sizes[value % (sizeof(sizes) / sizeof(*sizes))] |
			(uint64_t)(value >> 40 & 1 ? 0x100 : 0) << 32 | (value >> 50 & 15) << 32;
		memcpy(bytes + at, &value, sizeof(value));
		break;
	default:
		memcpy(bytes + at, &value, sizeof(value));
	}
}

/* Whatever is in one slot, all others are read; and no pass goes on for ever. */
static void test_lies(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		struct fixture *fixture = fixture_new();
		struct producer good, bad;

		assert_true(producer_take(&bad, fixture->arena, ME + 1, ME + 1));
		assert_true(producer_take(&good, fixture->arena, ME, ME));
		for (int i = 0; i < 20; i++) {
			uint64_t begin_ns = clock_now_ns();

			producer_tell(&bad, 1000, random_next() % 600, 0);
			spoil(random_next() % 3 ? bad.ring : (uint8_t *)bad.slot,
			      random_next() % 3 ? 128 : sizeof(*bad.slot));
			assert_true(producer_tell(&good, i + 1, 8, 0));
			while (!pass(fixture))
				assert_true(clock_now_ns() - begin_ns < PATIENCE_NS);
		}
		for (uint64_t i = 0, value = 0; i < fixture->seen.count; i++)
			if (fixture->seen.data[i].slot == 1)
				assert_int_equal(fixture->seen.data[i].value, ++value);
		rings_free_process(&fixture->rings, ME);
		assert_int_equal(good.slot->state, ARENA_SLOT_FREE);
		fixture_free(fixture);
	}
}

/* Bytes that change while they are read: only a crash, or one under a sanitizer, can fail. */
static void test_lies_meanwhile(void **state)
{
	struct fixture *fixture = fixture_new();
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS;
	uint8_t *begin = (uint8_t *)fixture->arena + fixture->arena->slots_offset;
	size_t bytes = fixture->arena->bytes - fixture->arena->slots_offset;
	pid_t liar = fork();
	uint64_t passes = 0;

	(void)state;
	assert_true(liar >= 0);
	if (liar == 0)
		for (;;)
			spoil(begin, bytes < 8192 || random_next() % 16 ? 8192 : bytes);
	for (; clock_now_ns() < until_ns; passes++) {
		pass(fixture);
		fixture->seen.count = 0;
		for (uint32_t i = 0; i < SLOTS; i++)
			if (fixture->rings.slots[i].given_up)
				rings_free_process(&fixture->rings, fixture->rings.slots[i].pid);
	}
	kill(liar, SIGKILL);
	waitpid(liar, NULL, 0);
	printf("%" PRIu64 " passes\n", passes);
	assert_true(passes > 10);
	fixture_free(fixture);
}

/* A record of the future would wait for ever. */
static void test_future(void **state)
{
	struct fixture *fixture = fixture_new();
	struct producer producer;

	(void)state;
	assert_true(producer_take(&producer, fixture->arena, ME, ME));
	producer_tell(&producer, 1, 8, clock_now_ns() + 3600ull * PATIENCE_NS);
	producer_tell(&producer, 2, 8, 0);
	assert_true(pass(fixture));
	assert_int_equal(fixture->seen.count, 0);
	assert_int_equal(fixture->rings.lost, 1);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wraps),
	    cmocka_unit_test(test_merge),
	    cmocka_unit_test(test_causes_of_threads),
	    cmocka_unit_test(test_causes_of_processes),
	    cmocka_unit_test(test_interrupted),
	    cmocka_unit_test(test_stuck),
	    cmocka_unit_test(test_held),
	    cmocka_unit_test(test_held_images),
	    cmocka_unit_test(test_behind_free_ones),
	    cmocka_unit_test(test_left),
	    cmocka_unit_test(test_images),
	    cmocka_unit_test(test_generations),
	    cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_lies_meanwhile),
	    cmocka_unit_test(test_future),
	};

	random_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
