/*
 * A library is loaded, leaks now and then, and is unloaded, as often as the first argument says,
 * while another thread maps and unmaps memory without a pause: who asks the kernel for a mapping
 * finds the lock taken. So does our own loading, and on a busy machine waits milliseconds each
 * time: it ends sooner then.
 */
#include "workload.h"

#include "library.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <time.h>

enum {
	SECONDS_MAX = 5,
	ROOM_BYTES = 8 << 20,
	KEEP_EVERY = 100,
	PAUSE_US = 200000, /* what the kernel did not tell is read from /proc while we live */
};

static atomic_bool over;

static void *map_and_unmap(void *argument)
{
	while (!over) {
		void *room = mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (room == MAP_FAILED)
			exit(97);
		munmap(room, ROOM_BYTES);
	}
	return argument;
}

static void in_library(const char *path, int round)
{
	struct library library = library_load(path, "plugin_leak");
	int number = library.open();

	if (round % KEEP_EVERY == 0)
		truth_opened(number, "plugin_leak", "eventfd");
	else
		close(number);
	dlclose(library.handle);
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + SECONDS_MAX;
	pthread_t thread;

	if (argc != 3 || pthread_create(&thread, NULL, map_and_unmap, NULL) != 0)
		return 2;
	for (int round = 0; round < atoi(argv[1]) && time(NULL) < end; round++)
		in_library(argv[2], round);
	over = true;
	pthread_join(thread, NULL);
	usleep(PAUSE_US);
	truth_print();
	return 0;
}
