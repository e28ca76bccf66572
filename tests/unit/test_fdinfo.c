/* os/fdinfo: what the kernel writes of real descriptors is read as it was set up here. */
#include "os/fdinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char *buffer;
static size_t capacity;

static struct fdinfo info_of(int fd)
{
	struct fdinfo info;

	assert_true(fd >= 0);
	assert_int_equal(fdinfo_read(getpid(), fd, &buffer, &capacity, &info), 0);
	return info;
}

static void test_files(void **state)
{
	struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
	char path[] = "/tmp/htrace-fdinfo-XXXXXX";
	int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
	struct fdinfo info;

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(fcntl(fd, F_SETLK, &range), 0);
	info = info_of(fd);
	assert_int_equal(info.position, 10);
	assert_int_equal(info.flags & (O_ACCMODE | O_APPEND | O_CLOEXEC),
			 O_RDWR | O_APPEND | O_CLOEXEC);
	assert_int_equal(info.locks_n, 2);
	for (int i = 0; i < 2; i++) {
		bool posix = !strcmp(info.locks[i].kind, "POSIX");

		assert_int_equal(info.locks[i].pid, getpid());
		assert_int_equal(info.locks[i].write, !posix);
		assert_int_equal(info.locks[i].first, posix ? 5 : 0);
		assert_true(info.locks[i].last == (posix ? 14 : UINT64_MAX));
		assert_true(posix || !strcmp(info.locks[i].kind, "FLOCK"));
	}
	close(fd);
	assert_int_equal(fdinfo_read(getpid(), fd, &buffer, &capacity, &info), -ENOENT);
}

static void test_counters(void **state)
{
	int event = eventfd(7, EFD_CLOEXEC | EFD_SEMAPHORE), epoll = epoll_create1(0);
	int notify = inotify_init(), timer = timerfd_create(CLOCK_REALTIME, 0);
	struct itimerspec setting = {.it_value = {1000, 0}, .it_interval = {2, 500}};
	struct epoll_event wanted = {.events = EPOLLIN};
	struct fdinfo info = info_of(event);
	int pipes[20][2];

	(void)state;
	assert_int_equal(info.has & FDINFO_EVENTFD, FDINFO_EVENTFD);
	assert_int_equal(info.eventfd_count, 7);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[i][0], &wanted), 0);
	}
	info = info_of(epoll);
	assert_int_equal(info.targets_n, 20); /* more than are kept */
	for (int i = 0; i < 20; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	assert_int_equal(info_of(epoll).targets_n, 0);
	assert_true(inotify_add_watch(notify, "/", IN_CREATE) >= 0);
	assert_true(inotify_add_watch(notify, "/proc", IN_CREATE) >= 0);
	info = info_of(notify);
	assert_int_equal(info.has & FDINFO_INOTIFY, FDINFO_INOTIFY);
	assert_int_equal(info.watches, 2);
	assert_int_equal(timerfd_settime(timer, 0, &setting, NULL), 0);
	info = info_of(timer);
	assert_int_equal(info.clock, CLOCK_REALTIME);
	assert_int_equal(info.interval_ns, 2000000500);
	assert_true(info.value_ns > 990000000000 && info.value_ns <= 1000000000000);
	close(event);
	close(epoll);
	close(notify);
	close(timer);
}

static void test_processes(void **state)
{
	pid_t child = fork();
	sigset_t signals;
	struct fdinfo info;
	int fd;

	(void)state;
	if (child == 0) {
		pause();
		_exit(0);
	}
	fd = syscall(SYS_pidfd_open, child, 0);
	assert_int_equal(info_of(fd).pid, child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	info = info_of(fd);
	assert_int_equal(info.has & FDINFO_PIDFD, FDINFO_PIDFD);
	assert_int_equal(info.pid, -1);
	close(fd);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR2);
	fd = signalfd(-1, &signals, 0);
	assert_int_equal(info_of(fd).signals, 1 << (SIGINT - 1) | 1 << (SIGUSR2 - 1));
	close(fd);
}

/* Text that no kernel here writes. */
static void test_text(void **state)
{
	static const char text[] =
	    "pos:\t5\nflags:\t02000002\nflags:\t01\nlink_type:\t7\nlink_id:\t4\nprog_id:\t9\n"
	    "memlock:\t4096\nlock:\t1: FLOCK ADVISORY WRITE 1 0:0:0 0 EOF\nlock:\tnonsense\n"
	    "tfd:        5 events: 19\ntfd: -3\nUserFiles:\t3\nUserBufs:\t2\nunknown\n:\nsize:\t12";
	struct fdinfo info;

	(void)state;
	fdinfo_parse(text, sizeof(text) - 1, &info);
	assert_int_equal(info.position, 5);
	assert_int_equal(info.flags, O_RDWR | O_CLOEXEC);
	assert_string_equal(info.bpf_kind, "link");
	assert_int_equal(info.bpf_type, 7);
	assert_int_equal(info.bpf_id, 4);
	assert_int_equal(info.bpf_memory_bytes, 4096);
	assert_int_equal(info.locks_n, 1);
	assert_int_equal(info.targets_n, 1);
	assert_int_equal(info.targets[0], 5);
	assert_int_equal(info.ring_files, 3);
	assert_int_equal(info.ring_buffers, 2);
	assert_int_equal(info.dmabuf_bytes, 12); /* the last line has no end */
	fdinfo_parse("", 0, &info);
	assert_int_equal(info.has, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_counters),
	    cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_text),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(buffer);
	return failed;
}
