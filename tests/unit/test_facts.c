/* trace/facts: what is kept at a place, and in the processes that do the same. */
#include "model/model.h"
#include "trace/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

enum { PARENT = 5, STACK = 7, OTHER_STACK = 8, CLOSER = 9, TRANSIENTS = 10 };

static struct model *model;

static void apply(int32_t pid, enum handle_op_kind kind, int32_t number, uint64_t time_ns,
		  uint32_t stack_id)
{
	struct actor actor = {pid, pid, time_ns, stack_id, 1};
	struct handle_op op = {.kind = kind, .number = number, .type = "eventfd"};

	model_apply(model, &actor, &op);
}

/* From `from_s` on ten that live for a millisecond, and one that stays (`kept_s` 0: none). */
static void worker(int32_t pid, int32_t parent, uint64_t kept_s, uint32_t stack_id)
{
	model_attach(model, pid, parent, S);
	model_attached(model, pid);
	for (uint64_t i = 0; i < TRANSIENTS; i++) {
		uint64_t now = S + i * S;

		apply(pid, HANDLE_OPEN, 3, now, stack_id);
		apply(pid, HANDLE_CLOSE, 3, now + MS, CLOSER);
		if (kept_s == i + 1)
			apply(pid, HANDLE_OPEN, 4, now + 2 * MS, stack_id);
	}
}

static struct kin kin_of(int32_t pid, uint64_t now_s)
{
	const struct process *process = model_process(model, pid);
	struct kin kin;

	facts_find_kin(&kin, model, process, &process->places.data[0], now_s * S);
	return kin;
}

static void test_kin(void **state)
{
	struct kin kin;

	(void)state;
	model = model_new(NULL);
	worker(10, PARENT, 5, STACK);
	worker(11, PARENT, 6, STACK);       /* late */
	worker(12, PARENT, 2, STACK);       /* kept, but early */
	worker(13, PARENT, 0, STACK);       /* nothing stays */
	worker(14, PARENT, 5, OTHER_STACK); /* at another place */
	worker(15, PARENT + 1, 5, STACK);   /* of another parent */
	kin = kin_of(10, 12);
	assert_int_equal(kin.keeping, 2);
	assert_int_equal(kin.late, 1);
	kin = kin_of(13, 12);
	assert_int_equal(kin.keeping, 3);
	assert_int_equal(kin.late, 2);
	kin = kin_of(15, 12);
	assert_int_equal(kin.keeping, 0);
	/* It is not old yet. */
	kin = kin_of(12, 6);
	assert_int_equal(kin.keeping, 1);
	model_free(model);
}

/* Of one place: the times, and what counts as kept. */
static void test_facts(void **state)
{
	const struct handle handles[] = {
	    {.opened = {.time_ns = 9 * S}},
	    {.opened = {.time_ns = 3 * S}},
	    {.opened = {.time_ns = 5 * S}},
	    {.opened = {.time_ns = 0}}, /* its opening was not seen */
	};
	struct lived ends = {0};
	struct place place = {.opened = 14, .closed = 10, .open_most = 6, .first_ns = 2 * S};
	const struct process process = {.start_ns = S};
	struct leak_facts facts;

	(void)state;
	for (int i = 0; i < 10; i++)
		lived_add(&ends, S, S + 100 * MS, CLOSER);
	place.ends = &ends;
	place.last_ns = 9 * S;
	facts_make(&facts, &process, &place, handles, 4, 9500 * MS);
	assert_int_equal(facts.opened, 14);
	assert_int_equal(facts.closed, 10);
	assert_int_equal(facts.open, 4);
	assert_int_equal(facts.open_most, 6);
	assert_int_equal(facts.oldest_open_ns, 6500 * MS);
	assert_int_equal(facts.burst_ns, 7 * S);
	assert_int_equal(facts.quiet_ns, 500 * MS);
	assert_int_equal(facts.watched_ns, 8500 * MS);
	assert_int_equal(facts.lived_known, 10);
	assert_int_equal(facts.lived_ns, 100 * MS);
	/* 800 ms old and older: of 3 s and of 5 s. */
	assert_int_equal(facts.kept.count, 2);
	assert_int_equal(facts.kept.closed, 0);
	assert_int_equal(facts.kept.span_ns, 2 * S);
	assert_int_equal(facts.kept.gap_ns, 2 * S);
	assert_int_equal(facts.kept.quiet_ns, 3700 * MS);
	assert_int_equal(facts.kept.since_ns, 3 * S);
	/* The place was given up: nothing can be kept after its last opening. */
	place.last_ns = 6 * S;
	facts_make(&facts, &process, &place, handles, 4, 9500 * MS);
	assert_int_equal(facts.kept.quiet_ns, S);
	/* Others live as long, and were closed: the longest counts. */
	lived_add(&ends, S, 2 * S, CLOSER);
	for (int i = 0; i < 1000; i++)
		lived_add(&ends, S, S + 10 * MS, CLOSER);
	facts_make(&facts, &process, &place, handles, 4, 9500 * MS);
	assert_int_equal(facts.lived_ns, S);
	assert_int_equal(facts.kept.count, 2);
	assert_int_equal(facts.kept.closed, 0);
}

static void test_no_place(void **state)
{
	const struct handle handle = {.opened = {.time_ns = 3 * S}};
	const struct process process = {.start_ns = S, .exited = true};
	struct leak_facts facts;

	(void)state;
	facts_make(&facts, &process, NULL, &handle, 1, 5 * S);
	assert_int_equal(facts.opened, 1);
	assert_int_equal(facts.open, 1);
	assert_int_equal(facts.closed, 0);
	assert_int_equal(facts.oldest_open_ns, 2 * S);
	assert_int_equal(facts.watched_ns, 4 * S);
	assert_true(facts.process_ended);
	assert_int_equal(facts.kept.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kin),
	    cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
