/*
 * Traced processes for the tests of collect/agent/lifetimes, execs and ends: real ones that sleep;
 * what they tell is made up, and what is handed over becomes words.
 */
#ifndef HTRACE_TESTS_LIFETIMES_FIXTURE_H
#define HTRACE_TESTS_LIFETIMES_FIXTURE_H

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

static inline pid_t sleeper(void)
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

static inline pid_t process(struct fixture *fixture, char name)
{
	pid_t *pid = &fixture->pids[name - 'a'];

	if (!*pid)
		*pid = sleeper();
	return *pid;
}

static inline char name_of(const struct fixture *fixture, pid_t pid)
{
	for (int i = 0; i < NAMES; i++)
		if (fixture->pids[i] == pid)
			return 'a' + i;
	return '?';
}

/* ---- the sink: each event becomes a word ---- */

static inline void note(struct fixture *fixture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void note(struct fixture *fixture, const char *format, ...)
{
	size_t used = strlen(fixture->log);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fixture->log + used, sizeof(fixture->log) - used, format, arguments);
	va_end(arguments);
}

static inline void note_map(struct fixture *fixture, char who, const struct event_map *map)
{
	note(fixture, "map(%c %.*s%s) ", who, (int)map->path_size, map->path,
	     map->header.flags & EVENT_MAP_EXE ? " exe" : "");
}

static inline void receive(void *context, const struct event_header *event)
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

static inline bool is_known_stack(void *context, uint32_t stack)
{
	(void)context;
	return stack == KNOWN_STACK;
}

static inline struct fixture *fixture_new(bool follow_children)
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

static inline void end(struct fixture *fixture, char name)
{
	pid_t pid = process(fixture, name);
	siginfo_t info;

	kill(pid, SIGKILL);
	/* Its status is still there to be read. */
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
}

static inline void fixture_free(struct fixture *fixture)
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

static inline void look(struct fixture *fixture)
{
	const struct rings_reader reader = {lifetimes_may_read, lifetimes_receive,
					    &fixture->lifetimes};

	lifetimes_look(&fixture->lifetimes);
	if (rings_pass(&fixture->rings, 4096, &reader))
		lifetimes_settle(&fixture->lifetimes);
}

/* What came since the last time. */
static inline void expect(struct fixture *fixture, const char *wanted)
{
	look(fixture);
	assert_string_equal(fixture->log, wanted);
	*fixture->log = '\0';
}

/* Within a second, and not in less than so many milliseconds. */
static inline void expect_later(struct fixture *fixture, const char *wanted, unsigned least_ms)
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

static inline struct producer slot_of(struct fixture *fixture, char name)
{
	struct producer producer;

	assert_true(producer_take(&producer, fixture->arena, process(fixture, name),
				  process(fixture, name)));
	return producer;
}

static inline void *begin(struct producer *producer, uint32_t bytes)
{
	void *record = producer_begin(producer, bytes, 0);

	assert_non_null(record);
	return record;
}

static inline void tell_call_as(struct producer *producer, uint32_t number, pid_t pid,
				uint32_t known)
{
	struct event_syscall *event = begin(producer, EVENT_SYSCALL_SHORT_BYTES);

	event->header.pid = event->header.tid = pid;
	event->number = number;
	event->phase = EVENT_LEAVE;
	event->known_stack = known;
	producer_commit(event, EVENT_SYSCALL, EVENT_SYSCALL_SHORT_BYTES);
}

static inline void tell_call(struct producer *producer, uint32_t number)
{
	tell_call_as(producer, number, producer->slot->pid, 0);
}

static inline void tell_fds(struct producer *producer)
{
	uint32_t bytes = sizeof(struct event_data) + 8;
	struct event_data *data = begin(producer, bytes);

	data->kind = EVENT_DATA_FDS;
	data->size = 8;
	producer_commit(data, EVENT_DATA, bytes);
}

static inline void tell_child(struct producer *producer, pid_t parent)
{
	struct arena_child *child = begin(producer, sizeof(*child));

	child->parent_pid = parent;
	producer_commit(child, ARENA_CHILD, sizeof(*child));
}

static inline void tell_fork(struct producer *producer, pid_t child, uint16_t flags)
{
	struct event_fork *fork = begin(producer, sizeof(*fork));

	fork->header.flags = flags;
	fork->child_pid = fork->child_tid = child;
	producer_commit(fork, EVENT_FORK, sizeof(*fork));
}

static inline void tell(struct producer *producer, uint16_t type, pid_t pid, pid_t tid)
{
	struct event_header *header = begin(producer, sizeof(*header));

	header->pid = pid;
	header->tid = tid;
	producer_commit(header, type, sizeof(*header));
}

static inline void tell_exec(struct producer *producer)
{
	struct event_exec *event = begin(producer, sizeof(*event));

	producer_commit(event, EVENT_EXEC, sizeof(*event));
}

static inline void tell_number(struct producer *producer, uint16_t type, int64_t value)
{
	struct arena_number *record = begin(producer, sizeof(*record));

	record->value = value;
	producer_commit(record, type, sizeof(*record));
}

static inline void tell_maps(struct producer *producer, const char *text)
{
	uint32_t bytes = sizeof(struct arena_text) + ((strlen(text) + 7) & ~(size_t)7);
	struct arena_text *record = begin(producer, bytes);

	record->size = strlen(text);
	memcpy(record->text, text, strlen(text));
	producer_commit(record, ARENA_MAPS, bytes);
}

#endif
