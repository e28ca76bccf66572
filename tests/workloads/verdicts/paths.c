/* Scenes that forget on certain ways: copies, ends of pipes, errors of a server, one caller of two.
 */
#include "scenes.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { COPIES_FROM = 3000, SPARES = 6 };

PLACE(copied_event);
OPENER static int copied_event(void)
{
	return opened(&copied_event_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

PLACE(copy_kept);
OPENER static int copy_kept(int number)
{
	return opened(&copy_kept_place, KEEP(dup(number)));
}

/* What was copied is closed, and the copy forgotten. */
static void leak_through_dup(void)
{
	for (;;) {
		int number = copied_event();

		copy_kept(number);
		forgotten(&copy_kept_place);
		close(number);
		pause_about_s(0.5);
	}
}

PLACE(copy_onto);
OPENER static int copy_onto(int number, int onto)
{
	return opened(&copy_onto_place, KEEP(dup2(number, onto)));
}

/* Onto one number after the other: only what lies on the same one is closed by that. */
static void leak_through_dup2(void)
{
	int number = copied_event(), onto = COPIES_FROM;

	for (int i = 0;; i++) {
		copy_onto(number, onto);
		if (i % 4 == 3) {
			forgotten(&copy_onto_place);
			onto++;
		}
		pause_about_s(0.12);
	}
}

OPENER static void duplicate_close(int number)
{
	KEEP(close(number));
}

PLACE_CLOSED(duplicate, duplicate_close);
OPENER static int duplicate(int number)
{
	return opened(&duplicate_place, KEEP(fcntl(number, F_DUPFD_CLOEXEC, 100)));
}

static void leak_through_fcntl(void)
{
	for (int i = 1;; i++) {
		int copy = duplicate(1);

		pause_about_s(0.05);
		if (i % 8 == 3)
			forgotten(&duplicate_place);
		else
			duplicate_close(copy);
	}
}

PLACE(copy_closed);
OPENER static int copy_closed(int number)
{
	return opened(&copy_closed_place, KEEP(fcntl(number, F_DUPFD_CLOEXEC, 200)));
}

static void copies_closed(void)
{
	for (;;) {
		int copy = copy_closed(1);

		pause_about_s(0.06);
		close(copy);
	}
}

PLACE(half_closed_pipe);
OPENER static void half_closed_pipe(int pair[2])
{
	opened(&half_closed_pipe_place, KEEP(pipe2(pair, O_CLOEXEC)));
}

static void one_end_of_a_pipe(void)
{
	for (;;) {
		int pair[2];

		half_closed_pipe(pair);
		pause_about_s(0.05);
		close(pair[1]);
		forgotten(&half_closed_pipe_place);
		pause_about_s(0.6);
	}
}

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener;
static pthread_once_t listener_once = PTHREAD_ONCE_INIT;

PLACE(listen_there);
OPENER static void listen_there(void)
{
	listener =
	    opened(&listen_there_place, KEEP(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "verdicts-%d", (int)getpid());
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 16))
		exit(95);
}

OPENER static void connection_close(int number)
{
	KEEP(close(number));
}

PLACE_CLOSED(connection, connection_close);
OPENER static int connection(void)
{
	pthread_once(&listener_once, listen_there);
	return opened(&connection_place, KEEP(accept4(listener, NULL, NULL, SOCK_CLOEXEC)));
}

/* A request that it cannot read: the handler returns before it closes. */
static void server(void)
{
	for (;;) {
		int number = connection();
		char byte = 0;

		if (read(number, &byte, 1) == 1 && byte == '?')
			forgotten(&connection_place);
		else
			connection_close(number);
	}
}

PLACE(caller);
OPENER static int caller(void)
{
	return opened(&caller_place, KEEP(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

static void callers(void)
{
	pthread_once(&listener_once, listen_there);
	for (int i = 0;; i++) {
		int number = caller();

		if (connect(number, (struct sockaddr *)&address, sizeof(address)))
			exit(94);
		send(number, i % 8 == 5 ? "?" : "!", 1, MSG_NOSIGNAL);
		pause_about_s(0.07);
		close(number);
	}
}

/* A library's function that many call: only the callers differ. */
OPENER static int xopen(const char *path)
{
	int number = KEEP(open(path, O_RDONLY | O_CLOEXEC));

	if (number < 0)
		exit(93);
	return number;
}

PLACE(careless_caller);
OPENER static int careless_caller(void)
{
	return opened(&careless_caller_place, xopen("/etc/passwd"));
}

PLACE(careful_caller);
OPENER static int careful_caller(void)
{
	return opened(&careful_caller_place, xopen("/etc/passwd"));
}

PLACE(caller_with_pool);
OPENER static int caller_with_pool(void)
{
	return opened(&caller_with_pool_place, xopen("/etc/passwd"));
}

static void callers_of_wrapper(void)
{
	for (int i = 0; i < SPARES; i++)
		caller_with_pool();
	for (int i = 0;; i++) {
		int number = careful_caller(), other = careless_caller();

		pause_about_s(0.1);
		close(number);
		if (i % 3 == 1)
			forgotten(&careless_caller_place);
		else
			close(other);
	}
}

PLACE(frame);
OPENER static int frame(void)
{
	return opened(&frame_place, KEEP(memfd_create("frame", MFD_CLOEXEC)));
}

/* More and more frames, and each twelfth is forgotten. */
static void with_rising_load(void)
{
	for (int i = 1;; i++) {
		int number = frame();

		pause_s(0.01);
		if (i % 12 == 7)
			forgotten(&frame_place);
		else
			close(number);
		pause_about_s(0.15 / (1 + 4 * now_s() / length_s()));
	}
}

const struct scene path_scenes[] = {
    {"leak through dup", leak_through_dup},
    {"leak through dup2", leak_through_dup2},
    {"leak through fcntl", leak_through_fcntl},
    {"copies closed", copies_closed},
    {"one end of a pipe", one_end_of_a_pipe},
    {"server", server},
    {"callers", callers},
    {"callers of a wrapper", callers_of_wrapper},
    {"with rising load", with_rising_load},
    {0},
};
