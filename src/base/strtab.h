/* Interned strings: one copy of each, at one address for the life of the table. */
#ifndef HTRACE_BASE_STRTAB_H
#define HTRACE_BASE_STRTAB_H

#include "base/map.h"

#include <stddef.h>

struct strtab {
	struct map buckets; /* hash -> struct strtab_string chain */
};

/* A zeroed struct strtab is an empty one. */
void strtab_fini(struct strtab *table);

/* The one copy of `string`; borrowed, good until strtab_fini(). */
const char *strtab_intern(struct strtab *table, const char *string);

#endif
