/* System calls without libc: the result is the kernel's, a negative errno where it failed. */
#ifndef HTRACE_AGENT_SYSTEM_H
#define HTRACE_AGENT_SYSTEM_H

#include <asm/unistd.h>
#include <stdint.h>

static inline int64_t system_call6(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
				   uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static inline int64_t system_call3(long number, uint64_t a, uint64_t b, uint64_t c)
{
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

#endif
