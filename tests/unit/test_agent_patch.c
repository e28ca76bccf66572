/*
 * agent/patch.c in this very process: its C library is patched while it runs, and all bytes are put
 * back; registers and stack stay as they were. What the hooks are told is written down by
 * agent_patch/probe.c.
 */
#include "agent_patch/text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void test_restored(void **state)
{
	uint32_t from, stubs;
	int first = patch(), second;
	uint64_t changed = bytes_changed();

	stubs = probe_stubs_n();
	assert_true(changed > 300);
	assert_int_equal(patch(), 0);
	assert_int_equal(bytes_changed(), changed);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
	from = probe_calls_n;
	close(dup(1));
	assert_int_equal(probe_calls_n, from);
	second = patch();
	assert_int_equal(first, second);
	assert_int_equal(bytes_changed(), changed);
	assert_int_equal(probe_stubs_n(), stubs);
	close(dup(1));
	assert_int_equal(probe_calls_n, from + 2);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
	printf("%d sites, %u stubs, %u left alone\n", first, stubs, probe_sites_left());
}

static int patch_own(void)
{
	return probe_patch((uint64_t)probe_sites_start, (uint64_t)probe_sites_end, 0, NULL,
			   &patch_reason);
}

/* Every register and the red zone are as they were, at any alignment of the stack. */
static void check_own_sites(bool before, bool patched)
{
	static uint64_t (*const sites[])(int64_t *) = {
	    probe_site_compared, probe_site_compared_32,  probe_site_bare,
	    probe_site_between,  probe_site_between_bare,
	};
	uint64_t alignments = 0;

	for (size_t i = 0; i < sizeof(sites) / sizeof(*sites); i++) {
		uint32_t from = probe_calls_n;
		struct probe_call call;
		int64_t result = 0;

		assert_int_equal(sites[i](&result), 0);
		assert_int_equal(result, getpid());
		assert_int_equal(calls_of(from, SYS_getpid, false, &call),
				 patched && (before || i == 2 || i == 4));
		assert_int_equal(calls_of(from, SYS_getpid, true, &call), patched);
		if (!patched)
			continue;
		assert_int_equal(call.result, result);
		assert_int_equal(call.args[1], 0x2222222222222222);
		assert_int_equal(call.args[5], 0x6666666666666666);
		assert_int_equal(call.args[0], i == 3   ? 0x77777777
					       : i == 4 ? call.sp + 8
							: 0x4444444444444444);
		alignments |= 1 << (call.sp & 15);
	}
	assert_int_equal(alignments, patched ? 0x101 : 0);
}

static void test_own_sites(void **state)
{
	uint64_t bytes = (uint64_t)(probe_sites_end - probe_sites_start);
	uint8_t *copy = malloc(bytes);
	struct plan saved = probe_plan;
	int64_t result;

	memcpy(copy, probe_sites_start, bytes);
	check_own_sites(false, false);
	for (int round = 0; round < 3; round++) {
		probe_plan.calls[SYS_getpid].when =
		    round == 1 ? PLAN_ENTER | PLAN_LEAVE_OK : PLAN_LEAVE_OK;
		probe_keep_rcx(round == 2);
		assert_int_equal(patch_own(), 6);
		check_own_sites(round >= 1, true);
		probe_calls_n = 0;
		assert_int_equal(probe_site_decoys(&result), 0);
		assert_int_equal(probe_site_jumped_to(&result), 0);
		assert_int_equal(result, 12345);
		assert_int_equal(probe_calls_n, 0);
		assert_int_equal(probe_restore(), 0);
		assert_memory_equal(copy, probe_sites_start, bytes);
		check_own_sites(false, false);
	}
	probe_keep_rcx(false);
	probe_plan = saved;
	free(copy);
}

/* The list of sites may say anything. */
static void test_known_sites(void **state)
{
	static struct arena_file file;
	struct plan saved = probe_plan;
	uint32_t first = (uint32_t)((uintptr_t)probe_site_compared - (uintptr_t)probe_sites_start);
	int64_t result;

	probe_plan.calls[SYS_getpid].when = PLAN_LEAVE_OK;
	for (uint32_t i = 0; i < ARENA_FILE_SITES_MAX; i++)
		file.sites[i] = (struct arena_site){0x1000 + first + i, SYS_getpid,
						    i % 2 ? ARENA_SITE_BARE : ARENA_SITE_COMPARED};
	file.sites_n = UINT32_MAX;
	assert_in_range(probe_patch((uint64_t)probe_sites_start, (uint64_t)probe_sites_end, 0x1000,
				    &file, &patch_reason),
			1, 6);
	assert_int_equal(probe_site_compared(&result), 0);
	assert_int_equal(result, getpid());
	assert_int_equal(probe_restore(), 0);
	for (uint32_t i = 0; i < ARENA_FILE_SITES_MAX; i++)
		file.sites[i] = (struct arena_site){UINT32_MAX - i, SYS_getpid, ARENA_SITE_BARE};
	assert_int_equal(probe_patch((uint64_t)probe_sites_start, (uint64_t)probe_sites_end, 0x1000,
				     &file, &patch_reason),
			 0);
	probe_plan = saved;
}

/* Text that is gone, or somebody else's by now, is not touched. */
static void test_gone(void **state)
{
	uint64_t bytes = (uint64_t)(probe_sites_end - probe_sites_start);
	struct plan saved = probe_plan;
	uint8_t *far = mmap((void *)0x10000000, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *near = mmap((void *)(texts[0].start - (64 << 20)), bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	probe_plan.calls[SYS_getpid].when = PLAN_LEAVE_OK;
	memcpy(near, probe_sites_start, bytes);
	memcpy(far, probe_sites_start, bytes);
	assert_int_equal(mprotect(near, bytes, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(
	    probe_patch((uint64_t)near, (uint64_t)near + bytes, 0, NULL, &patch_reason), 6);
	munmap(near, bytes);
	assert_int_equal(probe_restore(), 0);
	assert_ptr_equal(mmap(near, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 near);
	memcpy(near, probe_sites_start, bytes);
	assert_int_equal(mprotect(near, bytes, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(
	    probe_patch((uint64_t)near, (uint64_t)near + bytes, 0, NULL, &patch_reason), 6);
	mprotect(near, bytes, PROT_READ | PROT_WRITE);
	memset(near, 0x90, bytes);
	assert_int_equal(probe_restore(), 0);
	for (uint64_t i = 0; i < bytes; i++)
		assert_int_equal(near[i], 0x90);
	near[0] = 1; /* still writable */
	assert_int_equal(probe_patch((uint64_t)far, (uint64_t)far + bytes, 0, NULL, &patch_reason),
			 -ERANGE);
	assert_int_equal(patch_reason, ARENA_OFF_FAR);
	munmap(near, bytes);
	munmap(far, bytes);
	probe_plan = saved;
}

/* Where text may not be made writable, nothing happens. */
static void test_denied(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
			_exit(77);
		if (patch() != -EACCES || patch_reason != ARENA_OFF_PROTECT || bytes_changed())
			_exit(1);
		_exit(close(dup(1)) == 0 && probe_restore() == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status == 77 << 8)
		skip(); /* a kernel before 6.3 */
	assert_int_equal(status, 0);
}

enum { HAMMERS = 2, ROUNDS = 100 };

static volatile bool pausing, stopping;
static volatile uint32_t paused;
static volatile uint64_t hammered[HAMMERS];

/* Stands still wherever the thread is, as if a tracer had stopped it. */
static void on_pause(int number)
{
	__atomic_add_fetch(&paused, 1, __ATOMIC_SEQ_CST);
	while (pausing)
		__builtin_ia32_pause();
	__atomic_sub_fetch(&paused, 1, __ATOMIC_SEQ_CST);
}

static void *thread_hammers(void *context)
{
	uint64_t i = 0, index = (uint64_t)context;

	while (!stopping) {
		int fds[2], fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		char *memory = malloc(16 + i % 300000), byte = 1;

		assert_true(memory && fd >= 0);
		memory[i % 16] = 1;
		assert_int_equal(write(fd, memory, 16), 16);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		while (write(fds[1], &byte, 1) != 1)
			;
		while (read(fds[0], &byte, 1) != 1)
			;
		assert_int_equal(close(fds[0]) | close(fds[1]) | close(fd), 0);
		assert_int_equal(read(-1, &byte, 1), -1);
		assert_int_equal(errno, EBADF);
		fd = (int)syscall(SYS_dup, 1);
		assert_int_equal(syscall(SYS_close, fd), 0);
		free(memory);
		hammered[index] = ++i;
	}
	return NULL;
}

static void threads_pause(const pthread_t *threads)
{
	pausing = true;
	for (int i = 0; i < HAMMERS; i++)
		pthread_kill(threads[i], SIGUSR1);
	while (__atomic_load_n(&paused, __ATOMIC_SEQ_CST) != HAMMERS)
		__builtin_ia32_pause();
}

static void threads_go_on(void)
{
	pausing = false;
	while (__atomic_load_n(&paused, __ATOMIC_SEQ_CST))
		__builtin_ia32_pause();
}

/* Comes and goes while two threads are anywhere in libc, in a stub, or in the hooks. */
static void test_hammered(void **state)
{
	struct sigaction action = {.sa_handler = on_pause, .sa_flags = SA_RESTART};
	pthread_t threads[HAMMERS];
	double patch_us = 0, restore_us = 0;

	sigaction(SIGUSR1, &action, NULL);
	for (uint64_t i = 0; i < HAMMERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_hammers, (void *)i), 0);
	for (int round = 0; round < ROUNDS; round++) {
		double start;
		int n;

		usleep(1000 + (useconds_t)(round * 37 % 1000));
		threads_pause(threads);
		start = now_us();
		n = patch();
		patch_us += now_us() - start;
		threads_go_on();
		assert_true(n > 60);
		usleep(1000 + (useconds_t)(round * 53 % 1000));
		threads_pause(threads);
		start = now_us();
		n = probe_restore();
		restore_us += now_us() - start;
		threads_go_on();
		assert_int_equal(n, 0);
	}
	stopping = true;
	for (int i = 0; i < HAMMERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(hammered[i] > ROUNDS);
	}
	assert_int_equal(bytes_changed(), 0);
	printf("%u calls noted; patch %.0f us, restore %.0f us each\n", probe_calls_n,
	       patch_us / ROUNDS, restore_us / ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_restored),    cmocka_unit_test(test_own_sites),
	    cmocka_unit_test(test_known_sites), cmocka_unit_test(test_gone),
	    cmocka_unit_test(test_denied),      cmocka_unit_test(test_hammered),
	};

	texts_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
