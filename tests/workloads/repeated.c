/*
 * The same few calls again and again, in ways that look alike: two callers with equal frames take
 * turns, threads inherit each other's stack, and with two libraries as arguments, twins but for the
 * name of their function, each is loaded where the other was. Some handles stay open.
 */
#include "workload.h"

#include "library.h"

#include <pthread.h>
#include <sys/eventfd.h>

enum { KEEP_EVERY = 97, THREADS = 20, LOADS = 30, CALLS_A_LOAD = 100, PAUSE_US = 3000 };

static int openings;

static void keep_some(int number, const char *function)
{
	if (openings++ % KEEP_EVERY == 0 && openings < KEEP_EVERY * 300)
		truth_opened(number, function, "eventfd");
	else
		close(number);
}

OPENER static void open_left(void)
{
	keep_some(KEEP(eventfd(0, 0)), "open_left");
}

OPENER static void open_right(void)
{
	keep_some(KEEP(eventfd(0, 0)), "open_right");
}

/* What lies between the frames is never the same. */
OPENER static void open_below(int room_bytes, int round)
{
	volatile char *room = __builtin_alloca((size_t)room_bytes);

	for (int i = 0; i < room_bytes; i++)
		room[i] = (char)(round + i);
	round % 2 ? open_left() : open_right();
	room[0] = 1;
}

static void take_turns(long rounds)
{
	for (int round = 0; round < rounds; round++) {
		open_left();
		open_right();
		open_below(64 + round % 3 * 64, round);
	}
}

static void *in_thread(void *rounds)
{
	take_turns(*(long *)rounds);
	return NULL;
}

static void in_threads(long rounds)
{
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, in_thread, &rounds) != 0)
			exit(97);
		pthread_join(thread, NULL);
	}
}

static void in_library(const char *path, const char *name)
{
	struct library library = library_load(path, name);

	for (int i = 0; i < CALLS_A_LOAD; i++)
		close(library.open());
	usleep(PAUSE_US); /* whoever learns what the stack looks like has time to */
	for (int i = 0; i < CALLS_A_LOAD; i++)
		close(library.open());
	truth_opened(library.open(), name, "eventfd");
	dlclose(library.handle);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000;

	take_turns(rounds);
	usleep(PAUSE_US);
	take_turns(rounds);
	in_threads(rounds / THREADS);
	for (int i = 0; i < LOADS && argc > 3; i++)
		in_library(argv[2 + i % 2], i % 2 ? "plugin_twin" : "plugin_leak");
	truth_print();
	return 0;
}
