/*
 * collect/agent/lifetimes, execs, ends: what agents tell becomes the events of processes, in the
 * order that a session expects. Processes are real ones that sleep; what they tell is made up here.
 */
#include "arena_harness.h"
#include "base/array.h"
#include "base/clock.h"
#include "collect/agent/lifetimes.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SLOTS = 16, RING = 64 * 1024, KNOWN_STACK = 5, PATIENCE_NS = 1000000000, NAMES = 4 };

struct fixture {
	struct arena *arena;
	int fd;
	struct rings rings;
	struct lifetimes lifetimes;
	struct event_sink sink;
	pid_t pids[NAMES]; /* 'a', 'b', ... */
	char log[4096];
	int status;
};

/* ---- processes ---- */

static pid_t sleeper(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves it behind */
		for (;;)
			pause();
	}
	return pid;
}

static pid_t process(struct fixture *fixture, char name)
{
	pid_t *pid = &fixture->pids[name - 'a'];

	if (!*pid)
		*pid = sleeper();
	return *pid;
}

static char name_of(const struct fixture *fixture, pid_t pid)
{
	for (int i = 0; i < NAMES; i++)
		if (fixture->pids[i] == pid)
			return 'a' + i;
	return '?';
}

/* ---- the sink: each event becomes a word ---- */

static void note(struct fixture *fixture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct fixture *fixture, const char *format, ...)
{
	size_t used = strlen(fixture->log);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fixture->log + used, sizeof(fixture->log) - used, format, arguments);
	va_end(arguments);
}

static void note_map(struct fixture *fixture, char who, const struct event_map *map)
{
	note(fixture, "map(%c %.*s%s) ", who, (int)map->path_size, map->path,
	     map->header.flags & EVENT_MAP_EXE ? " exe" : "");
}

static void receive(void *context, const struct event_header *event)
{
	struct fixture *fixture = context;
	char who = name_of(fixture, event->pid);

	switch (event->type) {
	case EVENT_SYSCALL:
		note(fixture, "call(%c %u) ", who, ((const struct event_syscall *)event)->number);
		break;
	case EVENT_DATA:
		note(fixture, "data(%c) ", name_of(fixture, event->tid));
		break;
	case EVENT_FORK:
		note(fixture, "fork(%c %c%s) ", who,
		     name_of(fixture, ((const struct event_fork *)event)->child_pid),
		     event->flags & EVENT_FORK_VM ? " vm" : "");
		break;
	case EVENT_EXEC:
		note(fixture, "%s(%c %d) ", event->flags & EVENT_EXEC_UNSEEN ? "unseen" : "exec",
		     who,
		     ((const struct event_exec *)event)->old_tid -
			 (((const struct event_exec *)event)->old_tid > 100 ? event->pid : 0));
		break;
	case EVENT_EXIT:
		assert_int_equal(event->flags, EVENT_EXIT_PROCESS);
		fixture->status = ((const struct event_exit *)event)->status;
		note(fixture, "exit(%c) ", who);
		break;
	case EVENT_MAP:
		note_map(fixture, who, (const struct event_map *)event);
		break;
	}
}

static bool is_known_stack(void *context, uint32_t stack)
{
	(void)context;
	return stack == KNOWN_STACK;
}

static struct fixture *fixture_new(bool follow_children)
{
	static struct plan plan;
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	struct collector_options options = {.plan = &plan, .follow_children = follow_children};

	fixture->arena = arena_make(SLOTS, RING, &fixture->fd);
	rings_init(&fixture->rings, fixture->arena, fixture->fd);
	lifetimes_init(&fixture->lifetimes, &fixture->rings, &options, "/nowhere/agent.so");
	fixture->sink = (struct event_sink){receive, fixture};
	fixture->lifetimes.sink = &fixture->sink;
	fixture->lifetimes.is_known_stack = is_known_stack;
	lifetimes_add(&fixture->lifetimes, process(fixture, 'a'));
	return fixture;
}

static void end(struct fixture *fixture, char name)
{
	pid_t pid = process(fixture, name);
	siginfo_t info;

	kill(pid, SIGKILL);
	/* Its status is still there to be read. */
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
}

static void fixture_free(struct fixture *fixture)
{
	for (int i = 0; i < NAMES; i++)
		if (fixture->pids[i]) {
			kill(fixture->pids[i], SIGKILL);
			waitpid(fixture->pids[i], NULL, 0);
		}
	lifetimes_fini(&fixture->lifetimes);
	rings_fini(&fixture->rings);
	munmap(fixture->arena, fixture->arena->bytes);
	close(fixture->fd);
	free(fixture);
}

static void look(struct fixture *fixture)
{
	const struct rings_reader reader = {lifetimes_may_read, lifetimes_receive,
					    &fixture->lifetimes};

	lifetimes_look(&fixture->lifetimes);
	if (rings_pass(&fixture->rings, 4096, &reader))
		lifetimes_settle(&fixture->lifetimes);
}

/* What came since the last time. */
static void expect(struct fixture *fixture, const char *wanted)
{
	look(fixture);
	assert_string_equal(fixture->log, wanted);
	*fixture->log = '\0';
}

/* Within a second, and not in less than so many milliseconds. */
static void expect_later(struct fixture *fixture, const char *wanted, unsigned least_ms)
{
	uint64_t begin_ns = clock_now_ns();

	while (strlen(fixture->log) < strlen(wanted)) {
		assert_true(clock_now_ns() - begin_ns < PATIENCE_NS);
		look(fixture);
		usleep(1000);
	}
	assert_string_equal(fixture->log, wanted);
	assert_true(clock_now_ns() - begin_ns >= least_ms * 1000000ull);
	*fixture->log = '\0';
}

/* ---- what agents tell ---- */

static struct producer slot_of(struct fixture *fixture, char name)
{
	struct producer producer;

	assert_true(producer_take(&producer, fixture->arena, process(fixture, name),
				  process(fixture, name)));
	return producer;
}

static void *begin(struct producer *producer, uint32_t bytes)
{
	void *record = producer_begin(producer, bytes, 0);

	assert_non_null(record);
	return record;
}

static void tell_call_as(struct producer *producer, uint32_t number, pid_t pid, uint32_t known)
{
	struct event_syscall *event = begin(producer, EVENT_SYSCALL_SHORT_BYTES);

	event->header.pid = event->header.tid = pid;
	event->number = number;
	event->phase = EVENT_LEAVE;
	event->known_stack = known;
	producer_commit(event, EVENT_SYSCALL, EVENT_SYSCALL_SHORT_BYTES);
}

static void tell_call(struct producer *producer, uint32_t number)
{
	tell_call_as(producer, number, producer->slot->pid, 0);
}

static void tell_fds(struct producer *producer)
{
	uint32_t bytes = sizeof(struct event_data) + 8;
	struct event_data *data = begin(producer, bytes);

	data->kind = EVENT_DATA_FDS;
	data->size = 8;
	producer_commit(data, EVENT_DATA, bytes);
}

static void tell_child(struct producer *producer, pid_t parent)
{
	struct arena_child *child = begin(producer, sizeof(*child));

	child->parent_pid = parent;
	producer_commit(child, ARENA_CHILD, sizeof(*child));
}

static void tell_fork(struct producer *producer, pid_t child, uint16_t flags)
{
	struct event_fork *fork = begin(producer, sizeof(*fork));

	fork->header.flags = flags;
	fork->child_pid = fork->child_tid = child;
	producer_commit(fork, EVENT_FORK, sizeof(*fork));
}

static void tell(struct producer *producer, uint16_t type, pid_t pid, pid_t tid)
{
	struct event_header *header = begin(producer, sizeof(*header));

	header->pid = pid;
	header->tid = tid;
	producer_commit(header, type, sizeof(*header));
}

static void tell_exec(struct producer *producer)
{
	struct event_exec *event = begin(producer, sizeof(*event));

	producer_commit(event, EVENT_EXEC, sizeof(*event));
}

static void tell_number(struct producer *producer, uint16_t type, int64_t value)
{
	struct arena_number *record = begin(producer, sizeof(*record));

	record->value = value;
	producer_commit(record, type, sizeof(*record));
}

static void tell_maps(struct producer *producer, const char *text)
{
	uint32_t bytes = sizeof(struct arena_text) + ((strlen(text) + 7) & ~(size_t)7);
	struct arena_text *record = begin(producer, bytes);

	record->size = strlen(text);
	memcpy(record->text, text, strlen(text));
	producer_commit(record, ARENA_MAPS, bytes);
}

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

/* ---- how they become others ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_child_first),   cmocka_unit_test(test_parent_first),
	    cmocka_unit_test(test_nobody_tells),  cmocka_unit_test(test_vfork),
	    cmocka_unit_test(test_no_children),   cmocka_unit_test(test_exec),
	    cmocka_unit_test(test_unseen),        cmocka_unit_test(test_unseen_and_gone),
	    cmocka_unit_test(test_off),           cmocka_unit_test(test_entered),
	    cmocka_unit_test(test_exit),          cmocka_unit_test(test_gone_before),
	    cmocka_unit_test(test_ends_in_order), cmocka_unit_test(test_number_reused),
	    cmocka_unit_test(test_unknown_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
