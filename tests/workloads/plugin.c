/* A library that leaks, and is unloaded before anybody asks for its name. */
#include <sys/eventfd.h>

int PLUGIN_FUNCTION(void);

int PLUGIN_FUNCTION(void)
{
	int number = eventfd(0, 0);

	__asm__ volatile("" : "+r"(number)); /* no tail call */
	return number;
}
