/* collect/agent/rings: what agents write is read once, whoever comes and goes. */
#include "rings_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wraps),       cmocka_unit_test(test_interrupted),
	    cmocka_unit_test(test_stuck),       cmocka_unit_test(test_behind_free_ones),
	    cmocka_unit_test(test_left),        cmocka_unit_test(test_images),
	    cmocka_unit_test(test_generations),
	};

	random_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
