/*
 * What the arguments of a call tell of the type of the handle that it opens. What they do not tell
 * (where a path leads to) a look at the living process does.
 */
#ifndef HTRACE_MODEL_OPENING_TYPE_H
#define HTRACE_MODEL_OPENING_TYPE_H

#include "event/event.h"

/* `type` is what the call opens in general (NULL: not known); `path`, of `bytes` bytes, is what it
 * was given, NULL where that was not recorded. A static string, or NULL. */
const char *opening_type(const struct event_syscall *event, const char *type, const char *path,
			 uint32_t bytes);

#endif
