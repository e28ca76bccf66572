/* Owns LD_PRELOAD of a program that we start: the agent first, then what was there. */
#include "collect/agent/preload.h"

#include "base/alloc.h"
#include "event/first_library.h"

#include <errno.h>
#include <string.h>

static const char *variable_value(char *const *envp, const char *name)
{
	size_t length = strlen(name);

	for (; *envp; envp++)
		if (!strncmp(*envp, name, length) && (*envp)[length] == '=')
			return *envp + length + 1;
	return NULL;
}

int preload_check(const char *list, struct error *error)
{
	if (!list || !first_library_is_in(list))
		return 0;
	return error_set(error, -ENOTSUP,
			 "the agent cannot be loaded: AddressSanitizer's library in LD_PRELOAD "
			 "must be the first one");
}

int preload_check_environment(char *const *envp, struct error *error)
{
	return preload_check(variable_value(envp, "LD_PRELOAD"), error);
}

char **preload_environment(const struct agent_arena *memory, char *const *envp, char **preload)
{
	const char *old = variable_value(envp, "LD_PRELOAD");
	size_t n = 0, used = 0;
	bool placed = false;
	char **out;

	*preload = old ? xasprintf("LD_PRELOAD=%s:%s", memory->preload, old)
		       : xasprintf("LD_PRELOAD=%s", memory->preload);
	while (envp[n])
		n++;
	out = xcalloc(n + 3, sizeof(*out));
	for (size_t i = 0; i < n; i++) {
		bool is_preload = !strncmp(envp[i], "LD_PRELOAD=", 11);

		if ((is_preload && placed) ||
		    !strncmp(envp[i], ARENA_VARIABLE "=", sizeof(ARENA_VARIABLE)))
			continue;
		out[used++] = is_preload ? *preload : envp[i];
		placed |= is_preload;
	}
	if (!placed)
		out[used++] = *preload;
	out[used] = (char *)memory->variable;
	return out;
}
