/* trace/level: the fewest and the most of some samples, by quarters of the time. */
#include "trace/level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { ROUNDS = 500, FROM = 1000, LENGTH_MAX = 4000 };

static void test_too_few(void **state)
{
	struct growth_times times = {.n = 16};
	struct growth growth = {0};
	struct level levels[LEVEL_QUARTERS];

	(void)state;
	for (uint32_t i = 0; i < times.n; i++) {
		times.times_ns[i] = FROM + 10 * i;
		growth.open[i] = i;
	}
	assert_true(level_read(&times, &growth, FROM, FROM + 159, levels));
	for (uint32_t quarter = 0; quarter < LEVEL_QUARTERS; quarter++) {
		assert_int_equal(levels[quarter].fewest, 4 * quarter);
		assert_int_equal(levels[quarter].most, 4 * quarter + 3);
	}
	/* One is before, or three quarters have them all. */
	assert_false(level_read(&times, &growth, FROM + 1, FROM + 159, levels));
	assert_false(level_read(&times, &growth, FROM, FROM + 200, levels));
	assert_false(level_read(&times, &growth, FROM, FROM, levels));
	assert_false(level_read(&times, &growth, FROM + 1, FROM, levels));
	assert_false(level_read(&times, &growth, 0, UINT64_MAX, levels));
}

/* Against one quarter after the other. */
static void test_random(void **state)
{
	const char *given = getenv("SEED");
	unsigned int seed = given ? (unsigned int)atoi(given) : (unsigned int)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct growth_times times = {.n = GROWTH_POINTS};
		uint64_t quarter_ns = 1 + (uint64_t)(rand() % LENGTH_MAX);
		struct level levels[LEVEL_QUARTERS];
		struct growth growth;
		bool enough = true;

		for (uint32_t i = 0; i < times.n; i++) {
			times.times_ns[i] = FROM + (uint64_t)rand() % (5 * quarter_ns);
			growth.open[i] = (uint32_t)(rand() % 50);
		}
		bool read = level_read(&times, &growth, FROM, FROM + 4 * quarter_ns - 1, levels);

		for (uint64_t quarter = 0; quarter < LEVEL_QUARTERS; quarter++) {
			uint32_t fewest = UINT32_MAX, most = 0, samples = 0;

			for (uint32_t i = 0; i < times.n; i++) {
				if ((times.times_ns[i] - FROM) / quarter_ns != quarter)
					continue;
				samples++;
				fewest = growth.open[i] < fewest ? growth.open[i] : fewest;
				most = growth.open[i] > most ? growth.open[i] : most;
			}
			enough &= samples >= LEVEL_SAMPLES_MIN;
			if (read) {
				assert_int_equal(levels[quarter].fewest, fewest);
				assert_int_equal(levels[quarter].most, most);
			}
		}
		assert_int_equal(read, enough);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_too_few),
	    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
