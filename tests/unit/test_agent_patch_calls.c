/*
 * Calls through a patched C library, in this very process: they do what they did, and the hooks are
 * told what they should be.
 */
#include "agent_patch/text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void test_values(void **state)
{
	int pair[2], fd, copy;
	uint32_t from = probe_calls_n;
	struct probe_call call;

	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	expect_call(from, SYS_openat, true, fd, (uint32_t)AT_FDCWD);
	from = probe_calls_n;
	copy = dup(fd);
	assert_true(copy > fd);
	expect_call(from, SYS_dup, true, copy, (uint64_t)fd);
	from = probe_calls_n;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	expect_call(from, SYS_pipe2, true, 0, (uint64_t)pair);
	for (int i = 0; i < 2; i++) {
		from = probe_calls_n;
		assert_int_equal(close(pair[i]), 0);
		expect_call(from, SYS_close, false, 0, (uint64_t)pair[i]);
		assert_int_equal(calls_of(from, SYS_close, true, &call), 0);
	}
	from = probe_calls_n;
	pair[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	expect_call(from, SYS_socket, true, pair[0], AF_UNIX);
	from = probe_calls_n;
	pair[1] = eventfd(3, EFD_CLOEXEC);
	expect_call(from, SYS_eventfd2, true, pair[1], 3);
	close(pair[0]);
	close(pair[1]);
	close(copy);
	close(fd);
	from = probe_calls_n;
	assert_int_equal(open("/nonexistent", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	expect_call(from, SYS_openat, true, -ENOENT, (uint32_t)AT_FDCWD);
}

/* Only a bad descriptor is told of; of a close, any failure. */
static void test_filters(void **state)
{
	struct probe_call call;
	char byte;
	void *volatile nowhere = (void *)8;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	uint32_t from = probe_calls_n;

	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(read(fd, nowhere, 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(calls_of(from, SYS_read, true, &call), 0);
	assert_int_equal(read(-7, &byte, 1), -1);
	assert_int_equal(errno, EBADF);
	expect_call(from, SYS_read, true, -EBADF, (uint32_t)-7);
	close(fd);
	from = probe_calls_n;
	assert_int_equal(close(fd), -1);
	assert_int_equal(errno, EBADF);
	expect_call(from, SYS_close, true, -EBADF, (uint64_t)fd);
	from = probe_calls_n;
	free(malloc(64 << 20));
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 0);
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 1);
	assert_ptr_equal((void *)call.result, code);
	munmap(code, 4096);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -5, 0), MAP_FAILED);
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 2);
	assert_int_equal(call.result, -EBADF);
}

/* syscall(2): the number is not known before the call, and all six arguments count. */
static void test_any_number(void **state)
{
	struct probe_call call;
	uint32_t from = probe_calls_n;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0), copy;
	void *page;

	assert_true(fd >= 0);
	expect_call(from, SYS_openat, true, fd, (uint32_t)AT_FDCWD);
	from = probe_calls_n;
	assert_int_equal(syscall(SYS_close, fd), 0);
	expect_call(from, SYS_close, false, 0, (uint64_t)fd);
	assert_int_equal(syscall(SYS_getpid), getpid());
	assert_int_equal(syscall(100000), -1);
	assert_int_equal(errno, ENOSYS);
	assert_int_equal(syscall(-1L), -1);
	copy = (int)syscall(SYS_memfd_create, "x", 0);
	expect_call(from, SYS_memfd_create, true, copy,
		    calls_of(from, SYS_memfd_create, true, &call) ? call.args[0] : 0);
	assert_int_equal(ftruncate(copy, 8192), 0);
	from = probe_calls_n;
	page = (void *)syscall(SYS_mmap, NULL, 4096L, PROT_READ, MAP_PRIVATE, copy, 4096L);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(calls_of(from, SYS_mmap, false, &call), 1);
	assert_int_equal(call.args[5], 4096);
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 1);
	assert_int_equal(call.args[5], 4096);
	munmap(page, 4096);
	close(copy);
}

static void test_processes(void **state)
{
	char *argv[] = {"true", NULL};
	struct probe_call call;
	volatile uint32_t from = probe_calls_n;
	int status;
	uint32_t *exits =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();

	if (!pid) {
		probe_exits = exits;
		_exit(close(dup(1)) == 0 ? 11 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 11);
	assert_int_equal(exits[0], 1);
	assert_int_equal(exits[1], 11);
	munmap(exits, 4096);
	assert_int_equal(calls_of(from, SYS_clone, true, &call), 1);
	assert_int_equal(call.result, pid);
	from = probe_calls_n;
	pid = vfork();
	if (!pid) {
		close(-1);
		_exit(12);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 12);
	assert_int_equal(calls_of(from, SYS_vfork, false, &call), 1);
	assert_int_equal(calls_of(from, SYS_vfork, true, &call), 2);
	assert_int_equal(call.result, pid);
	assert_int_equal(calls_of(from, SYS_close, false, &call), 1);
	from = probe_calls_n;
	assert_int_equal(posix_spawnp(&pid, "true", NULL, NULL, argv, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(calls_of(from, SYS_execve, false, &call) >= 1);
	assert_int_equal(posix_spawn(&pid, "/nonexistent", NULL, NULL, argv, NULL), ENOENT);
	pid = fork();
	if (!pid) {
		execve("/nonexistent", argv, NULL);
		_exit(errno == ENOENT ? 13 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 13);
}

static void *thread_works(void *context)
{
	int fd = dup(1);

	*(int *)context = fd;
	return fd >= 0 && close(fd) == 0 ? context : NULL;
}

static void test_threads(void **state)
{
	struct probe_call call;
	uint32_t from = probe_calls_n;

	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		void *result;
		int fd;

		assert_int_equal(pthread_create(&thread, NULL, thread_works, &fd), 0);
		assert_int_equal(pthread_join(thread, &result), 0);
		assert_ptr_equal(result, &fd);
	}
	/* Parent and child both come back. */
	assert_int_equal(calls_of(from, SYS_clone3, true, &call), 40);
	assert_int_equal(calls_of(from, SYS_exit, false, &call), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_values, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_filters, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_any_number, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_processes, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_threads, patch_begin, patch_end),
	};

	texts_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
