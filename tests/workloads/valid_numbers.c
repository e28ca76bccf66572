/*
 * Calls that say EBADF of numbers that are open, also while another thread gives them to something
 * else: no bad references. The truth has none.
 */
#include "workload.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void expect_ebadf(const char *call, long result)
{
	if (result != -1 || errno != EBADF)
		truth_unsupported(call, result == -1 ? errno : 0);
}

enum { ROUNDS = 2000, TAKEN = 40 };

/* TAKEN is open at all times: each dup2 takes it from what it stood for, in one step. */
static void *replace(void *context)
{
	const int *source = context;

	for (int i = 0; i < ROUNDS; i++) {
		int other = KEEP(eventfd(0, 0));

		KEEP(dup2(*source, TAKEN));
		KEEP(close(other));
	}
	return NULL;
}

static void race(int read_only)
{
	pthread_t thread;
	char byte = 0;

	KEEP(dup2(read_only, TAKEN));
	if (pthread_create(&thread, NULL, replace, &read_only))
		exit(97);
	for (int i = 0; i < ROUNDS; i++)
		expect_ebadf("write in a race", write(TAKEN, &byte, 1));
	pthread_join(thread, NULL);
}

int main(void)
{
	int read_only = open("/dev/zero", O_RDONLY), write_only = open("/dev/null", O_WRONLY);
	int path = open("/", O_PATH | O_DIRECTORY), event = eventfd(0, 0);
	char byte = 0;

	expect_ebadf("write", write(read_only, &byte, 1));
	expect_ebadf("read", read(write_only, &byte, 1));
	expect_ebadf("pread", pread(write_only, &byte, 1, 0));
	expect_ebadf("read of O_PATH", read(path, &byte, 1));
	expect_ebadf("ioctl of O_PATH", ioctl(path, 0x5401, &byte));
	expect_ebadf("fchmod of O_PATH", fchmod(path, 0));
	expect_ebadf("getdents of O_PATH", syscall(217, path, &byte, 1));
	expect_ebadf("fsync of O_PATH", fsync(path));
	expect_ebadf("mmap of O_PATH", (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, path, 0));
	expect_ebadf("fallocate", fallocate(read_only, 0, 0, 1));
	expect_ebadf("sendfile", sendfile(read_only, read_only, NULL, 1));
	expect_ebadf("splice", splice(write_only, NULL, read_only, NULL, 1, 0));
	expect_ebadf("dup2 beyond the limit", dup2(event, 1 << 28));
	expect_ebadf("pidfd_send_signal", syscall(424, event, 0, NULL, 0));
	expect_ebadf("waitid", syscall(247, 3, event, NULL, 4, NULL));
	race(read_only);
	for (int i = 0; i < 3; i++) { /* known to the end */
		KEEP(close(event));
		event = eventfd(0, 0);
		expect_ebadf("pidfd_getfd", syscall(438, event, 0, 0));
	}
	return 0;
}
