/*
 * A program that leaks one of the two handles that it opens in every round: fun3 closes its own,
 * fun4 forgets it. htrace names fun4.
 *
 *     leakyhandles [ROUNDS [MILLISECONDS]]     10 rounds, 100 ms of sleep in each
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Kept as functions of their own, so that the stack reads like the source. */
#define FUNCTION static __attribute__((noinline)) void

FUNCTION fun3(void)
{
	int event = eventfd(0, EFD_CLOEXEC);

	if (event < 0) {
		perror("fun3: eventfd");
		exit(1);
	}
	close(event);
}

FUNCTION fun4(void)
{
	int event = eventfd(0, EFD_CLOEXEC);

	if (event < 0) {
		perror("fun4: eventfd");
		exit(1);
	}
	/* and nobody closes it */
}

FUNCTION fun1(void)
{
	fun3();
	__asm__ volatile(""); /* no tail call: fun1 stays on the stack */
}

FUNCTION fun2(void)
{
	fun4();
	__asm__ volatile("");
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
	long sleep_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 100;
	struct timespec pause = {sleep_ms / 1000, sleep_ms % 1000 * 1000000};

	for (long round = 0; round < rounds; round++) {
		fun1();
		fun2();
		nanosleep(&pause, NULL);
	}
	return 0;
}
