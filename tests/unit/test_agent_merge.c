/* collect/agent/merge: what agents write comes in the order of its causes. */
#include "rings_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_merge),
	    cmocka_unit_test(test_causes_of_threads),
	    cmocka_unit_test(test_causes_of_processes),
	    cmocka_unit_test(test_held),
	    cmocka_unit_test(test_held_images),
	};

	random_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
