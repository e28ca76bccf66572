/*
 * Memory that is there or the program has ended with a message (STYLE: out of memory is no error
 * that a caller can handle). All results are owned by the caller and freed with free().
 */
#ifndef HTRACE_BASE_ALLOC_H
#define HTRACE_BASE_ALLOC_H

#include <stddef.h>

/*
 * libiberty, which the demangler needs, has functions of the same names (one with other
 * arguments): in the object files ours have names of their own.
 */
#define ALLOC_NAME(name) __asm__("htrace_" #name)

void *xmalloc(size_t bytes) ALLOC_NAME(xmalloc) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t bytes) ALLOC_NAME(xcalloc)
    __attribute__((malloc, returns_nonnull));
void *xreallocarray(void *memory, size_t count, size_t bytes) ALLOC_NAME(xreallocarray)
    __attribute__((returns_nonnull));
void *xmemdup(const void *memory, size_t bytes) ALLOC_NAME(xmemdup)
    __attribute__((malloc, returns_nonnull));
char *xstrdup(const char *string) ALLOC_NAME(xstrdup) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *string, size_t bytes_max) ALLOC_NAME(xstrndup)
    __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) ALLOC_NAME(xasprintf)
    __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

#undef ALLOC_NAME

#endif
