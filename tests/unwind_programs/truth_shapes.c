/* Owns the shapes; built once for each set of flags, with TRUTH_FLAGS as its name. */
#include "truth.h"

#include <alloca.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))
#ifdef __clang__
#undef NOINLINE
#define NOINLINE __attribute__((noinline))
#endif

static truth_callback *callback;
static volatile int sink;

NOINLINE static void call_back(int n)
{
	sink += n;
	callback();
	sink -= n;
}

NOINLINE static int recursive(int n)
{
	volatile char room[200];

	room[n] = n;
	if (n > 0)
		return recursive(n - 1) + room[n];
	call_back(n);
	return room[n];
}

NOINLINE static void with_alloca(int n)
{
	volatile char *memory = (volatile char *)alloca(n * 40);

	memory[n] = n;
	if (n > 1)
		with_alloca(n - 1);
	else
		call_back(n);
	sink += memory[n];
}

/* Its CFA is found by way of a saved pointer (DRAP) where it also calls alloca. */
NOINLINE static void realigned(int n)
{
	volatile char wide[64] __attribute__((aligned(64)));
	volatile char *memory = (volatile char *)alloca(n + 1);

	wide[n] = memory[n] = n;
	if (n > 1)
		realigned(n - 1);
	else
		call_back(n);
	sink += wide[n] + memory[n];
}

NOINLINE static long many_arguments(long a, long b, long c, long d, long e, long f, long g, long h,
				    long i)
{
	call_back(a + i);
	return a + b * c + d * e + f * g + h * i;
}

NOINLINE static int variadic(int count, ...)
{
	va_list list;
	int sum = 0;

	va_start(list, count);
	for (int i = 0; i < count; i++)
		sum += va_arg(list, int);
	call_back(sum);
	va_end(list);
	return sum;
}

NOINLINE static void many_registers(const int *values)
{
	int a = values[0], b = values[1], c = values[2], d = values[3], e = values[4];

	call_back(a);
	for (int i = 0; i < 2; i++) {
		call_back(a + b + c + d + e);
		a += b, b += c, c += d, d += e, e += a;
	}
	sink += a + b + c + d + e;
}

NOINLINE static void large_frame(int n)
{
	volatile char room[20000];

	memset((char *)room, n, sizeof(room));
	call_back(room[n]);
	sink += room[n + 1];
}

/* Called by qsort: frames of the C library lie in between. */
NOINLINE static int compare(const void *a, const void *b)
{
	call_back(1);
	return *(const char *)a - *(const char *)b;
}

void TRUTH_NAME(truth_, TRUTH_FLAGS)(truth_callback *back)
{
	char text[] = "htrace";
	const int values[] = {1, 2, 3, 4, 5};

	callback = back;
	recursive(6);
	with_alloca(5);
	realigned(5);
	many_arguments(1, 2, 3, 4, 5, 6, 7, 8, 9);
	variadic(7, 1, 2, 3, 4, 5, 6, 7);
	many_registers(values);
	large_frame(3);
	qsort(text, sizeof(text) - 1, 1, compare);
}
