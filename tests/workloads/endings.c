/*
 * Endings and signals, one a run:
 *
 *     exit N          ends with status N (exit_group from a second thread when N is odd)
 *     kill N          kills itself with signal N
 *     siginfo         waits for SIGRTMIN by sigqueue and prints what it got
 *     stop            stops itself; prints a line when it is continued
 *     terminal        prints a line at SIGTSTP (then stops) and at SIGCONT, ends at SIGINT with 7
 *     children        tells the order and manner of SIGCHLD: stopped, continued, exited, killed
 *     interrupted     a nanosleep that a handled signal interrupts, and one with SA_RESTART on read
 *     fork-exec       forks, the child executes true(1); prints the wait status
 *     alarm           setitimer signals while it opens and closes handles; counts both
 */
#include "workload.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static volatile sig_atomic_t caught;

static void count(int number)
{
	caught++;
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(number, &action, NULL);
}

static void say(const char *text)
{
	truth_write(text, strlen(text));
}

static void *exit_in_thread(void *status)
{
	exit((int)(long)status);
}

static int end_exit(int argument)
{
	pthread_t thread;

	if (argument % 2 == 0)
		return argument;
	pthread_create(&thread, NULL, exit_in_thread, (void *)(long)argument);
	pause();
	return 99;
}

static int end_kill(int argument)
{
	kill(getpid(), argument);
	pause();
	return 99;
}

static int end_siginfo(int argument)
{
	sigset_t set;
	siginfo_t info;
	char line[200];

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say("ready\n");
	if (sigwaitinfo(&set, &info) != SIGRTMIN)
		return 99;
	snprintf(line, sizeof(line), "code %d value %d uid %d pid %d\n", info.si_code,
		 info.si_value.sival_int, info.si_uid, info.si_pid);
	say(line);
	return 0;
}

/* The same, by a handler. */
static void tell_info(int number, siginfo_t *info, void *context)
{
	char line[200];

	snprintf(line, sizeof(line), "code %d value %d uid %d pid %d\n", info->si_code,
		 info->si_value.sival_int, info->si_uid, info->si_pid);
	say(line);
}

static int end_handler_info(int argument)
{
	struct sigaction action = {.sa_sigaction = tell_info, .sa_flags = SA_SIGINFO};

	sigaction(SIGRTMIN, &action, NULL);
	say("ready\n");
	pause();
	return 0;
}

static int end_stop(int argument)
{
	say("stopping\n");
	raise(SIGSTOP);
	say("continued\n");
	return 3;
}

static void on_stop(int number)
{
	say("stopping\n");
	signal(SIGTSTP, SIG_DFL);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL); /* stops here */
	say("running again\n");
}

static void on_continue(int number)
{
	say("continued\n");
}

static void on_interrupt(int number)
{
	_exit(7);
}

static int end_terminal(int argument)
{
	signal(SIGTSTP, on_stop);
	signal(SIGCONT, on_continue);
	signal(SIGINT, on_interrupt);
	say("ready\n");
	alarm(30);
	for (int i = 0; i < 100; i++)
		pause();
	return 98;
}

/* What each SIGCHLD told, in order. */
static void tell_child(int number)
{
	siginfo_t info = {0};

	while (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) == 0 &&
	       info.si_pid != 0) {
		char line[100];

		snprintf(line, sizeof(line), "child code %d status %d\n", info.si_code,
			 info.si_status);
		say(line);
		caught++;
		info.si_pid = 0;
	}
}

static void wait_caught(int wanted)
{
	for (int i = 0; i < 500 && caught < wanted; i++)
		usleep(10000);
}

/* One step at a time: an end that comes too early would hide the continuing. */
static int end_children(int argument)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	handle(SIGCHLD, tell_child, 0);
	pid_t child = fork();

	if (child == 0) {
		raise(SIGSTOP);
		sigwaitinfo(&set, NULL);
		close(open("/dev/null", O_RDONLY));
		_exit(4);
	}
	wait_caught(1);
	kill(child, SIGCONT);
	wait_caught(2);
	kill(child, SIGUSR1);
	wait_caught(3);
	child = fork();
	if (child == 0) {
		close(open("/dev/null", O_RDONLY));
		pause();
	}
	kill(child, SIGUSR2);
	wait_caught(4);
	return caught == 4 ? 0 : 98;
}

static int end_interrupted(int argument)
{
	struct timespec second = {1, 0};
	struct itimerval soon = {{0, 0}, {0, 100000}};
	int ends[2];
	char byte = 0;

	handle(SIGALRM, count, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	int result = nanosleep(&second, NULL);

	printf("nanosleep %d %s\n", result, result < 0 ? strerror(errno) : "");
	handle(SIGALRM, count, SA_RESTART);
	setitimer(ITIMER_REAL, &soon, NULL);
	if (pipe(ends) != 0)
		return 97;
	if (fork() == 0) {
		usleep(400000);
		_exit(write(ends[1], "x", 1) != 1);
	}
	ssize_t got = read(ends[0], &byte, 1);

	printf("read %zd %c, %d signals\n", got, byte, (int)caught);
	wait(NULL);
	return 0;
}

static int end_fork_exec(int argument)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		execlp("sh", "sh", "-c", "exit 5", (char *)NULL);
		_exit(97);
	}
	waitpid(child, &status, 0);
	printf("status %x\n", (unsigned)status);
	child = vfork();
	if (child == 0) {
		execlp("sh", "sh", "-c", "kill -9 $$", (char *)NULL);
		_exit(97);
	}
	waitpid(child, &status, 0);
	printf("status %x\n", (unsigned)status);
	return 0;
}

static int end_alarm(int argument)
{
	struct itimerval often = {{0, 2000}, {0, 2000}};

	handle(SIGALRM, count, SA_RESTART);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 5000; i++) {
		int number = eventfd(0, 0);

		if (number < 0 || close(number) != 0) {
			printf("failed: %s\n", strerror(errno));
			return 97;
		}
	}
	puts("all fine");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(int argument);
} endings[] = {
    {"exit", end_exit},           {"kill", end_kill},
    {"siginfo", end_siginfo},     {"handler-info", end_handler_info},
    {"stop", end_stop},           {"terminal", end_terminal},
    {"children", end_children},   {"interrupted", end_interrupted},
    {"fork-exec", end_fork_exec}, {"alarm", end_alarm},
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (argc > 1 && strcmp(argv[1], endings[i].name) == 0)
			return endings[i].run(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0);
	return 2;
}
