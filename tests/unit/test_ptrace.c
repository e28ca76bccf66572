/* collect/ptrace: programs that it starts. Each target does a known thing; its records must say it.
 */
#include "ptrace_harness.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

static const uint64_t marker = 0x1122334455667788;

static int target_exit(int status)
{
	return status;
}

static int target_kill(int number)
{
	signal(number, SIG_DFL);
	raise(number);
	return 0;
}

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

static void *thread_calls(void *count)
{
	for (int i = 0; i < (int)(intptr_t)count; i++)
		close(eventfd(0, 0));
	return NULL;
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

static int wait_for(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* fork, vfork + exec, posix_spawn; the children leave with known statuses. */
static int target_family(int unused)
{
	char *argv[] = {(char *)"target", (char *)"exit", (char *)"6", NULL};
	pid_t pid;

	(void)unused;
	eventfd(0, 0);
	pid = fork();
	if (pid == 0)
		_exit(eventfd(0, EFD_CLOEXEC) < 0 ? 1 : 5);
	if (wait_for(pid) != 5)
		return 1;
	pid = vfork();
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	if (wait_for(pid) != 6)
		return 2;
	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) || wait_for(pid) != 6)
		return 3;
	return execv("/no/such/program", argv) == -1 ? 0 : 4;
}

static void *thread_execs(void *unused)
{
	char *argv[] = {(char *)"target", (char *)"exit", (char *)"9", NULL};

	(void)unused;
	execv("/proc/self/exe", argv);
	return NULL;
}

static int target_thread_exec(int unused)
{
	pthread_t threads[3];

	(void)unused;
	fcntl(eventfd(0, 0), F_SETFD, FD_CLOEXEC);
	pthread_create(&threads[0], NULL, thread_calls, (void *)1000000);
	pthread_create(&threads[1], NULL, thread_execs, NULL);
	while (pause())
		;
	return 0;
}

static volatile sig_atomic_t signal_value;
static volatile sig_atomic_t signal_sender;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	signal_value = info->si_value.sival_int;
	signal_sender = info->si_pid;
}

static int target_sigqueue(int value)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 50; i++) {
		if (sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = value + i}) < 0)
			return 1;
		if (signal_value != value + i || signal_sender != getpid())
			return 2;
	}
	return 0;
}

/* Its child stops itself; untraced, the parent sees the stop, the continuing and the end. */
static int target_job_control(int unused)
{
	int status;
	pid_t pid = fork();

	(void)unused;
	if (pid == 0) {
		raise(SIGSTOP);
		_exit(3);
	}
	alarm(15);
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGSTOP)
		return 1;
	usleep(20000);
	if (waitpid(pid, &status, WNOHANG) != 0)
		return 2; /* it must stay stopped */
	kill(pid, SIGCONT);
	if (waitpid(pid, &status, WCONTINUED) != pid || !WIFCONTINUED(status))
		return 3;
	return wait_for(pid) == 3 ? 0 : 4;
}

static void on_alternate(int number)
{
	(void)number;
	close(eventfd(42, 0));
}

/* Stops itself while another thread runs. */
static int target_stop(int unused)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_calls, (void *)2000);
	usleep(10000);
	raise(SIGSTOP);
	pthread_join(thread, NULL);
	return unused;
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

/* Becomes a 32-bit program that leaves with 5: an ELF header, a program header and
 * mov $1,%eax; mov $5,%ebx; int $0x80. */
static int target_foreign(int unused)
{
	static const unsigned char program[] = {
	    0x7f, 'E',  'L', 'F', 1,    1,    1, 0, 0,  0,    0, 0, 0,  0, 0,    0,   2, 0, 3, 0,
	    1,    0,    0,   0,   0x54, 0x80, 4, 8, 52, 0,    0, 0, 0,  0, 0,    0,   0, 0, 0, 0,
	    52,   0,    32,  0,   1,    0,    0, 0, 0,  0,    0, 0, 1,  0, 0,    0,   0, 0, 0, 0,
	    0,    0x80, 4,   8,   0,    0x80, 4, 8, 96, 0,    0, 0, 96, 0, 0,    0,   5, 0, 0, 0,
	    0,    0x10, 0,   0,   0xb8, 1,    0, 0, 0,  0xbb, 5, 0, 0,  0, 0xcd, 0x80};
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	char *argv[] = {(char *)"foreign", NULL};

	(void)unused;
	if (write(fd, program, sizeof(program)) != sizeof(program))
		return 1;
	fexecve(fd, argv, environ);
	return errno == ENOEXEC ? SKIPPED : 2;
}

/* Children that fork and are killed while they do, all at once. */
static int target_storm(int count)
{
	pid_t children[200];
	int wrong = 0;

	alarm(60);
	for (int i = 0; i < count; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			for (int j = 0; j < 20; j++) {
				pid_t pid = fork();

				if (pid == 0)
					_exit(close(eventfd(0, 0)));
				waitpid(pid, NULL, 0);
			}
			_exit(7);
		}
	}
	for (int i = 0; i < count; i += 2)
		kill(children[i], SIGKILL);
	for (int i = 0; i < count; i++) {
		int status;

		if (waitpid(children[i], &status, 0) != children[i])
			wrong++;
		else if (i % 2 ? !WIFEXITED(status) || WEXITSTATUS(status) != 7
			       : !WIFSIGNALED(status) && WEXITSTATUS(status) != 7)
			wrong++;
	}
	return wrong;
}

static int target_sleep(int seconds)
{
	sleep(seconds);
	return 0;
}

static int target_pair(int count)
{
	int64_t start = now_ms();

	for (int i = 0; i < count; i++)
		close(eventfd(0, 0));
	printf("%d pairs: %ld ns a pair\n", count, (long)(now_ms() - start) * 1000000 / count);
	return 0;
}

static const struct target targets[] = {
    {"exit", target_exit},
    {"kill", target_kill},
    {"calls", target_calls},
    {"bad", target_bad},
    {"bad_second", target_bad_second},
    {"contest", target_contest},
    {"own_table", target_own_table},
    {"threads", target_threads},
    {"family", target_family},
    {"thread_exec", target_thread_exec},
    {"sigqueue", target_sigqueue},
    {"job_control", target_job_control},
    {"stop", target_stop},
    {"alternate", target_alternate},
    {"map", target_map},
    {"pass", target_pass},
    {"storm", target_storm},
    {"deep", target_deep},
    {"foreign", target_foreign},
    {"sleep", target_sleep},
    {"pair", target_pair},
    {0},
};

static void assert_exited(const struct fixture *fixture, int status)
{
	if (!WIFEXITED(fixture->status) || WEXITSTATUS(fixture->status) != status)
		printf("wait status %x\n", fixture->status);
	assert_true(WIFEXITED(fixture->status));
	assert_int_equal(WEXITSTATUS(fixture->status), status);
}

static void test_status(void **state)
{
	static const int signals[] = {SIGTERM, SIGKILL, SIGSEGV, SIGTRAP};
	struct fixture *fixture;
	struct event_exit *event;
	char number[16];

	(void)state;
	fixture = fixture_new(true);
	fixture_run(fixture, "exit", "7");
	assert_exited(fixture, 7);
	event = log_first(&fixture->log, EVENT_EXIT, 0);
	assert_non_null(event);
	assert_int_equal(event->status, fixture->status);
	assert_int_equal(event->header.flags, EVENT_EXIT_PROCESS);
	fixture_free(fixture);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		fixture = fixture_new(true);
		snprintf(number, sizeof(number), "%d", signals[i]);
		fixture_run(fixture, "kill", number);
		assert_true(WIFSIGNALED(fixture->status));
		assert_int_equal(WTERMSIG(fixture->status), signals[i]);
		fixture_free(fixture);
	}
}

static void test_no_program(void **state)
{
	struct fixture *fixture = fixture_new(true);
	char *argv[] = {(char *)"x", NULL};
	struct spawn spawn = {"/no/such/program", argv, argv + 1};
	pid_t pid;

	(void)state;
	assert_int_equal(collector_ptrace.spawn(fixture->collector, &spawn, &pid, &fixture->error),
			 -ENOENT);
	spawn.path = "/etc/passwd";
	assert_int_equal(collector_ptrace.spawn(fixture->collector, &spawn, &pid, &fixture->error),
			 -EACCES);
	assert_int_equal(fixture_poll(fixture, 10), -ECHILD);
	fixture_free(fixture);
}

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

static bool bitmap_has(const struct event_data *data, unsigned fd)
{
	return fd / 8 < data->size && data->bytes[fd / 8] >> fd % 8 & 1;
}

static void test_family(void **state)
{
	struct fixture *fixture = fixture_new(true);
	const struct log *log = &fixture->log;
	struct event_syscall *opened;
	struct event_fork *event;
	struct event_data *data;
	size_t at = 0;
	pid_t pid;

	(void)state;
	pid = fixture_run(fixture, "family", "0");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(log, EVENT_FORK, 0), 3);
	assert_int_equal(log_count(log, EVENT_EXEC, 0), 3);
	assert_int_equal(log_count(log, EVENT_EXIT, 0), 4);
	opened = log_next(log, &at, EVENT_SYSCALL, __NR_eventfd2);
	event = log_next(log, &at, EVENT_FORK, 0);
	data = (struct event_data *)log->events.data[at - 2];
	assert_int_equal(data->header.type, EVENT_DATA);
	assert_int_equal(data->header.tid, pid);
	assert_true(bitmap_has(data, opened->result));
	assert_false(bitmap_has(data, opened->result + 1));
	assert_int_equal(event->header.pid, pid);
	assert_int_equal(event->header.flags, 0);
	opened = log_next(log, &at, EVENT_SYSCALL, __NR_eventfd2);
	assert_int_equal(opened->header.pid, event->child_pid);
	event = log_next(log, &at, EVENT_FORK, 0);
	assert_int_equal(event->header.flags, EVENT_FORK_VM);
	fixture_free(fixture);
}

static void test_no_children(void **state)
{
	struct fixture *fixture = fixture_new(false);

	(void)state;
	fixture_run(fixture, "family", "0");
	assert_exited(fixture, 0);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_eventfd2), 1);
	assert_int_equal(log_count(&fixture->log, EVENT_EXEC, 0), 1);
	fixture_free(fixture);
}

static void test_thread_exec(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct fixture *fixture = fixture_new(true);
		struct event_syscall *opened;
		struct event_data *data;
		struct event_exec *event;
		size_t at = 0;
		pid_t pid = fixture_run(fixture, "thread_exec", "0");

		assert_exited(fixture, 9);
		log_next(&fixture->log, &at, EVENT_EXEC, 0);
		opened = log_next(&fixture->log, &at, EVENT_SYSCALL, __NR_eventfd2);
		event = log_next(&fixture->log, &at, EVENT_EXEC, 0);
		data = (struct event_data *)fixture->log.events.data[at - 2];
		assert_int_equal(data->kind, EVENT_DATA_FDS);
		assert_false(bitmap_has(data, opened->result));
		assert_true(bitmap_has(data, 1));
		assert_int_equal(event->header.pid, pid);
		assert_int_equal(event->header.tid, pid);
		assert_int_not_equal(event->old_tid, pid);
		fixture_free(fixture);
	}
}

static void test_sigqueue(void **state)
{
	struct fixture *fixture = fixture_new(true);

	(void)state;
	fixture_run(fixture, "sigqueue", "1234");
	assert_exited(fixture, 0);
	fixture_free(fixture);
}

static void test_job_control(void **state)
{
	struct fixture *fixture = fixture_new(true);

	(void)state;
	fixture_run(fixture, "job_control", "0");
	assert_exited(fixture, 0);
	fixture_free(fixture);
}

static void test_child_stopped(void **state)
{
	struct fixture *fixture = fixture_new(true);
	pid_t pid = fixture_spawn(fixture, "stop", "4");
	int64_t deadline = now_ms() + PATIENCE_MS;
	bool all = false;

	(void)state;
	assert_false(collector_ptrace.child_stopped(fixture->collector, &all));
	while (!collector_ptrace.child_stopped(fixture->collector, &all)) {
		assert_true(now_ms() < deadline);
		fixture_poll(fixture, 10);
	}
	assert_true(all);
	fixture_poll(fixture, 50);
	assert_true(collector_ptrace.child_stopped(fixture->collector, &all));
	kill(pid, SIGCONT);
	fixture_drain(fixture);
	assert_false(collector_ptrace.child_stopped(fixture->collector, &all));
	assert_true(collector_ptrace.child_ended(fixture->collector, &fixture->status));
	assert_exited(fixture, 4);
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

/* Every process that was told of by a fork ends, and nobody hangs. */
static void test_storm(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_fork *fork_event;
	struct event_exit *event;
	size_t at = 0;

	(void)state;
	fixture_run(fixture, "storm", "100");
	assert_exited(fixture, 0);
	assert_true(log_count(&fixture->log, EVENT_FORK, 0) > 100);
	while ((fork_event = log_next(&fixture->log, &at, EVENT_FORK, 0))) {
		size_t after = at;

		do
			event = log_next(&fixture->log, &after, EVENT_EXIT, 0);
		while (event && event->header.pid != fork_event->child_pid);
		assert_non_null(event);
	}
	fixture_free(fixture);
}

static void test_foreign_program(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct event_exec *event;
	size_t at = 0;

	(void)state;
	fixture_run(fixture, "foreign", "0");
	if (WIFEXITED(fixture->status) && WEXITSTATUS(fixture->status) == SKIPPED) {
		fixture_free(fixture);
		skip(); /* this kernel runs no 32-bit programs */
	}
	assert_exited(fixture, 5);
	event = log_next(&fixture->log, &at, EVENT_EXEC, 0);
	assert_int_equal(event->header.flags, 0);
	event = log_next(&fixture->log, &at, EVENT_EXEC, 0);
	assert_int_equal(event->header.flags, EVENT_EXEC_FOREIGN);
	fixture_free(fixture);
}

/* The filter of a started program needs its tracer: the program ends with it. */
static void test_tracer_killed(void **state)
{
	int ready[2], status;
	pid_t tracer, pid = 0;
	char path[64];

	(void)state;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	tracer = fork();
	if (tracer == 0) {
		struct fixture *fixture = fixture_new(true);

		pid = fixture_spawn(fixture, "sleep", "30");
		fixture_poll(fixture, 100);
		if (write(ready[1], &pid, sizeof(pid)) < 0)
			_exit(1);
		for (;;)
			fixture_poll(fixture, 1000);
	}
	assert_int_equal(read(ready[0], &pid, sizeof(pid)), sizeof(pid));
	kill(tracer, SIGKILL);
	assert_int_equal(waitpid(tracer, &status, 0), tracer);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end; usleep(1000))
		if (readlink(path, path + 32, 16) < 0)
			break;
	assert_true(readlink(path, path + 32, 16) < 0);
	close(ready[0]);
	close(ready[1]);
}

static void on_interrupt(int number)
{
	(void)number;
}

static void test_poll_waits(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct sigaction action = {.sa_handler = on_interrupt};
	struct itimerval timer = {.it_value = {.tv_usec = 50000}};
	pid_t pid = fixture_spawn(fixture, "sleep", "10");
	int64_t start;
	int result;

	(void)state;
	while (fixture_poll(fixture, 200) > 0)
		;
	start = now_ms();
	assert_int_equal(fixture_poll(fixture, 100), 0);
	assert_true(now_ms() - start >= 95 && now_ms() - start < 2000);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	start = now_ms();
	result = fixture_poll(fixture, 5000);
	assert_int_equal(result, -EINTR);
	assert_true(now_ms() - start < 3000);
	assert_int_equal(fixture_poll(fixture, 0), 0);
	kill(pid, SIGTERM);
	fixture_drain(fixture);
	fixture_free(fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_status),
	    cmocka_unit_test(test_no_program),
	    cmocka_unit_test(test_calls),
	    cmocka_unit_test(test_bad_reference),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_family),
	    cmocka_unit_test(test_no_children),
	    cmocka_unit_test(test_thread_exec),
	    cmocka_unit_test(test_sigqueue),
	    cmocka_unit_test(test_job_control),
	    cmocka_unit_test(test_alternate_stack),
	    cmocka_unit_test(test_maps),
	    cmocka_unit_test(test_control),
	    cmocka_unit_test(test_exit_descriptors),
	    cmocka_unit_test(test_poll_waits),
	    cmocka_unit_test(test_deep_stack),
	    cmocka_unit_test(test_storm),
	    cmocka_unit_test(test_foreign_program),
	    cmocka_unit_test(test_tracer_killed),
	    cmocka_unit_test(test_second_descriptor),
	    cmocka_unit_test(test_contested_closes),
	    cmocka_unit_test(test_own_table),
	    cmocka_unit_test(test_child_stopped),
	};

	run_as_target(argc, argv, targets);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
