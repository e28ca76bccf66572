/* collect/agent/rings, merge: whatever is written into the shared memory, nobody is harmed. */
#include "rings_fixture.h"

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
	    cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_lies_meanwhile),
	    cmocka_unit_test(test_future),
	};

	random_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
