/* collect/agent/execs: processes that become other programs, with an agent or without. */
#include "lifetimes_fixture.h"

static void test_exec(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer old = slot_of(fixture, 'a'), image;

	(void)state;
	tell_call(&old, 1);
	tell(&old, ARENA_WILL_EXEC, process(fixture, 'a'), 7);
	image = slot_of(fixture, 'a');
	tell_fds(&image);
	tell_exec(&image);
	tell_maps(&image, "10000-11000 r--p 00000000 08:01 77   /bin/it\n"
			  "11000-12000 r-xp 00001000 08:01 77   /bin/it\n"
			  "20000-21000 r-xp 00001000 08:01 78   /lib/a library\n"
			  "21000-22000 rw-p 00000000 00:00 0\n"
			  "this is none\n"
			  "30000-31000 r-xp 00000000 00:00 0    [vdso]\n"
			  "40000-41000 r-xp 00000000 08:01 79   /lib/cut");
	tell_number(&image, ARENA_READY, 60);
	tell_call(&image, 2);
	expect(fixture, "call(a 1) data(a) exec(a 7) map(a /bin/it exe) map(a /lib/a library) "
			"map(a ) call(a 2) ");
	assert_int_equal(old.slot->state, ARENA_SLOT_FREE);
	assert_int_equal(image.slot->state, ARENA_SLOT_TAKEN);
	usleep(250000);
	expect(fixture, ""); /* all is known of it */
	fixture_free(fixture);
}

/* Nothing is heard of the new program. (This one's mappings are those of the test.) */
static void test_unseen(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a');
	uint64_t begin_ns = clock_now_ns();

	(void)state;
	tell(&parent, ARENA_WILL_EXEC, process(fixture, 'a'), 8);
	tell(&parent, ARENA_EXEC_FAILED, process(fixture, 'a'), 8);
	usleep(250000);
	expect(fixture, "");
	tell(&parent, ARENA_WILL_EXEC, process(fixture, 'a'), 9);
	while (!*fixture->log) {
		assert_true(clock_now_ns() - begin_ns < 2ull * PATIENCE_NS);
		look(fixture);
		usleep(1000);
	}
	assert_memory_equal(fixture->log, "unseen(a 9) map(a ", 18);
	assert_non_null(strstr(fixture->log, " exe) "));
	assert_non_null(strstr(fixture->lifetimes.complaint, "is not traced"));
	fixture_free(fixture);
}

/* A program without an agent that was over before anybody looked. */
static void test_unseen_and_gone(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer parent = slot_of(fixture, 'a');

	(void)state;
	tell(&parent, ARENA_WILL_EXEC, process(fixture, 'a'), 9);
	end(fixture, 'a');
	expect(fixture, "unseen(a 9) exit(a) ");
	assert_int_equal(fixture->status, SIGKILL);
	assert_false(lifetimes_go_on(&fixture->lifetimes));
	fixture_free(fixture);
}

static void test_off(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer producer = slot_of(fixture, 'a');
	struct arena_off *off = begin(&producer, sizeof(*off));

	(void)state;
	off->reason = ARENA_OFF_NO_SITES;
	producer_commit(off, ARENA_OFF, sizeof(*off));
	look(fixture);
	assert_memory_equal(fixture->log, "unseen(a 0) map(a ", 18);
	assert_non_null(strstr(fixture->lifetimes.complaint, "glibc"));
	fixture_free(fixture);
}

/* The agent was put there by a tracer. */
static void test_entered(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct producer producer = slot_of(fixture, 'a');
	struct traced_process *entered = lifetimes_add(&fixture->lifetimes, process(fixture, 'b'));
	struct producer other = slot_of(fixture, 'b');

	(void)state;
	/* Into a program that has just begun: what it does not tell we do. */
	lifetimes_expect_exec(&fixture->lifetimes, process(fixture, 'a'));
	tell_number(&producer, ARENA_READY, 60);
	look(fixture);
	assert_memory_equal(fixture->log, "exec(a 0) map(a ", 16);
	*fixture->log = '\0';
	/* Into one that runs: its beginning is none. */
	entered->drop = LIFETIMES_DROP_START;
	tell_fds(&other);
	tell_exec(&other);
	tell_maps(&other, "11000-12000 r-xp 00001000 08:01 77   /bin/it\n");
	tell_call(&other, 1);
	tell_number(&other, ARENA_READY, 60);
	tell_fds(&other);
	tell_exec(&other);
	expect(fixture, "call(b 1) data(b) exec(b 0) ");
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_exec),
	    cmocka_unit_test(test_unseen),
	    cmocka_unit_test(test_unseen_and_gone),
	    cmocka_unit_test(test_off),
	    cmocka_unit_test(test_entered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
