/*
 * What programs do with processes and with themselves that an agent inside of them must live with:
 * one scenario a run, named by the first argument.
 */
#include "workload.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CHILDREN_N = 1000, LEAVING_EVERY = 100 };

extern char **environ;

OPENER static int open_one(void)
{
	int number = KEEP(eventfd(0, 0));

	truth_opened(number, "open_one", "eventfd");
	return number;
}

OPENER static int open_after(void)
{
	int number = KEEP(eventfd(0, 0));

	truth_opened(number, "open_after", "eventfd");
	return number;
}

static void must(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(97);
	}
}

/* Not handed on over an exec. */
static void open_for_itself(void)
{
	must(fcntl(open_one(), F_SETFD, FD_CLOEXEC), "fcntl");
}

static void must_end_well(pid_t pid)
{
	int status = -1;

	must(pid, "fork");
	must(waitpid(pid, &status, 0), "waitpid");
	if (status != 0) {
		fprintf(stderr, "the child's status is %x\n", (unsigned)status);
		exit(96);
	}
}

/* The child of a vfork has our memory and a table of its own: what it closes stays open here. */
static void run_vfork(char **argv)
{
	int first = open_one(), second = open_one();

	for (int i = 0; i < 50; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			close(first);
			close(second);
			eventfd(0, 0);
			dup2(0, 40);
			_exit(0);
		}
		must_end_well(pid);
		close(eventfd(0, 0));
	}
	open_after();
}

/* A vfork whose exec fails, and one that succeeds. */
static void run_vfork_exec(char **argv)
{
	char *const wrong[] = {"none", NULL}, *const right[] = {"true", NULL};

	open_one();
	for (int i = 0; i < 20; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			close(3);
			execv("/no/such/program", wrong);
			execv("/bin/true", right);
			_exit(1);
		}
		must_end_well(pid);
	}
	open_after();
}

static void close_all_by_range(void)
{
	must(close_range(3, ~0U, 0), "close_range");
	memset(truth_table, 0, sizeof(truth_table));
}

static void close_all_by_loop(void)
{
	for (int number = 3; number < 1024; number++)
		close(number);
	memset(truth_table, 0, sizeof(truth_table));
}

/* As daemons do, again and again; they go on opening. */
static void run_close_all(char **argv)
{
	for (int i = 0; i < 5; i++) {
		open_one();
		open_one();
		if (i % 2)
			close_all_by_loop();
		else
			close_all_by_range();
	}
	open_after();
	open_after();
}

/* This program again, with nothing in the environment. */
static void run_exec_empty(char **argv)
{
	char *const arguments[] = {argv[0], "after-exec", NULL};
	char *const nothing[] = {NULL};

	open_for_itself();
	execve("/proc/self/exe", arguments, nothing);
	must(-1, "execve");
}

static void run_after_exec(char **argv)
{
	for (char **variable = environ; *variable; variable++)
		printf("%s\n", *variable);
	fflush(stdout);
	open_after();
}

/* What was in the environment is overwritten, as programs do that show their state in ps. */
static void overwrite_environment(void)
{
	for (char **variable = environ; *variable; variable++)
		memset(*variable, 'x', strlen(*variable));
}

/* A child executes this program with whatever the environment has become. */
static void spawn_after_exec(char **argv)
{
	char *const arguments[] = {argv[0], "after-exec", NULL};
	pid_t pid = fork();

	if (pid == 0) {
		execv("/proc/self/exe", arguments);
		_exit(1);
	}
	must_end_well(pid);
}

static void run_environment_overwritten(char **argv)
{
	open_for_itself();
	overwrite_environment();
	spawn_after_exec(argv);
}

static void run_environment_cleared(char **argv)
{
	open_for_itself();
	clearenv();
	spawn_after_exec(argv);
	setenv("OWN", "1", 1);
	spawn_after_exec(argv);
	environ = NULL;
	spawn_after_exec(argv);
}

static void run_children(char **argv)
{
	for (int i = 0; i < CHILDREN_N; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			close(eventfd(0, 0));
			if (i % LEAVING_EVERY == 0) {
				open_after();
				truth_print();
			}
			_exit(0);
		}
		must_end_well(pid);
		close(eventfd(0, 0));
	}
	open_one();
}

/* As servers that keep secrets: no core file, and /proc/PID belongs to root. */
static void run_not_dumpable(char **argv)
{
	open_one();
	must(prctl(PR_SET_DUMPABLE, 0), "prctl");
	close(open_after());
	open_after();
}

/* A sandbox that refuses what only debuggers and agents want. */
static void run_sandbox(char **argv)
{
#define REFUSE(number)                                                                             \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),                                         \
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    REFUSE(SYS_process_vm_readv),
	    REFUSE(SYS_process_vm_writev),
	    REFUSE(SYS_gettid),
	    REFUSE(SYS_mmap),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	open_one();
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
	close(open_one());
	for (int i = 0; i < 10; i++)
		open_after();
}

static const struct scenario {
	const char *name;
	void (*run)(char **argv);
} scenarios[] = {
    {"vfork", run_vfork},
    {"vfork-exec", run_vfork_exec},
    {"close-all", run_close_all},
    {"exec-empty", run_exec_empty},
    {"after-exec", run_after_exec},
    {"environment-overwritten", run_environment_overwritten},
    {"environment-cleared", run_environment_cleared},
    {"children", run_children},
    {"not-dumpable", run_not_dumpable},
    {"sandbox", run_sandbox},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (argc > 1 && strcmp(argv[1], scenarios[i].name) == 0) {
			truth_base();
			scenarios[i].run(argv);
			truth_print();
			truth_wait();
			return 0;
		}
	}
	return 2;
}
