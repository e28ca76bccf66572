/* collect/bpf/footprints: which stacks are known, and how long their numbers may still turn up. */
#include "base/alloc.h"
#include "collect/bpf/footprints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { RING_BYTES = 1 << 20, STACKS_MAX = 64 };

struct fixture {
	struct footprints footprints;
	struct ring ring;
	uint64_t producer;
	bool seen[STACKS_MAX];
};

static struct fixture *fixture_new(void)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->ring = (struct ring){.producer = &fixture->producer, .bytes = RING_BYTES};
	fixture->footprints.ring = &fixture->ring;
	fixture->footprints.entries =
	    xcalloc(BPF_FOOTPRINTS_N, sizeof(*fixture->footprints.entries));
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	array_fini(&fixture->footprints.retired);
	free(fixture->footprints.entries);
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
	footprints_each_stack(&fixture->footprints, see, fixture);
	return fixture->seen[stack];
}

/* The entry that the kernel half would find; NULL: none. */
static const struct bpf_footprint *find(const struct fixture *fixture, uint64_t mappings,
					const struct footprint *footprint)
{
	uint32_t first = bpf_footprint_first(mappings, footprint->ip, footprint->sp);

	for (unsigned way = 0; way < BPF_FOOTPRINT_WAYS; way++) {
		const struct bpf_footprint *entry = &fixture->footprints.entries[first + way];

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

static void test_add(void **state)
{
	struct fixture *fixture = fixture_new();
	struct footprint one = at_one_place(1), other = at_one_place(2);

	(void)state;
	assert_null(find(fixture, 7, &one));
	footprints_add(&fixture->footprints, 7, &one, 11);
	footprints_add(&fixture->footprints, 7, &other, 12);
	assert_int_equal(find(fixture, 7, &one)->stack, 11);
	assert_int_equal(find(fixture, 7, &other)->stack, 12);
	assert_int_equal(find(fixture, 7, &one)->version % 2, 0);
	assert_null(find(fixture, 8, &one));
	/* The same stack with something else on it takes its own place. */
	one = at_one_place(3);
	footprints_add(&fixture->footprints, 7, &one, 11);
	assert_int_equal(find(fixture, 7, &one)->stack, 11);
	assert_int_equal(find(fixture, 7, &other)->stack, 12);
	assert_int_equal(fixture->footprints.retired.count, 0);
	fixture_free(fixture);
}

/* One that gave way may be named by records that are in the ring, or about to be. */
static void test_retired(void **state)
{
	struct fixture *fixture = fixture_new();
	struct footprint footprint;

	(void)state;
	fixture->producer = 5000;
	fixture->ring.position = 1000;
	for (uint32_t i = 0; i <= BPF_FOOTPRINT_WAYS; i++) {
		footprint = at_one_place(i);
		footprints_add(&fixture->footprints, 7, &footprint, 1 + i);
	}
	assert_int_equal(fixture->footprints.retired.count, 1);
	footprint = at_one_place(0);
	assert_null(find(fixture, 7, &footprint));
	for (uint32_t i = 0; i <= BPF_FOOTPRINT_WAYS; i++)
		assert_true(may_come(fixture, 1 + i));
	/* When they are looked through next they are kept until the ring has gone round. */
	fixture->ring.position = fixture->producer = 5000 + RING_BYTES - 1;
	fixture->footprints.retired_most = 0;
	footprint = at_one_place(50);
	footprints_add(&fixture->footprints, 7, &footprint, 50);
	assert_true(may_come(fixture, 1));
	fixture->ring.position = fixture->producer = 5000 + RING_BYTES;
	fixture->footprints.retired_most = 0;
	footprint = at_one_place(51);
	footprints_add(&fixture->footprints, 7, &footprint, 51);
	assert_false(may_come(fixture, 1));
	assert_true(may_come(fixture, 2));
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_add),
	    cmocka_unit_test(test_retired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
