/* collect/bpf by itself: what it hands over of a child that does a few known things. Needs root. */
#include "collect/collector.h"
#include "event/codec.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { EVENTS_MAX = 4096 };

struct seen {
	struct event_header *events[EVENTS_MAX];
	unsigned n;
};

static void receive(void *context, const struct event_header *event)
{
	struct seen *seen = context;

	assert_true(event_check(event, event->size) == event->size);
	assert_true(seen->n < EVENTS_MAX);
	seen->events[seen->n] = malloc(event->size);
	memcpy(seen->events[seen->n++], event, event->size);
}

static struct plan plan;
static struct collector_options options = {.plan = &plan,
					   .follow_children = true,
					   .stack_bytes_max = EVENT_STACK_BYTES_MAX,
					   .ring_bytes = 1 << 20};

static void plan_fill(void)
{
	plan.calls[SYS_eventfd2] = (struct syscall_plan){.when = PLAN_LEAVE_OK};
	plan.calls[SYS_openat] =
	    (struct syscall_plan){.when = PLAN_LEAVE_OK, .data = PLAN_DATA_PATH, .data_arg = 1};
	plan.calls[SYS_close] =
	    (struct syscall_plan){.when = PLAN_ENTER | PLAN_LEAVE_FAILED, .fd_arg = 0};
	plan.calls[SYS_pipe2] =
	    (struct syscall_plan){.when = PLAN_LEAVE_OK, .out = PLAN_OUT_INT_PAIR};
}

/* Whatever scheduling the collector gives itself, it gives back. */
static void check_scheduling(int policy, int nice_value)
{
	assert_int_equal(sched_getscheduler(0), policy);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), nice_value);
}

static void trace(const char *const *argv, struct seen *seen, int *status)
{
	extern char **environ;
	struct spawn spawn = {argv[0], (char *const *)argv, environ};
	struct event_sink sink = {receive, seen};
	struct collector *collector;
	struct error error = {0};
	int policy = sched_getscheduler(0), nice_value = getpriority(PRIO_PROCESS, 0), result;
	pid_t pid;

	if (collector_bpf.create(&options, &collector, &error) < 0)
		fail_msg("%s", error.message);
	if (collector_bpf.spawn(collector, &spawn, &pid, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(sched_getscheduler(pid) & ~SCHED_RESET_ON_FORK, policy);
	assert_int_equal(getpriority(PRIO_PROCESS, pid), nice_value);
	while ((result = collector_bpf.poll(collector, 5000, &sink, &error)) > 0)
		;
	assert_int_equal(result, -ECHILD);
	assert_true(collector_bpf.child_ended(collector, status));
	collector_bpf.detach(collector);
	check_scheduling(policy, nice_value);
	collector_bpf.destroy(collector);
	check_scheduling(policy, nice_value);
}

static void test_shell(void **state)
{
	const char *const argv[] = {"/bin/sh", "-c",
				    "/bin/true; exec 5</etc/passwd; exec 5<&-; exit 7", NULL};
	struct seen seen = {0};
	unsigned forks = 0, execs = 0, exits = 0, maps = 0, calls = 0, stacks = 0;
	bool passwd = false, libc = false;
	int status;

	trace(argv, &seen, &status);
	assert_int_equal(WEXITSTATUS(status), 7);
	for (unsigned i = 0; i < seen.n; i++) {
		struct event_header *event = seen.events[i];

		if (event->type == EVENT_MAP) {
			const struct event_map *map = (void *)event;

			maps++;
			libc |= memmem(map->path, map->path_size, "libc.so", 7) != NULL;
		}
		if (event->type == EVENT_DATA) {
			const struct event_data *data = (void *)event;

			passwd |= data->kind == EVENT_DATA_PATH && data->size == 11 &&
				  !memcmp(data->bytes, "/etc/passwd", 11);
		}
		if (event->type == EVENT_SYSCALL) {
			const struct event_syscall *call = event_as_syscall(event);

			calls++;
			stacks += call->stacks_n == 1 && call->stacks[0].size > 0 &&
				  !(call->stacks[0].flags & EVENT_STACK_CUT);
			if (getenv("VERBOSE"))
				printf("%u phase %u result %ld args %lx stack %u flags %x\n",
				       call->number, call->phase, call->result, call->args[0],
				       call->stacks[0].size, call->stacks[0].flags);
		}
		forks += event->type == EVENT_FORK;
		execs += event->type == EVENT_EXEC;
		exits += event->type == EVENT_EXIT && event->flags & EVENT_EXIT_PROCESS;
		free(event);
	}
	printf("events %u forks %u execs %u exits %u maps %u calls %u stacks %u\n", seen.n, forks,
	       execs, exits, maps, calls, stacks);
	assert_int_equal(forks, 1);
	assert_int_equal(execs, 2);
	assert_int_equal(exits, 2);
	assert_true(maps >= 8);
	assert_true(libc);
	assert_true(passwd);
	assert_int_equal(stacks, calls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_shell)};

	if (geteuid() != 0) {
		puts("skipped: BPF needs root");
		return 77;
	}
	plan_fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
