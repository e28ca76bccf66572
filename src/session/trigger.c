/* Owns the spelling of triggers. */
#include "session/trigger.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool parse_unit(const char *text, uint64_t *window_ns)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(text, units[i].unit))
			continue;
		*window_ns = units[i].seconds * 1000000000;
		return true;
	}
	return false;
}

static bool parse_number(const char *text, uint64_t *number, const char **rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	*rest = end;
	return !errno;
}

bool trigger_parse(const char *text, struct trigger *out)
{
	const char *rest;

	*out = (struct trigger){.text = text};
	if (!strcmp(text, "emfile")) {
		out->kind = TRIGGER_EMFILE;
		return true;
	}
	if (!strncmp(text, "open>", 5)) {
		out->kind = TRIGGER_OPEN;
		return parse_number(text + 5, &out->most, &rest) && !*rest;
	}
	if (!strncmp(text, "growth>", 7)) {
		out->kind = TRIGGER_GROWTH;
		return parse_number(text + 7, &out->most, &rest) &&
		       parse_unit(rest, &out->window_ns);
	}
	return false;
}
