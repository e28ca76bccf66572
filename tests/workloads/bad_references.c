/*
 * Uses of numbers that are not open, each from functions of its own. Its truth: number, call, kind
 * and the functions of now, of the close and of the opening.
 */
#include "workload.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>

OPENER static int open_victim(void)
{
	return KEEP(eventfd(0, 0));
}

OPENER static void close_victim(int number)
{
	KEEP(close(number));
}

OPENER static void close_again(int number)
{
	KEEP(close(number));
}

OPENER static void read_closed(int number)
{
	char byte;

	KEEP(read(number, &byte, 1));
}

OPENER static void watch_closed(int epoll, int number)
{
	struct epoll_event event = {.events = EPOLLIN};

	KEEP(epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event));
}

/* Among others that are open, or none. */
OPENER static void poll_closed(int open, int number)
{
	struct pollfd polled[] = {{open, POLLIN, 0}, {-1, POLLIN, 0}, {number, POLLIN, 0}};

	KEEP(poll(polled, 3, 100));
}

/* More than are looked at in one piece, or asked for one by one. */
OPENER static void ppoll_closed(int open, int number)
{
	static struct pollfd polled[200];
	struct timespec wait = {.tv_nsec = 1000};

	for (int i = 0; i < 200; i++)
		polled[i] = (struct pollfd){i == 150 ? number : open, POLLIN, 0};
	KEEP(ppoll(polled, 200, &wait, NULL));
}

OPENER static void select_closed(int open, int number)
{
	struct timeval wait = {0};
	fd_set reads, writes;

	FD_ZERO(&reads);
	FD_ZERO(&writes);
	FD_SET(open, &reads);
	FD_SET(number, &writes);
	KEEP(select(100, &reads, &writes, NULL, &wait));
}

OPENER static void pselect_closed(int open, int number)
{
	struct timespec wait = {0};
	fd_set reads, others;

	FD_ZERO(&reads);
	FD_ZERO(&others);
	FD_SET(open, &reads);
	FD_SET(number, &others);
	KEEP(pselect(100, &reads, NULL, &others, &wait, NULL));
}

/* Rust's start-up does this with 0, 1 and 2: harmless. */
OPENER static void ask_by_poll(int number)
{
	struct pollfd polled = {number, 0, 0};

	KEEP(poll(&polled, 1, 0));
}

OPENER static void send_from_closed(int open, int number)
{
	KEEP(sendfile(open, number, NULL, 1));
}

OPENER static void dup_closed(int number)
{
	KEEP(dup2(number, 50));
}

/* All that a place did may be done by another thread. */
struct errand {
	void (*errand)(int number);
	int number;
};

static void *run_errand(void *context)
{
	const struct errand *errand = context;

	errand->errand(errand->number);
	return NULL;
}

static void elsewhere(void (*function)(int number), int number)
{
	struct errand errand = {function, number};
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_errand, &errand))
		exit(97);
	pthread_join(thread, NULL);
}

OPENER static int open_next(void)
{
	return KEEP(open("/dev/null", O_WRONLY));
}

OPENER static void close_next(int number)
{
	KEEP(close(number));
}

OPENER static void close_next_again(int number)
{
	KEEP(close(number));
}

OPENER static void write_next(int number)
{
	KEEP(write(number, "", 1));
}

OPENER static void close_unknown(void)
{
	KEEP(close(777));
}

OPENER static void write_unknown(void)
{
	KEEP(write(778, "", 1));
}

OPENER static int setup_epoll(void)
{
	int number = KEEP(epoll_create1(0));

	truth_opened(number, "setup_epoll", "epoll");
	return number;
}

static void truth_bad(int number, const char *operation, const char *kind, const char *now,
		      const char *closed, const char *opened)
{
	char line[400];
	int used = snprintf(
	    line, sizeof(line),
	    "{\"truth\":\"bad\",\"pid\":%d,\"handle\":%d,\"operation\":\"%s\",\"kind\":\"%s\","
	    "\"now\":\"%s\",\"closed\":\"%s\",\"opened\":\"%s\"}\n",
	    getpid(), number, operation, kind, now, closed, opened);

	truth_write(line, (size_t)used);
}

static void waits(int open, int number)
{
	poll_closed(open, number);
	truth_bad(number, "poll", "use-after-close", "poll_closed", "close_victim", "open_victim");
	ppoll_closed(open, number);
	truth_bad(number, "ppoll", "use-after-close", "ppoll_closed", "close_victim",
		  "open_victim");
	select_closed(open, number);
	truth_bad(number, "pselect6|select", "use-after-close", "select_closed", "close_victim",
		  "open_victim");
	pselect_closed(open, number);
	truth_bad(number, "pselect6", "use-after-close", "pselect_closed", "close_victim",
		  "open_victim");
	poll_closed(open, 779);
	truth_bad(779, "poll", "never-opened", "poll_closed", "", "");
	select_closed(open, 40); /* the kernel looks no further than the table is long */
	truth_bad(40, "pselect6|select", "never-opened", "select_closed", "", "");
}

/* Closed by one thread, and then by another, or used there. */
static void threads(void)
{
	int first = open_victim(), second = open_victim(), third = open_victim();

	elsewhere(close_victim, second);
	close_again(second);
	truth_bad(second, "close", "double-close", "close_again", "close_victim", "open_victim");
	close_victim(third);
	elsewhere(close_again, third);
	truth_bad(third, "close", "double-close", "close_again", "close_victim", "open_victim");
	elsewhere(read_closed, third);
	truth_bad(third, "read", "use-after-close", "read_closed", "close_victim", "open_victim");
	close_victim(first);
}

/* Somebody else had the number in between: it is he who was last. */
static void reuse(int number)
{
	int next = open_next();

	if (next != number)
		exit(96);
	close_next(next);
	close_next_again(next);
	truth_bad(next, "close", "double-close", "close_next_again", "close_next", "open_next");
	elsewhere(write_next, next);
	truth_bad(next, "write", "use-after-close", "write_next", "close_next", "open_next");
	next = open_victim();
	if (next != number)
		exit(95);
	close_victim(next);
	elsewhere(write_next, next);
	truth_bad(next, "write", "use-after-close", "write_next", "close_victim", "open_victim");
}

int main(int argc, char **argv)
{
	int epoll = setup_epoll();
	int number = open_victim();

	close_victim(number);
	close_again(number);
	truth_bad(number, "close", "double-close", "close_again", "close_victim", "open_victim");
	read_closed(number);
	truth_bad(number, "read", "use-after-close", "read_closed", "close_victim", "open_victim");
	watch_closed(epoll, number);
	truth_bad(number, "epoll_ctl", "use-after-close", "watch_closed", "close_victim",
		  "open_victim");
	waits(epoll, number);
	ask_by_poll(number);
	truth_bad(number, "poll", "use-after-close", "ask_by_poll", "close_victim", "open_victim");
	send_from_closed(epoll, number);
	truth_bad(number, "sendfile", "use-after-close", "send_from_closed", "close_victim",
		  "open_victim");
	dup_closed(number);
	truth_bad(number, "dup2", "use-after-close", "dup_closed", "close_victim", "open_victim");
	threads();
	reuse(number);
	close_unknown();
	truth_bad(777, "close", "never-opened", "close_unknown", "", "");
	write_unknown();
	truth_bad(778, "write", "never-opened", "write_unknown", "", "");
	truth_print();
	truth_wait();
	return 0;
}
