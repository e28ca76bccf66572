/*
 * Opens handles of several types in several places, some of them with names, misuses a few numbers,
 * and forks children that open their own. With "stay" it then waits, and so do the children.
 */
#include "workload.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { LOGS = 4, EVENTS = 6, CHILDREN = 2, STAY_S = 60 };

static int opened(int number, const char *function, const char *type)
{
	truth_opened(number, function, type);
	return number;
}

OPENER static int open_log(int serial)
{
	char path[64];

	snprintf(path, sizeof(path), "places-%d.%s", serial, serial % 2 ? "log" : "txt");
	return KEEP(opened(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600), "open_log", "file"));
}

OPENER static int open_data(void)
{
	return KEEP(opened(open("/dev/null", O_RDONLY), "open_data", "file"));
}

OPENER static int make_socket(int family, int type)
{
	return KEEP(opened(socket(family, type, 0), "make_socket", "socket"));
}

OPENER static int listen_local(void)
{
	return KEEP(make_socket(AF_INET, SOCK_STREAM));
}

OPENER static int send_datagrams(void)
{
	return KEEP(make_socket(AF_INET, SOCK_DGRAM));
}

OPENER static void make_pair(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
		opened(pair[0], "make_pair", "socket");
		opened(pair[1], "make_pair", "socket");
	}
}

OPENER static void make_pipe(void)
{
	int ends[2];

	if (pipe(ends) == 0) {
		opened(ends[0], "make_pipe", "pipe");
		opened(ends[1], "make_pipe", "pipe");
	}
}

OPENER static int make_event(void)
{
	return KEEP(opened(eventfd(0, 0), "make_event", "eventfd"));
}

OPENER static int make_poll(void)
{
	return KEEP(opened(epoll_create1(0), "make_poll", "epoll"));
}

/* A loop of unknown length is one place, not one for each round. */
OPENER static int work(int logs, int events)
{
	for (int i = 0; i < logs; i++)
		open_log(i);
	for (int i = 0; i < events; i++)
		make_event();
	return KEEP(open_data());
}

OPENER static int misuse(void)
{
	int event = make_event(), data = open_data();
	char byte;

	truth_closed(event);
	truth_closed(data);
	close(event);
	close(event);
	close(data);
	return KEEP(read(data, &byte, 1));
}

OPENER static int be_child(int stay, int ready)
{
	memset(truth_table, 0, sizeof(truth_table));
	make_event();
	send_datagrams();
	close(ready);
	if (stay)
		pause();
	_exit(0);
}

int main(int argc, char **argv)
{
	int stay = argc > 1 && !strcmp(argv[1], "stay"), ready[2];
	char byte;

	alarm(STAY_S);
	misuse();
	work(LOGS, EVENTS);
	work(0, EVENTS);
	listen_local();
	send_datagrams();
	make_pair();
	make_pipe();
	make_poll();
	truth_print();
	for (int i = 0; i < CHILDREN; i++) {
		if (pipe(ready) < 0)
			return 99;
		if (fork() == 0) {
			alarm(STAY_S);
			close(ready[0]);
			be_child(stay, ready[1]);
		}
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 0) /* its end closes with the child's work */
			return 99;
		close(ready[0]);
	}
	truth_write("{\"truth\":\"waiting\"}\n", 20);
	while (stay)
		pause();
	for (int i = 0; i < CHILDREN; i++)
		wait(NULL);
	return 0;
}
