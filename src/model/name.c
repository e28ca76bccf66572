/* Owns the strings and their counts. */
#include "model/name.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct name {
	uint32_t refs;
	char text[];
};

static struct name *name_of(const char *text)
{
	return (struct name *)(text - offsetof(struct name, text));
}

const char *name_ref(const char *name)
{
	if (name)
		name_of(name)->refs++;
	return name;
}

void name_unref(const char *name)
{
	if (name && --name_of(name)->refs == 0)
		free(name_of(name));
}

void names_fini(struct names *names)
{
	for (size_t i = 0; i < NAMES_RECENT; i++)
		name_unref(names->recent[i]);
	*names = (struct names){0};
}

const char *name_new(struct names *names, const char *text, size_t bytes)
{
	const char **recent = &names->recent[hash_bytes(text, bytes, 0) % NAMES_RECENT];
	struct name *name;

	if (*recent && !strncmp(*recent, text, bytes) && !(*recent)[bytes])
		return name_ref(*recent);
	name = xmalloc(sizeof(*name) + bytes + 1);
	name->refs = 2;
	memcpy(name->text, text, bytes);
	name->text[bytes] = 0;
	name_unref(*recent);
	*recent = name->text;
	return name->text;
}

size_t name_bytes(const char *name)
{
	if (!name)
		return 0;
	return (malloc_usable_size(name_of(name)) + sizeof(size_t)) / name_of(name)->refs;
}
