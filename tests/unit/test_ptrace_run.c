/* collect/ptrace: how a program fares that it starts: its status, signals, children, end. */
#include "ptrace_harness.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/time.h>

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

static const struct target targets[] = {
    {"exit", target_exit},
    {"kill", target_kill},
    {"family", target_family},
    {"thread_exec", target_thread_exec},
    {"sigqueue", target_sigqueue},
    {"job_control", target_job_control},
    {"stop", target_stop},
    {"storm", target_storm},
    {"foreign", target_foreign},
    {"sleep", target_sleep},
    {0},
};

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
		return;
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
	    cmocka_unit_test(test_status),        cmocka_unit_test(test_no_program),
	    cmocka_unit_test(test_family),        cmocka_unit_test(test_no_children),
	    cmocka_unit_test(test_thread_exec),   cmocka_unit_test(test_sigqueue),
	    cmocka_unit_test(test_job_control),   cmocka_unit_test(test_child_stopped),
	    cmocka_unit_test(test_storm),         cmocka_unit_test(test_foreign_program),
	    cmocka_unit_test(test_tracer_killed), cmocka_unit_test(test_poll_waits),
	};

	run_as_target(argc, argv, targets);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
