/*
 * What every workload shares: it keeps the truth (which number is open, and which of its functions
 * opened it) and prints it as lines of JSON on standard output, in pieces that a pipe keeps whole.
 * It opens nothing itself. The tables are not locked: a number belongs to one thread at a time.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A function that stays one: not inlined, not cloned, not merged with its twin. */
#if defined(__clang__) || defined(__cplusplus)
#define OPENER __attribute__((noinline))
#else
#define OPENER __attribute__((noipa))
#endif

/* The value of a call that must not become a tail call, or its caller would leave the stack. */
#define KEEP(call)                                                                                 \
	({                                                                                         \
		long kept_ = (call);                                                               \
		__asm__ volatile("" : "+r"(kept_));                                                \
		(int)kept_;                                                                        \
	})

enum { TRUTH_NUMBERS_MAX = 4096, TRUTH_LINE_BYTES = 3500 };

struct truth {
	const char *function; /* NULL: not open */
	const char *type;
};

static struct truth truth_table[TRUTH_NUMBERS_MAX];

__attribute__((unused)) static void truth_opened(int number, const char *function, const char *type)
{
	if (number < 0 || number >= TRUTH_NUMBERS_MAX) {
		fprintf(stderr, "%s: got %d: %s\n", function, number, strerror(errno));
		exit(99);
	}
	truth_table[number].type = type;
	truth_table[number].function = function;
}

__attribute__((unused)) static void truth_closed(int number)
{
	truth_table[number].function = NULL;
}

static void truth_write(const char *line, size_t size)
{
	while (size > 0) {
		ssize_t written = write(1, line, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			exit(98);
		line += written;
		size -= (size_t)written;
	}
}

/* {"truth":"open","pid":1,"open":[{"fd":3,"function":"f","type":"eventfd"},...]}, several lines
 * when there is much. */
__attribute__((unused)) static void truth_print(void)
{
	char line[TRUTH_LINE_BYTES + 200];
	int used = 0;
	int number = 0;

	do {
		used = snprintf(line, sizeof(line), "{\"truth\":\"open\",\"pid\":%d,\"open\":[",
				(int)getpid());
		for (int first = 1; number < TRUTH_NUMBERS_MAX && used < TRUTH_LINE_BYTES;
		     number++) {
			const struct truth *entry = &truth_table[number];

			if (entry->function == NULL)
				continue;
			used += snprintf(line + used, sizeof(line) - (size_t)used,
					 "%s{\"fd\":%d,\"function\":\"%s\",\"type\":\"%s\"}",
					 first ? "" : ",", number, entry->function, entry->type);
			first = 0;
		}
		used += snprintf(line + used, sizeof(line) - (size_t)used, "]}\n");
		truth_write(line, (size_t)used);
	} while (number < TRUTH_NUMBERS_MAX);
}

/* This process opened itself all that it will print: none of it is inherited. */
__attribute__((unused)) static void truth_base(void)
{
	char line[100];
	int used = snprintf(line, sizeof(line), "{\"truth\":\"base\",\"pid\":%d}\n", (int)getpid());

	truth_write(line, (size_t)used);
}

/* A call that this kernel or this user cannot do. */
__attribute__((unused)) static void truth_unsupported(const char *call, int error)
{
	char line[300];
	int used =
	    snprintf(line, sizeof(line),
		     "{\"truth\":\"unsupported\",\"call\":\"%s\",\"errno\":%d,\"why\":\"%s\"}\n",
		     call, error, strerror(error));

	truth_write(line, (size_t)used);
}

/* With WORKLOAD_WAIT set: says so and waits for the end of standard input, 60 s at the most. */
__attribute__((unused)) static void truth_wait(void)
{
	char byte;

	if (getenv("WORKLOAD_WAIT") == NULL)
		return;
	alarm(60);
	truth_write("{\"truth\":\"waiting\"}\n", 20);
	while (read(0, &byte, 1) > 0)
		;
}

#endif
