/*
 * Programs of many kinds at once, each with places that leak or do not: for verdicts.
 *
 *     verdicts [SECONDS [SEED [RAPID]]]     10 1 4; RAPID: thousands that the rapid scene opens a
 * second
 *
 * At the end each process prints for every opening function how many handles it opened and how many
 * of them it has forgotten, and ends as it is, in the middle of its work.
 */
#include "scenes.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { PLACES_MAX = 128, STACK_BYTES = 256 << 10, NUMBERS = 4096 };

static struct place *places[PLACES_MAX];
static uint32_t places_n;
static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;

static double begun_s, lasts_s = 10;
static uint32_t seed = 1, rapid_n = 4;
static _Thread_local uint64_t state;

static double clock_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double now_s(void)
{
	return clock_s() - begun_s;
}

double length_s(void)
{
	return lasts_s;
}

double part(double share)
{
	return lasts_s * share;
}

void pause_s(double seconds)
{
	struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	if (seconds <= 0)
		return;
	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

void pause_about_s(double seconds)
{
	pause_s(seconds * between(0.8, 1.2));
}

uint32_t below(uint32_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % limit;
}

double between(double low, double high)
{
	return low + (high - low) * below(1 << 20) / (1 << 20);
}

uint32_t rapid(void)
{
	return rapid_n;
}

int opened(struct place *place, int number)
{
	if (number < 0) {
		fprintf(stderr, "%s: %s\n", place->function, strerror(errno));
		exit(99);
	}
	pthread_mutex_lock(&places_lock);
	if (!place->known && places_n < PLACES_MAX) {
		place->known = true;
		places[places_n++] = place;
	}
	place->opened++;
	pthread_mutex_unlock(&places_lock);
	return number;
}

void forgotten(struct place *place)
{
	pthread_mutex_lock(&places_lock);
	place->leaked++;
	pthread_mutex_unlock(&places_lock);
}

void places_forget(void)
{
	pthread_mutex_init(&places_lock, NULL);
	for (uint32_t i = 0; i < places_n; i++) {
		places[i]->known = false;
		places[i]->opened = places[i]->leaked = 0;
	}
	places_n = 0;
}

void places_print(void)
{
	char line[300];

	pthread_mutex_lock(&places_lock); /* for good: what is opened from now on is not counted */
	for (uint32_t i = 0; i < places_n; i++) {
		const struct place *place = places[i];
		int used =
		    snprintf(line, sizeof(line),
			     "{\"truth\":\"place\",\"pid\":%d,\"function\":\"%s\",\"opened\":"
			     "%u,\"leaked\":%u,\"closer\":\"%s\"}\n",
			     (int)getpid(), place->function, place->opened, place->leaked,
			     place->closer ? place->closer : "");

		truth_write(line, (size_t)used);
	}
}

static void *play(void *argument)
{
	const struct scene *scene = argument;

	state = seed * UINT64_C(0x9e3779b97f4a7c15);
	for (const char *letter = scene->name; *letter; letter++)
		state = state * 31 + (uint64_t)*letter;
	state |= 1;
	scene->play();
	return NULL;
}

void scene_start(const struct scene *scene)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, play, (void *)scene))
		exit(97);
}

static void process_start(const struct scene *scenes)
{
	pid_t pid = fork();

	if (pid < 0)
		exit(96);
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (const struct scene *scene = scenes; scene->name; scene++)
		scene_start(scene);
	pause_s(lasts_s - now_s());
	places_print();
	_exit(0);
}

int main(int argc, char **argv)
{
	const struct scene *const groups[] = {pool_scenes, server_scenes, leak_scenes,
					      path_scenes, object_scenes, child_scenes};
	int status, wrong = 0;

	if (argc > 1)
		lasts_s = atof(argv[1]);
	if (argc > 2)
		seed = (uint32_t)strtoul(argv[2], NULL, 10);
	if (argc > 3)
		rapid_n = (uint32_t)strtoul(argv[3], NULL, 10);
	begun_s = clock_s();
	if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){NUMBERS, NUMBERS}))
		exit(90);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		process_start(groups[i]);
	while (wait(&status) > 0)
		wrong |= status;
	return wrong != 0;
}
