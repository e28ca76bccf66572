/* Scenes of servers and their clients that leak nothing, over the loopback and in threads. */
#include "../send_numbers.h"
#include "scenes.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CLIENTS = 12, LOAD = 20, SLOW_MAX = 64 };

/* A function's handles are of one call of it: each place has a listener of its own. */
static int bound(int listener, struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);

	*address =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	if (bind(listener, (struct sockaddr *)address, sizeof(*address)) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)address, &size))
		exit(95);
	return listener;
}

PLACE(listen_here);
OPENER static int listen_here(struct sockaddr_in *address)
{
	int listener =
	    opened(&listen_here_place, KEEP(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));

	return bound(listener, address);
}

static struct sockaddr_in doors[3];
static int listeners[3];
static pthread_once_t doors_once = PTHREAD_ONCE_INIT;

/* In a loop, as nginx does it. */
static void doors_open(void)
{
	for (int i = 0; i < 3; i++)
		listeners[i] = listen_here(&doors[i]);
}

static int door(int index)
{
	pthread_once(&doors_once, doors_open);
	return listeners[index];
}

static void connect_to(int number, int index)
{
	pthread_once(&doors_once, doors_open);
	if (connect(number, (struct sockaddr *)&doors[index], sizeof(doors[index])))
		exit(94);
}

PLACE(short_connection);
OPENER static int short_connection(void)
{
	return opened(&short_connection_place, KEEP(accept4(door(0), NULL, NULL, SOCK_CLOEXEC)));
}

PLACE(short_client);
OPENER static int short_client(void)
{
	return opened(&short_client_place, KEEP(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

static void short_server(void)
{
	for (;;) {
		int number = short_connection();

		pause_about_s(0.01);
		close(number);
	}
}

static void short_clients(void)
{
	for (;;) {
		int number = short_client();

		connect_to(number, 0);
		pause_about_s(0.05);
		close(number);
	}
}

PLACE(idle_connection);
OPENER static int idle_connection(void)
{
	return opened(&idle_connection_place, KEEP(accept4(door(1), NULL, NULL, SOCK_CLOEXEC)));
}

PLACE(idle_client);
OPENER static int idle_client(void)
{
	return opened(&idle_client_place, KEEP(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

/* Keeps as many as there are; one ends when its client does. */
static void idle_server(void)
{
	struct pollfd polled[1 + 2 * CLIENTS];
	nfds_t count = 1;
	char byte;

	polled[0] = (struct pollfd){.fd = door(1), .events = POLLIN};
	for (;;) {
		poll(polled, count, -1);
		for (nfds_t i = count; --i > 0;)
			if (polled[i].revents && read(polled[i].fd, &byte, 1) <= 0) {
				close(polled[i].fd);
				polled[i] = polled[--count];
			}
		if (polled[0].revents && count < sizeof(polled) / sizeof(*polled))
			polled[count++] =
			    (struct pollfd){.fd = idle_connection(), .events = POLLIN};
	}
}

/* As many as CLIENTS, each of them for one to four seconds. */
static void idle_clients(void)
{
	struct {
		int number;
		double until_s;
	} clients[CLIENTS] = {0};

	for (;;) {
		for (int i = 0; i < CLIENTS; i++) {
			if (now_s() < clients[i].until_s)
				continue;
			if (clients[i].number)
				close(clients[i].number);
			clients[i].number = idle_client();
			clients[i].until_s = now_s() + between(1, 4);
			connect_to(clients[i].number, 1);
			pause_s(0.02);
		}
		pause_s(0.05);
	}
}

PLACE(threaded_connection);
OPENER static int threaded_connection(void)
{
	return opened(&threaded_connection_place, KEEP(accept4(door(2), NULL, NULL, SOCK_CLOEXEC)));
}

static void *serve(void *argument)
{
	int number = (int)(intptr_t)argument;
	char byte;

	while (read(number, &byte, 1) > 0)
		;
	close(number);
	return NULL;
}

static void thread_for_each(void)
{
	for (;;) {
		pthread_t thread;
		int number = threaded_connection();

		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)number))
			exit(93);
		pthread_detach(thread);
	}
}

PLACE(threaded_client);
OPENER static int threaded_client(void)
{
	return opened(&threaded_client_place, KEEP(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

static void *visit(void *argument)
{
	int number = threaded_client();

	connect_to(number, 2);
	pause_s((double)(intptr_t)argument / 1000);
	close(number);
	return NULL;
}

/* Most stay for a tenth of a second, some for two. */
static void visitors(void)
{
	for (;;) {
		pthread_t thread;
		intptr_t stay_ms = below(5) ? 50 + (int)below(100) : 500 + (int)below(1500);

		if (pthread_create(&thread, NULL, visit, (void *)stay_ms))
			exit(92);
		pthread_detach(thread);
		pause_about_s(0.2);
	}
}

PLACE(under_load);
OPENER static int under_load(void)
{
	return opened(&under_load_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

/* Each holds one most of the time; more and more of them begin, until the middle. */
static void *worker(void *argument)
{
	(void)argument;
	for (;;) {
		int number = under_load();

		pause_s(0.1 + 0.4 * ((uintptr_t)&number >> 12 & 7) / 8);
		close(number);
		pause_s(0.05);
	}
	return NULL;
}

static void load_to_a_plateau(void)
{
	for (int i = 0; i < LOAD; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, worker, NULL))
			exit(91);
		pause_s(part(0.45) / LOAD);
	}
}

PLACE(sent_away);
OPENER static int sent_away(void)
{
	return opened(&sent_away_place, KEEP(memfd_create("sent", MFD_CLOEXEC)));
}

static void give(int over, int number)
{
	if (send_numbers(over, &number, 1) < 0)
		exit(90);
}

PLACE(taken);
OPENER static int taken(int over)
{
	int number = receive_number(over);

	if (number < 0)
		exit(89);
	return opened(&taken_place, number);
}

static int ends[2];
static pthread_once_t ends_once = PTHREAD_ONCE_INIT;

PLACE(both_ends);
OPENER static void both_ends(void)
{
	opened(&both_ends_place, KEEP(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)));
}

/* Given to somebody else, and closed here at once. */
static void sender(void)
{
	pthread_once(&ends_once, both_ends);
	for (;;) {
		int number = sent_away();

		give(ends[0], number);
		close(number);
		pause_about_s(0.12);
	}
}

static void receiver(void)
{
	int held[4] = {0};

	pthread_once(&ends_once, both_ends);
	for (uint32_t i = 0;; i = (i + 1) % 4) {
		if (held[i])
			close(held[i]);
		held[i] = taken(ends[1]);
	}
}

PLACE(slow_request);
OPENER static int slow_request(void)
{
	return opened(&slow_request_place, KEEP(open("/etc/hosts", O_RDONLY | O_CLOEXEC)));
}

/* Each takes three seconds. */
static void slow_transients(void)
{
	struct {
		int number;
		double until_s;
	} requests[SLOW_MAX];
	uint32_t first = 0, end = 0;

	for (;;) {
		while (first < end && requests[first % SLOW_MAX].until_s <= now_s())
			close(requests[first++ % SLOW_MAX].number);
		if (end - first < SLOW_MAX) {
			requests[end % SLOW_MAX].until_s = now_s() + 3;
			requests[end++ % SLOW_MAX].number = slow_request();
		}
		pause_about_s(0.25);
	}
}

PLACE(pipe_of_job);
OPENER static void pipe_of_job(int pair[2])
{
	opened(&pipe_of_job_place, KEEP(pipe2(pair, O_CLOEXEC)));
}

static void jobs(void)
{
	for (;;) {
		int pair[2];

		pipe_of_job(pair);
		pause_about_s(0.1);
		close(pair[1]);
		pause_about_s(0.1);
		close(pair[0]);
	}
}

const struct scene server_scenes[] = {
    {"short server", short_server},
    {"short clients", short_clients},
    {"idle server", idle_server},
    {"idle clients", idle_clients},
    {"thread for each", thread_for_each},
    {"visitors", visitors},
    {"load to a plateau", load_to_a_plateau},
    {"sender", sender},
    {"receiver", receiver},
    {"slow transients", slow_transients},
    {"jobs", jobs},
    {0},
};
