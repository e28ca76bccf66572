/*
 * Many processes that come and go, each opening and closing at random, forking, executing the
 * program again with what it has open, and ending. The first keeps as many children as it was told
 * until its time is over, then ends them all.
 *
 *     crowd SEED [SECONDS [PROCESSES [PAUSE_MS]]]      10 300 30; PAUSE_MS 0: without rest
 *
 * Each kind of handle is opened by a function of its own, which the stacks must name. The truth
 * about the numbers is /proc.
 */
#include "workload.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { OPEN_MAX_EACH = 40 };

static uint64_t state;
static double end_s;

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t pick(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

OPENER static int crowd_event(void)
{
	return KEEP(eventfd(0, pick(2) ? EFD_CLOEXEC : 0));
}

OPENER static int crowd_file(void)
{
	return KEEP(open("/dev/null", pick(2) ? O_RDONLY | O_CLOEXEC : O_RDONLY));
}

OPENER static int crowd_socket(void)
{
	return KEEP(socket(AF_UNIX, SOCK_STREAM, 0));
}

OPENER static int crowd_pipe(void)
{
	int ends[2];

	return KEEP(pipe(ends));
}

OPENER static int crowd_copy(void)
{
	return KEEP(dup((int)pick(3)));
}

static void open_one(void)
{
	switch (pick(5)) {
	case 0:
		crowd_event();
		break;
	case 1:
		crowd_file();
		break;
	case 2:
		crowd_socket();
		break;
	case 3:
		crowd_pipe();
		break;
	default:
		crowd_copy();
	}
}

static void rest(int pause_ms)
{
	struct timespec pause = {.tv_nsec = pause_ms * 1000000L};

	if (pause_ms)
		nanosleep(&pause, NULL);
}

/* One member's life, until it ends or becomes the program anew. */
static void live(char **argv, int pause_ms, int age)
{
	for (;;) {
		char seed[32], next_age[16], pause[16];

		for (uint32_t burst = pick(8); burst; burst--) {
			if (pick(2))
				open_one();
			else
				close(3 + (int)pick(OPEN_MAX_EACH));
		}
		if (now_s() > end_s || pick(60) == 0)
			_exit((int)pick(3));
		if (pick(40) == 0 && age < 3) { /* a child that goes on with all of it */
			pid_t child = fork();

			if (child == 0) {
				state += (uint64_t)getpid() * 2654435761u;
				age++;
			}
		}
		if (pick(40) == 0) {
			snprintf(seed, sizeof(seed), "%llu", (unsigned long long)state);
			snprintf(next_age, sizeof(next_age), "%d", age);
			snprintf(pause, sizeof(pause), "%d", pause_ms);
			execl("/proc/self/exe", argv[0], "--member", argv[2], seed, pause, next_age,
			      NULL);
			_exit(97);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		rest(pause_ms + (pause_ms ? (int)pick(pause_ms) : 0));
	}
}

static pid_t member_start(char **argv, const char *end, int pause_ms, uint64_t seed)
{
	char *const made[] = {argv[0], "--member", (char *)end, NULL};
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	state = seed * 0x9e3779b97f4a7c15u + 1;
	live((char **)made, pause_ms, 0);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	double seconds = argc > 2 ? atof(argv[2]) : 10;
	int processes = argc > 3 ? atoi(argv[3]) : 300, pause_ms = argc > 4 ? atoi(argv[4]) : 30;
	uint64_t started = 0;
	char end[32];

	if (argc > 5 && !strcmp(argv[1], "--member")) {
		end_s = atof(argv[2]);
		state = strtoull(argv[3], NULL, 10);
		live(argv, atoi(argv[4]), atoi(argv[5]));
	}
	end_s = now_s() + seconds;
	snprintf(end, sizeof(end), "%.3f", end_s);
	printf("{\"crowd\": %d, \"seed\": %llu}\n", getpid(), (unsigned long long)seed);
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	for (int living = 0; now_s() < end_s;) {
		while (living < processes && now_s() < end_s) {
			living += member_start(argv, end, pause_ms, seed + started) > 0;
			started++;
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			living--;
		rest(5);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf("{\"crowd_started\": %llu}\n", (unsigned long long)started);
	return 0;
}
