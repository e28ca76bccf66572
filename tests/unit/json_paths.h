/* What a document says at a path: for tests that compare field by field. */
#ifndef HTRACE_TESTS_JSON_PATHS_H
#define HTRACE_TESTS_JSON_PATHS_H

#include "base/alloc.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Frees the text. */
static inline json_t *json_parse_take(char *text)
{
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (!root)
		fail_msg("%s at %d:%d", error.text, error.line, error.column);
	free(text);
	return root;
}

/* "processes/0/pid": members by name, elements by number. */
static inline json_t *at(json_t *json, const char *path)
{
	char *copy = xstrdup(path), *rest = NULL;

	for (char *part = strtok_r(copy, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		json = json_is_array(json) ? json_array_get(json, atoi(part))
					   : json_object_get(json, part);
		if (!json)
			fail_msg("no %s", path);
	}
	free(copy);
	return json;
}

static inline void is_integer(json_t *json, const char *path, json_int_t wanted)
{
	assert_true(json_is_integer(at(json, path)));
	assert_int_equal(json_integer_value(at(json, path)), wanted);
}

static inline void is_string(json_t *json, const char *path, const char *wanted)
{
	assert_true(json_is_string(at(json, path)));
	assert_string_equal(json_string_value(at(json, path)), wanted);
}

static inline void is_count(json_t *json, const char *path, size_t wanted)
{
	assert_true(json_is_array(at(json, path)));
	assert_int_equal(json_array_size(at(json, path)), wanted);
}

static inline void is_boolean(json_t *json, const char *path, bool wanted)
{
	assert_true(json_is_boolean(at(json, path)));
	assert_int_equal(json_boolean_value(at(json, path)), wanted);
}

static inline void is_null(json_t *json, const char *path)
{
	assert_true(json_is_null(at(json, path)));
}

#endif
