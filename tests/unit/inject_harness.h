/* What the tests of the injection share: targets (inject_target.c), and agents for them
 * (inject_agent.c). */
#ifndef HTRACE_TESTS_INJECT_HARNESS_H
#define HTRACE_TESTS_INJECT_HARNESS_H

#include "inject_target.h"
#include "process_state.h"

#include "collect/agent/inject.h"
#include "collect/agent/inject_parts.h"
#include "collect/start.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { PATIENCE_MS = 60000 };

static char *const programs[] = {HTRACE_TEST_TARGET, HTRACE_TEST_TARGET_STATIC,
				 HTRACE_TEST_TARGET_STATIC_PIE};
static const char *const agent = HTRACE_TEST_AGENT, *const agent_other = HTRACE_TEST_AGENT_OTHER;

struct target {
	struct target_shared *shared;
	int fd;
	pid_t pid;
};

#define wait_for(condition)                                                                        \
	do {                                                                                       \
		int64_t wait_end = now_ms() + PATIENCE_MS;                                         \
		while (!(condition)) {                                                             \
			assert_true(now_ms() < wait_end);                                          \
			usleep(500);                                                               \
		}                                                                                  \
	} while (0)

static inline struct target target_new(void)
{
	struct target target = {.fd = memfd_create("target", 0)};

	assert_true(target.fd >= 0);
	assert_int_equal(ftruncate(target.fd, TARGET_SHARED_BYTES), 0);
	target.shared =
	    mmap(NULL, TARGET_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, target.fd, 0);
	assert_ptr_not_equal(target.shared, MAP_FAILED);
	return target;
}

static inline struct target target_start_with(char *program, const char *mode, const char *option)
{
	struct target target = target_new();
	char number[16];

	snprintf(number, sizeof(number), "%d", target.fd);
	target.pid = fork();
	assert_true(target.pid >= 0);
	if (target.pid == 0) {
		execl(program, program, number, mode, option, NULL);
		_exit(99);
	}
	wait_for(target.shared->ready);
	return target;
}

static inline struct target target_start(char *program, const char *mode)
{
	return target_start_with(program, mode, NULL);
}

static inline void target_free(struct target *target)
{
	munmap(target->shared, TARGET_SHARED_BYTES);
	close(target->fd);
}

static inline void target_end(struct target *target)
{
	int status;

	target->shared->stop = 1;
	assert_int_equal(waitpid(target->pid, &status, 0), target->pid);
	if (status != TARGET_EXIT << 8)
		print_message("status %x, %u wrong, line %u, errno %u, sent %lu received %lu\n",
			      status, target->shared->wrong, target->shared->wrong_line,
			      target->shared->wrong_errno, target->shared->sent,
			      target->shared->received);
	assert_int_equal(status, TARGET_EXIT << 8);
	target_free(target);
}

static inline void target_kill(struct target *target)
{
	kill(target->pid, SIGKILL);
	assert_int_equal(waitpid(target->pid, NULL, 0), target->pid);
	target_free(target);
}

/* Every kind of thread that is there gets on with it. */
static inline void assert_works(struct target *target)
{
	for (int kind = 0; kind < TARGET_KINDS; kind++) {
		uint32_t before = target->shared->rounds[kind];

		if (before)
			wait_for(target->shared->rounds[kind] > before + 1);
	}
}

static inline int inject(const struct target *target, int64_t value, struct injected *injected,
			 struct error *error)
{
	char variable[64];
	int result;

	snprintf(variable, sizeof(variable), "%ld:%lu", value, target->shared->agent_address);
	result = agent_inject(target->pid, agent, variable, injected, error);
	return result;
}

static inline void assert_injected(const struct target *target, int64_t value,
				   struct injected *injected)
{
	struct error error = {0};
	int result = inject(target, value, injected, &error);

	if (result < 0)
		print_message("inject: %s\n", error.message);
	assert_int_equal(result, value);
	assert_int_equal(target->shared->agent[0], value);
}

static inline void assert_withdrawn(const struct target *target, struct injected *injected)
{
	struct error error = {0};
	int result = agent_withdraw(injected, &error);

	if (result < 0)
		print_message("withdraw: %s\n", error.message);
	assert_int_equal(result, 0);
	assert_int_equal(target->shared->agent[0], -1);
}

/* The mappings that are executable and no file's: those that the injection makes. */
static inline int count_image(void *context, const struct procfs_mapping *mapping)
{
	if (mapping->executable && !mapping->inode && !*mapping->path)
		++*(int *)context;
	return 0;
}

static inline int count_images(pid_t pid)
{
	int count = 0;

	procfs_maps(pid, count_image, &count, NULL);
	return count;
}

static inline unsigned random_seed(void)
{
	const char *given = getenv("HTRACE_TEST_SEED");
	unsigned seed = given ? strtoul(given, NULL, 10) : (unsigned)time(NULL);

	print_message("HTRACE_TEST_SEED=%u\n", seed);
	return seed;
}

#endif
