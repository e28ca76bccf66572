/*
 * Random openings and closings by many threads and processes, of which the program always knows
 * the truth: a number belongs to the thread that got it until that thread gives it up.
 *
 *     chaos SEED [OPERATIONS [THREADS [PROCESSES]]]    200000 8 4; the operations are divided
 *
 * The kernel hands out low numbers; dup2, dup3 and close_range work on a range of high numbers of
 * the thread's own. Children that are forked in the middle, and programs that they execute, tell
 * what /proc/self/fd shows, with the function for the numbers of the thread that forked them.
 * With CHAOS_GATE set it waits for a byte on standard input first, so that it can be attached to.
 */
#include "send_numbers.h"
#include "workload.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	THREADS_MAX = 8,
	LOW_MAX = 24, /* numbers of the kernel's choice that a thread holds */
	HIGH_FIRST = 600,
	HIGH_COUNT = 48,
	CHILD_EVERY = 1000, /* operations */
};

struct chaos_thread {
	pthread_t id;
	int index;
	long operations;
	uint64_t random;
	int low[LOW_MAX + 2];
	int low_n;
	int sockets[2]; /* for descriptors sent to oneself */
};

extern char **environ;

static atomic_int owner[TRUTH_NUMBERS_MAX];
static struct chaos_thread threads[THREADS_MAX];

static uint32_t pick(struct chaos_thread *self, uint32_t below)
{
	self->random ^= self->random << 13;
	self->random ^= self->random >> 7;
	self->random ^= self->random << 17;
	return (uint32_t)(self->random >> 32) % below;
}

static bool coin(struct chaos_thread *self)
{
	return pick(self, 2) == 0;
}

static void check(bool fine, const char *what)
{
	if (!fine) {
		fprintf(stderr, "chaos: %s: %s\n", what, strerror(errno));
		_exit(96);
	}
}

/* Owner first: who sees the function sees whose it is. */
static void took(struct chaos_thread *self, int number, const char *function, const char *type)
{
	check(number >= 0 && number < TRUTH_NUMBERS_MAX, function);
	atomic_store(&owner[number], self->index + 1);
	truth_opened(number, function, type);
	atomic_thread_fence(memory_order_seq_cst);
}

static void took_low(struct chaos_thread *self, int number, const char *function, const char *type)
{
	took(self, number, function, type);
	check(number < HIGH_FIRST, "a low number");
	self->low[self->low_n++] = number;
}

/* Forgets before the kernel may give the number to somebody else. */
static void gives(int number)
{
	truth_closed(number);
	atomic_thread_fence(memory_order_seq_cst);
}

OPENER static void chaos_eventfd(struct chaos_thread *self)
{
	took_low(self, KEEP(eventfd(0, coin(self) ? EFD_CLOEXEC : 0)), __func__, "eventfd");
}

OPENER static void chaos_open(struct chaos_thread *self)
{
	took_low(self, KEEP(open("/dev/null", O_RDONLY | (coin(self) ? O_CLOEXEC : 0))), __func__,
		 "device");
}

OPENER static void chaos_epoll(struct chaos_thread *self)
{
	took_low(self, KEEP(epoll_create1(coin(self) ? EPOLL_CLOEXEC : 0)), __func__, "epoll");
}

OPENER static void chaos_memfd(struct chaos_thread *self)
{
	took_low(self, KEEP(memfd_create("chaos", coin(self) ? MFD_CLOEXEC : 0)), __func__,
		 "memfd");
}

OPENER static void chaos_pipe(struct chaos_thread *self)
{
	int ends[2];

	check(KEEP(pipe2(ends, coin(self) ? O_CLOEXEC : 0)) == 0, "pipe2");
	took_low(self, ends[0], __func__, "pipe");
	took_low(self, ends[1], __func__, "pipe");
}

OPENER static void chaos_socketpair(struct chaos_thread *self)
{
	int ends[2];

	check(KEEP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) == 0, "socketpair");
	took_low(self, ends[0], __func__, "socket");
	took_low(self, ends[1], __func__, "socket");
}

static int any_low(struct chaos_thread *self)
{
	return self->low_n > 0 ? self->low[pick(self, (uint32_t)self->low_n)] : self->sockets[0];
}

static int any_high(struct chaos_thread *self)
{
	return HIGH_FIRST + self->index * HIGH_COUNT + (int)pick(self, HIGH_COUNT);
}

OPENER static void chaos_dup(struct chaos_thread *self)
{
	int from = any_low(self);

	took_low(self, KEEP(dup(from)), __func__, truth_table[from].type);
}

OPENER static void chaos_fcntl_dup(struct chaos_thread *self)
{
	int from = any_low(self);

	took_low(self, KEEP(fcntl(from, coin(self) ? F_DUPFD_CLOEXEC : F_DUPFD, 5)), __func__,
		 truth_table[from].type);
}

OPENER static void chaos_dup2(struct chaos_thread *self)
{
	int from = any_low(self), to = any_high(self);

	check(KEEP(dup2(from, to)) == to, "dup2");
	took(self, to, __func__, truth_table[from].type);
}

OPENER static void chaos_dup3(struct chaos_thread *self)
{
	int from = any_low(self), to = any_high(self);

	check(KEEP(dup3(from, to, O_CLOEXEC)) == to, "dup3");
	took(self, to, __func__, truth_table[from].type);
}

/* Onto a low number of our own: it never becomes free in between. */
OPENER static void chaos_dup2_low(struct chaos_thread *self)
{
	int from = self->sockets[0], to = any_low(self);

	if (to == from)
		return;
	check(KEEP(dup2(from, to)) == to, "dup2");
	took(self, to, __func__, truth_table[from].type);
}

OPENER static void chaos_receive(struct chaos_thread *self)
{
	char control[CMSG_SPACE(sizeof(int))];
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int from = any_low(self), number;

	check(send_numbers(self->sockets[0], &from, 1) == 1, "sendmsg");
	check(KEEP(recvmsg(self->sockets[1], &message, coin(self) ? MSG_CMSG_CLOEXEC : 0)) == 1,
	      "recvmsg");
	memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	took_low(self, number, __func__, "any"); /* the call does not say what came */
}

OPENER static void chaos_thread_sockets(struct chaos_thread *self)
{
	check(KEEP(socketpair(AF_UNIX, SOCK_DGRAM, 0, self->sockets)) == 0, "socketpair");
	took(self, self->sockets[0], __func__, "socket");
	took(self, self->sockets[1], __func__, "socket");
}

static void close_low(struct chaos_thread *self)
{
	if (self->low_n == 0)
		return;
	uint32_t at = pick(self, (uint32_t)self->low_n);
	int number = self->low[at];

	self->low[at] = self->low[--self->low_n];
	gives(number);
	if (coin(self))
		check(close(number) == 0, "close");
	else
		check(syscall(SYS_close_range, number, number, 0) == 0, "close_range");
}

static void close_high(struct chaos_thread *self)
{
	int first = any_high(self), last = any_high(self);

	if (first > last) {
		int swap = first;

		first = last;
		last = swap;
	}
	for (int number = first; number <= last; number++)
		gives(number);
	check(syscall(SYS_close_range, first, last, 0) == 0, "close_range");
}

static void change_flag(struct chaos_thread *self)
{
	check(fcntl(any_low(self), F_SETFD, coin(self) ? FD_CLOEXEC : 0) == 0, "F_SETFD");
}

/* Makes the table what /proc/self/fd shows; of numbers that are not `whose` only that they are
 * open. Returns how many differ from what the table said before. */
static int read_truth(int whose)
{
	static char entries[65536];
	static bool seen[TRUTH_NUMBERS_MAX];
	int differences = 0;
	int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long size;

	check(folder >= 0, "/proc/self/fd");
	while ((size = syscall(SYS_getdents64, folder, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < size; at += *(uint16_t *)(entries + at + 16)) {
			int number = atoi(entries + at + 19);

			if (entries[at + 19] != '.' && number != folder && number > 2)
				seen[number] = true;
		}
	}
	close(folder);
	for (int i = 3; i < TRUTH_NUMBERS_MAX; i++) {
		bool mine = truth_table[i].function != NULL && owner[i] == whose;

		differences += seen[i] != (truth_table[i].function != NULL);
		if (seen[i] && !mine)
			truth_opened(i, "", "any");
		else if (!seen[i])
			truth_closed(i);
	}
	return differences;
}

OPENER static void chaos_in_child(struct chaos_thread *self)
{
	int number = KEEP(eventfd(0, EFD_CLOEXEC));

	took(self, number, __func__, "eventfd");
}

static void run_child(struct chaos_thread *self)
{
	bool closes_all = pick(self, 4) == 0;

	if (closes_all) {
		for (int i = 3; i < TRUTH_NUMBERS_MAX; i++)
			truth_closed(i);
		check(syscall(SYS_close_range, 3, ~0U, coin(self) ? CLOSE_RANGE_UNSHARE : 0) == 0,
		      "close_range");
	} else {
		for (int i = 0; i < 3; i++)
			close_low(self);
	}
	chaos_in_child(self);
	if (coin(self)) {
		execl("/proc/self/exe", "chaos", "verify", (char *)NULL);
		check(false, "exec");
	}
	read_truth(self->index + 1);
	truth_print();
	_exit(0);
}

static void have_child(struct chaos_thread *self)
{
	static char *const verify[] = {"chaos", "verify", NULL};
	pid_t child = -1;
	int status;

	if (pick(self, 3) == 0) {
		check(posix_spawn(&child, "/proc/self/exe", NULL, NULL, verify, environ) == 0,
		      "spawn");
	} else {
		child = fork();
		check(child >= 0, "fork");
		if (child == 0)
			run_child(self);
	}
	check(waitpid(child, &status, 0) == child && status == 0, "a child's status");
}

static void step(struct chaos_thread *self)
{
	static void (*const opens[])(struct chaos_thread *) = {
	    chaos_eventfd, chaos_open,       chaos_epoll, chaos_memfd,
	    chaos_pipe,    chaos_socketpair, chaos_dup,   chaos_fcntl_dup,
	    chaos_dup2,    chaos_dup2_low,   chaos_dup3,  chaos_receive};

	if (pick(self, CHILD_EVERY) == 0)
		have_child(self);
	else if (self->low_n >= LOW_MAX || pick(self, 100) < 45)
		close_low(self);
	else if (pick(self, 100) < 5)
		close_high(self);
	else if (pick(self, 100) < 5)
		change_flag(self);
	else
		opens[pick(self, sizeof(opens) / sizeof(opens[0]))](self);
}

static void *run_thread(void *argument)
{
	struct chaos_thread *self = argument;

	chaos_thread_sockets(self);
	for (long i = 0; i < self->operations; i++)
		step(self);
	return NULL;
}

static void run_process(uint64_t seed, long operations, int threads_n, int process)
{
	truth_base();
	for (int i = 0; i < threads_n; i++) {
		threads[i].index = i;
		threads[i].operations = operations;
		threads[i].random = (seed * 0x9e3779b97f4a7c15ULL) ^
				    (uint64_t)(process * 64 + i + 1) * 0xbf58476d1ce4e5b9ULL;
		check(pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) == 0, "thread");
	}
	for (int i = 0; i < threads_n; i++)
		pthread_join(threads[i].id, NULL);
	truth_print();
	for (int i = 3; i < TRUTH_NUMBERS_MAX; i++)
		owner[i] = 1;
	check(read_truth(1) == 0, "the truth is not true");
	truth_wait();
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "verify") == 0) {
		read_truth(0);
		chaos_in_child(&threads[0]);
		truth_print();
		return 0;
	}
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	long operations = argc > 2 ? strtol(argv[2], NULL, 10) : 200000;
	int threads_n = argc > 3 ? (int)strtol(argv[3], NULL, 10) : THREADS_MAX;
	int processes = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 4;
	char byte;

	fprintf(stderr, "chaos: seed %llu, %ld operations\n", (unsigned long long)seed, operations);
	check(threads_n > 0 && threads_n <= THREADS_MAX && processes > 0, "arguments");
	read_truth(0); /* what was inherited */
	if (getenv("CHAOS_GATE") != NULL)
		check(read(0, &byte, 1) == 1, "the gate");
	int process = 0;

	while (process + 1 < processes && fork() != 0)
		process++;
	bool first = process + 1 == processes;

	run_process(seed, operations / (threads_n * processes), threads_n, process);
	if (!first)
		_exit(0);
	for (int status; wait(&status) > 0;)
		check(status == 0, "a process's status");
	return 0;
}
