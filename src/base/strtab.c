/* Owns the chains of equal hashes behind strtab_intern(). */
#include "base/strtab.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct strtab_string {
	struct strtab_string *next;
	char text[];
};

void strtab_fini(struct strtab *table)
{
	map_each (entry, &table->buckets) {
		struct strtab_string *string = (void *)(uintptr_t)entry->value;

		while (string) {
			struct strtab_string *next = string->next;

			free(string);
			string = next;
		}
	}
	map_fini(&table->buckets);
}

const char *strtab_intern(struct strtab *table, const char *text)
{
	size_t size = strlen(text) + 1;
	uint64_t *slot = map_put(&table->buckets, hash_bytes(text, size, 0));
	struct strtab_string *string = (void *)(uintptr_t)*slot;

	for (; string; string = string->next)
		if (!strcmp(string->text, text))
			return string->text;
	string = xmalloc(sizeof(*string) + size);
	memcpy(string->text, text, size);
	string->next = (void *)(uintptr_t)*slot;
	*slot = (uintptr_t)string;
	return string->text;
}
