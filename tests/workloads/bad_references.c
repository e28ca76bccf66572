/*
 * Uses of numbers that are not open, each from functions of its own. Its truth: number, call, kind
 * and the functions of now, of the close and of the opening.
 */
#include "workload.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

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

OPENER static void poll_closed(int epoll, int number)
{
	struct epoll_event event = {.events = EPOLLIN};

	KEEP(epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event));
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

int main(int argc, char **argv)
{
	int epoll = setup_epoll();
	int number = open_victim();

	close_victim(number);
	close_again(number);
	truth_bad(number, "close", "double-close", "close_again", "close_victim", "open_victim");
	read_closed(number);
	truth_bad(number, "read", "use-after-close", "read_closed", "close_victim", "open_victim");
	poll_closed(epoll, number);
	truth_bad(number, "epoll_ctl", "use-after-close", "poll_closed", "close_victim",
		  "open_victim");
	close_unknown();
	truth_bad(777, "close", "never-opened", "close_unknown", "", "");
	write_unknown();
	truth_bad(778, "write", "never-opened", "write_unknown", "", "");
	truth_print();
	truth_wait();
	return 0;
}
