/*
 * inject_target FD threads|few|vfork|leaderless [stops|mdwe|trap|errno]: many threads that do what
 * programs do, and check that it works as if nobody were there. Exits with TARGET_EXIT if it did.
 * With `stops` there are none that a mere stop disturbs, as epoll_wait(2). FD is the memory of
 * struct target_shared.
 */
#include "inject_target.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct target_shared *shared;
static _Thread_local volatile sig_atomic_t handled;

enum {
	READ,
	WRITE,
	PING,
	PONG,
	COMPUTE,
	ALLOCATE,
	SEND,
	ALTSTACK,
	EPOLL,
	SUSPEND,
	WAKE,
	SLEEP,
	FAULT
};

struct pair {
	int pipe[2];
	sem_t ping, pong;
	_Atomic uint32_t woken, wakes;
	pthread_t suspended;
	_Atomic bool is_ready, is_done;
};

struct worker {
	pthread_t thread;
	int kind, index;
	struct pair *pair;
};

static void check_at(bool right, int line)
{
	if (right)
		return;
	shared->wrong_errno = errno;
	shared->wrong_line = line;
	shared->wrong++;
}

#define check(condition) check_at(condition, __LINE__)

static void block(int how, int a, int b, int c)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, a);
	sigaddset(&set, b);
	sigaddset(&set, c);
	pthread_sigmask(how, &set, NULL);
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void pause_ms(int ms)
{
	struct timespec time = {0, ms * 1000000l};
	double begin = now_seconds();

	check(nanosleep(&time, NULL) == 0);
	check(now_seconds() - begin >= ms * 0.001);
}

static void run_read(struct worker *worker)
{
	uint64_t expected = 1, got = 0;

	while (expected) {
		check(read(worker->pair->pipe[0], &got, sizeof(got)) == sizeof(got));
		if (!got)
			return;
		check(got == expected);
		expected = got + 1;
		shared->rounds[READ]++;
	}
}

static void run_write(struct worker *worker)
{
	uint64_t last = 0;

	for (uint64_t value = 1; !shared->stop; value++) {
		check(write(worker->pair->pipe[1], &value, sizeof(value)) == sizeof(value));
		pause_ms(3);
		shared->rounds[WRITE]++;
	}
	check(write(worker->pair->pipe[1], &last, sizeof(last)) == sizeof(last));
}

static void run_ping(struct worker *worker)
{
	while (!shared->stop) {
		sem_post(&worker->pair->ping);
		check(sem_wait(&worker->pair->pong) == 0);
		usleep(1000);
		shared->rounds[PING]++;
	}
	worker->pair->is_done = true;
	sem_post(&worker->pair->ping);
}

static void run_pong(struct worker *worker)
{
	for (;;) {
		check(sem_wait(&worker->pair->ping) == 0);
		if (worker->pair->is_done)
			return;
		sem_post(&worker->pair->pong);
		shared->rounds[PONG]++;
	}
}

/* The same result every time, from general and vector registers. */
static void run_compute(struct worker *worker)
{
	uint64_t first = 0;
	double first_sum = 0;

	while (!shared->stop) {
		uint64_t value = 88172645463325252ull;
		double sum = 0;

		for (int i = 0; i < 100000; i++) {
			value ^= value << 13;
			value ^= value >> 7;
			value ^= value << 17;
			sum += (double)(value >> 40) * 0.5;
		}
		check(!first || (value == first && sum >= first_sum && sum <= first_sum));
		first = value;
		first_sum = sum;
		shared->rounds[COMPUTE]++;
	}
}

static void run_allocate(struct worker *worker)
{
	unsigned char *kept[16] = {0};
	unsigned seed = worker->index;

	while (!shared->stop) {
		unsigned i = rand_r(&seed) % 16, bytes = 16 + rand_r(&seed) % 200000;

		if (kept[i])
			check(kept[i][0] == i && kept[i][15] == i);
		free(kept[i]);
		kept[i] = malloc(bytes);
		memset(kept[i], i, bytes);
		shared->rounds[ALLOCATE]++;
	}
	for (int i = 0; i < 16; i++)
		free(kept[i]);
}

/* Queued signals: each arrives once. */
static void run_send(struct worker *worker)
{
	while (!shared->stop) {
		if (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}) == 0)
			shared->sent++;
		pause_ms(1);
		shared->rounds[SEND]++;
	}
}

static void on_queued(int number, siginfo_t *info, void *context)
{
	shared->received += info->si_value.sival_int;
}

static void on_alarm(int number)
{
}

static void on_usr1(int number)
{
	volatile char here[2000];
	double end = now_seconds() + 0.001;

	memset((char *)here, 7, sizeof(here));
	while (now_seconds() < end)
		;
	check(here[0] == 7 && here[1999] == 7);
	handled++;
}

static void on_usr2(int number)
{
	handled++;
}

static void run_altstack(struct worker *worker)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, now;

	check(sigaltstack(&stack, NULL) == 0);
	while (!shared->stop) {
		int before = handled;

		raise(SIGUSR1);
		check(handled == before + 1);
		check(sigaltstack(NULL, &now) == 0 && now.ss_sp == stack.ss_sp);
		usleep(2000);
		shared->rounds[ALTSTACK]++;
	}
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	free(stack.ss_sp);
}

static void run_epoll(struct worker *worker)
{
	int epoll = epoll_create1(0), event = eventfd(0, 0);
	struct epoll_event wanted = {.events = EPOLLIN};

	epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted);
	while (!shared->stop) {
		check(epoll_wait(epoll, &wanted, 1, 5) == 0);
		shared->rounds[EPOLL]++;
	}
	close(epoll);
	close(event);
}

static void run_suspend(struct worker *worker)
{
	struct pair *pair = worker->pair;
	sigset_t open;

	pthread_sigmask(SIG_SETMASK, NULL, &open);
	sigdelset(&open, SIGUSR2);
	pair->suspended = pthread_self();
	pair->is_ready = true;
	while (!pair->is_done) {
		int before = handled;

		check(sigsuspend(&open) == -1 && errno == EINTR);
		check(handled == before + 1);
		pair->woken++;
		shared->rounds[SUSPEND]++;
	}
}

static void run_wake(struct worker *worker)
{
	struct pair *pair = worker->pair;

	while (!pair->is_ready)
		usleep(1000);
	while (!pair->is_done) {
		uint32_t before = pair->woken;

		pair->is_done = shared->stop;
		pthread_kill(pair->suspended, SIGUSR2);
		while (pair->woken == before)
			usleep(1000);
		check(pair->woken == before + 1);
		shared->rounds[WAKE]++;
	}
}

static void run_sleep(struct worker *worker)
{
	while (!shared->stop) {
		struct timeval time = {0, 5000};
		struct pollfd none = {.fd = -1};

		switch (worker->index % 3) {
		case 0:
			pause_ms(5);
			break;
		case 1:
			check(poll(&none, 1, 5) == 0);
			break;
		case 2:
			check(select(0, NULL, NULL, NULL, &time) == 0);
		}
		shared->rounds[SLEEP]++;
	}
}

static _Thread_local sigjmp_buf after_fault;

static void on_fault(int number)
{
	siglongjmp(after_fault, 1);
}

/* As programs do that check for null pointers by their faults. */
static void run_fault(struct worker *worker)
{
	volatile int faults = 0;

	while (!shared->stop) {
		int before = faults;

		if (sigsetjmp(after_fault, 1) == 0)
			__asm__ volatile("movl $0, 16");
		else
			faults++;
		check(faults == before + 1);
		shared->rounds[FAULT]++;
	}
}

static void (*const runs[TARGET_KINDS])(struct worker *worker) = {
    [READ] = run_read,       [WRITE] = run_write,       [PING] = run_ping,
    [PONG] = run_pong,       [COMPUTE] = run_compute,   [ALLOCATE] = run_allocate,
    [SEND] = run_send,       [ALTSTACK] = run_altstack, [EPOLL] = run_epoll,
    [SUSPEND] = run_suspend, [WAKE] = run_wake,         [SLEEP] = run_sleep,
    [FAULT] = run_fault,
};

static int counts_many[TARGET_KINDS] = {15, 15, 10, 10, 4, 5, 1, 3, 10, 5, 5, 14, 2};
static int counts_few[TARGET_KINDS] = {1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1};

static void *worker_run(void *context)
{
	struct worker *worker = context;

	if (worker->kind == COMPUTE || worker->kind == ALLOCATE)
		block(SIG_UNBLOCK, SIGRTMIN, SIGALRM, SIGALRM);
	runs[worker->kind](worker);
	return NULL;
}

/* A kind and the next share their pairs; where a kind has no partner they do not matter. */
static void run_threads(const int *counts, bool timer)
{
	static struct worker workers[200];
	static struct pair pairs[TARGET_KINDS][20];
	struct itimerval interval = {{0, 2000}, {0, 2000}}, none = {0};
	int count = 0;

	for (int kind = 0; kind < TARGET_KINDS; kind++)
		for (int i = 0; i < counts[kind]; i++) {
			struct pair *pair =
			    &pairs[kind == WRITE || kind == PONG || kind == WAKE ? kind - 1 : kind]
				  [i];
			if (kind == READ)
				check(pipe(pair->pipe) == 0);
			if (kind == PING) {
				sem_init(&pair->ping, 0, 0);
				sem_init(&pair->pong, 0, 0);
			}
			workers[count] = (struct worker){.kind = kind, .index = i, .pair = pair};
			check(pthread_create(&workers[count].thread, NULL, worker_run,
					     &workers[count]) == 0);
			count++;
		}
	if (timer)
		setitimer(ITIMER_REAL, &interval, NULL);
	shared->ready = 1;
	for (int i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	setitimer(ITIMER_REAL, &none, NULL);
	block(SIG_UNBLOCK, SIGRTMIN, SIGALRM, SIGUSR2);
	for (int i = 0; i < 1000 && shared->received != shared->sent; i++)
		usleep(1000);
	check(shared->received == shared->sent);
}

static void *run_vfork(void *context)
{
	pid_t pid = vfork();

	if (pid == 0) {
		shared->vforked = getpid();
		while (!shared->stop)
			usleep(1000);
		_exit(3);
	}
	waitpid(pid, NULL, 0);
	return NULL;
}

/* The process goes on without its first thread. */
static void *run_without_leader(void *context)
{
	run_threads(counts_few, false);
	exit(shared->wrong ? 1 : TARGET_EXIT);
}

/* No memory becomes executable: the kernel refuses, or a filter does. */
static bool forbid(const char *how)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K,
		     strcmp(how, "trap") ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_TRAP),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};

	if (!strcmp(how, "mdwe"))
		return prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0) == 0;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

int main(int argc, char **argv)
{
	struct sigaction queued = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct sigaction usr1 = {.sa_handler = on_usr1, .sa_flags = SA_RESTART | SA_ONSTACK};
	struct sigaction usr2 = {.sa_handler = on_usr2};
	struct sigaction fault = {.sa_handler = on_fault};
	pthread_t thread;

	if (argc < 3)
		return 2;
	if (argc > 3)
		counts_many[EPOLL] = counts_few[EPOLL] = 0;
	if (argc > 3 && strcmp(argv[3], "stops") && !forbid(argv[3]))
		return TARGET_CANNOT;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	shared =
	    mmap(NULL, TARGET_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (shared == MAP_FAILED)
		return 2;
	shared->agent_address = (uint64_t)(uintptr_t)&shared->agent;
	sigaction(SIGRTMIN, &queued, NULL);
	sigaction(SIGALRM, &alarm, NULL);
	sigaction(SIGUSR1, &usr1, NULL);
	sigaction(SIGUSR2, &usr2, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	block(SIG_BLOCK, SIGRTMIN, SIGALRM, SIGUSR2);
	if (!strcmp(argv[2], "vfork"))
		pthread_create(&thread, NULL, run_vfork, NULL);
	if (!strcmp(argv[2], "leaderless")) {
		pthread_create(&thread, NULL, run_without_leader, NULL);
		pthread_exit(NULL);
	}
	run_threads(strcmp(argv[2], "threads") ? counts_few : counts_many,
		    !strcmp(argv[2], "threads"));
	if (!strcmp(argv[2], "vfork"))
		pthread_join(thread, NULL);
	return shared->wrong ? 1 : TARGET_EXIT;
}
