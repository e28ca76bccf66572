/* collect/ptrace: processes that run already. They must not notice, whatever becomes of the tracer.
 */
#include "ptrace_harness.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

/* What a target and the test both see. */
struct shared {
	_Atomic uint32_t rounds[4];
	_Atomic uint32_t wrong;
	_Atomic int32_t value;
	_Atomic int32_t ready;
	_Atomic int32_t stop;
};

static struct shared *shared_new(void)
{
	void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static pid_t target_start(struct shared *shared, void (*run)(struct shared *shared))
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(shared);
		_exit(0);
	}
	while (!shared->ready && now_ms() < deadline)
		usleep(1000);
	assert_true(shared->ready);
	return pid;
}

static void target_end(struct shared *shared, pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	munmap(shared, sizeof(*shared));
}

struct worker {
	struct shared *shared;
	int index;
};

static void *worker_run(void *context)
{
	struct worker *worker = context;
	struct shared *shared = worker->shared;

	while (!shared->stop) {
		int fd = eventfd(worker->index, 0);
		uint64_t value = 1;

		if (fd < 0 || write(fd, &value, 8) != 8 || read(fd, &value, 8) != 8 ||
		    value != 1u + worker->index || close(fd) < 0)
			shared->wrong++;
		if (worker->index == 3 && usleep(100) < 0) /* nobody sends signals */
			shared->wrong++;
		shared->rounds[worker->index]++;
	}
	return NULL;
}

static void run_busy(struct shared *shared)
{
	struct worker workers[4];
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		workers[i] = (struct worker){shared, i};
		pthread_create(&threads[i], NULL, worker_run, &workers[i]);
	}
	shared->ready = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

/* All four threads get on with it. */
static void assert_works(struct shared *shared)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	uint32_t before[4];

	for (int i = 0; i < 4; i++)
		before[i] = shared->rounds[i];
	for (int i = 0; i < 4; i++)
		while (shared->rounds[i] < before[i] + 20) {
			assert_true(now_ms() < deadline);
			usleep(1000);
		}
	assert_int_equal(shared->wrong, 0);
}

static int attach(struct fixture *fixture, pid_t pid)
{
	int result =
	    collector_ptrace.attach(fixture->collector, pid, &fixture->sink, &fixture->error);

	if (result < 0)
		printf("attach: %s\n", fixture->error.message);
	return result;
}

static void poll_for(struct fixture *fixture, int ms)
{
	for (int64_t end = now_ms() + ms; now_ms() < end;)
		fixture_poll(fixture, 20);
}

static pid_t tracer_of(pid_t pid)
{
	char path[64], line[128];
	pid_t tracer = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "TracerPid: %d", &tracer);
	fclose(file);
	return tracer;
}

static void test_again_and_again(void **state)
{
	struct shared *shared = shared_new();
	pid_t pid = target_start(shared, run_busy);

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct fixture *fixture = fixture_new(true);
		struct event_syscall *event;
		bool seen[4] = {0};
		size_t at = 0;

		assert_int_equal(attach(fixture, pid), 0);
		assert_int_equal(fixture->log.events.data[0]->type, EVENT_MAP);
		poll_for(fixture, 60);
		collector_ptrace.detach(fixture->collector);
		assert_int_equal(tracer_of(pid), 0);
		fixture_poll(fixture, 0);
		assert_int_equal(fixture_poll(fixture, 0), -ECHILD);
		while ((event = log_next(&fixture->log, &at, EVENT_SYSCALL, __NR_eventfd2))) {
			assert_int_equal(event->header.pid, pid);
			assert_int_equal(event->phase, EVENT_LEAVE);
			assert_true(event->result > 2 && event->args[0] < 4);
			assert_int_equal(event->stacks_n, 1);
			seen[event->args[0]] = true;
		}
		assert_true(seen[0] || seen[1] || seen[2] || seen[3]);
		assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_read), 0);
		fixture_free(fixture);
		assert_works(shared);
	}
	target_end(shared, pid);
}

static void test_tracer_killed(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct shared *shared = shared_new();
		pid_t pid = target_start(shared, run_busy), tracer = fork();
		int status;

		if (tracer == 0) {
			struct fixture *fixture = fixture_new(true);

			if (attach(fixture, pid) < 0)
				_exit(1);
			shared->value = 1;
			for (;;)
				fixture_poll(fixture, 1000);
		}
		for (int64_t end = now_ms() + PATIENCE_MS; !shared->value && now_ms() < end;)
			usleep(1000);
		assert_int_equal(shared->value, 1);
		usleep(10000 + 1000 * round);
		kill(tracer, SIGKILL);
		assert_int_equal(waitpid(tracer, &status, 0), tracer);
		assert_int_equal(WTERMSIG(status), SIGKILL);
		assert_works(shared);
		assert_int_equal(tracer_of(pid), 0);
		target_end(shared, pid);
	}
}

static struct shared *handler_shared;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	handler_shared->value = info->si_value.sival_int;
	handler_shared->rounds[0]++;
}

/* Waits in accept4(), which a signal restarts, for a connection that comes late. */
static void run_accept(struct shared *shared)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct {
		sa_family_t family;
		char path[20];
	} address = {AF_UNIX, ""};

	handler_shared = shared;
	sigaction(SIGUSR1, &action, NULL);
	snprintf(address.path + 1, sizeof(address.path) - 1, "htrace%d", getpid());
	if (bind(fd, (void *)&address, sizeof(address)) < 0 || listen(fd, 5) < 0)
		return;
	shared->ready = 1;
	while (!shared->stop) {
		if (accept4(fd, NULL, NULL, 0) < 0)
			shared->wrong++;
		shared->rounds[1]++;
	}
}

static void connect_to(pid_t pid)
{
	struct {
		sa_family_t family;
		char path[20];
	} address = {AF_UNIX, ""};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.path + 1, sizeof(address.path) - 1, "htrace%d", pid);
	assert_int_equal(connect(fd, (void *)&address, sizeof(address)), 0);
	close(fd);
}

static void test_blocked_call(void **state)
{
	struct shared *shared = shared_new();
	pid_t pid = target_start(shared, run_accept);
	struct fixture *fixture = fixture_new(true);
	struct event_syscall *event;

	(void)state;
	usleep(20000);
	assert_int_equal(attach(fixture, pid), 0);
	poll_for(fixture, 50);
	sigqueue(pid, SIGUSR1, (union sigval){.sival_int = 4711});
	poll_for(fixture, 100);
	assert_int_equal(shared->value, 4711);
	assert_int_equal(shared->rounds[0], 1);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_accept4), 0);
	connect_to(pid);
	poll_for(fixture, 100);
	assert_int_equal(shared->rounds[1], 1);
	assert_int_equal(log_count(&fixture->log, EVENT_SYSCALL, __NR_accept4), 1);
	event = log_first(&fixture->log, EVENT_SYSCALL, __NR_accept4);
	assert_true(event->result > 2);
	collector_ptrace.detach(fixture->collector);
	connect_to(pid);
	for (int64_t end = now_ms() + PATIENCE_MS; shared->rounds[1] < 2 && now_ms() < end;)
		usleep(1000);
	assert_int_equal(shared->rounds[1], 2);
	assert_int_equal(shared->wrong, 0);
	fixture_free(fixture);
	target_end(shared, pid);
}

/* A stopped target stays stopped while it is attached, after it was detached, and until SIGCONT. */
static void test_stopped_target(void **state)
{
	struct shared *shared = shared_new();
	pid_t pid = target_start(shared, run_busy);
	struct fixture *fixture = fixture_new(true);
	uint32_t rounds;

	(void)state;
	kill(pid, SIGSTOP);
	usleep(50000);
	rounds = shared->rounds[0];
	assert_int_equal(attach(fixture, pid), 0);
	poll_for(fixture, 100);
	assert_int_equal(shared->rounds[0], rounds);
	collector_ptrace.detach(fixture->collector);
	usleep(50000);
	assert_int_equal(tracer_of(pid), 0);
	assert_int_equal(state_of(pid), 'T');
	assert_int_equal(shared->rounds[0], rounds);
	fixture_free(fixture);
	kill(pid, SIGCONT);
	assert_works(shared);
	fixture = fixture_new(true);
	assert_int_equal(attach(fixture, pid), 0);
	kill(pid, SIGSTOP);
	poll_for(fixture, 100);
	rounds = shared->rounds[0];
	poll_for(fixture, 50);
	assert_int_equal(shared->rounds[0], rounds);
	kill(pid, SIGCONT);
	for (int64_t deadline = now_ms() + PATIENCE_MS; shared->rounds[0] == rounds;) {
		assert_true(now_ms() < deadline);
		fixture_poll(fixture, 20);
	}
	fixture_free(fixture);
	assert_works(shared);
	target_end(shared, pid);
}

static void run_forking(struct shared *shared)
{
	shared->ready = 1;
	while (!shared->stop) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			close(eventfd(0, 0));
			_exit(4);
		}
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 4)
			shared->wrong++;
		shared->rounds[0]++;
	}
}

static void test_forking(void **state)
{
	(void)state;
	for (int follow = 0; follow < 2; follow++) {
		struct shared *shared = shared_new();
		pid_t pid = target_start(shared, run_forking);
		struct fixture *fixture = fixture_new(follow);
		uint32_t rounds;

		assert_int_equal(attach(fixture, pid), 0);
		poll_for(fixture, 200);
		collector_ptrace.detach(fixture->collector);
		if (follow)
			assert_true(log_count(&fixture->log, EVENT_FORK, 0) > 2 &&
				    log_count(&fixture->log, EVENT_SYSCALL, __NR_eventfd2) > 2 &&
				    log_count(&fixture->log, EVENT_EXIT, 0) > 2);
		else
			assert_int_equal(log_count(&fixture->log, EVENT_FORK, 0), 0);
		rounds = shared->rounds[0];
		usleep(100000);
		assert_true(shared->rounds[0] > rounds);
		assert_int_equal(shared->wrong, 0);
		fixture_free(fixture);
		target_end(shared, pid);
	}
}

static void run_sleeping(struct shared *shared)
{
	shared->ready = 1;
	sleep(60);
}

static void test_refusals(void **state)
{
	struct fixture *fixture = fixture_new(true);
	struct shared *shared = shared_new();
	pid_t pid = target_start(shared, run_sleeping), ended = fork();
	char expected[64];
	siginfo_t info;
	pid_t other;
	int status;

	(void)state;
	if (ended == 0)
		_exit(0);
	assert_int_equal(attach(fixture, 0x3fffff), -ESRCH);
	waitid(P_PID, ended, &info, WEXITED | WNOWAIT);
	assert_int_equal(attach(fixture, ended), -ESRCH);
	waitpid(ended, NULL, 0);
	assert_int_equal(attach(fixture, getpid()), -EINVAL);
	if (geteuid() != 0)
		assert_int_equal(attach(fixture, 1), -EPERM);
	assert_int_equal(attach(fixture, pid), 0);
	other = fork();
	if (other == 0) {
		struct fixture *second = fixture_new(true);

		snprintf(expected, sizeof(expected), "already traced by process %d", getppid());
		_exit(attach(second, pid) != -EPERM || !strstr(second->error.message, expected));
	}
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
	fixture_free(fixture);
	target_end(shared, pid);
}

static void test_target_ends(void **state)
{
	struct shared *shared = shared_new();
	pid_t pid = target_start(shared, run_busy);
	struct fixture *fixture = fixture_new(true);
	struct event_exit *event;
	size_t at = 0;

	(void)state;
	assert_int_equal(attach(fixture, pid), 0);
	poll_for(fixture, 20);
	kill(pid, SIGTERM);
	fixture_drain(fixture);
	do /* the ends of its threads come first */
		event = log_next(&fixture->log, &at, EVENT_EXIT, 0);
	while (event && !(event->header.flags & EVENT_EXIT_PROCESS));
	assert_non_null(event);
	assert_true(WIFSIGNALED(event->status) && WTERMSIG(event->status) == SIGTERM);
	assert_int_equal(event->header.pid, pid);
	fixture_free(fixture);
	munmap(shared, sizeof(*shared));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_again_and_again), cmocka_unit_test(test_tracer_killed),
	    cmocka_unit_test(test_blocked_call),    cmocka_unit_test(test_stopped_target),
	    cmocka_unit_test(test_forking),         cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_target_ends),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
