/*
 * An agent that only tells that it was here. The variable is "VALUE:ADDRESS" (decimal): the value
 * is written to the address (0: nowhere) and returned by agent_enter; or a word that says how to
 * fail.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int64_t agent_enter(const char *variable);
EXPORT int64_t agent_leave(void);

static volatile int64_t *told; /* by agent_enter() */
static int64_t times_entered;

/* Pointers that a loader has to relocate. */
static const char *const digits = "0123456789";
static const char *volatile const *const digits_again = (const char *volatile const *)&digits;

static const char *parse(const char *text, uint64_t *out)
{
	*out = 0;
	for (; *text >= digits[0] && *text <= (*digits_again)[9]; text++)
		*out = *out * 10 + (uint64_t)(*text - '0');
	return text;
}

int64_t agent_enter(const char *variable)
{
	uint64_t value, address;

	switch (*variable) {
	case 'f': /* fault */
		__asm__ volatile("movl $0, 8");
		return 0;
	case 'h': /* hang */
		for (;;)
			__asm__ volatile("pause");
	case 'n': /* no */
		return -ENOENT;
	}
	/* Registers that a caller owns; the vector ones are not used by an agent. */
	__asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15");
	variable = parse(variable, &value);
	parse(variable + 1, &address);
	told = (volatile int64_t *)address;
	times_entered++;
	if (told) {
		told[0] = (int64_t)value;
		told[1] = times_entered;
	}
	return (int64_t)value;
}

int64_t agent_leave(void)
{
	if (told)
		told[0] = -1;
	told = 0;
	return 0;
}

#ifdef OTHER
EXPORT int64_t agent_other(void);

int64_t agent_other(void)
{
	return times_entered;
}
#endif
