/* How much memory this process has allocated, told by the allocator; not what the kernel gave. */
#ifndef HTRACE_TESTS_ALLOCATED_H
#define HTRACE_TESTS_ALLOCATED_H

#include <malloc.h>
#include <stddef.h>

/* ASan's allocator is not the C library's. It counts what was asked for. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* With what each block costs beside its contents. */
static inline size_t allocated_bytes(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

#endif
