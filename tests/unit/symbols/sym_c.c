/*
 * Prints where it is called from, and what a symbolizer must say of that: one line for each place,
 * `vaddr-of-the-return-address function:line ...`, innermost first. "wait": prints nothing more and
 * waits for its input to end.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern const char __executable_start[];
static int outer_line, middle_line;

#define HERE ((uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start)

__attribute__((noinline)) static int truth_inlined(int line)
{
	printf("%lx leaf:%d middle:%d outer:%d main\n", HERE, line, middle_line, outer_line);
	return line;
}

__attribute__((noinline)) static int truth_plain(int line)
{
	printf("%lx plain:%d main\n", HERE, line);
	return line;
}

static inline __attribute__((always_inline)) int leaf(int x)
{
	x += truth_inlined(__LINE__);
	return x * 3;
}

static inline __attribute__((always_inline)) int middle(int x)
{
	if (x > 100)
		return x;
	x = (middle_line = __LINE__, leaf(x + 1));
	return x + 5;
}

__attribute__((noinline)) int outer(int x)
{
	int y = (outer_line = __LINE__, middle(x));

	return y * 7;
}

__attribute__((noinline)) int plain(int x)
{
	int y = truth_plain(__LINE__);

	return y + x;
}

int main(int argc, char **argv)
{
	int sum = outer(argc) + plain(argc);

	fflush(stdout);
	if (argc > 1 && !strcmp(argv[1], "wait"))
		sum += getchar() == EOF;
	return sum == 12345;
}
