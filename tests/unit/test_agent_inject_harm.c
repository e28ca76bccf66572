/*
 * collect/agent/inject: what goes wrong. Whoever is killed, and whatever the agent or a filter
 * does, a target that lives gets on as if nobody had been there.
 */
#include "inject_harness.h"

struct killer {
	pid_t pid;
	unsigned delay_us;
};

static void *kill_later(void *context)
{
	struct killer *killer = context;

	usleep(killer->delay_us);
	kill(killer->pid, SIGKILL);
	return NULL;
}

static void test_killed_target(void **state)
{
	unsigned seed = random_seed();
	int counts[2] = {0};

	for (int round = 0; round < 100; round++) {
		struct target target = target_start(programs[round % 3], "few");
		struct killer killer = {target.pid, rand_r(&seed) % 8000};
		struct injected injected;
		struct error error = {0};
		pthread_t thread;
		int status, result, times = 0;

		pthread_create(&thread, NULL, kill_later, &killer);
		do {
			result = inject(&target, 9, &injected, &error);
			if (result >= 0) {
				assert_int_equal(agent_withdraw(&injected, &error), 0);
				times++;
			}
		} while (result >= 0);
		if (result != -ESRCH)
			print_message("%s\n", error.message);
		assert_int_equal(result, -ESRCH);
		counts[times > 0]++;
		pthread_join(thread, NULL);
		assert_int_equal(waitpid(target.pid, &status, 0), target.pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		target_free(&target);
	}
	print_message("killed during the first coming: %d, later: %d\n", counts[0], counts[1]);
}

/* Whoever injects may be killed at any moment. */
static void test_killed_injector(void **state)
{
	struct target target = target_start_with(programs[0], "threads", "stops");
	unsigned seed = random_seed();
	struct injected injected;

	for (int round = 0; round < 60; round++) {
		pid_t injector = fork();

		if (injector == 0) {
			struct error error;

			for (;;)
				if (inject(&target, 1, &injected, &error) >= 0)
					agent_withdraw(&injected, &error);
		}
		usleep(rand_r(&seed) % 30000);
		kill(injector, SIGKILL);
		assert_int_equal(waitpid(injector, NULL, 0), injector);
		if (round % 10 == 9)
			assert_works(&target);
	}
	assert_injected(&target, 4, &injected);
	assert_withdrawn(&target, &injected);
	assert_works(&target);
	target_end(&target);
}

/* The same while it makes room for the agent. */
static void test_killed_at_first(void **state)
{
	unsigned seed = random_seed();
	int placed = 0;

	for (int round = 0; round < 150; round++) {
		struct target target = target_start_with(programs[round % 3], "few", "stops");
		struct injected injected;
		struct error error;
		pid_t injector = fork();

		if (injector == 0) {
			inject(&target, 1, &injected, &error);
			_exit(0);
		}
		usleep(rand_r(&seed) % 1500);
		kill(injector, SIGKILL);
		assert_int_equal(waitpid(injector, NULL, 0), injector);
		placed += count_images(target.pid) > 0;
		assert_works(&target);
		assert_injected(&target, 2, &injected);
		assert_works(&target);
		target_end(&target);
	}
	print_message("killed before the image was there: %d, later: %d\n", 150 - placed, placed);
}

/* What the agent does wrong does not harm. */
static void test_bad_agent(void **state)
{
	struct target target = target_start(programs[0], "threads");
	struct injected injected;
	struct error error = {0};

	assert_int_equal(agent_inject(target.pid, agent, "fault", &injected, &error), -EFAULT);
	assert_non_null(strstr(error.message, "Segmentation fault"));
	assert_works(&target);
	assert_int_equal(agent_inject(target.pid, agent, "no", &injected, &error), -ENOENT);
	assert_works(&target);
	assert_int_equal(agent_inject(target.pid, agent, "hang", &injected, &error), -ETIMEDOUT);
	assert_works(&target);
	assert_int_equal(agent_inject(target.pid, programs[0], "1:0", &injected, &error), -ENOEXEC);
	assert_int_equal(agent_inject(target.pid, "/nowhere", "1:0", &injected, &error), -ENOENT);
	assert_injected(&target, 8, &injected);
	assert_withdrawn(&target, &injected);
	assert_works(&target);
	target_end(&target);
}

static int count_mapping(void *context, const struct procfs_mapping *mapping)
{
	++*(int *)context;
	return 0;
}

/* Where code may not be put, nothing is left behind. */
static void forbidden(const char *how)
{
	struct target target = target_start_with(programs[0], "few", how);
	int result, before = 0, after = 0;
	struct injected injected;
	struct error error = {0};

	kill(target.pid, SIGSTOP); /* so that it maps nothing itself */
	wait_for(state_of(target.pid) == 'T');
	procfs_maps(target.pid, count_mapping, &before, NULL);
	result = inject(&target, 1, &injected, &error);
	print_message("%s: %s\n", how, error.message);
	assert_int_equal(result, strcmp(how, "mdwe") ? -EPERM : -EACCES);
	procfs_maps(target.pid, count_mapping, &after, NULL);
	assert_int_equal(before, after);
	kill(target.pid, SIGCONT);
	assert_works(&target);
	target_end(&target);
}

static void test_forbidden(void **state)
{
	forbidden("mdwe");
	forbidden("errno");
	forbidden("trap");
}

/* An agent's file of which bytes are wrong is refused, or taken; it does not lead astray. */
static void test_hostile_file(void **state)
{
	int file = open(agent, O_RDONLY | O_CLOEXEC), copy = memfd_create("agent", MFD_CLOEXEC);
	unsigned seed = random_seed(), refused = 0;
	uint8_t *bytes = malloc(1 << 20);
	ssize_t size = read(file, bytes, 1 << 20);
	char path[64];

	assert_true(size > 1000 && size < 1 << 20);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	for (int round = 0; round < 3000; round++) {
		struct agent_image image;
		size_t ats[3];
		uint8_t before[3];

		for (int i = 0; i < 3; i++) { /* headers, the dynamic section, anywhere */
			ats[i] = rand_r(&seed) % (i == 0 ? 0x200 : (size_t)size);
			before[i] = bytes[ats[i]];
			bytes[ats[i]] = rand_r(&seed) % 4 ? rand_r(&seed) : 0xff;
		}
		assert_int_equal(pwrite(copy, bytes, size, 0), size);
		assert_int_equal(ftruncate(copy, round % 10 ? size : rand_r(&seed) % size), 0);
		if (agent_image_read(path, &image, NULL) < 0) {
			refused++;
		} else {
			agent_image_relocate(&image, 0x7f0000000000);
			agent_image_fini(&image);
		}
		for (int i = 2; i >= 0; i--)
			bytes[ats[i]] = before[i];
	}
	assert_true(refused > 500 && refused < 3000);
	free(bytes);
	close(copy);
	close(file);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_killed_target),   cmocka_unit_test(test_killed_injector),
	    cmocka_unit_test(test_killed_at_first), cmocka_unit_test(test_bad_agent),
	    cmocka_unit_test(test_forbidden),       cmocka_unit_test(test_hostile_file),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
