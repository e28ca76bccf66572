/* collect/ptrace: what it records of the calls of a program that it starts. */
#include "ptrace_harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const uint64_t marker = 0x1122334455667788;

static int target_calls(int count)
{
	volatile uint64_t word = marker;
	int fds[2], fd;

	for (int i = 0; i < count; i++)
		close(eventfd(word == marker, 0));
	if (pipe2(fds, O_CLOEXEC) < 0 || (fd = open("/dev/null", O_RDONLY)) < 0)
		return 1;
	dup2(fd, 77);
	if (fcntl(fd, F_GETFD) < 0 || fcntl(fd, F_DUPFD, 100) != 100)
		return 2;
	close(fds[0]);
	return close(fds[0]) == 0;
}

static int target_bad(int unused)
{
	char byte;
	int fd = eventfd(1, 0);

	(void)unused;
	if (read(-1, &byte, 1) != -1 || read(fd, &byte, 1) != -1 /* EINVAL */)
		return 1;
	close(fd);
	return read(fd, &byte, 1) == -1 && errno == EBADF ? 0 : 2;
}

/* The second of two descriptors is the bad one; then it is none at all; then both are good. */
static int target_bad_second(int unused)
{
	struct epoll_event event = {.events = EPOLLIN};
	int good = epoll_create1(0), fd = eventfd(1, 0);

	(void)unused;
	if (epoll_ctl(good, EPOLL_CTL_ADD, 99, &event) != -1 || errno != EBADF)
		return 1;
	if (epoll_ctl(good, EPOLL_CTL_ADD, -1, &event) != -1 || errno != EBADF)
		return 2;
	return epoll_ctl(good, EPOLL_CTL_ADD, fd, &event) != 0;
}

static pthread_barrier_t barrier;
static volatile int contested;
static atomic_int refused;

static void *thread_closes(void *count)
{
	for (int i = 0; i < (int)(intptr_t)count; i++) {
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			contested = eventfd(0, 0);
		pthread_barrier_wait(&barrier);
		refused += close(contested) != 0;
	}
	return NULL;
}

/* Two threads close the same number at the same time: one of them fails. */
static int target_contest(int count)
{
	pthread_t other;

	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&other, NULL, thread_closes, (void *)(intptr_t)count);
	thread_closes((void *)(intptr_t)count);
	pthread_join(other, NULL);
	return refused != count;
}

static void *thread_ends(void *unused)
{
	return unused;
}

static void *thread_of_its_own(void *unused)
{
	pthread_t inner;

	if (unshare(CLONE_FILES) != 0 || eventfd(0, 0) < 0)
		exit(1);
	pthread_create(&inner, NULL, thread_ends, NULL);
	pthread_join(inner, NULL);
	return unused;
}

static int target_own_table(int unused)
{
	pthread_t thread;

	(void)unused;
	pthread_create(&thread, NULL, thread_of_its_own, NULL);
	pthread_join(thread, NULL);
	return eventfd(0, 0) < 0;
}

static int target_threads(int count)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, thread_calls, (void *)(intptr_t)count);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static void on_alternate(int number)
{
	(void)number;
	close(eventfd(42, 0));
}

static int target_alternate(int unused)
{
	volatile uint64_t word = marker;
	stack_t stack = {.ss_sp = malloc(32768), .ss_size = 32768};
	struct sigaction action = {.sa_handler = on_alternate, .sa_flags = SA_ONSTACK};

	(void)unused;
	if (sigaltstack(&stack, NULL) < 0 || sigaction(SIGUSR2, &action, NULL) < 0)
		return 1;
	raise(SIGUSR2);
	return word != marker;
}

static int target_map(int unused)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)unused;
	if (mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096) == MAP_FAILED)
		return 1;
	return mmap(NULL, 12288, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int target_pass(int unused)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 1;
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	struct cmsghdr *header = (struct cmsghdr *)control;
	int pair[2];

	(void)unused;
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0 || sendmsg(pair[0], &message, 0) != 1)
		return 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	header->cmsg_len = CMSG_LEN(sizeof(int));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(header), &pair[0], sizeof(int));
	if (sendmsg(pair[0], &message, 0) != 1)
		return 2;
	return recvmsg(pair[1], &message, 0) != 1 || message.msg_controllen != 0 ||
	       (message.msg_controllen = sizeof(control),
		recvmsg(pair[1], &message, 0) != 1 || message.msg_controllen != sizeof(control));
}

static int target_deep(int size)
{
	volatile char *room = alloca(size);

	room[0] = 1;
	return close(eventfd(room[0], 0)) + room[0] - 1;
}

static const struct target targets[] = {
    {"calls", target_calls},
    {"bad", target_bad},
    {"bad_second", target_bad_second},
    {"contest", target_contest},
    {"own_table", target_own_table},
    {"threads", target_threads},
    {"alternate", target_alternate},
    {"map", target_map},
    {"pass", target_pass},
    {"deep", target_deep},
    {0},
};

static void test_calls(void **state)
{
	struct fixture *fixture = fixture_new(true);
	const struct log *log = &fixture->log;
	struct event_syscall *event, *closing;
	struct event_data *data;
	size_t at = 0;

	(void)state;
	fixture_run(fixture, "calls", "10");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(log, EVENT_SYSCALL, __NR_eventfd2), 10);
	for (int i = 0; i < 10; i++) {
		event = log_next(log, &at, EVENT_SYSCALL, __NR_eventfd2);
		assert_int_equal(event->phase, EVENT_LEAVE);
		assert_int_equal(event->args[0], 1);
		assert_int_equal(event->stacks_n, 1);
		assert_true(event->stacks[0].start == event->registers.sp);
		assert_int_equal(event->stacks[0].flags, 0);
		assert_true(stack_contains(event, 0, marker));
		closing = log_next(log, &at, EVENT_SYSCALL, __NR_close);
		assert_int_equal(closing->phase, EVENT_ENTER);
		assert_int_equal(closing->args[0], event->result);
		assert_true(stack_contains(closing, 0, marker));
	}
	event = log_next(log, &at, EVENT_SYSCALL, __NR_pipe2);
	assert_true(event->out[0] > 2 && event->out[1] == event->out[0] + 1);
	data = log_next(log, &at, EVENT_DATA, 0);
	assert_int_equal(data->kind, EVENT_DATA_PATH);
	assert_int_equal(data->size, strlen("/dev/null"));
	assert_memory_equal(data->bytes, "/dev/null", data->size);
	assert_non_null(log_next(log, &at, EVENT_SYSCALL, __NR_openat));
	assert_int_equal(
	    ((struct event_syscall *)log_next(log, &at, EVENT_SYSCALL, __NR_dup2))->result, 77);
	event = log_next(log, &at, EVENT_SYSCALL, __NR_fcntl);
	assert_int_equal(event->result, 100); /* F_GETFD is guarded away */
	assert_int_equal(log_count(log, EVENT_SYSCALL, __NR_fcntl), 1);
	assert_non_null(log_next(log, &at, EVENT_SYSCALL, __NR_close));
	closing = log_next(log, &at, EVENT_SYSCALL, __NR_close);
	event = log_next(log, &at, EVENT_SYSCALL, __NR_close);
	assert_int_equal(closing->phase, EVENT_ENTER);
	assert_int_equal(event->phase, EVENT_LEAVE);
	assert_int_equal(event->result, -EBADF);
	assert_int_equal(event->stacks_n, 1);
	fixture_free(fixture);
}

static void test_bad_reference(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *opened, *event;

	(void)state;
	fixture_run(fixture, "bad", "0");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_read), 1);
	opened = log_first(&fixture->log, EVENT_SYSCALL, __NR_eventfd2);
	event = log_first(&fixture->log, EVENT_SYSCALL, __NR_read);
	assert_int_equal(event->result, -EBADF);
	assert_int_equal(event->args[0], opened->result);
	assert_int_equal(event->stacks_n, 1);
	fixture_free(fixture);
}

static void test_second_descriptor(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *event;

	(void)state;
	fixture_run(fixture, "bad_second", "0");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_epoll_ctl), 1);
	event = log_first(&fixture->log, EVENT_SYSCALL, __NR_epoll_ctl);
	assert_int_equal(event->result, -EBADF);
	assert_int_equal(event->args[2], 99);
	fixture_free(fixture);
}

/* Every close that fails is told, though its number was open when it began. */
static void test_contested_closes(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *event;
	size_t at = 0, failed = 0;

	(void)state;
	fixture_run(fixture, "contest", "300");
	assert_exited(fixture, 0);
	while ((event = log_next(&fixture->log, &at, EVENT_SYSCALL, __NR_close)))
		failed += event->phase == EVENT_LEAVE && event->result == -EBADF;
	assert_int_equal(failed, 300);
	fixture_free(fixture);
}

/* The thread that unshares, and the one that it makes, begin and end before the process does. */
static void test_own_table(void **state)
{
	struct fixture *fixture = fixture_new(true);
	const struct log *log = &fixture->log;
	struct event_fork *outer, *inner;
	struct event_exit *event;
	size_t at = 0, end = 0;
	pid_t pid;

	(void)state;
	pid = fixture_run(fixture, "own_table", "0");
	assert_exited(fixture, 0);
	outer = log_next(log, &at, EVENT_FORK, 0);
	inner = log_next(log, &at, EVENT_FORK, 0);
	assert_int_equal(outer->header.tid, pid);
	assert_int_equal(outer->header.flags & EVENT_FORK_THREAD, EVENT_FORK_THREAD);
	assert_int_equal(inner->header.tid, outer->child_tid);
	assert_int_equal(inner->header.flags & EVENT_FORK_FILES, EVENT_FORK_FILES);
	event = log_next(log, &end, EVENT_EXIT, 0);
	assert_int_equal(event->header.tid, inner->child_tid);
	assert_int_equal(event->header.flags, 0);
	event = log_next(log, &end, EVENT_EXIT, 0);
	assert_int_equal(event->header.tid, outer->child_tid);
	assert_int_equal(event->header.flags, 0);
	event = log_next(log, &end, EVENT_EXIT, 0);
	assert_int_equal(event->header.tid, pid);
	assert_int_equal(event->header.flags, EVENT_EXIT_PROCESS);
	assert_null(log_next(log, &end, EVENT_EXIT, 0));
	fixture_free(fixture);
}

static void test_threads(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *event;
	pid_t pid, tids[5] = {0};
	size_t at = 0, threads = 0;

	(void)state;
	pid = fixture_run(fixture, "threads", "100");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_eventfd2), 400);
	while ((event = log_next(&fixture->log, &at, EVENT_SYSCALL, __NR_eventfd2))) {
		size_t i = 0;

		assert_int_equal(event->header.pid, pid);
		assert_int_equal(event->stacks_n, 1);
		while (i < threads && tids[i] != event->header.tid)
			i++;
		assert_true(i < 4);
		if (i == threads)
			tids[threads++] = event->header.tid;
	}
	assert_int_equal(threads, 4);
	fixture_free(fixture);
}

static void test_alternate_stack(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *event;

	(void)state;
	fixture_run(fixture, "alternate", "0");
	assert_exited(fixture, 0);
	event = log_first(&fixture->log, EVENT_SYSCALL, __NR_eventfd2);
	assert_int_equal(event->args[0], 42);
	assert_int_equal(event->stacks_n, 2);
	assert_true(event->stacks[0].size < 32768);
	assert_false(stack_contains(event, 0, marker));
	assert_true(stack_contains(event, 1, marker));
	fixture_free(fixture);
}

static void test_maps(void **state)
{
	struct fixture *fixture = fixture_new(true);
	unsigned exe = 0, vdso = 0, anonymous = 0, libc = 0, mapped = 0;
	struct event_map *event;
	size_t at = 0;

	(void)state;
	fixture_run(fixture, "map", "0");
	assert_exited(fixture, 0);
	while ((event = log_next(&fixture->log, &at, EVENT_MAP, 0))) {
		exe += event->header.flags == EVENT_MAP_EXE;
		vdso += event->header.flags == EVENT_MAP_VDSO && !event->path_size;
		anonymous += !event->inode && event->end - event->start == 12288;
		libc += memmem(event->path, event->path_size, "libc.so", 7) != NULL;
		mapped += event->header.flags == EVENT_MAP_EXE && event->file_offset == 4096 &&
			  event->end - event->start == 8192;
	}
	assert_int_equal(exe, 2);
	assert_int_equal(mapped, 1);
	assert_int_equal(vdso, 1);
	assert_int_equal(anonymous, 1);
	assert_int_equal(libc, 1);
	fixture_free(fixture);
}

static void test_control(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_data *data;
	size_t at = 0;
	int32_t fd;

	(void)state;
	fixture_run(fixture, "pass", "0");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_recvmsg), 1);
	log_next(&fixture->log, &at, EVENT_SYSCALL, __NR_recvmsg);
	data = (struct event_data *)fixture->log.events.data[at - 2];
	assert_int_equal(data->kind, EVENT_DATA_CONTROL);
	assert_int_equal(data->size, CMSG_SPACE(sizeof(int)));
	memcpy(&fd, data->bytes + CMSG_LEN(0), sizeof(fd));
	assert_true(fd > 3 && fd < 100);
	fixture_free(fixture);
}

static void test_exit_descriptors(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_data *data;
	size_t at = 0;

	(void)state;
	fixture_run(fixture, "calls", "1");
	assert_non_null(log_next(&fixture->log, &at, EVENT_EXIT, 0));
	data = (struct event_data *)fixture->log.events.data[at - 2];
	assert_int_equal(data->kind, EVENT_DATA_FDS);
	assert_true(bitmap_has(data, 77));
	assert_true(bitmap_has(data, 100));
	assert_false(bitmap_has(data, 99));
	fixture_free(fixture);
}

static void test_deep_stack(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *event;

	(void)state;
	fixture_run(fixture, "deep", "40000");
	assert_exited(fixture, 0);
	event = log_first(&fixture->log, EVENT_SYSCALL, __NR_eventfd2);
	assert_int_equal(event->stacks[0].size, 16384);
	assert_int_equal(event->stacks[0].flags, EVENT_STACK_CUT);
	fixture_free(fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_calls),
	    cmocka_unit_test(test_bad_reference),
	    cmocka_unit_test(test_second_descriptor),
	    cmocka_unit_test(test_contested_closes),
	    cmocka_unit_test(test_own_table),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_alternate_stack),
	    cmocka_unit_test(test_maps),
	    cmocka_unit_test(test_control),
	    cmocka_unit_test(test_exit_descriptors),
	    cmocka_unit_test(test_deep_stack),
	};

	run_as_target(argc, argv, targets);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
