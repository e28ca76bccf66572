/*
 * Names of handles, counted: many handles have one name (a leak opens the same file over and over,
 * /proc calls every eventfd the same), which then costs nothing. A name is a plain string for who
 * reads it. Knows no handles.
 */
#ifndef HTRACE_MODEL_NAME_H
#define HTRACE_MODEL_NAME_H

#include <stddef.h>

enum { NAMES_RECENT = 1024 };

/* The names made last, for the next ones that are equal. A zeroed one is empty. */
struct names {
	const char *recent[NAMES_RECENT]; /* by hash; NULL: free */
};

void names_fini(struct names *names);

/* `bytes` of `text`; the caller owns a reference. */
const char *name_new(struct names *names, const char *text, size_t bytes);

/* Another reference, or one less; NULL is permitted. */
const char *name_ref(const char *name);
void name_unref(const char *name);

/* This reference's share of the memory. */
size_t name_bytes(const char *name);

#endif
