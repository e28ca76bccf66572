/* Owns the one way in which the program ends when memory is short. */
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *check(void *memory)
{
	if (memory)
		return memory;
	fputs("htrace: out of memory\n", stderr);
	_exit(125);
}

void *xmalloc(size_t bytes)
{
	return check(malloc(bytes ? bytes : 1));
}

void *xcalloc(size_t count, size_t bytes)
{
	return check(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *xreallocarray(void *memory, size_t count, size_t bytes)
{
	return check(reallocarray(memory, count ? count : 1, bytes ? bytes : 1));
}

void *xmemdup(const void *memory, size_t bytes)
{
	void *copy = xmalloc(bytes);

	if (bytes)
		memcpy(copy, memory, bytes);
	return copy;
}

char *xstrdup(const char *string)
{
	return check(strdup(string));
}

char *xstrndup(const char *string, size_t bytes_max)
{
	return check(strndup(string, bytes_max));
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *string = NULL;

	va_start(args, format);
	if (vasprintf(&string, format, args) < 0)
		string = NULL;
	va_end(args);
	return check(string);
}
