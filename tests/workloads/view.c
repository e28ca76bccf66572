/*
 * Prints what a process can see of itself, so that a traced run can be compared with an untraced
 * one, byte for byte. Its process id and its parent's are left out: they differ between any two.
 */
#include "workload.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>

extern char **environ;

static void print_signals(void)
{
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 65; i++) {
		struct sigaction action;

		if (sigaction(i, NULL, &action) == 0)
			printf("signal %d: blocked %d handler %s\n", i, sigismember(&mask, i),
			       action.sa_handler == SIG_IGN   ? "ignore"
			       : action.sa_handler == SIG_DFL ? "default"
							      : "other");
	}
}

static void print_descriptors(void)
{
	for (int i = 0; i < 64; i++) {
		struct stat status;

		if (fstat(i, &status) == 0)
			printf("fd %d: mode %o flags %x %x\n", i, status.st_mode,
			       (unsigned)fcntl(i, F_GETFL), (unsigned)fcntl(i, F_GETFD));
	}
}

static void print_limits(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit;

		getrlimit(i, &limit);
		printf("limit %d: %lx %lx\n", i, (long)limit.rlim_cur, (long)limit.rlim_max);
	}
}

static void print_process(char **argv)
{
	char path[4096];
	cpu_set_t set;
	mode_t mask = umask(0);

	printf("own group %d own session %d\n", getpgrp() == getpid(), getsid(0) == getpid());
	printf("terminal's group is ours: %d\n", tcgetpgrp(0) == getpgrp());
	printf("uid %d %d gid %d %d\n", getuid(), geteuid(), getgid(), getegid());
	printf("nice %d umask %o cwd %s\n", getpriority(PRIO_PROCESS, 0), mask,
	       getcwd(path, sizeof(path)));
	sched_getaffinity(0, sizeof(set), &set);
	printf("cpus %d policy %d\n", CPU_COUNT(&set), sched_getscheduler(0));
	printf("dumpable %d keepcaps %d subreaper ", prctl(PR_GET_DUMPABLE),
	       prctl(PR_GET_KEEPCAPS));
	int subreaper = 0;

	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	printf("%d\n", subreaper);
	if (getenv("VIEW_PRIVILEGES") != NULL)
		printf("no_new_privs %d seccomp %d\n", prctl(PR_GET_NO_NEW_PRIVS),
		       prctl(PR_GET_SECCOMP));
	for (char **argument = argv; *argument != NULL; argument++)
		printf("argument %s\n", *argument);
	for (char **variable = environ; *variable != NULL; variable++)
		printf("environment %s\n", *variable);
}

int main(int argc, char **argv)
{
	print_signals();
	print_descriptors();
	print_limits();
	print_process(argv);
	return 0;
}
