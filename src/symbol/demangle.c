/* Owns the bounds around libiberty's demanglers: a short name may stand for gigabytes of text. */
#include "symbol/demangle.h"

#include "base/alloc.h"

/* libiberty has an xmemdup() of its own, with other arguments. */
#define xmemdup libiberty_xmemdup
#include <libiberty/demangle.h>
#undef xmemdup
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_BYTES_MAX = 16 * 1024, /* of a mangled name that is worth trying */
	TEXT_BYTES_MAX = 64 * 1024, /* of what comes out */
	D_NAME_BYTES_MAX = 512,     /* the D demangler cannot be stopped in the middle */
	OPTIONS = DMGL_PARAMS | DMGL_ANSI,
};

struct output {
	char *text;
	size_t bytes;
	jmp_buf too_long;
};

/* The v3 and Rust demanglers keep their state on the stack, so leaving them by a jump is safe. */
static void output_append(const char *text, size_t bytes, void *context)
{
	struct output *output = context;

	if (bytes > TEXT_BYTES_MAX - output->bytes)
		longjmp(output->too_long, 1);
	if (bytes) /* the demanglers add nothing as (NULL, 0) */
		memcpy(output->text + output->bytes, text, bytes);
	output->bytes += bytes;
}

static char *demangle_bounded(const char *name,
			      int (*demangle)(const char *name, int options,
					      demangle_callbackref append, void *context))
{
	struct output *output = xcalloc(1, sizeof(*output));
	char *result = NULL;

	output->text = xmalloc(TEXT_BYTES_MAX);
	if (!setjmp(output->too_long) && demangle(name, OPTIONS, output_append, output) &&
	    output->bytes)
		result = xstrndup(output->text, output->bytes);
	free(output->text);
	free(output);
	return result;
}

static char *demangle_whole(const char *name)
{
	size_t bytes = strlen(name);
	char *result = NULL;

	if (bytes > NAME_BYTES_MAX || name[0] != '_')
		return xstrdup(name);
	/* Rust first: its older names are C++ names too, with a hash at the end. */
	if (name[1] == 'R' || name[1] == 'Z')
		result = demangle_bounded(name, rust_demangle_callback);
	if (!result && name[1] == 'Z')
		result = demangle_bounded(name, cplus_demangle_v3_callback);
	if (!result && name[1] == 'D' && bytes <= D_NAME_BYTES_MAX)
		result = dlang_demangle(name, OPTIONS);
	return result ?: xstrdup(name);
}

char *demangle_dup(const char *name)
{
	const char *suffix = strrchr(name, '@');
	char *base, *readable, *result;

	if (!suffix)
		return demangle_whole(name);
	base = xstrndup(name, suffix - name);
	readable = demangle_whole(base);
	result = xasprintf("%s%s", readable, suffix);
	free(readable);
	free(base);
	return result;
}
