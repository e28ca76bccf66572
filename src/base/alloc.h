/*
 * Memory that is there or the program has ended with a message (STYLE: out of memory is no error
 * that a caller can handle). All results are owned by the caller and freed with free().
 */
#ifndef HTRACE_BASE_ALLOC_H
#define HTRACE_BASE_ALLOC_H

#include <stddef.h>

void *xmalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t bytes) __attribute__((malloc, returns_nonnull));
void *xreallocarray(void *memory, size_t count, size_t bytes) __attribute__((returns_nonnull));
void *xmemdup(const void *memory, size_t bytes) __attribute__((returns_nonnull));
char *xstrdup(const char *string) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *string, size_t bytes_max) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...)
    __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

#endif
