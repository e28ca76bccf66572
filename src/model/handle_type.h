/*
 * The names of types of handles, and which of them are kinds of one another: "tcp" is a "socket",
 * "tty" a "device". One table; what is asked for by type (--type=socket) is looked up in it.
 */
#ifndef HTRACE_MODEL_HANDLE_TYPE_H
#define HTRACE_MODEL_HANDLE_TYPE_H

#include <stdbool.h>

struct handle_type {
	const char *name;
	const char *family; /* that it is a kind of; its own name where it is none */
};

extern const struct handle_type handle_types[]; /* ends with a NULL name */

/* NULL: no such name. */
const struct handle_type *handle_type_find(const char *name);

/* The family of a type; the type itself where the table does not know it, NULL of NULL. Borrowed.
 */
const char *handle_type_family(const char *type);

/*
 * Whether a handle of `type` (NULL: not known) is what somebody who says `wanted` means: the type
 * itself, its family ("socket": all kinds of sockets), or "unknown" of what is not known.
 */
bool handle_type_is(const char *type, const char *wanted);

/* The type that two handles share: theirs, their family's, else "mixed"; NULL: not known of both.
 */
const char *handle_type_common(const char *a, const char *b);

#endif
