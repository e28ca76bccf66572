/*
 * Owns the lines of the protocol: which members they have, of which types, within which limits.
 * Whether a verb exists, and what its words mean, is not known here.
 */
#include "session/request.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "report/words.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum {
	DEPTH_MAX = 2,                      /* an object, in it an array */
	COMMAS_MAX = REQUEST_WORDS_MAX + 8, /* between words and members */
	STATUS_MAX = 255,                   /* what a process can exit with */
	NAME_SHOWN_MAX = 32,                /* of an unknown member */
};

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}

/* So that what the parser builds stays small, whatever the line's length. */
static bool line_is_simple(const char *line, size_t bytes)
{
	bool in_string = false;
	int depth = 0, commas = 0;

	for (size_t i = 0; i < bytes; i++) {
		char byte = line[i];

		if (in_string) {
			i += byte == '\\';
			in_string = byte != '"';
			continue;
		}
		in_string = byte == '"';
		depth += (byte == '{' || byte == '[') - (byte == '}' || byte == ']');
		commas += byte == ',';
		if (depth > DEPTH_MAX || commas > COMMAS_MAX)
			return false;
	}
	return true;
}

static int version_check(const json_t *root, const char *what, struct error *error)
{
	const json_t *version = json_object_get(root, "htrace");

	if (!json_is_integer(version))
		return error_set(error, -EINVAL, "%s has no number \"htrace\", its version", what);
	if (json_integer_value(version) != REQUEST_VERSION)
		return error_set(error, -EINVAL,
				 "%s is of version %" JSON_INTEGER_FORMAT
				 ", this htrace speaks version %d: both ends have to be of the "
				 "same htrace",
				 what, json_integer_value(version), REQUEST_VERSION);
	return 0;
}

/* The object of a line; NULL with a sentence. */
static json_t *line_parse(const char *line, size_t bytes, size_t flags, const char *what,
			  struct error *error)
{
	_cleanup_(json) json_t *root = NULL;
	json_error_t wrong;

	if (!line_is_simple(line, bytes)) {
		error_set(error, -EINVAL, "%s has too many parts", what);
		return NULL;
	}
	root = json_loadb(line, bytes, JSON_REJECT_DUPLICATES | flags, &wrong);
	if (!root) {
		error_set(error, -EINVAL, "%s is not a line of JSON in UTF-8 (wrong at byte %d)",
			  what, wrong.position);
		return NULL;
	}
	if (!json_is_object(root)) {
		error_set(error, -EINVAL, "%s is not a JSON object", what);
		return NULL;
	}
	return version_check(root, what, error) ? NULL : json_incref(root);
}

/* The name goes to a terminal: none but plain ones are told. */
static int unknown_member(const char *name, const char *what, struct error *error)
{
	size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");

	if (!*name || name[plain] || plain > NAME_SHOWN_MAX)
		return error_set(error, -EINVAL, "%s has an unknown member", what);
	return error_set(error, -EINVAL, "%s has an unknown member \"%s\"", what, name);
}

/* A string that has no NUL in it, as a copy; NULL where it is anything else. */
static char *text_dup(const json_t *json)
{
	if (!json_is_string(json) || strlen(json_string_value(json)) != json_string_length(json))
		return NULL;
	return xstrdup(json_string_value(json));
}

static int words_parse(const json_t *words, struct request *out, struct error *error)
{
	size_t count = json_array_size(words);

	if (!json_is_array(words) || !count || count > REQUEST_WORDS_MAX)
		return error_set(error, -EINVAL,
				 "the request's \"words\" is not a list of 1 to %d words",
				 REQUEST_WORDS_MAX);
	out->words = xcalloc(count + 1, sizeof(*out->words));
	for (size_t i = 0; i < count; i++) {
		out->words[i] = text_dup(json_array_get(words, i));
		if (!out->words[i])
			return error_set(error, -EINVAL, "word %zu of the request is not a string",
					 i + 1);
		out->words_n++;
	}
	return 0;
}

static int columns_parse(const json_t *columns, struct request *out, struct error *error)
{
	json_int_t value = json_integer_value(columns);

	if (!json_is_integer(columns) || value < 0 || value > REQUEST_COLUMNS_MAX)
		return error_set(error, -EINVAL,
				 "the request's \"columns\" is not a number from 0 to %d",
				 REQUEST_COLUMNS_MAX);
	out->columns = value;
	return 0;
}

static int request_member(const char *name, const json_t *value, struct request *out,
			  struct error *error)
{
	if (!strcmp(name, "htrace"))
		return 0;
	if (!strcmp(name, "words"))
		return words_parse(value, out, error);
	if (!strcmp(name, "columns"))
		return columns_parse(value, out, error);
	if (strcmp(name, "colour"))
		return unknown_member(name, "the request", error);
	if (!json_is_boolean(value))
		return error_set(error, -EINVAL, "the request's \"colour\" is not true or false");
	out->colour = json_is_true(value);
	return 0;
}

static int request_members(json_t *root, struct request *out, struct error *error)
{
	const char *name;
	json_t *value;
	int result;

	json_object_foreach(root, name, value)
	{
		result = request_member(name, value, out, error);
		if (result)
			return result;
	}
	return out->words ? 0 : error_set(error, -EINVAL, "the request has no \"words\"");
}

int request_parse(const char *line, size_t bytes, struct request *out, struct error *error)
{
	_cleanup_(json) json_t *root = NULL;
	int result;

	*out = (struct request){0};
	if (bytes >= REQUEST_BYTES_MAX)
		return error_set(error, -EINVAL, "the request is longer than %d bytes",
				 REQUEST_BYTES_MAX);
	root = line_parse(line, bytes, 0, "the request", error);
	if (!root)
		return -EINVAL;
	result = request_members(root, out, error);
	if (result)
		request_fini(out);
	return result;
}

static int status_parse(const json_t *status, struct answer *out, struct error *error)
{
	json_int_t value = json_integer_value(status);

	if (!json_is_integer(status) || value < 0 || value > STATUS_MAX)
		return error_set(error, -EINVAL,
				 "the answer's \"status\" is not a number from 0 to %d",
				 STATUS_MAX);
	out->status = value;
	return 0;
}

static int output_parse(const json_t *output, struct answer *out, struct error *error)
{
	if (!json_is_string(output))
		return error_set(error, -EINVAL, "the answer's \"output\" is not a string");
	out->output_n = json_string_length(output);
	out->output = xmemdup(json_string_value(output), out->output_n + 1);
	return 0;
}

static int answer_member(const char *name, const json_t *value, struct answer *out,
			 struct error *error)
{
	const struct {
		const char *name;
		char **text;
	} texts[] = {
	    {"message", &out->message}, {"progress", &out->progress}, {"event", &out->event}};

	if (!strcmp(name, "htrace"))
		return 0;
	if (!strcmp(name, "status"))
		return status_parse(value, out, error);
	if (!strcmp(name, "output"))
		return output_parse(value, out, error);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (strcmp(name, texts[i].name))
			continue;
		*texts[i].text = text_dup(value);
		return *texts[i].text
			   ? 0
			   : error_set(error, -EINVAL, "the answer's \"%s\" is not a string", name);
	}
	return unknown_member(name, "the answer", error);
}

/* It is an answer, or a line of progress, or an event. */
static int answer_check(json_t *root, const struct answer *answer, struct error *error)
{
	size_t others = json_object_size(root) - 2; /* beside "htrace" and one more */

	if ((answer->progress || answer->event) && !others)
		return 0;
	if (!answer->progress && !answer->event && answer->output &&
	    json_object_get(root, "status"))
		return 0;
	return error_set(error, -EINVAL,
			 "the answer is neither status and output, nor progress, nor an event");
}

int answer_parse(const char *line, size_t bytes, struct answer *out, struct error *error)
{
	_cleanup_(json) json_t *root = NULL;
	const char *name;
	json_t *value;
	int result = 0;

	*out = (struct answer){0};
	if (bytes >= ANSWER_BYTES_MAX)
		return error_set(error, -EINVAL, "the answer is longer than %d bytes",
				 ANSWER_BYTES_MAX);
	root = line_parse(line, bytes, JSON_ALLOW_NUL, "the answer", error);
	if (!root)
		return -EINVAL;
	json_object_foreach(root, name, value)
	{
		result = answer_member(name, value, out, error);
		if (result)
			break;
	}
	if (!result)
		result = answer_check(root, out, error);
	if (result)
		answer_fini(out);
	return result;
}

struct line {
	ARRAY(char) text;
};

static int line_add(const char *bytes, size_t size, void *context)
{
	struct line *line = context;

	if (!size)
		return 0;
	array_reserve(&line->text, line->text.count + size);
	memcpy(line->text.data + line->text.count, bytes, size);
	line->text.count += size;
	return 0;
}

/* The text between two NULs at a time, which words_add_utf8() knows nothing of. */
static json_t *json_repaired(const char *text, size_t bytes)
{
	_cleanup_(words_fini) struct words words = {0};
	_cleanup_(free) char *copy = xmalloc(bytes + 1); /* with an end */
	struct line valid = {0};
	json_t *string;

	memcpy(copy, text, bytes);
	copy[bytes] = 0;
	for (size_t at = 0; at <= bytes; at += strlen(copy + at) + 1) {
		words_clear(&words);
		words_add_utf8(&words, copy + at);
		if (at)
			line_add("", 1, &valid);
		line_add(words_text(&words), strlen(words_text(&words)), &valid);
	}
	string = json_stringn_nocheck(valid.text.data, valid.text.count);
	array_fini(&valid.text);
	return string;
}

static json_t *json_bytes(const char *text, size_t bytes)
{
	json_t *string = json_stringn(text, bytes); /* NULL: it is not UTF-8 */

	return string ? string : json_repaired(text, bytes);
}

static json_t *json_text(const char *text)
{
	return json_bytes(text, strlen(text));
}

static char *line_take(json_t *root, size_t *bytes)
{
	struct line line = {0};

	json_dump_callback(root, line_add, &line, JSON_COMPACT);
	json_decref(root);
	line_add("\n", 2, &line);
	*bytes = line.text.count - 1;
	return line.text.data;
}

char *request_write(const struct request *request, size_t *bytes)
{
	json_t *words = json_array();

	for (uint32_t i = 0; i < request->words_n; i++)
		json_array_append_new(words, json_text(request->words[i]));
	return line_take(json_pack("{s:i, s:o, s:i, s:b}", "htrace", REQUEST_VERSION, "words",
				   words, "columns", (int)request->columns, "colour",
				   request->colour),
			 bytes);
}

char *answer_write(const struct answer *answer, size_t *bytes)
{
	json_t *root = json_pack("{s:i}", "htrace", REQUEST_VERSION);

	if (answer->progress || answer->event) {
		json_object_set_new(root, answer->progress ? "progress" : "event",
				    json_text(answer->progress ? answer->progress : answer->event));
		return line_take(root, bytes);
	}
	json_object_set_new(root, "status", json_integer(answer->status));
	json_object_set_new(root, "output",
			    json_bytes(answer->output ? answer->output : "", answer->output_n));
	if (answer->message)
		json_object_set_new(root, "message", json_text(answer->message));
	return line_take(root, bytes);
}

void request_fini(struct request *request)
{
	for (uint32_t i = 0; i < request->words_n; i++)
		free(request->words[i]);
	free(request->words);
	*request = (struct request){0};
}

void answer_fini(struct answer *answer)
{
	free(answer->output);
	free(answer->message);
	free(answer->progress);
	free(answer->event);
	*answer = (struct answer){0};
}
