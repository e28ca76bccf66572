/*
 * Opens handles with and without close-on-exec, each in a function of its own, and executes itself
 * in children by several ways. A child prints what it has received ("list"), or ends at once
 * ("end").
 */
#include "workload.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

extern char **environ;

static const char *self;

/* ---- the child ---- */

/* {"truth":"received","pid":1,"way":"fork","fds":[3,5]}: its own folder in /proc, but what it is
 * read by. */
static int list(const char *way)
{
	DIR *folder = opendir("/proc/self/fd");
	char line[TRUTH_LINE_BYTES];
	const struct dirent *entry;
	int used, first = 1;

	if (!folder)
		return 97;
	used = snprintf(line, sizeof(line),
			"{\"truth\":\"received\",\"pid\":%d,\"way\":\"%s\",\"fds\":[",
			(int)getpid(), way);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(folder))
			continue;
		used += snprintf(line + used, sizeof(line) - (size_t)used, "%s%s", first ? "" : ",",
				 entry->d_name);
		first = 0;
	}
	used += snprintf(line + used, sizeof(line) - (size_t)used, "]}\n");
	truth_write(line, (size_t)used);
	return 0;
}

/* ---- the parent ---- */

OPENER static int open_log(const char *path)
{
	int number = open(path, O_CREAT | O_RDWR, 0600);

	truth_opened(number, "open_log", "file");
	return KEEP(number);
}

OPENER static int open_socket(void)
{
	int number = socket(AF_INET, SOCK_STREAM, 0);

	truth_opened(number, "open_socket", "socket");
	return KEEP(number);
}

OPENER static int open_pipe(void)
{
	int ends[2];

	if (pipe(ends) < 0)
		return -1;
	truth_opened(ends[0], "open_pipe", "pipe");
	truth_opened(ends[1], "open_pipe", "pipe");
	return KEEP(ends[0]);
}

OPENER static int duplicate(int source)
{
	int number = dup(source);

	truth_opened(number, "duplicate", "file");
	return KEEP(number);
}

OPENER static int open_closed(const char *path)
{
	int number = open(path, O_RDONLY | O_CLOEXEC);

	truth_opened(number, "open_closed", "file");
	return KEEP(number);
}

/* Late, but before any exec. */
OPENER static int open_then_set(const char *path)
{
	int number = open(path, O_RDONLY);

	truth_opened(number, "open_then_set", "file");
	return KEEP(fcntl(number, F_SETFD, FD_CLOEXEC));
}

/* Close-on-exec, which is taken back. */
OPENER static int open_then_clear(const char *path)
{
	int number = open(path, O_RDONLY | O_CLOEXEC);

	truth_opened(number, "open_then_clear", "file");
	return KEEP(fcntl(number, F_SETFD, 0));
}

static void await(pid_t child)
{
	int status = 1;

	if (child < 0 || waitpid(child, &status, 0) != child || status)
		exit(96);
}

OPENER static void by_fork(const char *what, const char *way)
{
	pid_t child = fork();

	if (child == 0) {
		execl(self, self, what, way, NULL);
		_exit(95);
	}
	await(child);
}

OPENER static void by_vfork(void)
{
	pid_t child = vfork();

	if (child == 0) {
		execl(self, self, "list", "vfork", NULL);
		_exit(95);
	}
	await(child);
}

OPENER static void by_spawn(void)
{
	char *arguments[] = {(char *)self, "list", "spawn", NULL};
	pid_t child = -1;

	if (posix_spawn(&child, self, NULL, NULL, arguments, environ))
		child = -1;
	await(child);
}

OPENER static void by_system(void)
{
	char command[4096];

	snprintf(command, sizeof(command), "%s list system; true", self);
	if (system(command))
		exit(94);
}

/* What a child opens before its exec is perhaps meant for the program. */
OPENER static void by_fork_with_own(int source)
{
	pid_t child = fork();

	if (child == 0) {
		if (dup2(source, 40) != 40)
			_exit(93);
		execl(self, self, "list", "own", NULL);
		_exit(95);
	}
	await(child);
}

int main(int argc, char **argv)
{
	int log, children = argc > 1 ? atoi(argv[1]) : 0;

	self = argv[0];
	if (argc > 2 && !strcmp(argv[1], "list"))
		return list(argv[2]);
	if (argc > 1 && !strcmp(argv[1], "end"))
		return 0;
	log = open_log("inherit-1.log");
	open_log("inherit-2.log");
	open_socket();
	open_pipe();
	duplicate(log);
	open_closed("/dev/null");
	open_then_set("/dev/null");
	open_then_clear("/dev/null");
	truth_print();
	by_fork("list", "fork");
	by_vfork();
	by_spawn();
	by_system();
	by_fork_with_own(log);
	for (int i = 0; i < children; i++)
		by_fork("end", "many");
	return 0;
}
