/* base/map against a plain array: the same puts and removes, in random order. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { KEYS = 512, ROUNDS = 200000 };

static void test_random(void **state)
{
	uint64_t value[KEYS] = {0};
	bool present[KEYS] = {0};
	unsigned seed = time(NULL);
	struct map map = {0};
	size_t count = 0;

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t key = rand() % KEYS;
		uint64_t *slot;

		if (rand() % 2) {
			*map_put(&map, key * 64) = value[key] = round;
			count += !present[key];
			present[key] = true;
		} else {
			assert_int_equal(map_remove(&map, key * 64), present[key]);
			count -= present[key];
			present[key] = false;
		}
		assert_int_equal(map.count, count);
		key = rand() % KEYS;
		slot = map_get(&map, key * 64);
		assert_int_equal(slot != NULL, present[key]);
		if (slot)
			assert_int_equal(*slot, value[key]);
	}
	map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
