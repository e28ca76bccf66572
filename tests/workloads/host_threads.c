/*
 * What programs do with threads, their stacks and signals that an agent inside of them must live
 * with: one scenario a run, named by the first argument.
 */
#include "workload.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <ucontext.h>

enum { THREADS_N = 500, LEAVING_EVERY = 50, STACK_BYTES = 256 << 10, PAGE = 4096 };
enum { ROUNDS = 4000, SIGNALS = 4000, PAUSE_US = 100 };

static void must(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(97);
	}
}

OPENER static int open_one(void)
{
	int number = KEEP(eventfd(0, 0));

	truth_opened(number, "open_one", "eventfd");
	return number;
}

static void open_and_close(void)
{
	must(close(eventfd(0, 0)) == 0, "close");
}

/* ---- threads that are cancelled where they wait ---- */

static atomic_int cleaned;

static void close_and_count(int *number)
{
	close(*number);
	cleaned++;
}

#define GUARDED __attribute__((cleanup(close_and_count), unused))

static int waiting_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX}; /* a name is given */
	int number = socket(AF_UNIX, SOCK_STREAM, 0);

	must(bind(number, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0, "bind");
	must(listen(number, 1) == 0, "listen");
	return number;
}

static void *wait_in_accept(void *argument)
{
	GUARDED int number = waiting_socket();

	accept(number, NULL, NULL);
	return NULL;
}

static void *wait_in_read(void *argument)
{
	GUARDED int number = eventfd(0, 0);
	uint64_t value;

	must(read(number, &value, sizeof(value)) < 0, "read");
	return NULL;
}

static void *wait_in_open(void *argument)
{
	GUARDED int number = eventfd(0, 0);

	open(argument, O_RDONLY);
	return NULL;
}

static void *wait_in_fopen(void *argument)
{
	GUARDED int number = eventfd(0, 0);

	fopen(argument, "r");
	return NULL;
}

static void run_cancel(void)
{
	void *(*const waits[])(void *) = {wait_in_accept, wait_in_read, wait_in_open,
					  wait_in_fopen};
	char fifo[] = "fifo";
	int wanted = 0;

	must(mkfifo(fifo, 0600) == 0, "mkfifo");
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 4; i++) {
			pthread_t thread;
			void *result;

			pthread_create(&thread, NULL, waits[i], fifo);
			usleep(round % 2 ? 2000 : 0); /* it waits, or is about to */
			pthread_cancel(thread);
			pthread_join(thread, &result);
			must(result == PTHREAD_CANCELED, "cancelled");
			must(cleaned == ++wanted, "cleaned up");
		}
	}
	open_one();
}

/* ---- many threads, small stacks, stacks of one's own ---- */

static void *live_shortly(void *argument)
{
	open_and_close();
	if (argument)
		open_one();
	return NULL;
}

static void run_threads(void)
{
	for (int i = 0; i < THREADS_N; i += 2) {
		pthread_t threads[2];

		for (int k = 0; k < 2; k++)
			must(!pthread_create(&threads[k], NULL, live_shortly,
					     k == 0 && i % LEAVING_EVERY == 0 ? (void *)&cleaned
									      : NULL),
			     "thread");
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
	}
}

static void run_with_stack(char *stack, size_t bytes, void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	if (stack)
		must(!pthread_attr_setstack(&attributes, stack, bytes), "setstack");
	else
		must(!pthread_attr_setstacksize(&attributes, bytes), "setstacksize");
	must(!pthread_create(&thread, &attributes, live_shortly, argument), "thread");
	pthread_join(thread, NULL);
}

static void run_tiny_stacks(void)
{
	for (int i = 0; i < 40; i++)
		run_with_stack(NULL, PTHREAD_STACK_MIN, i % 10 == 0 ? (void *)&cleaned : NULL);
}

/* At one place: a stack, then another that is smaller, then memory that nobody may read. */
static void run_reused_stacks(void)
{
	char *place = mmap(NULL, STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(place != MAP_FAILED, "mmap");
	for (int i = 0; i < 60; i++) {
		size_t bytes = (size_t)(i % 4 + 1) * 64 << 10;
		char *stack = place + (STACK_BYTES - bytes) / (size_t)(i % 2 + 1);

		must(mmap(stack, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == stack,
		     "mmap");
		run_with_stack(stack, bytes, i % 20 == 0 ? (void *)&cleaned : NULL);
		must(mmap(place, STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			  -1, 0) == place,
		     "mmap");
	}
}

/* ---- stacks that no thread started on ---- */

static ucontext_t main_context, coroutine_context[2];

static void coroutine(void)
{
	for (int i = 0; i < 100; i++) {
		open_and_close();
		swapcontext(&coroutine_context[0], &main_context);
	}
	open_one();
}

/* Small stacks between pages that must not be touched. */
static void run_coroutines(void)
{
	size_t bytes = 16 * PAGE;
	char *place = mmap(NULL, bytes + 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(mprotect(place, PAGE, PROT_NONE) == 0, "mprotect");
	must(mprotect(place + PAGE + bytes, PAGE, PROT_NONE) == 0, "mprotect");
	getcontext(&coroutine_context[0]);
	coroutine_context[0].uc_stack.ss_sp = place + PAGE;
	coroutine_context[0].uc_stack.ss_size = bytes;
	coroutine_context[0].uc_link = &main_context;
	makecontext(&coroutine_context[0], coroutine, 0);
	for (int i = 0; i < 101; i++) {
		swapcontext(&main_context, &coroutine_context[0]);
		open_and_close();
	}
	munmap(place, bytes + 2 * PAGE);
	open_one();
}

/* ---- handlers that come at any moment ---- */

static atomic_int handled, left_in_handler;

OPENER static void open_in_handler(void)
{
	int number = KEEP(eventfd(0, 0));

	truth_opened(number, "open_in_handler", "eventfd");
}

static void handler(int signal_number)
{
	int error = errno;

	open_and_close();
	if (++handled % 200 == 0 && left_in_handler < 10) {
		left_in_handler++;
		open_in_handler();
	}
	errno = error;
}

static void handle_alarms(int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
	struct itimerval often = {{0, 100}, {0, 100}};

	must(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	must(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
}

static void handle_no_more(void)
{
	struct itimerval never = {{0, 0}, {0, 0}};

	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_IGN);
}

/*
 * A signal comes in the middle of anything, so nearly every stack is a new one, to be copied whole:
 * how many there are must not depend on how fast this runs. WORKLOAD_PAUSE_US is longer for a
 * reader that is slow by its build; signals come all the while.
 */
static void rest(void)
{
	const char *pause_us = getenv("WORKLOAD_PAUSE_US");
	struct timespec left = {0, (pause_us ? strtol(pause_us, NULL, 10) : PAUSE_US) * 1000};

	while (left.tv_nsec && nanosleep(&left, &left) != 0)
		;
}

/* The main flow opens and closes while handlers do. */
static void open_among_signals(void)
{
	int numbers[8];

	for (int round = 0; round < ROUNDS || handled < SIGNALS; round++) {
		for (int i = 0; i < 8; i++)
			numbers[i] = eventfd(0, 0);
		for (int i = 0; i < 8; i++)
			must(numbers[i] >= 0 && close(numbers[i]) == 0, "close");
		rest();
	}
	handle_no_more();
	open_one();
}

static void run_signals(void)
{
	handle_alarms(0);
	open_among_signals();
}

static void run_signals_on_alternate_stack(void)
{
	char *place = mmap(NULL, 10 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_sp = place + PAGE, .ss_size = 8 * PAGE};

	must(mprotect(place + PAGE, 8 * PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
	must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	handle_alarms(SA_ONSTACK);
	open_among_signals();
}

static const struct scenario {
	const char *name;
	void (*run)(void);
} scenarios[] = {
    {"cancel", run_cancel},
    {"threads", run_threads},
    {"tiny-stacks", run_tiny_stacks},
    {"reused-stacks", run_reused_stacks},
    {"coroutines", run_coroutines},
    {"signals", run_signals},
    {"signals-on-alternate-stack", run_signals_on_alternate_stack},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (argc > 1 && strcmp(argv[1], scenarios[i].name) == 0) {
			scenarios[i].run();
			truth_print();
			truth_wait();
			return 0;
		}
	}
	return 2;
}
