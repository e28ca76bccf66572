/* Scenes of processes and their children: some leak in the children only, some in the parent. */
#include "scenes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { WORKERS = 2, WORKERS_OF_ONE = 3 };

/* A child that begins anew, and goes on until the end of all. */
static bool is_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		exit(96);
	if (pid)
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	places_forget();
	return true;
}

PLACE(job);
OPENER static int job(void)
{
	return opened(&job_place, KEEP(memfd_create("job", MFD_CLOEXEC)));
}

/* `leaks`: each so many jobs one is forgotten; 0: none. Over before the parent ends. */
static void do_jobs(int leaks)
{
	for (int i = 1; now_s() < length_s() - 0.3; i++) {
		int number = job();

		pause_about_s(0.05);
		if (leaks && i % leaks == leaks / 2)
			forgotten(&job_place);
		else
			close(number);
	}
}

/* The same work in parent and children; only there its error path is taken. */
static void in_children_only(void)
{
	for (int i = 0; i < WORKERS; i++) {
		if (!is_child())
			continue;
		do_jobs(16 + 3 * i);
		places_print();
		_exit(0);
	}
	do_jobs(0);
	pause_s(length_s()); /* the children end with this thread */
}

PLACE(task);
OPENER static int task(void)
{
	return opened(&task_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

/* Workers that run to the end; each forgets one in all its life, spread over the time. */
static void each_worker_one(void)
{
	for (int i = 0; i < WORKERS_OF_ONE; i++) {
		if (!is_child())
			continue;
		bool has_forgotten = false;

		while (now_s() < length_s() - 0.3) {
			int number = task();

			pause_about_s(0.05);
			if (!has_forgotten && now_s() > part((i + 1.0) / (WORKERS_OF_ONE + 1))) {
				has_forgotten = true;
				forgotten(&task_place);
			} else {
				close(number);
			}
		}
		places_print();
		_exit(0);
	}
	pause_s(length_s());
}

PLACE(own_log);
OPENER static int own_log(void)
{
	return opened(&own_log_place, KEEP(open("/dev/null", O_WRONLY | O_CLOEXEC)));
}

PLACE(pipe_to_child);
OPENER static void pipe_to_child(int pair[2])
{
	opened(&pipe_to_child_place, KEEP(pipe2(pair, O_CLOEXEC)));
}

/* For each child a pipe; the parent never closes its end. The child's log is open until it ends. */
static void end_for_each_child(void)
{
	for (;;) {
		int pair[2];
		pid_t pid;

		pipe_to_child(pair);
		pid = fork();
		if (!pid) {
			places_forget();
			own_log();
			pause_about_s(0.1);
			places_print();
			_exit(0);
		}
		close(pair[1]);
		forgotten(&pipe_to_child_place);
		waitpid(pid, NULL, 0);
		pause_about_s(0.6);
	}
}

PLACE(pair_of_helper);
OPENER static void pair_of_helper(int pair[2])
{
	opened(&pair_of_helper_place,
	       KEEP(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)));
}

PLACE(work_of_helper);
OPENER static int work_of_helper(void)
{
	return opened(&work_of_helper_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

/* Helpers that live shortly; nothing stays, in them or here. */
static void helpers(void)
{
	for (;;) {
		int pair[2];
		pid_t pid;

		pair_of_helper(pair);
		pid = fork();
		if (!pid) {
			places_forget();
			close(pair[0]);
			for (int i = 0; i < 10; i++)
				close(work_of_helper());
			places_print();
			_exit(0);
		}
		close(pair[1]);
		waitpid(pid, NULL, 0);
		close(pair[0]);
		pause_about_s(0.7);
	}
}

const struct scene child_scenes[] = {
    {"in children only", in_children_only},
    {"each worker one", each_worker_one},
    {"an end for each child", end_for_each_child},
    {"helpers", helpers},
    {0},
};
