/*
 * Closes of numbers that have been given out again: ten ways to make the mistake, each also without
 * it, and ways of closing that only look like it. A scenario is a list of steps; one loop does them
 * all, so that what is done again has the stack that it had before.
 *
 *     workload_stale_close SCENARIO|all [bug]
 *
 * Its truth: for each stale close the number, and the functions that closed it, that had opened
 * what it closed, and that had opened what the number stood for before.
 */
#include "workload.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

enum { SLOTS = 200, WARM_ROUNDS = 12, NUMBERS = 1024 };

/* ---- what a program does with its handles ---- */

OPENER static int conn_open(void)
{
	return KEEP(eventfd(0, 0));
}

OPENER static void conn_free(int number)
{
	KEEP(close(number));
}

OPENER static void conn_error(int number)
{
	KEEP(close(number));
}

OPENER static int file_open(void)
{
	return KEEP(open("/dev/null", O_WRONLY));
}

OPENER static void file_done(int number)
{
	KEEP(close(number));
}

OPENER static void file_error(int number)
{
	KEEP(close(number));
}

OPENER static int log_open(void)
{
	return KEEP(open("/dev/null", O_WRONLY | O_APPEND));
}

OPENER static int timer_open(void)
{
	return KEEP(timerfd_create(CLOCK_MONOTONIC, 0));
}

OPENER static void timer_done(int number)
{
	KEEP(close(number));
}

OPENER static void any_done(int number)
{
	KEEP(close(number));
}

OPENER static void use_write(int number)
{
	KEEP(write(number, "x", 1));
}

OPENER static void use_poll(int number)
{
	struct pollfd polled = {.fd = number, .events = POLLIN};

	KEEP(poll(&polled, 1, 0));
}

OPENER static void use_epoll(int number)
{
	struct epoll_event event = {.events = EPOLLIN};

	KEEP(epoll_ctl(900, EPOLL_CTL_MOD, number, &event));
}

enum op {
	CONN_OPEN = 1,
	FILE_OPEN,
	LOG_OPEN,
	TIMER_OPEN,
	CONN_FREE,
	CONN_ERROR,
	FILE_DONE,
	FILE_ERROR,
	TIMER_DONE,
	ANY_DONE,
	WRITE,
	POLL,
	EPOLL,
};

static const struct {
	const char *name;
	int (*open)(void);
	void (*close)(int number);
	void (*use)(int number);
} ops[] = {
    [CONN_OPEN] = {"conn_open", .open = conn_open},
    [FILE_OPEN] = {"file_open", .open = file_open},
    [LOG_OPEN] = {"log_open", .open = log_open},
    [TIMER_OPEN] = {"timer_open", .open = timer_open},
    [CONN_FREE] = {"conn_free", .close = conn_free},
    [CONN_ERROR] = {"conn_error", .close = conn_error},
    [FILE_DONE] = {"file_done", .close = file_done},
    [FILE_ERROR] = {"file_error", .close = file_error},
    [TIMER_DONE] = {"timer_done", .close = timer_done},
    [ANY_DONE] = {"any_done", .close = any_done},
    [WRITE] = {"use_write", .use = use_write},
    [POLL] = {"use_poll", .use = use_poll},
    [EPOLL] = {"use_epoll", .use = use_epoll},
};

/* ---- steps ---- */

enum { WORKER = 1, BUG = 2 };

struct step {
	enum op op;
	int slot;  /* what it is done with: a variable of the program */
	int flags; /* WORKER: by the other thread; BUG: only in the program with the mistake */
};

static struct {
	int number;
	const char *opened; /* NULL: it was never used */
} slots[SLOTS];

static struct {
	int slot; /* whose it is now; 0: nobody's */
	const char *opened;
} owners[NUMBERS];

static void truth_stale(const struct step *step, int number)
{
	char line[400];
	int used = snprintf(line, sizeof(line),
			    "{\"truth\":\"stale\",\"pid\":%d,\"handle\":%d,\"now\":\"%s\","
			    "\"opened\":\"%s\",\"earlier\":\"%s\"}\n",
			    getpid(), number, ops[step->op].name, owners[number].opened,
			    slots[step->slot].opened);

	truth_write(line, (size_t)used);
}

static void note_close(const struct step *step, int number)
{
	bool is_stale = owners[number].slot && owners[number].slot != step->slot + 1;

	/* One whose number was taken from it makes no mistake by closing it. */
	if (is_stale && step->flags & BUG)
		truth_stale(step, number);
	owners[number].slot = 0;
}

OPENER static void do_step(const struct step *step)
{
	int number = slots[step->slot].number;

	if (ops[step->op].open) {
		number = ops[step->op].open();
		if (number < 0 || number >= NUMBERS)
			exit(97);
		slots[step->slot].number = number;
		slots[step->slot].opened = ops[step->op].name;
		owners[number].slot = step->slot + 1;
		owners[number].opened = ops[step->op].name;
	} else if (ops[step->op].close) {
		note_close(step, number);
		ops[step->op].close(number);
	} else {
		ops[step->op].use(number);
	}
	__asm__ volatile(""); /* no tail calls: this function is on the stack */
}

/* ---- the other thread ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const struct step *handed;
static bool over;

static void *work(void *unused)
{
	pthread_mutex_lock(&lock);
	while (!over) {
		if (!handed) {
			pthread_cond_wait(&changed, &lock);
			continue;
		}
		do_step(handed);
		handed = NULL;
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void hand_over(const struct step *step)
{
	pthread_mutex_lock(&lock);
	handed = step;
	pthread_cond_broadcast(&changed);
	while (handed)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

OPENER static void do_steps(const struct step *steps, bool bug)
{
	for (; steps->op; steps++) {
		if (steps->flags & BUG && !bug)
			continue;
		if (steps->flags & WORKER)
			hand_over(steps);
		else
			do_step(steps);
	}
}

/* ---- scenarios ---- */

/* A day's work, in which every kind has its closers; b and c are slots of their own. */
static const struct step usual[] = {{CONN_OPEN, 1},
				    {FILE_OPEN, 2},
				    {CONN_FREE, 1},
				    {CONN_OPEN, 3},
				    {FILE_DONE, 2},
				    {TIMER_OPEN, 4},
				    {CONN_ERROR, 3},
				    {FILE_OPEN, 5},
				    {TIMER_DONE, 4},
				    {CONN_OPEN, 6, WORKER},
				    {CONN_FREE, 6, WORKER},
				    {FILE_DONE, 5},
				    {0}};
static const struct step conns_only[] = {{CONN_OPEN, 1}, {CONN_FREE, 1}, {0}};
static const struct step with_any[] = {{CONN_OPEN, 1}, {ANY_DONE, 1},  {TIMER_OPEN, 2},
				       {ANY_DONE, 2},  {LOG_OPEN, 3},  {ANY_DONE, 3},
				       {FILE_OPEN, 4}, {FILE_DONE, 4}, {0}};
static const struct step sloppy[] = {{CONN_OPEN, 1}, {CONN_FREE, 1}, {FILE_OPEN, 2},
				     {FILE_DONE, 2}, {FILE_DONE, 2}, {0}};

#define A 10
#define B 11
#define C 12
#define D 13

static const struct scenario {
	const char *name;
	const struct step *warm;
	struct step steps[24];
} scenarios[] = {
    /* The owner of b closes it, and is told EBADF. */
    {"one_thread",
     usual,
     {{CONN_OPEN, A}, {CONN_FREE, A}, {FILE_OPEN, B}, {CONN_FREE, A, BUG}, {FILE_DONE, B}}},
    {"two_threads",
     usual,
     {{CONN_OPEN, A, WORKER},
      {CONN_FREE, A, WORKER},
      {FILE_OPEN, B},
      {CONN_FREE, A, WORKER | BUG},
      {FILE_DONE, B}}},
    /* Closed in the path of errors, and once more in the destructor. */
    {"error_then_free",
     usual,
     {{CONN_OPEN, A}, {CONN_ERROR, A}, {FILE_OPEN, B}, {CONN_FREE, A, BUG}, {FILE_DONE, B}}},
    /* The victim is open for good: no one ever closed its like. */
    {"log",
     conns_only,
     {{CONN_OPEN, A}, {CONN_FREE, A}, {LOG_OPEN, B}, {CONN_FREE, A, BUG}, {WRITE, B}}},
    {"polled",
     usual,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {CONN_FREE, A, BUG},
      {POLL, B},
      {FILE_DONE, B}}},
    /* The number is given out once more before the victim's owner closes it. */
    {"same_kind_next",
     usual,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {CONN_FREE, A, BUG},
      {FILE_OPEN, C},
      {FILE_DONE, B},
      {FILE_DONE, C}}},
    {"other_kind_next",
     usual,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {CONN_FREE, A, BUG},
      {TIMER_OPEN, C},
      {FILE_DONE, B},
      {TIMER_DONE, C}}},
    {"other_kind_between",
     usual,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {CONN_FREE, A, BUG},
      {TIMER_OPEN, C},
      {TIMER_DONE, C},
      {FILE_DONE, B}}},
    /* The mistake comes long after the first close. */
    {"late",
     usual,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {FILE_DONE, B},
      {TIMER_OPEN, C},
      {TIMER_DONE, C},
      {FILE_OPEN, D},
      {CONN_FREE, A, BUG},
      {FILE_DONE, D}}},
    {"watched",
     usual,
     {{CONN_OPEN, A, WORKER},
      {CONN_ERROR, A},
      {FILE_OPEN, B},
      {CONN_FREE, A, WORKER | BUG},
      {EPOLL, B},
      {TIMER_OPEN, C},
      {TIMER_DONE, C},
      {FILE_DONE, B}}},

    /* What is no stale close. A place closes what it never closed before: */
    {"seldom",
     usual,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {CONN_FREE, B},
      {FILE_OPEN, C},
      {FILE_DONE, C}}},
    /* double closes without a reuse in between, */
    {"twice",
     usual,
     {{CONN_OPEN, A}, {CONN_FREE, A}, {FILE_OPEN, B}, {FILE_DONE, B}, {FILE_DONE, B}}},
    /* the first of them in a path that was never taken before; */
    {"error_twice",
     usual,
     {{CONN_OPEN, A}, {CONN_FREE, A}, {FILE_OPEN, B}, {FILE_ERROR, B}, {FILE_DONE, B}}},
    /* one function that closes everything, and what it closed is closed again; */
    {"any",
     with_any,
     {{CONN_OPEN, A}, {ANY_DONE, A}, {FILE_OPEN, B}, {ANY_DONE, B}, {FILE_DONE, B}}},
    /* a use after a close that is right; */
    {"used_late",
     usual,
     {{CONN_OPEN, A}, {CONN_FREE, A}, {FILE_OPEN, B}, {FILE_DONE, B}, {WRITE, B}}},
    /* a program that always closes twice, and a seldom path; */
    {"sloppy",
     sloppy,
     {{CONN_OPEN, A},
      {CONN_FREE, A},
      {FILE_OPEN, B},
      {CONN_FREE, B},
      {FILE_OPEN, C},
      {FILE_DONE, C},
      {FILE_DONE, C}}},
};

static int run(const struct scenario *scenario, bool bug)
{
	pthread_t worker;

	if (dup2(KEEP(epoll_create1(0)), 900) != 900 || pthread_create(&worker, NULL, work, NULL))
		return 3;
	for (int round = 0; round < 2 * WARM_ROUNDS; round++) {
		do_steps(scenario->warm, bug);
		if (round == WARM_ROUNDS)
			do_steps(scenario->steps, bug);
	}
	pthread_mutex_lock(&lock);
	over = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(worker, NULL);
	return 0;
}

/* Each in a process of its own, whose number is told. */
static int run_child(const struct scenario *scenario, bool bug)
{
	char line[200];
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int used = snprintf(line, sizeof(line),
				    "{\"truth\":\"scenario\",\"pid\":%d,\"name\":\"%s\"}\n",
				    getpid(), scenario->name);

		truth_write(line, (size_t)used);
		_exit(run(scenario, bug));
	}
	return child < 0 || waitpid(child, &status, 0) != child || status;
}

int main(int argc, char **argv)
{
	bool bug = argc > 2 && !strcmp(argv[2], "bug");

	for (size_t i = 0; argc > 1 && i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (!strcmp(argv[1], scenarios[i].name))
			return run(&scenarios[i], bug);
		if (!strcmp(argv[1], "all") && run_child(&scenarios[i], bug))
			return 4;
	}
	return argc > 1 && !strcmp(argv[1], "all") ? 0 : 2;
}
