/*
 * Scenes of objects that have several handles, of streams, of threads and of what others send: some
 * of them are forgotten as a whole.
 */
#include "../send_numbers.h"
#include "scenes.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* An event loop of its own for each task. */
struct loop {
	int poll, wake, timer;
};

PLACE(loop_poll);
OPENER static int loop_poll(void)
{
	return opened(&loop_poll_place, KEEP(epoll_create1(EPOLL_CLOEXEC)));
}

PLACE(loop_wake);
OPENER static int loop_wake(void)
{
	return opened(&loop_wake_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

PLACE_CLOSED(loop_timer, loop_free);
OPENER static int loop_timer(void)
{
	return opened(&loop_timer_place, KEEP(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)));
}

OPENER static void loop_free(const struct loop *loop)
{
	close(loop->poll);
	close(loop->wake);
	KEEP(close(loop->timer));
}

/* A task that is cancelled forgets its loop. */
static void loops(void)
{
	for (int i = 1;; i++) {
		struct loop loop = {loop_poll(), loop_wake(), loop_timer()};

		pause_about_s(0.07);
		if (i % 12 == 6) {
			forgotten(&loop_poll_place);
			forgotten(&loop_wake_place);
			forgotten(&loop_timer_place);
			continue;
		}
		loop_free(&loop);
	}
}

PLACE(stream);
OPENER static FILE *stream(const char *path)
{
	FILE *file = fopen(path, "re");

	opened(&stream_place, file ? KEEP(fileno(file)) : -1);
	return file;
}

/* An empty line, and it returns before fclose(). */
static void streams(void)
{
	for (int i = 0;; i++) {
		FILE *file = stream("/etc/passwd");
		char line[100];

		while (fgets(line, sizeof(line), file))
			;
		pause_about_s(0.06);
		if (i % 6 == 3)
			forgotten(&stream_place);
		else
			fclose(file);
	}
}

PLACE(own_of_thread);
OPENER static int own_of_thread(void)
{
	return opened(&own_of_thread_place, KEEP(open("/etc/hosts", O_RDONLY | O_CLOEXEC)));
}

static void *short_thread(void *argument)
{
	int number = own_of_thread();

	pause_about_s(0.2);
	if (argument)
		forgotten(&own_of_thread_place); /* pthread_exit() in the middle */
	else
		close(number);
	return NULL;
}

static void short_threads(void)
{
	for (int i = 0;; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, short_thread, i % 5 == 2 ? &thread : NULL))
			exit(93);
		pthread_detach(thread);
		pause_about_s(0.12);
	}
}

PLACE(signals_of_request);
OPENER static int signals_of_request(void)
{
	sigset_t none;

	sigemptyset(&none);
	return opened(&signals_of_request_place, KEEP(signalfd(-1, &none, SFD_CLOEXEC)));
}

static void all_signals(void)
{
	for (;;) {
		signals_of_request();
		forgotten(&signals_of_request_place);
		pause_about_s(0.9);
	}
}

PLACE(both_ends_here);
OPENER static void both_ends_here(int ends[2])
{
	opened(&both_ends_here_place,
	       KEEP(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)));
}

PLACE(received);
OPENER static int received(int over)
{
	int number = receive_number(over);

	if (number < 0)
		exit(89);
	return opened(&received_place, number);
}

/* Standard output, again and again: each seventh is not asked for, and not closed. */
static void receives(void)
{
	int ends[2], one = 1;

	both_ends_here(ends);
	for (int i = 0;; i++) {
		int number;

		if (send_numbers(ends[0], &one, 1) < 0)
			exit(90);
		number = received(ends[1]);
		pause_about_s(0.08);
		if (i % 7 == 3)
			forgotten(&received_place);
		else
			close(number);
	}
}

PLACE(page_of_attempt);
OPENER static int page_of_attempt(void)
{
	return opened(&page_of_attempt_place, KEEP(open("/etc/group", O_RDONLY | O_CLOEXEC)));
}

/* Tries again where it fails, and closes what it tried last only. */
static void attempts(void)
{
	for (;;) {
		int number = page_of_attempt();

		while (!below(8)) {
			forgotten(&page_of_attempt_place);
			number = page_of_attempt();
		}
		pause_about_s(0.08);
		close(number);
	}
}

PLACE(worker_queue);
OPENER static int worker_queue(void)
{
	return opened(&worker_queue_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

/* Up to eight at once as the work is; at the end of each second one is dropped unclosed. */
static void queues(void)
{
	int numbers[8];

	for (;;) {
		uint32_t count = 1 + below(8);

		for (uint32_t i = 0; i < count; i++) {
			numbers[i] = worker_queue();
			pause_about_s(0.05);
		}
		pause_about_s(0.4);
		for (uint32_t i = 1; i < count; i++)
			close(numbers[i]);
		if (below(2))
			close(numbers[0]);
		else
			forgotten(&worker_queue_place);
	}
}

const struct scene object_scenes[] = {
    {"loops", loops},
    {"streams", streams},
    {"short threads", short_threads},
    {"all signals", all_signals},
    {"receives", receives},
    {"attempts", attempts},
    {"queues", queues},
    {0},
};
