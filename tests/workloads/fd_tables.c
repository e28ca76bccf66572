/*
 * What closes, replaces, shares and copies descriptors: one short scenario a run, named by the
 * first argument. Without one: the list of scenarios.
 */
#include "workload.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define EVENT(name)                                                                                \
	OPENER static int name(void)                                                               \
	{                                                                                          \
		int number = KEEP(eventfd(0, 0));                                                  \
		truth_opened(number, #name, "eventfd");                                            \
		return number;                                                                     \
	}

EVENT(event_first)
EVENT(event_second)
EVENT(event_third)
EVENT(event_in_thread)
EVENT(event_in_child)

OPENER static int duplicate_dup2(int from, int to)
{
	int number = KEEP(dup2(from, to));

	if (number != from)
		truth_opened(number, "duplicate_dup2", "eventfd");
	return number;
}

OPENER static int duplicate_dup3(int from, int to)
{
	int number = KEEP(dup3(from, to, O_CLOEXEC));

	truth_opened(number, "duplicate_dup3", "eventfd");
	return number;
}

static void close_one(int number)
{
	close(number);
	truth_closed(number);
}

static void close_numbers(unsigned first, unsigned last, unsigned flags)
{
	if (syscall(SYS_close_range, first, last, flags) != 0)
		exit(97);
	if (flags & CLOSE_RANGE_CLOEXEC)
		return;
	for (unsigned i = first; i <= last && i < TRUTH_NUMBERS_MAX; i++)
		truth_closed((int)i);
}

static void dup2_free(char **argv)
{
	duplicate_dup2(event_first(), 50);
}

static void dup2_open(char **argv)
{
	int from = event_first(), to = event_second();

	duplicate_dup2(from, to);
}

static void dup2_equal(char **argv)
{
	int from = event_first();

	duplicate_dup2(from, from);
}

static void dup3_free(char **argv)
{
	duplicate_dup3(event_first(), 51);
}

static void dup3_open(char **argv)
{
	int from = event_first(), to = event_second();

	duplicate_dup3(from, to);
	close_one(from);
}

/* Refused: nothing changes. */
static void dup3_equal(char **argv)
{
	int from = event_first();

	if (dup3(from, from, 0) != -1)
		exit(97);
}

static void closing(char **argv)
{
	int first = event_first();

	event_second();
	close_one(first);
	event_third(); /* reuses the number */
}

static void close_range_plain(char **argv)
{
	int first = event_first();

	event_second();
	event_second();
	event_third();
	close_numbers((unsigned)first + 1, (unsigned)first + 2, 0);
}

static void close_range_unshare(char **argv)
{
	int first = event_first();

	event_second();
	close_numbers((unsigned)first + 1, ~0U, CLOSE_RANGE_UNSHARE);
	event_third();
}

/* `left` are the numbers that survive; the next program counts them as opened by nobody of it. */
static void exec_self(char **argv, const char *left)
{
	char *const next[] = {argv[0], (char *)"after-exec", (char *)left, NULL};

	execv("/proc/self/exe", next);
	exit(97);
}

/* Closes nothing, until exec does. */
static void close_range_cloexec(char **argv)
{
	int first = event_first();

	event_second();
	close_numbers((unsigned)first, (unsigned)first + 1, CLOSE_RANGE_CLOEXEC);
	event_third();
	if (argv[2] != NULL)
		exec_self(argv, "5");
}

static void exec_mixed(char **argv)
{
	int first = event_first();

	event_second();
	fcntl(first, F_SETFD, FD_CLOEXEC);
	duplicate_dup3(first, 60); /* close-on-exec */
	exec_self(argv, "4");
}

static void fioclex(char **argv)
{
	int first = event_first(), second = event_second();

	ioctl(first, FIOCLEX);
	ioctl(second, FIOCLEX);
	ioctl(second, FIONCLEX);
	if (argv[2] != NULL)
		exec_self(argv, "4");
}

static void after_exec(char **argv)
{
	for (const char *left = argv[2]; left != NULL && *left != '\0';
	     left += strcspn(left, ",") + 1) {
		truth_opened(atoi(left), "", "eventfd");
		if (strchr(left, ',') == NULL)
			break;
	}
	event_third();
}

static int child_in_same_table(void *first)
{
	close_one((int)(long)first);
	event_in_child();
	event_in_child();
	_exit(0);
}

/* A process that closes and opens in its parent's table. */
static void clone_files(char **argv)
{
	static _Alignas(16) char stack[65536];
	int first = event_first();
	pid_t child = clone(child_in_same_table, stack + sizeof(stack),
			    CLONE_FILES | CLONE_VM | SIGCHLD, (void *)(long)first);

	if (child < 0)
		exit(97);
	waitpid(child, NULL, 0);
}

/* The child's table is its own: nothing of it shows here. */
static void fork_copies(char **argv)
{
	int first = event_first();
	pid_t child = fork();

	if (child == 0) {
		close_one(first);
		event_in_child();
		truth_print();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	event_second();
}

static void fork_unshare(char **argv)
{
	event_first();
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

	if (child == 0) {
		if (unshare(CLONE_FILES) != 0)
			_exit(97);
		event_in_child();
		truth_print();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	event_second();
}

static void *thread_leaks(void *argument)
{
	event_in_thread();
	return argument;
}

static void thread(char **argv)
{
	pthread_t id;

	event_first();
	pthread_create(&id, NULL, thread_leaks, NULL);
	pthread_join(id, NULL);
	event_second();
}

/* Opens in a table of its own, which ends with the thread. */
static void *thread_unshares(void *argument)
{
	if (unshare(CLONE_FILES) != 0)
		exit(97);
	for (int i = 0; i < 3; i++)
		if (eventfd(0, 0) < 0)
			exit(97);
	return argument;
}

static void thread_own_table(char **argv)
{
	pthread_t id;

	event_first();
	pthread_create(&id, NULL, thread_unshares, NULL);
	pthread_join(id, NULL);
	event_second();
}

static pthread_barrier_t unshared, opened;

static void *inner_opens(void *argument)
{
	pthread_barrier_wait(&opened);
	for (int i = 0; i < 3; i++)
		if (eventfd(0, 0) < 0)
			exit(97);
	return argument;
}

static void *outer_unshares(void *argument)
{
	pthread_t inner;

	if (unshare(CLONE_FILES) != 0)
		exit(97);
	pthread_barrier_wait(&unshared);
	pthread_create(&inner, NULL, inner_opens, NULL);
	pthread_join(inner, NULL);
	return argument;
}

/* A thread shares the table of the thread that made it: its numbers are none of the others'. */
static void threads_own_table(char **argv)
{
	pthread_t id;

	pthread_barrier_init(&unshared, NULL, 2);
	pthread_barrier_init(&opened, NULL, 2);
	event_first();
	pthread_create(&id, NULL, outer_unshares, NULL);
	pthread_barrier_wait(&unshared);
	event_second();
	pthread_barrier_wait(&opened);
	pthread_join(id, NULL);
}

/* openat by io_uring: no system call of the process opens it. */
static void ring_open(int ring, const struct io_uring_params *params)
{
	size_t size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);

	size = size > cq_size ? size : cq_size;
	char *queues =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *entries =
	    mmap(NULL, params->sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE, MAP_SHARED,
		 ring, IORING_OFF_SQES);

	if (queues == MAP_FAILED || (void *)entries == MAP_FAILED)
		exit(97);
	memset(entries, 0, sizeof(*entries));
	entries->opcode = IORING_OP_OPENAT;
	entries->fd = AT_FDCWD;
	entries->addr = (uint64_t)(uintptr_t) "/dev/null";
	entries->open_flags = O_RDONLY;
	*(uint32_t *)(queues + params->sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(queues + params->sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		exit(97);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(queues + params->cq_off.cqes);

	truth_opened(done->res, "", "device");
}

OPENER static int setup_ring(struct io_uring_params *params)
{
	int ring = KEEP(syscall(SYS_io_uring_setup, 4, params));

	if (ring >= 0)
		truth_opened(ring, "setup_ring", "io_uring");
	return ring;
}

static void io_uring_openat(char **argv)
{
	struct io_uring_params params = {0};
	int ring = setup_ring(&params);

	event_first();
	if (ring < 0)
		truth_unsupported("io_uring", errno);
	else
		ring_open(ring, &params);
}

static const struct {
	const char *name;
	void (*run)(char **argv);
} scenarios[] = {
    {"dup2-free", dup2_free},
    {"dup2-open", dup2_open},
    {"dup2-equal", dup2_equal},
    {"dup3-free", dup3_free},
    {"dup3-open", dup3_open},
    {"dup3-equal", dup3_equal},
    {"close", closing},
    {"close-range", close_range_plain},
    {"close-range-unshare", close_range_unshare},
    {"close-range-cloexec", close_range_cloexec},
    {"exec", exec_mixed},
    {"fioclex", fioclex},
    {"clone-files", clone_files},
    {"fork", fork_copies},
    {"unshare-files", fork_unshare},
    {"thread", thread},
    {"thread-own-table", thread_own_table},
    {"threads-own-table", threads_own_table},
    {"io-uring", io_uring_openat},
    {"after-exec", after_exec},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (argc < 2) {
			puts(scenarios[i].name);
		} else if (strcmp(argv[1], scenarios[i].name) == 0) {
			scenarios[i].run(argv);
			truth_print();
			truth_wait();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
