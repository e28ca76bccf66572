/*
 * Openings from places where a stack is hard to follow: a signal handler on its own stack, a deep
 * recursion, a thread, a callback out of libc. Also built without frame pointers, statically, and
 * with another C library.
 */
#include "workload.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

OPENER static void leak_plain(void)
{
	truth_opened(KEEP(eventfd(0, 0)), "leak_plain", "eventfd");
}

OPENER static void leak_in_handler(int signal_number)
{
	truth_opened(KEEP(eventfd(0, 0)), "leak_in_handler", "eventfd");
}

OPENER static void raise_on_other_stack(void)
{
	enum { STACK_BYTES = 64 * 1024 };
	stack_t stack = {.ss_size = STACK_BYTES};
	struct sigaction action = {.sa_handler = leak_in_handler, .sa_flags = SA_ONSTACK};

	stack.ss_sp =
	    mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0)
		exit(97);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	__asm__ volatile("");
}

OPENER static void leak_deep(void)
{
	truth_opened(KEEP(eventfd(0, 0)), "leak_deep", "eventfd");
}

/* Every level takes a bit more than 1 KiB of stack. */
OPENER static int recurse(int depth)
{
	volatile char room[1024];

	room[0] = (char)depth;
	if (depth == 0)
		leak_deep();
	else
		recurse(depth - 1);
	return room[0];
}

OPENER static void leak_variable_frame(int count)
{
	volatile char *room = __builtin_alloca((size_t)count);

	room[0] = 1;
	truth_opened(KEEP(eventfd(0, 0)), "leak_variable_frame", "eventfd");
	room[count - 1] = 1;
}

OPENER static int leak_in_callback(const void *left, const void *right)
{
	static int once;

	if (!once++)
		truth_opened(KEEP(eventfd(0, 0)), "leak_in_callback", "eventfd");
	return *(const int *)left - *(const int *)right;
}

OPENER static void *leak_in_thread(void *argument)
{
	truth_opened(KEEP(eventfd(0, 0)), "leak_in_thread", "eventfd");
	return argument;
}

int main(int argc, char **argv)
{
	int numbers[] = {3, 1, 2};
	pthread_t thread;

	leak_plain();
	raise_on_other_stack();
	recurse(42);
	leak_variable_frame(argc * 1000);
	qsort(numbers, 3, sizeof(numbers[0]), leak_in_callback);
	pthread_create(&thread, NULL, leak_in_thread, NULL);
	pthread_join(thread, NULL);
	truth_print();
	truth_wait();
	return 0;
}
