/*
 * What the tests of the ptrace collector share: a small plan, a sink that keeps everything, and the
 * target programs, which are this same test program run again with the target's name.
 */
#ifndef HTRACE_TESTS_PTRACE_HARNESS_H
#define HTRACE_TESTS_PTRACE_HARNESS_H

#include "process_state.h"

#include "base/alloc.h"
#include "base/array.h"
#include "collect/collector.h"
#include "event/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SKIPPED = 77, PATIENCE_MS = 20000 };

struct target {
	const char *name;
	int (*run)(int argument);
};

static inline struct plan test_plan(void)
{
	struct plan plan = {.guard_values = {{__NR_fcntl, F_DUPFD}, {__NR_fcntl, F_DUPFD_CLOEXEC}},
			    .guard_values_n = 2};
	static const struct syscall_plan opens = {.when = PLAN_LEAVE_OK, .fd_arg = PLAN_NO_ARG};
	struct syscall_plan *call = plan.calls;

	call[__NR_eventfd2] = call[__NR_eventfd] = call[__NR_epoll_create1] = opens;
	call[__NR_close] =
	    (struct syscall_plan){.when = PLAN_ENTER | PLAN_LEAVE_FAILED | PLAN_LEAVE_EBADF};
	call[__NR_dup2] = (struct syscall_plan){.when = PLAN_LEAVE_OK | PLAN_LEAVE_EBADF};
	call[__NR_pipe2] = (struct syscall_plan){
	    .when = PLAN_LEAVE_OK, .fd_arg = PLAN_NO_ARG, .out = PLAN_OUT_INT_PAIR};
	call[__NR_openat] = (struct syscall_plan){
	    .when = PLAN_LEAVE_OK | PLAN_LEAVE_EBADF, .data = PLAN_DATA_PATH, .data_arg = 1};
	call[__NR_fcntl] = (struct syscall_plan){
	    .when = PLAN_LEAVE_OK | PLAN_LEAVE_EBADF, .guard = PLAN_GUARD_SET, .guard_arg = 1};
	call[__NR_recvmsg] = (struct syscall_plan){
	    .when = PLAN_LEAVE_OK | PLAN_LEAVE_EBADF, .data = PLAN_DATA_CONTROL, .data_arg = 1};
	call[__NR_accept4] = (struct syscall_plan){.when = PLAN_LEAVE_OK | PLAN_LEAVE_EBADF};
	call[__NR_read] = (struct syscall_plan){.when = PLAN_LEAVE_EBADF, .fd_arg2 = PLAN_NO_ARG};
	call[__NR_epoll_ctl] = (struct syscall_plan){.when = PLAN_LEAVE_EBADF, .fd_arg2 = 2};
	call[__NR_clone] = (struct syscall_plan){.when = PLAN_LEAVE_OK,
						 .fd_arg = PLAN_NO_ARG,
						 .out = PLAN_OUT_INT,
						 .out_arg = 2,
						 .guard = PLAN_GUARD_MASK,
						 .guard_value = 0x1000};
	return plan;
}

/* Copies of all records, in order. */
struct log {
	ARRAY(struct event_header *) events;
	bool malformed;
};

static inline void log_receive(void *context, const struct event_header *event)
{
	struct log *log = context;

	if (!event_check(event, event->size))
		log->malformed = true;
	array_push(&log->events, xmemdup(event, event->size));
}

struct fixture {
	struct plan plan;
	struct collector *collector;
	struct log log;
	struct event_sink sink;
	struct error error;
	int status; /* of the spawned child */
};

static inline struct fixture *fixture_new(bool follow_children)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	struct collector_options options = {.follow_children = follow_children,
					    .stack_bytes_max = 16384};

	fixture->plan = test_plan();
	options.plan = &fixture->plan;
	fixture->sink = (struct event_sink){log_receive, &fixture->log};
	if (collector_ptrace.create(&options, &fixture->collector, &fixture->error) < 0) {
		fprintf(stderr, "skipped: %s\n", fixture->error.message);
		exit(SKIPPED);
	}
	return fixture;
}

static inline void fixture_free(struct fixture *fixture)
{
	assert_false(fixture->log.malformed);
	collector_ptrace.destroy(fixture->collector);
	array_each (event, &fixture->log.events)
		free(*event);
	array_fini(&fixture->log.events);
	free(fixture);
}

static inline int fixture_poll(struct fixture *fixture, int timeout_ms)
{
	return collector_ptrace.poll(fixture->collector, timeout_ms, &fixture->sink,
				     &fixture->error);
}

/* Polls until nothing is traced any more. */
static inline void fixture_drain(struct fixture *fixture)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	int result;

	do {
		result = fixture_poll(fixture, 100);
		assert_true(now_ms() < deadline);
	} while (result != -ECHILD);
}

static inline pid_t fixture_spawn(struct fixture *fixture, const char *target, const char *argument)
{
	char *argv[] = {(char *)"target", (char *)target, (char *)argument, NULL};
	/* LeakSanitizer gives up under ptrace. */
	char *envp[] = {(char *)"ASAN_OPTIONS=detect_leaks=0", NULL};
	struct spawn spawn = {"/proc/self/exe", argv, envp};
	pid_t pid = 0;
	int result = collector_ptrace.spawn(fixture->collector, &spawn, &pid, &fixture->error);

	if (result < 0)
		fprintf(stderr, "spawn: %s\n", fixture->error.message);
	assert_int_equal(result, 0);
	return pid;
}

/* Runs `target` to its end. */
static inline pid_t fixture_run(struct fixture *fixture, const char *target, const char *argument)
{
	pid_t pid = fixture_spawn(fixture, target, argument);

	fixture_drain(fixture);
	assert_true(collector_ptrace.child_ended(fixture->collector, &fixture->status));
	return pid;
}

/* The next record of `type` (of system call `number`) at or after *at, or NULL. */
static inline void *log_next(const struct log *log, size_t *at, enum event_type type, long number)
{
	for (; *at < log->events.count; ++*at) {
		struct event_header *event = log->events.data[*at];

		if (event->type != type)
			continue;
		if (type == EVENT_SYSCALL && ((struct event_syscall *)event)->number != number)
			continue;
		++*at;
		return event;
	}
	return NULL;
}

static inline void *log_first(const struct log *log, enum event_type type, long number)
{
	size_t at = 0;

	return log_next(log, &at, type, number);
}

static inline size_t log_count(const struct log *log, enum event_type type, long number)
{
	size_t at = 0, count = 0;

	while (log_next(log, &at, type, number))
		count++;
	return count;
}

static inline bool stack_contains(const struct event_syscall *event, unsigned piece, uint64_t word)
{
	const uint8_t *bytes = event_stack_bytes(event, piece);
	uint64_t value;

	for (uint32_t at = 0; at + 8 <= event->stacks[piece].size; at += 8) {
		memcpy(&value, bytes + at, sizeof(value));
		if (value == word)
			return true;
	}
	return false;
}

static inline void assert_exited(const struct fixture *fixture, int status)
{
	if (!WIFEXITED(fixture->status) || WEXITSTATUS(fixture->status) != status)
		printf("wait status %x\n", fixture->status);
	assert_true(WIFEXITED(fixture->status));
	assert_int_equal(WEXITSTATUS(fixture->status), status);
}

static inline bool bitmap_has(const struct event_data *data, unsigned fd)
{
	return fd / 8 < data->size && data->bytes[fd / 8] >> fd % 8 & 1;
}

static inline void *thread_calls(void *count)
{
	for (int i = 0; i < (int)(intptr_t)count; i++)
		close(eventfd(0, 0));
	return NULL;
}

/* main() of a test begins with this: it is the target when it is told so. */
static inline void run_as_target(int argc, char **argv, const struct target *targets)
{
	if (argc < 3)
		return;
	for (; targets->name; targets++)
		if (!strcmp(argv[1], targets->name))
			exit(targets->run(atoi(argv[2])));
	exit(99);
}

#endif
