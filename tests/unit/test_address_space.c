/* os/address_space against a plain array of pages: random mappings, every page asked. */
#include "os/address_space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

enum { PAGES = 256, ROUNDS = 3000 };

static void check(const struct address_space *space, const uint32_t *pages)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		const struct mapping *mapping = address_space_find(space, page * 4096 + 7);

		assert_int_equal(mapping != NULL, pages[page] != 0);
		if (!mapping)
			continue;
		assert_int_equal(mapping->image, pages[page] - 1);
		assert_true(mapping->start <= page * 4096 && page * 4096 < mapping->end);
	}
}

static void test_random(void **state)
{
	struct address_space *space = address_space_new();
	uint32_t pages[PAGES] = {0};
	unsigned seed = time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t first = rand() % PAGES, last = first + rand() % 20 + 1;
		uint32_t image = rand() % 5;
		uint64_t before = address_space_generation(space);

		if (last > PAGES)
			last = PAGES;
		if (rand() % 200 == 0) {
			address_space_clear(space);
			for (int i = 0; i < PAGES; i++)
				pages[i] = 0;
		}
		address_space_map(space, first * 4096, last * 4096, image);
		for (uint64_t i = first; i < last; i++)
			pages[i] = image + 1;
		check(space, pages);
		/* The same again changes nothing, and says so. */
		before = address_space_generation(space);
		address_space_map(space, first * 4096, last * 4096, image);
		assert_int_equal(address_space_generation(space), before);
	}
	address_space_free(space);
}

static void test_fork(void **state)
{
	struct address_space *parent = address_space_new(), *child;

	address_space_map(parent, 4096, 8192, 1);
	child = address_space_dup(parent);
	assert_int_equal(address_space_generation(parent), address_space_generation(child));
	address_space_map(child, 4096, 8192, 2);
	assert_int_not_equal(address_space_generation(parent), address_space_generation(child));
	assert_int_equal(address_space_find(parent, 5000)->image, 1);
	assert_int_equal(address_space_find(child, 5000)->image, 2);
	address_space_free(parent);
	address_space_free(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),
					   cmocka_unit_test(test_fork)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
