/*
 * model/fd_syscalls: a differential test against the kernel. Real calls, each told to a model,
 * which must then hold exactly what /proc/self/fd has.
 */
#include "base/array.h"
#include "event/plan_guard.h"
#include "fd_syscalls_event.h"
#include "model/fd_syscalls.h"
#include "model/model.h"
#include "os/fd_type.h"
#include "os/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct handle_op ops[HANDLE_OPS_MAX];
static struct model *model;
static uint64_t now;
static const struct plan *plan;

static void tell(const struct event_syscall *event, const struct event_data *data)
{
	struct actor actor = {getpid(), getpid(), ++now, 1, event->number};
	size_t n = fd_syscalls_decode(event, data, ops);

	for (size_t i = 0; i < n; i++)
		model_apply(model, &actor, &ops[i]);
}

/* Does the call for real and tells the model what a collector would have recorded by the plan. */
static long real(long number, long a0, long a1, long a2, long a3)
{
	struct event_syscall event = call_make(number, EVENT_ENTER, 0, a0, a1, a2, a3);
	const struct syscall_plan *call = &plan->calls[number];
	uint8_t when = plan_when_wanted(plan, number, event.args);
	const struct event_data *data = NULL;
	long result;

	if (when & PLAN_ENTER)
		tell(&event, NULL);
	result = syscall(number, a0, a1, a2, a3, 0, 0);
	if (result < 0)
		result = -errno;
	event.phase = EVENT_LEAVE;
	event.result = result;
	if (call->out == PLAN_OUT_INT || call->out == PLAN_OUT_INT_PAIR) {
		const int *from = (const int *)(event.args[call->out_arg] + call->out_offset);

		if ((uintptr_t)from > 65536) {
			event.out[0] = (uint32_t)from[0];
			event.out[1] = call->out == PLAN_OUT_INT_PAIR ? (uint32_t)from[1] : 0;
		}
	}
	if (call->data == PLAN_DATA_PATH)
		data = data_make(EVENT_DATA_PATH, (const void *)event.args[call->data_arg],
				 strlen((const char *)event.args[call->data_arg]));
	if (call->data == PLAN_DATA_CONTROL && result >= 0) {
		const struct msghdr *message = (const void *)event.args[call->data_arg];

		data = data_make(EVENT_DATA_CONTROL, message->msg_control, message->msg_controllen);
	}
	if ((result >= 0 && when & PLAN_LEAVE_OK) || (result < 0 && when & PLAN_LEAVE_FAILED) ||
	    (result == -EBADF && when & PLAN_LEAVE_EBADF) ||
	    ((result == -EMFILE || result == -ENFILE) && when & PLAN_LEAVE_FULL))
		tell(&event, data);
	return result;
}

struct held {
	ARRAY(struct handle) handles;
};

static void hold(void *context, const struct handle *handle)
{
	struct held *held = context;

	array_push(&held->handles, *handle);
}

static void compare_with_kernel(void)
{
	struct held held = {0};
	struct procfs_fds fds = {0};
	size_t at = 0;

	assert_int_equal(procfs_fds(getpid(), &fds, NULL), 0);
	model_open_handles(model, model_process(model, getpid()), hold, &held);
	for (size_t i = 0; i < fds.numbers.count; i++) {
		int32_t number = fds.numbers.data[i];
		char link[PROCFS_LINK_MAX];
		int flags = fcntl(number, F_GETFD);

		if (flags < 0) /* the listing's own */
			continue;
		assert_true(at < held.handles.count);
		assert_int_equal(held.handles.data[at].number, number);
		assert_int_equal(held.handles.data[at].cloexec, !!(flags & FD_CLOEXEC));
		assert_true(procfs_fd_link(getpid(), number, link) >= 0);
		if (held.handles.data[at].type)
			assert_string_equal(held.handles.data[at].type,
					    fd_type_look(getpid(), number, link));
		at++;
	}
	assert_int_equal(at, held.handles.count);
	array_fini(&held.handles);
	procfs_fds_fini(&fds);
}

static int32_t any_open(void)
{
	struct held held = {0};
	int32_t number = 1000;

	model_open_handles(model, model_process(model, getpid()), hold, &held);
	for (size_t i = 0; i < held.handles.count; i++)
		if (held.handles.data[i].number > 9 && (number == 1000 || rand() % 3 == 0))
			number = held.handles.data[i].number;
	array_fini(&held.handles);
	return number;
}

static void pass_descriptors(int flags)
{
	int pair[2], fds[2] = {0, 0};
	char byte = 'x';
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr header;
	} control = {0};
	struct iovec piece = {&byte, 1};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	if (real(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)pair) < 0)
		return;
	control.header = (struct cmsghdr){CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	real(SYS_sendmsg, pair[0], (long)&message, 0, 0);
	message.msg_controllen = sizeof(control);
	real(SYS_recvmsg, pair[1], (long)&message, flags, 0);
	real(SYS_close, pair[0], 0, 0, 0);
	real(SYS_close, pair[1], 0, 0, 0);
}

static void one_step(void)
{
	int on = rand() % 2, pair[2], mask[2] = {0};
	long flag = on ? O_CLOEXEC : 0;
	struct {
		uint64_t flags, mode, resolve;
	} how = {flag | O_RDONLY, 0, 0};

	/* clang-format off */
	switch (rand() % 32) {
	case 0: real(SYS_open, (long)"/dev/null", flag, 0, 0); break;
	case 1: real(SYS_openat, AT_FDCWD, (long)"/proc/self/status", flag, 0); break;
	case 2: real(437, AT_FDCWD, (long)"/proc/self/maps", (long)&how, sizeof(how)); break;
	case 3: real(SYS_socket, AF_UNIX, SOCK_STREAM | flag, 0, 0); break;
	case 4: real(SYS_socketpair, AF_UNIX, SOCK_DGRAM | flag, 0, (long)pair); break;
	case 5: real(SYS_pipe, (long)pair, 0, 0, 0); break;
	case 6: real(SYS_pipe2, (long)pair, flag, 0, 0); break;
	case 7: real(SYS_eventfd, 0, 0, 0, 0); break;
	case 8: real(SYS_eventfd2, 0, flag, 0, 0); break;
	case 9: real(SYS_epoll_create, 1, 0, 0, 0); break;
	case 10: real(SYS_epoll_create1, flag, 0, 0, 0); break;
	case 11: real(SYS_timerfd_create, CLOCK_MONOTONIC, flag, 0, 0); break;
	case 12: real(SYS_signalfd4, -1, (long)mask, 8, flag); break;
	case 13: real(SYS_signalfd, any_open(), (long)mask, 8, 0); break;
	case 14: real(SYS_inotify_init1, flag, 0, 0, 0); break;
	case 15: real(SYS_inotify_init, 0, 0, 0, 0); break;
	case 16: real(SYS_memfd_create, (long)"x", on, 0, 0); break;
	case 17: real(434, getpid(), 0, 0, 0); break;
	case 18: real(SYS_dup, any_open(), 0, 0, 0); break;
	case 19: real(SYS_dup2, any_open(), on ? any_open() : 10 + rand() % 200, 0, 0); break;
	case 20: real(SYS_dup3, any_open(), 10 + rand() % 200, flag, 0); break;
	case 21: real(SYS_fcntl, any_open(), on ? F_DUPFD_CLOEXEC : F_DUPFD, rand() % 300, 0); break;
	case 22: real(SYS_fcntl, any_open(), F_SETFD, on, 0); break;
	case 23: real(SYS_ioctl, any_open(), on ? FIOCLEX : FIONCLEX, 0, 0); break;
	case 24: pass_descriptors(on ? MSG_CMSG_CLOEXEC : 0); break;
	case 25: real(436, 10 + rand() % 200, 20 + rand() % 200, on ? 4 : 0, 0); break;
	case 26: real(SYS_creat, (long)"/dev/null", 0, 0, 0); break;
	case 27: real(438, real(434, getpid(), 0, 0, 0), 0, 0, 0); break;
	case 28: real(444, 0, 0, 1, 0); break;
	case 29: real(SYS_read, 500, 0, 0, 0); break;
	default: real(SYS_close, 10 + rand() % 200, 0, 0, 0); break;
	}
	/* clang-format on */
	if (rand() % 2)
		real(SYS_close, any_open(), 0, 0, 0);
}

static void test_against_kernel(void **state)
{
	static struct plan made;
	unsigned seed = getenv("SEED") ? atoi(getenv("SEED")) : time(NULL);
	struct procfs_fds fds = {0};

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	fd_syscalls_plan(&made, true);
	plan = &made;
	model = model_new(NULL);
	model_attach(model, getpid(), getppid(), ++now);
	for (int number = 10; number < 400; number++)
		close(number);
	for (int number = 0; number < 10; number++) { /* 0..9 are open for good */
		int flags = fcntl(number, F_GETFD);

		if (flags < 0)
			assert_int_equal(dup2(open("/dev/null", O_RDONLY), number), number);
	}
	assert_int_equal(procfs_fds(getpid(), &fds, NULL), 0);
	for (size_t i = 0; i < fds.numbers.count; i++) {
		int32_t number = fds.numbers.data[i];
		struct handle_op op = {.kind = HANDLE_OPEN,
				       .number = number,
				       .cloexec = fcntl(number, F_GETFD) & FD_CLOEXEC};

		if (fcntl(number, F_GETFD) >= 0)
			model_apply(model, &(struct actor){getpid(), getpid(), ++now, 1, 0}, &op);
	}
	procfs_fds_fini(&fds);
	model_attached(model, getpid());
	compare_with_kernel();
	for (int step = 0; step < 5000; step++) {
		one_step();
		compare_with_kernel();
	}
	assert_true(model_process(model, getpid())->bad_references.count > 0);
	model_free(model);
}

/* Every call that makes a handle, with no number left: the kernel's EMFILE is counted, and where
 * the handles are is known. */
static void test_exhausted(void **state)
{
	static struct plan made;
	const struct exhaustion *exhausted;
	struct rlimit before, limit;
	uint64_t failed = 0;
	int pair[2];
	/* clang-format off */
	const long calls[][5] = {
		{SYS_dup, 0}, {SYS_fcntl, 0, F_DUPFD, 0}, {SYS_open, (long)"/dev/null", 0},
		{SYS_openat, AT_FDCWD, (long)"/dev/null", 0}, {SYS_eventfd2, 0, 0},
		{SYS_epoll_create1, 0}, {SYS_timerfd_create, 1, 0}, {SYS_socket, AF_UNIX, SOCK_STREAM, 0},
		{SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)pair}, {SYS_pipe2, (long)pair, 0},
		{SYS_memfd_create, (long)"x", 0}, {SYS_inotify_init1, 0}, {434, getpid(), 0},
		{SYS_creat, (long)"/dev/null", 0},
	};
	/* clang-format on */

	(void)state;
	fd_syscalls_plan(&made, false);
	plan = &made;
	model = model_new(NULL);
	model_attach(model, getpid(), getppid(), ++now);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){64, before.rlim_max};
	for (int number = 3; number < 400; number++)
		close(number);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (real(SYS_eventfd2, 0, 0, 0, 0) >= 0)
		;
	failed++;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		const long *call = calls[i];

		if (real(call[0], call[1], call[2], call[3], call[4]) != -EMFILE)
			fail_msg("call %ld did not fail", call[0]);
		failed++;
	}
	setrlimit(RLIMIT_NOFILE, &before);
	exhausted = model_process(model, getpid())->exhausted;
	assert_non_null(exhausted);
	assert_int_equal(exhausted->count, failed);
	assert_int_equal(exhausted->episodes, 1);
	assert_int_equal(exhausted->call, SYS_eventfd2);
	assert_int_equal(exhausted->error, -EMFILE);
	assert_int_equal(exhausted->places.count, 1 + sizeof(calls) / sizeof(*calls) - 1);
	assert_int_equal(exhausted->open, 61); /* 0, 1 and 2 were not told */
	assert_int_equal(exhausted->holders_n, 1);
	assert_string_equal(exhausted->holders[0].type, "eventfd");
	assert_int_equal(exhausted->holders[0].open, 61);
	model_free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_kernel),
					   cmocka_unit_test(test_exhausted)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
