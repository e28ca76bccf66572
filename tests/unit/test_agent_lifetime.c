/*
 * collect/agent/lifetimes, ends: what agents tell becomes the events of processes, in the order
 * that a session expects.
 */
#include "lifetimes_fixture.h"

/* ---- how processes begin ---- */

/* The child is faster than its parent: it waits, and its table comes before the fork. */
static void test_child_first(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a'), child = slot_of(fixture, 'b');

	(void)state;
	tell_child(&child, process(fixture, 'a'));
	tell_fds(&child);
	tell_call(&child, 2);
	expect(fixture, "");
	tell_call(&parent, 1);
	tell_fork(&parent, process(fixture, 'b'), 0);
	tell_call(&parent, 3);
	expect(fixture, "call(a 1) data(a) fork(a b) call(b 2) call(a 3) ");
	tell_call(&child, 4);
	expect(fixture, "call(b 4) ");
	fixture_free(fixture);
}

/* The child is slower: its table, which it has changed by then for all we know, comes too late. */
static void test_parent_first(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a'), child;

	(void)state;
	tell_fork(&parent, process(fixture, 'b'), 0);
	expect(fixture, "fork(a b) ");
	child = slot_of(fixture, 'b');
	tell_child(&child, process(fixture, 'a'));
	tell_fds(&child);
	tell_call(&child, 2);
	expect(fixture, "call(b 2) ");
	fixture_free(fixture);
}

/* The parent does not tell of it, or after a while; its child does, and a child of that one. */
static void test_nobody_tells(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a'), child = slot_of(fixture, 'b');
	struct producer grandchild = slot_of(fixture, 'c');

	(void)state;
	tell_child(&grandchild, process(fixture, 'b'));
	tell_call(&grandchild, 3);
	tell_child(&child, process(fixture, 'a'));
	tell_fds(&child);
	tell_fork(&child, process(fixture, 'c'), 0);
	tell_call(&child, 2);
	expect_later(fixture, "data(a) fork(a b) fork(b c) call(c 3) call(b 2) ", 90);
	tell_fork(&parent, process(fixture, 'b'), 0);
	tell_call(&parent, 4);
	expect(fixture, "call(a 4) ");
	fixture_free(fixture);
}

/* A vfork's child tells by its parent's ring. */
static void test_vfork(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a');

	(void)state;
	tell_fork(&parent, process(fixture, 'b'), EVENT_FORK_VM);
	tell_call_as(&parent, 2, process(fixture, 'b'), 0);
	tell_call(&parent, 3);
	expect(fixture, "fork(a b vm) call(b 2) call(a 3) ");
	tell_call_as(&parent, 4, process(fixture, 'c'), 0);
	expect(fixture, "fork(a c vm) call(c 4) ");
	tell_fork(&parent, process(fixture, 'c'), EVENT_FORK_VM);
	expect(fixture, "");
	fixture_free(fixture);
}

static void test_no_children(void **state)
{
	struct fixture *fixture = fixture_new(false);
	struct producer parent = slot_of(fixture, 'a'), child = slot_of(fixture, 'b');

	(void)state;
	tell_fork(&parent, process(fixture, 'b'), 0);
	tell_child(&child, process(fixture, 'a'));
	tell_call(&child, 2);
	tell_call_as(&parent, 4, process(fixture, 'c'), 0);
	tell_call(&parent, 3);
	expect(fixture, "call(a 3) ");
	usleep(150000);
	expect(fixture, "");
	assert_int_equal(fixture->lifetimes.strangers.count, 0);
	tell_call(&child, 5);
	expect(fixture, "");
	fixture_free(fixture);
}

/* ---- how they end ---- */

static void test_exit(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer producer = slot_of(fixture, 'a');

	(void)state;
	tell_call(&producer, 1);
	tell_number(&producer, ARENA_WILL_EXIT, 3 << 8);
	tell_call(&producer, 2);
	assert_non_null(producer_begin(&producer, 64, 0)); /* never to be complete */
	end(fixture, 'a');
	expect_later(fixture, "call(a 1) call(a 2) exit(a) ", 0);
	/* It did not come so far. */
	assert_int_equal(fixture->status, SIGKILL);
	assert_int_equal(producer.slot->state, ARENA_SLOT_FREE);
	assert_int_equal(producer.slot->head, 0);
	assert_false(lifetimes_go_on(&fixture->lifetimes));
	fixture_free(fixture);
}

/* One that was gone, and waited for, when its parent told of it. */
static void test_gone_before(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a'), child = slot_of(fixture, 'b');
	pid_t pid = process(fixture, 'b');

	(void)state;
	tell_child(&child, process(fixture, 'a'));
	tell_call(&child, 2);
	tell_number(&child, ARENA_WILL_EXIT, 4 << 8);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tell_fork(&parent, pid, 0);
	expect(fixture, "fork(a b) call(b 2) ");
	expect(fixture, "exit(b) ");
	assert_int_equal(fixture->status, 4 << 8);
	fixture->pids[1] = 0;
	fixture_free(fixture);
}

static void end_in_order(struct fixture *fixture, const char *names)
{
	char wanted[64] = "";

	for (const char *name = names; *name; name++) {
		struct producer producer = slot_of(fixture, *name);

		if (*name != 'a')
			lifetimes_add(&fixture->lifetimes, process(fixture, *name));
		tell_number(&producer, ARENA_WILL_EXIT, 0);
		sprintf(wanted + strlen(wanted), "exit(%c) ", *name);
	}
	for (const char *name = names; *name; name++)
		end(fixture, *name);
	expect(fixture, wanted);
}

/* Whoever waits for a child ends after it, though both are seen at once. */
static void test_ends_in_order(void **state)
{
	static const char *const orders[] = {"abcd", "dcba", "cadb"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fixture *fixture = fixture_new(true);

		/* Their numbers say nothing of it. */
		for (char name = 'a'; name <= 'd'; name++)
			process(fixture, name);
		end_in_order(fixture, orders[i]);
		fixture_free(fixture);
	}
}

/* The number of one that has ended is given out again before we noticed. */
static void test_number_reused(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a');

	(void)state;
	tell_fork(&parent, process(fixture, 'b'), 0);
	expect(fixture, "fork(a b) ");
	tell_fork(&parent, process(fixture, 'b'), 0);
	expect(fixture, ""); /* told twice */
	end(fixture, 'b');
	lifetimes_look(&fixture->lifetimes);
	tell_fork(&parent, process(fixture, 'b'), 0);
	look(fixture);
	assert_memory_equal(fixture->log, "exit(b) fork(a b) ", 18);
	fixture_free(fixture);
}

/* ---- lies ---- */

static void test_unknown_stack(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer producer = slot_of(fixture, 'a');

	(void)state;
	tell_call_as(&producer, 1, process(fixture, 'a'), KNOWN_STACK);
	look(fixture);
	assert_int_equal(fixture->lifetimes.lost, 0);
	tell_call_as(&producer, 2, process(fixture, 'a'), KNOWN_STACK + 1);
	expect(fixture, "call(a 1) call(a 2) ");
	assert_int_equal(fixture->lifetimes.lost, 1);
	fixture_free(fixture);
}

/* The first that comes is the target at once; who comes next is a stranger, as ever. */
static void test_awaited(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer target = slot_of(fixture, 'b'), other;

	(void)state;
	fixture->lifetimes.awaits = true;
	tell_fds(&target);
	tell_exec(&target);
	tell_call(&target, 1);
	expect(fixture, "data(b) exec(b 0) call(b 1) ");
	assert_false(fixture->lifetimes.awaits);
	other = slot_of(fixture, 'c');
	tell_call(&other, 2);
	expect(fixture, "");
	expect_later(fixture, "call(c 2) ", 90);
	fixture_free(fixture);
}

/* There is something to wait for, though no process is known. */
static void test_awaiting(void **state)
{
	struct fixture *fixture = fixture_new(true);

	(void)state;
	end(fixture, 'a');
	expect_later(fixture, "exit(a) ", 0);
	assert_false(lifetimes_go_on(&fixture->lifetimes));
	fixture->lifetimes.awaits = true;
	assert_true(lifetimes_go_on(&fixture->lifetimes));
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_child_first),   cmocka_unit_test(test_parent_first),
	    cmocka_unit_test(test_nobody_tells),  cmocka_unit_test(test_vfork),
	    cmocka_unit_test(test_no_children),   cmocka_unit_test(test_exit),
	    cmocka_unit_test(test_gone_before),   cmocka_unit_test(test_ends_in_order),
	    cmocka_unit_test(test_number_reused), cmocka_unit_test(test_unknown_stack),
	    cmocka_unit_test(test_awaited),       cmocka_unit_test(test_awaiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
