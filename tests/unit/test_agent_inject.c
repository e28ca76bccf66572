/*
 * collect/agent/inject: an agent that only tells that it was there comes to programs that run, and
 * goes. They check themselves that they do not notice (inject_target.c).
 */
#include "inject_harness.h"

static void come_and_go(char *program, const char *mode, int cycles)
{
	struct target target = target_start(program, mode);
	uint64_t worst = 0, sum = 0, base = 0;
	struct injected injected;
	struct procfs_fds tids;
	int images = 0;

	assert_int_equal(procfs_threads(target.pid, &tids, NULL), 0);
	for (int cycle = 1; cycle <= cycles; cycle++) {
		assert_injected(&target, cycle, &injected);
		assert_int_equal(target.shared->agent[1], cycle);
		worst = injected.stopped_ns > worst ? injected.stopped_ns : worst;
		sum += injected.stopped_ns;
		if (cycle == 1) {
			base = injected.base;
			images = count_images(target.pid);
			print_message("first: stood %.2f ms\n", injected.stopped_ns * 1e-6);
		}
		assert_int_equal(injected.base, base);
		if (cycle % 10 == 0)
			assert_works(&target);
		assert_withdrawn(&target, &injected);
		worst = injected.stopped_ns > worst ? injected.stopped_ns : worst;
		sum += injected.stopped_ns;
	}
	assert_int_equal(count_images(target.pid), images);
	print_message("%zu threads stood %.2f ms, at most %.2f ms\n", tids.numbers.count,
		      sum * 1e-6 / (2 * cycles), worst * 1e-6);
	array_fini(&tids.numbers);
	assert_works(&target);
	target_end(&target);
}

static void test_many_threads(void **state)
{
	come_and_go(programs[0], "threads", 100);
}

static void test_static(void **state)
{
	come_and_go(programs[1], "threads", 10);
	come_and_go(programs[1], "few", 10);
	come_and_go(programs[2], "few", 10);
}

/* As nobody in particular; what is root's is refused. */
static void test_ordinary_user(void **state)
{
	struct target roots;
	struct error error = {0};
	struct injected injected;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	roots = target_start(programs[0], "few");
	pid = fork();
	if (pid == 0) {
		struct target target;

		if (setgid(65534) < 0 || setuid(65534) < 0 || access(programs[0], X_OK) < 0)
			_exit(77);
		if (agent_inject(roots.pid, agent, "1:0", &injected, &error) != -EPERM ||
		    !strstr(error.message, "belongs to user 0"))
			_exit(1);
		target = target_start(programs[0], "few");
		for (int cycle = 1; cycle <= 10; cycle++) {
			assert_injected(&target, cycle, &injected);
			assert_withdrawn(&target, &injected);
		}
		target_end(&target);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	target_end(&roots);
	if (status == 77 << 8) {
		print_message("skipped: user 65534 may not read %s\n", programs[0]);
		skip();
	}
	assert_int_equal(status, 0);
}

static void test_leaderless(void **state)
{
	struct target target = target_start(programs[0], "leaderless");
	struct injected injected;

	wait_for(state_of(target.pid) == 'Z');
	for (int cycle = 1; cycle <= 3; cycle++) {
		assert_injected(&target, cycle, &injected);
		assert_works(&target);
		assert_withdrawn(&target, &injected);
	}
	target_end(&target);
}

/* Another build of the agent gets an image of its own, the first is still found. */
static void test_other_agent(void **state)
{
	struct target target = target_start(programs[0], "few");
	struct injected first, other, again;
	struct error error;
	char variable[64];

	assert_injected(&target, 5, &first);
	assert_withdrawn(&target, &first);
	snprintf(variable, sizeof(variable), "6:%lu", target.shared->agent_address);
	assert_int_equal(agent_inject(target.pid, agent_other, variable, &other, &error), 6);
	assert_int_equal(target.shared->agent[1], 1);
	assert_true(other.base != first.base);
	assert_withdrawn(&target, &other);
	assert_injected(&target, 7, &again);
	assert_int_equal(again.base, first.base);
	assert_int_equal(target.shared->agent[1], 2);
	target_end(&target);
}

static void test_stopped_target(void **state)
{
	struct target target = target_start_with(programs[0], "few", "stops");
	struct injected injected;
	uint32_t rounds;

	kill(target.pid, SIGSTOP);
	wait_for(state_of(target.pid) == 'T');
	rounds = target.shared->rounds[5];
	assert_injected(&target, 3, &injected);
	wait_for(state_of(target.pid) == 'T');
	assert_withdrawn(&target, &injected);
	wait_for(state_of(target.pid) == 'T');
	assert_int_equal(target.shared->rounds[5], rounds);
	kill(target.pid, SIGCONT);
	assert_works(&target);
	target_end(&target);
}

static void test_traced_by_another(void **state)
{
	struct target target = target_start(programs[0], "few");
	struct injected injected;
	struct error error = {0};
	char expected[64];
	int pipe_fds[2];
	char word;
	pid_t other;

	assert_int_equal(pipe(pipe_fds), 0);
	other = fork();
	if (other == 0) {
		word = ptrace(PTRACE_SEIZE, target.pid, NULL, NULL) == 0;
		(void)!write(pipe_fds[1], &word, 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipe_fds[0], &word, 1), 1);
	assert_int_equal(word, 1);
	assert_int_equal(inject(&target, 1, &injected, &error), -EPERM);
	snprintf(expected, sizeof(expected), "already traced by process %d", other);
	assert_non_null(strstr(error.message, expected));
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	assert_injected(&target, 2, &injected);
	target_end(&target);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* A thread that waits for its vfork child cannot be stopped, and the child runs in our memory. */
static void test_vfork(void **state)
{
	struct target target = target_start(programs[0], "vfork");
	struct injected injected;
	struct error error = {0};

	wait_for(target.shared->vforked);
	assert_int_equal(inject(&target, 1, &injected, &error), -EBUSY);
	assert_non_null(strstr(error.message, "does not stop"));
	assert_works(&target);
	target_end(&target);
}

static void test_gone(void **state)
{
	struct target target = target_start(programs[0], "few");
	struct injected injected;
	struct error error = {0};

	assert_injected(&target, 1, &injected);
	target_kill(&target);
	assert_int_equal(agent_withdraw(&injected, &error), 0);
	assert_int_equal(agent_inject(target.pid, agent, "1:0", &injected, &error), -ESRCH);
	assert_int_equal(agent_inject(getpid(), agent, "1:0", &injected, &error), -EINVAL);
}

struct starting {
	struct agent_start *start;
	const char *variable;
};

static int start_ready(void *context, pid_t pid, struct error *error)
{
	struct starting *starting = context;

	starting->start = agent_start_begin(pid, agent, starting->variable, error);
	return starting->start ? 0 : error->code;
}

static void start_one(char *program)
{
	struct target target = target_new();
	struct starting starting = {.variable = "11:0"};
	struct injected injected;
	struct error error = {0};
	char number[16];
	char *argv[] = {program, number, (char *)"few", NULL}, *envp[] = {NULL};
	struct spawn spawn = {program, argv, envp};
	int result;

	snprintf(number, sizeof(number), "%d", target.fd);
	assert_int_equal(start_program(&spawn, start_ready, &starting, &target.pid, &error), 0);
	result = agent_start_end(starting.start, &injected, &error);
	if (result < 0)
		print_message("%s\n", error.message);
	assert_int_equal(result, 11);
	print_message("%s: stood %.2f ms\n", strrchr(program, '/') + 1, injected.stopped_ns * 1e-6);
	wait_for(target.shared->ready);
	assert_injected(&target, 12, &injected);
	assert_int_equal(target.shared->agent[1], 2); /* the same image */
	assert_works(&target);
	target_end(&target);
}

static void test_start(void **state)
{
	struct starting starting = {.variable = "1:0"};
	char *argv[] = {(char *)"/nowhere", NULL}, *envp[] = {NULL};
	struct spawn spawn = {argv[0], argv, envp};
	struct injected injected;
	struct error error = {0};
	pid_t pid;

	for (int round = 0; round < 5; round++)
		for (int i = 0; i < 3; i++)
			start_one(programs[i]);
	assert_int_equal(start_program(&spawn, start_ready, &starting, &pid, &error), -ENOENT);
	assert_int_equal(agent_start_end(starting.start, &injected, &error), -ESRCH);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many_threads),
	    cmocka_unit_test(test_static),
	    cmocka_unit_test(test_ordinary_user),
	    cmocka_unit_test(test_leaderless),
	    cmocka_unit_test(test_other_agent),
	    cmocka_unit_test(test_stopped_target),
	    cmocka_unit_test(test_traced_by_another),
	    cmocka_unit_test(test_vfork),
	    cmocka_unit_test(test_gone),
	    cmocka_unit_test(test_start),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
