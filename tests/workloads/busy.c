/*
 * Works until its standard input ends, or SIGTERM, or for SECONDS (60): threads open and close
 * handles all the time, and a line tells every 100 ms how far it is. Then it prints its truth.
 *
 *     busy [THREADS [SECONDS [MICROSECONDS between two handles]]]
 */
#include "workload.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>

static atomic_int stopped;
static atomic_long pairs;
static long pause_us = 1000;

OPENER static int open_busy(void)
{
	return KEEP(eventfd(0, 0));
}

OPENER static void open_forgotten(void)
{
	int number = KEEP(eventfd(0, 0));

	truth_opened(number, "open_forgotten", "eventfd");
}

static void *work(void *argument)
{
	while (!stopped) {
		int number = open_busy();

		if (number < 0 || close(number) != 0)
			exit(97);
		pairs++;
		if (pause_us > 0)
			usleep((useconds_t)pause_us);
	}
	return argument;
}

static void stop(int signal_number)
{
	stopped = 1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* "g" leaks one handle; the end of the input stops the work. */
static void read_command(void)
{
	char command;

	if (read(0, &command, 1) <= 0)
		stopped = 1;
	else if (command == 'g')
		open_forgotten();
}

int main(int argc, char **argv)
{
	long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
	double end = now() + (argc > 2 ? strtod(argv[2], NULL) : 60);
	pthread_t ids[64];

	if (argc > 3)
		pause_us = strtol(argv[3], NULL, 10);
	signal(SIGTERM, stop);
	for (long i = 0; i < threads && i < 64; i++)
		pthread_create(&ids[i], NULL, work, NULL);
	while (!stopped && now() < end) {
		struct pollfd input = {.fd = 0, .events = POLLIN};
		char line[80];
		int used =
		    snprintf(line, sizeof(line), "{\"truth\":\"progress\",\"pairs\":%ld}\n", pairs);

		truth_write(line, (size_t)used);
		if (poll(&input, 1, 100) > 0)
			read_command();
	}
	stopped = 1;
	for (long i = 0; i < threads && i < 64; i++)
		pthread_join(ids[i], NULL);
	truth_print();
	truth_wait();
	return 0;
}
