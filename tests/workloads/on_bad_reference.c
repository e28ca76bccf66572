/*
 * Bad references, and what looks like one: each word on the command line is a step, done in turn;
 * each prints a line when it is over. It ends with status 7.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include <fcntl.h>

#include "workload.h"

OPENER static int open_victim(void)
{
	return KEEP(eventfd(0, 0));
}

OPENER static void close_victim(int number)
{
	KEEP(close(number));
}

static volatile uintptr_t frame_of_call; /* of the function that makes the bad call */

OPENER static int close_again(int number)
{
	frame_of_call = (uintptr_t)__builtin_frame_address(0);
	return KEEP(close(number));
}

OPENER static int read_closed(int number)
{
	char byte;

	return KEEP(read(number, &byte, 1));
}

OPENER static int poll_closed(int epoll, int number)
{
	struct epoll_event event = {.events = EPOLLIN};

	return KEEP(epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event));
}

OPENER static int poll_unknown(int number)
{
	struct pollfd entry = {number, POLLIN, 0};

	return KEEP(poll(&entry, 1, 0));
}

OPENER static int select_unknown(int number)
{
	struct timeval none = {0};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(number, &set);
	return KEEP(select(number + 1, &set, NULL, NULL, &none));
}

OPENER static int write_unknown(void)
{
	return KEEP(write(778, "", 1));
}

static int closed_number(void)
{
	int number = open_victim();

	close_victim(number);
	return number;
}

/* Nothing here is a bad reference. */
static void step_valid(void)
{
	int number = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int written = write(number, "x", 1) < 0 ? errno : 0;
	int asked = fcntl(closed_number(), F_GETFD) < 0 ? errno : 0;

	close(-1);
	printf("valid: write %d, fcntl %d\n", written, asked);
	close(number);
}

static void step_twice(void)
{
	int result = close_again(closed_number());

	printf("twice: %d %d\n", result, result < 0 ? errno : 0);
}

static void *read_in_thread(void *number)
{
	int result;

	printf("tid %ld\n", syscall(SYS_gettid));
	result = read_closed((int)(intptr_t)number);
	printf("thread: %d %d\n", result, result < 0 ? errno : 0);
	return NULL;
}

static void step_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, read_in_thread, (void *)(intptr_t)closed_number());
	pthread_join(thread, NULL);
}

static void step_epoll(void)
{
	int number = closed_number(), epoll = epoll_create1(0), result;

	/* The number that was closed is the epoll's now: another one. */
	number = dup2(epoll, 50);
	close_victim(number);
	result = poll_closed(epoll, number);
	printf("epoll: %d %d\n", result, result < 0 ? errno : 0);
	close(epoll);
}

static void step_never(void)
{
	int result = write_unknown();

	printf("never: %d %d\n", result, result < 0 ? errno : 0);
}

static void step_poll(void)
{
	int open = open_victim(), closed = closed_number();
	int result = poll_unknown(open);

	printf("poll: %d", result);
	result = poll_unknown(closed);
	printf(" %d\n", result);
	close(open);
}

static void step_select(void)
{
	int open = open_victim(), closed = closed_number();
	int result = select_unknown(open);

	printf("select: %d", result);
	result = select_unknown(closed);
	printf(" %d\n", result);
	close(open);
}

static int handlers; /* that were begun */

static void on_signal(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *at = context;
	uintptr_t sp = (uintptr_t)at->uc_mcontext.gregs[REG_RSP];
	char scratch[512];

	(void)info;
	memset(scratch, 0x55, sizeof(scratch));
	__asm__ volatile("" : : "r"(scratch) : "memory");
	printf("signal %d: %s the call\n", signal,
	       sp <= frame_of_call && frame_of_call - sp < 512 ? "at" : "not at");
	/* One within the other. */
	if (handlers++ == 0)
		close_victim(779);
}

static void step_handler(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGUSR1, &action, NULL);
	puts("handler");
}

/* A child that shares our memory, and the thread that waits for it. */
static void step_vfork(void)
{
	int number = closed_number(), status;
	pid_t pid = vfork();

	if (pid == 0) {
		close_again(number);
		_exit(5);
	}
	waitpid(pid, &status, 0);
	printf("vfork: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Until somebody says so. */
static void step_wait(void)
{
	char line[64];

	puts("waits");
	if (!fgets(line, sizeof(line), stdin))
		puts("nobody came");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*step)(void);
	} steps[] = {
	    {"valid", step_valid}, {"twice", step_twice},     {"thread", step_thread},
	    {"epoll", step_epoll}, {"poll", step_poll},       {"select", step_select},
	    {"never", step_never}, {"handler", step_handler}, {"vfork", step_vfork},
	    {"wait", step_wait},
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		for (size_t j = 0; j < sizeof(steps) / sizeof(*steps); j++)
			if (!strcmp(argv[i], steps[j].name))
				steps[j].step();
	return 7;
}
