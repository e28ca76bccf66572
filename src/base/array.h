/*
 * A growable array of any type: `ARRAY(struct frame) frames = {0};`. Elements move when it grows:
 * pointers into it are good until the next array_push or array_reserve.
 */
#ifndef HTRACE_BASE_ARRAY_H
#define HTRACE_BASE_ARRAY_H

#include "base/alloc.h"

#include <stddef.h>
#include <stdlib.h>

#define ARRAY(type)                                                                                \
	struct {                                                                                   \
		type *data;                                                                        \
		size_t count;                                                                      \
		size_t capacity;                                                                   \
	}

/* Makes room for `wanted` elements in all. */
#define array_reserve(array, wanted)                                                               \
	do {                                                                                       \
		size_t array_wanted = (wanted);                                                    \
		if (array_wanted > (array)->capacity) {                                            \
			size_t array_grown = (array)->capacity ? (array)->capacity * 2 : 8;        \
			if (array_grown < array_wanted)                                            \
				array_grown = array_wanted;                                        \
			(array)->data =                                                            \
			    xreallocarray((array)->data, array_grown, sizeof(*(array)->data));     \
			(array)->capacity = array_grown;                                           \
		}                                                                                  \
	} while (0)

#define array_push(array, ...)                                                                     \
	do {                                                                                       \
		array_reserve((array), (array)->count + 1);                                        \
		(array)->data[(array)->count++] = (__VA_ARGS__);                                   \
	} while (0)

#define array_each(item, array)                                                                    \
	for (__typeof__((array)->data + 0) item = (array)->data;                                   \
	     (array)->count && item < (array)->data + (array)->count; item++)

#define array_fini(array)                                                                          \
	do {                                                                                       \
		free((array)->data);                                                               \
		(array)->data = NULL;                                                              \
		(array)->count = (array)->capacity = 0;                                            \
	} while (0)

#endif
