/* collect/known_stacks: which stacks are known, and how long their numbers may still turn up. */
#include "base/alloc.h"
#include "collect/known_stacks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { UNTIL = 5000, STACKS_MAX = 64 };

struct fixture {
	struct known_stacks stacks;
	struct known_stack *entries;
	bool seen[STACKS_MAX];
};

static struct fixture *fixture_new(void)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->entries = xcalloc(KNOWN_STACKS_N, sizeof(*fixture->entries));
	known_stacks_init(&fixture->stacks, fixture->entries);
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	known_stacks_fini(&fixture->stacks);
	free(fixture->entries);
	free(fixture);
}

static void see(void *context, uint32_t stack)
{
	struct fixture *fixture = context;

	assert_in_range(stack, 1, STACKS_MAX - 1);
	fixture->seen[stack] = true;
}

static bool may_come(struct fixture *fixture, uint32_t stack)
{
	memset(fixture->seen, 0, sizeof(fixture->seen));
	known_stacks_each(&fixture->stacks, see, fixture);
	assert_int_equal(fixture->seen[stack], known_stacks_has(&fixture->stacks, stack));
	return fixture->seen[stack];
}

/* The entry that the fast half would find; NULL: none. */
static const struct known_stack *find(const struct fixture *fixture, uint64_t mappings,
				      const struct footprint *footprint)
{
	uint32_t first = known_stack_first(mappings, footprint->ip, footprint->sp);

	for (unsigned way = 0; way < KNOWN_STACK_WAYS; way++) {
		const struct known_stack *entry = &fixture->entries[first + way];

		if (entry->mappings == mappings && entry->footprint.words_n == footprint->words_n &&
		    !memcmp(entry->footprint.values, footprint->values,
			    footprint->words_n * sizeof(uint64_t)))
			return entry;
	}
	return NULL;
}

/* Stacks at one place, told apart by a word. */
static struct footprint at_one_place(uint64_t word)
{
	return (struct footprint){
	    .ip = 0x401000, .sp = 0x7ffe0000, .span = 8, .words_n = 1, .values = {word}};
}

static void add(struct fixture *fixture, uint64_t word, uint32_t stack, uint64_t reached)
{
	struct footprint footprint = at_one_place(word);

	known_stacks_add(&fixture->stacks, 7, &footprint, stack, reached, UNTIL);
}

static void test_add(void **state)
{
	struct fixture *fixture = fixture_new();
	struct footprint one = at_one_place(1), other = at_one_place(2);

	(void)state;
	assert_null(find(fixture, 7, &one));
	add(fixture, 1, 11, 0);
	add(fixture, 2, 12, 0);
	assert_int_equal(find(fixture, 7, &one)->stack, 11);
	assert_int_equal(find(fixture, 7, &other)->stack, 12);
	assert_int_equal(find(fixture, 7, &one)->version % 2, 0);
	assert_null(find(fixture, 8, &one));
	/* The same stack with something else on it takes its own place. */
	one = at_one_place(3);
	add(fixture, 3, 11, 0);
	assert_int_equal(find(fixture, 7, &one)->stack, 11);
	assert_int_equal(find(fixture, 7, &other)->stack, 12);
	assert_int_equal(fixture->stacks.retired.count, 0);
	fixture_free(fixture);
}

/* One that gave way may be named by records that are on their way. */
static void test_retired(void **state)
{
	struct fixture *fixture = fixture_new();
	struct footprint footprint = at_one_place(0);

	(void)state;
	for (uint32_t i = 0; i <= KNOWN_STACK_WAYS; i++)
		add(fixture, i, 1 + i, 1000);
	assert_int_equal(fixture->stacks.retired.count, 1);
	assert_null(find(fixture, 7, &footprint));
	for (uint32_t i = 0; i <= KNOWN_STACK_WAYS; i++)
		assert_true(may_come(fixture, 1 + i));
	/* When they are looked through next they are kept until the position is reached. */
	fixture->stacks.retired_most = 0;
	add(fixture, 50, 50, UNTIL - 1);
	assert_true(may_come(fixture, 1));
	fixture->stacks.retired_most = 0;
	add(fixture, 51, 51, UNTIL);
	assert_false(may_come(fixture, 1));
	assert_false(known_stacks_has(&fixture->stacks, 0));
	fixture_free(fixture);
}

/* The shared table belongs to everybody: whatever is written there, we know what we wrote. */
static void test_spoilt(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	add(fixture, 1, 11, 0);
	memset(fixture->entries, 0xff, KNOWN_STACKS_N * sizeof(*fixture->entries));
	for (uint32_t i = 0; i <= KNOWN_STACK_WAYS; i++)
		add(fixture, 20 + i, 20 + i, 0);
	assert_true(may_come(fixture, 11));
	assert_true(may_come(fixture, 20));
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_add),
	    cmocka_unit_test(test_retired),
	    cmocka_unit_test(test_spoilt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
