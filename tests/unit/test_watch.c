/* session/watch and session/trigger: what is told at once, how often, and what limits are told. */
#include "bare_session.h"

#include "session/watch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const uint64_t SECOND = 1000000000;

static struct session *session;
static struct trigger triggers[3];
static uint64_t now;
static int exhausted_told, triggers_told[3];
static uint64_t open_when_told;

static void note_exhausted(void *context, const struct process *process)
{
	exhausted_told++;
	assert_ptr_equal(context, &session);
	assert_int_equal(process->pid, BARE_PID);
}

static void note_triggered(void *context, const struct process *process, size_t trigger)
{
	triggers_told[trigger]++;
	open_when_told = session_open_count(session, process);
}

static int setup(void **state)
{
	const struct session_watch watch = {.triggers = triggers,
					    .triggers_n = 3,
					    .quiet_ns = 10 * SECOND,
					    .exhausted = note_exhausted,
					    .triggered = note_triggered,
					    .context = &session};

	now = 1000 * SECOND;
	exhausted_told = 0;
	memset(triggers_told, 0, sizeof(triggers_told));
	assert_true(trigger_parse("emfile", &triggers[0]));
	assert_true(trigger_parse("open>5", &triggers[1]));
	assert_true(trigger_parse("growth>20/min", &triggers[2]));
	session = bare_session_new();
	bare_exec(session, BARE_PID, now);
	model_attached(session->model, BARE_PID);
	session_set_watch(session, &watch);
	return 0;
}

static int teardown(void **state)
{
	session_free(session);
	return 0;
}

static void accept_fails(int64_t error)
{
	bare_syscall(session, BARE_PID, ++now, EVENT_LEAVE, SYS_accept4, 3, error, NULL);
}

static void open_at(int number)
{
	bare_open(session, BARE_PID, ++now, number, NULL);
}

static void close_at(int number)
{
	bare_close(session, BARE_PID, ++now, number, NULL);
}

static void wait_for(uint64_t length_ns)
{
	for (uint64_t until = now + length_ns; now < until;) {
		now += SECOND / 10;
		watch_step(session, now);
	}
}

static void test_parse(void **state)
{
	static const char *const bad[] = {"",
					  "emfil",
					  "emfile ",
					  "open",
					  "open>",
					  "open>x",
					  "open>-1",
					  "open>5x",
					  "open>99999999999999999999",
					  "growth>5",
					  "growth>5/",
					  "growth>/s",
					  "growth>5/day",
					  "open<5"};
	struct trigger trigger;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (trigger_parse(bad[i], &trigger))
			fail_msg("'%s' was taken", bad[i]);
	assert_true(trigger_parse("open>0", &trigger));
	assert_true(trigger_parse("growth>7/s", &trigger));
	assert_int_equal(trigger.window_ns, SECOND);
	assert_int_equal(trigger.most, 7);
	assert_true(trigger_parse("growth>7/h", &trigger));
	assert_int_equal(trigger.window_ns, 3600 * SECOND);
}

/* The machine's own limit cannot be reached in a test: the record says that it was. */
static void test_enfile(void **state)
{
	const struct exhaustion *exhausted;

	accept_fails(-ENFILE);
	exhausted = session_process(session, BARE_PID)->exhausted;
	assert_non_null(exhausted);
	assert_int_equal(exhausted->error, -ENFILE);
	assert_true(exhausted->limits.system > 0);
	assert_in_range(exhausted->limits.system_open, 1, exhausted->limits.system);
	assert_int_equal(exhausted->limits.process, 0); /* there is no such process */
	assert_int_equal(exhausted_told, 1);
	assert_int_equal(triggers_told[0], 1);
}

/* Told once, however often it fails and for however long; and again after a quiet time. */
static void test_emfile_once(void **state)
{
	for (int i = 0; i < 1000; i++) {
		now += SECOND;
		accept_fails(-EMFILE);
	}
	assert_int_equal(exhausted_told, 1);
	assert_int_equal(triggers_told[0], 1);
	now += 11 * SECOND;
	accept_fails(-EMFILE);
	accept_fails(-EMFILE);
	assert_int_equal(exhausted_told, 2);
	assert_int_equal(triggers_told[0], 2);
	assert_int_equal(session_process(session, BARE_PID)->exhausted->count, 1002);
}

/* Told by the very event that makes it so, though it is over before anybody looks. */
static void test_open(void **state)
{
	for (int number = 3; number < 9; number++)
		open_at(number);
	assert_int_equal(triggers_told[1], 1);
	assert_int_equal(open_when_told, 6);
	for (int i = 0; i < 100; i++) {
		close_at(8);
		open_at(8);
	}
	assert_int_equal(triggers_told[1], 1);
	wait_for(30 * SECOND); /* it goes on holding */
	assert_int_equal(triggers_told[1], 1);
	close_at(8);
	wait_for(9 * SECOND);
	open_at(8); /* not long enough */
	assert_int_equal(triggers_told[1], 1);
	close_at(8);
	wait_for(11 * SECOND);
	assert_int_equal(triggers_told[1], 1);
	open_at(8);
	assert_int_equal(triggers_told[1], 2);
}

/* Events are handled in heaps: nobody has looked between an opening and a close long after it. */
static void test_open_unlooked(void **state)
{
	for (int number = 3; number < 9; number++)
		open_at(number);
	now += 30 * SECOND;
	close_at(8);
	now += SECOND;
	open_at(8);
	assert_int_equal(triggers_told[1], 1);
	close_at(8);
	now += 11 * SECOND;
	open_at(8);
	assert_int_equal(triggers_told[1], 2);
}

/* What another process's exit or /proc brought is seen when it is looked at. */
static void test_open_found(void **state)
{
	struct observed_handle handles[20];

	for (int i = 0; i < 20; i++)
		handles[i] = (struct observed_handle){.number = i, .type = "file"};
	for (int i = 0; i < 3; i++) {
		model_observe(session->model, BARE_PID, handles, 20, now, now + 1);
		now += 2;
	}
	assert_int_equal(triggers_told[1], 0);
	wait_for(SECOND);
	assert_int_equal(triggers_told[1], 1);
	assert_int_equal(open_when_told, 20);
}

/* 20 more than a minute ago: a slow rise is none, a fast one is, also at the very beginning. */
static void test_growth(void **state)
{
	int number = 3;

	for (int i = 0; i < 200; i++) { /* 15 a minute */
		open_at(number++);
		wait_for(4 * SECOND);
	}
	assert_int_equal(triggers_told[2], 0);
	for (int i = 0; i < 30; i++) { /* 60 a minute */
		open_at(number++);
		wait_for(SECOND);
	}
	assert_int_equal(triggers_told[2], 1);
	wait_for(120 * SECOND);
	assert_int_equal(triggers_told[2], 1);
	for (int i = 0; i < 21; i++)
		open_at(number++);
	wait_for(SECOND);
	assert_int_equal(triggers_told[2], 2);
}

static void test_growth_at_start(void **state)
{
	for (int number = 3; number < 24; number++)
		open_at(number);
	wait_for(SECOND);
	assert_int_equal(triggers_told[2], 1);
}

/* Much is opened and closed: that is no growth. */
static void test_no_growth(void **state)
{
	for (int i = 0; i < 100; i++) {
		for (int number = 3; number < 20; number++)
			open_at(number);
		wait_for(SECOND);
		for (int number = 3; number < 20; number++)
			close_at(number);
	}
	assert_int_equal(triggers_told[2], 0);
}

/* A pid that is used again is another process. */
static void test_next_owner(void **state)
{
	accept_fails(-EMFILE);
	for (int number = 3; number < 10; number++)
		open_at(number);
	bare_exit(session, BARE_PID, ++now);
	bare_exec(session, BARE_PID, ++now);
	for (int number = 3; number < 10; number++)
		open_at(number);
	accept_fails(-EMFILE);
	assert_int_equal(triggers_told[0], 2);
	assert_int_equal(triggers_told[1], 2);
	assert_int_equal(exhausted_told, 2);
}

/* What happened before somebody watched is told when somebody does. */
static void test_told_late(void **state)
{
	const struct session_watch watch = {.exhausted = note_exhausted, .context = &session};

	session_free(session);
	session = bare_session_new();
	bare_exec(session, BARE_PID, ++now);
	accept_fails(-EMFILE);
	assert_int_equal(exhausted_told, 0);
	session_set_watch(session, &watch);
	assert_int_equal(exhausted_told, 1);
	open_at(5);
	watch_step(session, now);
	accept_fails(-EMFILE);
	assert_int_equal(exhausted_told, 1);
}

/* Failures that were lost changed nothing: they are told, and there is nothing to mend. */
static void test_lost_failures(void **state)
{
	struct event_lost event = {.header = bare_header(EVENT_LOST, sizeof(event), 0, now),
				   .count = 5};

	now += 2;
	model_observe(session->model, BARE_PID, NULL, 0, now, now + 1);
	assert_false(session_process(session, BARE_PID)->incomplete);
	event.header.flags = EVENT_LOST_FAILURES;
	session_receive(session, &event.header);
	assert_int_equal(session->lost, 5);
	assert_int_equal(session->lost_mended, 5);
	assert_false(session_process(session, BARE_PID)->incomplete);
	event.header.flags = 0;
	session_receive(session, &event.header);
	assert_int_equal(session->lost, 10);
	assert_int_equal(session->lost_mended, 5);
	assert_true(session_process(session, BARE_PID)->incomplete);
}

/* The snapshots that a session takes by itself have names, and not more than 64 of them. */
static void test_every(void **state)
{
	struct snapshot snapshot;

	session->every_ns = SECOND;
	for (int i = 0; i < 1000; i++) {
		session_take_snapshots(session, now);
		now += SECOND / 4;
	}
	assert_int_equal(session->snapshots.count, 64);
	assert_true(session_find_snapshot(session, "every-250", &snapshot));
	assert_int_equal(snapshot.time_ns, 1000 * SECOND + 249 * SECOND);
	assert_true(session_find_snapshot(session, "every-187", &snapshot));
	assert_false(session_find_snapshot(session, "every-186", &snapshot));
	assert_true(session_find_snapshot(session, NULL, &snapshot));
	assert_int_equal(snapshot.time_ns, 0); /* the baseline stays */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test_setup_teardown(test_enfile, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_emfile_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_open, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_open_unlooked, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_open_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_growth, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_growth_at_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_growth, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_next_owner, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_told_late, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_failures, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_every, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
