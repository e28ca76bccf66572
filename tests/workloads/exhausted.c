/*
 * Runs out of handles on command. The first argument is its limit (RLIMIT_NOFILE); the others, or
 * the lines of standard input where there are none, say what to do:
 *	open N, log N	open N handles more in open_conn, open_log; 0: until the limit
 *	close N		close the N youngest; 0: all
 *	fail N		make N calls that must fail with EMFILE
 *	spin MS		make such calls at full speed for so long
 *	sleep MS
 *	child		what follows is done by a child; its parent waits for it
 * After each command that came by a line it says so; at the end, how often a call failed and why.
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int numbers[TRUTH_NUMBERS_MAX];
static int numbers_n;
static long failed;

OPENER static int open_conn(void)
{
	return KEEP(eventfd(0, EFD_CLOEXEC));
}

OPENER static int open_log(void)
{
	return KEEP(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

OPENER static int fail_here(void)
{
	return KEEP(dup(0));
}

static void keep(int number, const char *function, const char *type)
{
	if (number < 0) {
		if (errno != EMFILE)
			exit(97);
		failed++;
		return;
	}
	truth_opened(number, function, type);
	numbers[numbers_n++] = number;
}

static void open_many(long n, int (*opener)(void), const char *function, const char *type)
{
	long before = failed;

	for (long i = 0; n ? i < n : failed == before; i++)
		keep(opener(), function, type);
}

static void close_many(long n)
{
	for (long i = 0; numbers_n && (!n || i < n); i++) {
		truth_closed(numbers[--numbers_n]);
		close(numbers[numbers_n]);
	}
}

static void fail_once(void)
{
	if (fail_here() >= 0 || errno != EMFILE)
		exit(96);
	failed++;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void spin(long ms)
{
	for (long until = now_ms() + ms; now_ms() < until;)
		for (int i = 0; i < 100; i++)
			fail_once();
}

static void become_child(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		truth_base();
		failed = 0;
		return;
	}
	waitpid(child, &status, 0);
	_exit(WEXITSTATUS(status));
}

static void obey(const char *command)
{
	char verb[16] = "";
	long n = 0;

	sscanf(command, "%15s %ld", verb, &n);
	if (!strcmp(verb, "open"))
		open_many(n, open_conn, "open_conn", "eventfd");
	else if (!strcmp(verb, "log"))
		open_many(n, open_log, "open_log", "device");
	else if (!strcmp(verb, "close"))
		close_many(n);
	else if (!strcmp(verb, "spin"))
		spin(n);
	else if (!strcmp(verb, "sleep"))
		usleep((useconds_t)n * 1000);
	else if (!strcmp(verb, "child"))
		become_child();
	else if (!strcmp(verb, "fail"))
		while (n-- > 0)
			fail_once();
	else
		exit(95);
}

static void say(const char *what)
{
	char line[200];
	int used = snprintf(line, sizeof(line),
			    "{\"truth\":\"%s\",\"pid\":%d,\"failed\":%ld,\"opened\":%d}\n", what,
			    (int)getpid(), failed, numbers_n);

	truth_write(line, (size_t)used);
}

int main(int argc, char **argv)
{
	struct rlimit limit = {0};
	char line[100];

	if (argc < 2)
		return 2;
	alarm(120);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = strtoul(argv[1], NULL, 10);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 94;
	for (int i = 2; i < argc; i++)
		obey(argv[i]);
	if (argc == 2)
		say("ready");
	while (argc == 2 && fgets(line, sizeof(line), stdin)) {
		obey(line);
		say("done");
	}
	truth_print();
	say("exhausted");
	truth_wait();
	return 0;
}
