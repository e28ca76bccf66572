/* A library whose constructor is to be looked at: it runs while ld.so still starts the program. */
#include <signal.h>

static volatile int sink;

__attribute__((noinline)) static void inner(int n)
{
	if (n)
		inner(n - 1);
	raise(SIGURG);
	sink++;
}

__attribute__((constructor)) static void early(void)
{
	inner(2);
	sink++;
}
