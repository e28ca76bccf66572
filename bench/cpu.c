/*
 * A program that computes and opens nothing: what a tracer costs those who do not use handles. The
 * argument is how many rounds of about a millisecond; prints the time of its own loop.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NUMBERS = 1 << 14 };

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

/* Branches, calls through a pointer, memory and arithmetic. */
static uint32_t round_of_work(uint32_t *numbers, uint32_t seed)
{
	uint32_t sum = 0;

	for (int i = 0; i < NUMBERS; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 17;
		seed ^= seed << 5;
		numbers[i] = seed;
	}
	qsort(numbers, NUMBERS, sizeof(numbers[0]), compare);
	for (int i = 0; i < NUMBERS; i++)
		sum = sum * 31 + numbers[i];
	return sum | 1;
}

int main(int argc, char **argv)
{
	static uint32_t numbers[NUMBERS];
	long rounds = argc > 1 ? atol(argv[1]) : 1000;
	uint32_t sum = 1;

	if (rounds < 1) {
		fprintf(stderr, "usage: cpu [ROUNDS]\n");
		return 2;
	}
	sum = round_of_work(numbers, sum);

	double begin = now_ns();
	for (long i = 0; i < rounds; i++)
		sum = round_of_work(numbers, sum);
	printf("%.1f ns/unit\n", (now_ns() - begin) / (double)rounds);
	fprintf(stderr, "checksum %u\n", sum);
	return 0;
}
