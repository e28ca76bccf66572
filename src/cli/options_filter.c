/* Owns how filters are typed: what is accepted, and what is said of what is not. */
#include "cli/options_filter.h"

#include "base/cleanup.h"
#include "base/alloc.h"
#include "cli/options.h"
#include "model/handle_type.h"

#include <errno.h>
#include <string.h>

static struct filter *filter_of(struct options *options)
{
	if (!options->filter)
		options->filter = filter_new();
	return options->filter;
}

static int unknown_type(const char *type, struct error *error)
{
	const char *names[80];
	const char *nearest;
	char all[ERROR_MESSAGE_MAX / 2] = "";
	size_t n = 0, at = 0;

	for (const struct handle_type *row = handle_types; row->name && n < 79; row++) {
		names[n++] = row->name;
		if (at < sizeof(all) && !strcmp(row->name, row->family))
			at +=
			    snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "", row->name);
	}
	names[n] = NULL;
	nearest = options_nearest(type, names);
	if (nearest)
		return error_set(error, -EINVAL, "--type: unknown type '%.40s': did you mean %s?",
				 type, nearest);
	return error_set(error, -EINVAL, "--type: unknown type '%.40s'; there are %s", type, all);
}

int filter_set_type(struct options *options, const char *value, struct error *error)
{
	struct filter *filter = filter_of(options);

	for (;;) {
		size_t length = strcspn(value, ",");
		_cleanup_(free) char *type = xstrndup(value, length);

		if (!handle_type_find(type))
			return unknown_type(type, error);
		filter_add_type(filter, type);
		if (!value[length])
			return 0;
		value += length + 1;
	}
}

int filter_set_name(struct options *options, const char *value, struct error *error)
{
	filter_add_name(filter_of(options), value);
	return 0;
}

int filter_set_stack(struct options *options, const char *value, struct error *error)
{
	return filter_add_stack(filter_of(options), FILTER_STACK, value, error);
}

int filter_set_not_stack(struct options *options, const char *value, struct error *error)
{
	return filter_add_stack(filter_of(options), FILTER_NOT_STACK, value, error);
}

int filter_set_age(struct options *options, const char *value, struct error *error)
{
	uint64_t age_ns;

	if (!options_parse_duration(value, &age_ns))
		return error_set(error, -EINVAL,
				 "--min-age needs a time like 30s, 500ms, 2m or 1h, not '%s'",
				 value);
	filter_set_min_age(filter_of(options), age_ns);
	return 0;
}

int filter_set_n(struct options *options, const char *value, struct error *error)
{
	unsigned long long number;

	if (!number_parse(value, UINT32_MAX - 1, &number) || !number)
		return error_set(error, -EINVAL, "--top needs a number from 1, not '%s'", value);
	filter_set_top(filter_of(options), number);
	return 0;
}

int cloexec_set(struct options *options, const char *value, struct error *error)
{
	if (options->cloexec == REPORT_CLOEXEC_NO)
		options->cloexec = REPORT_CLOEXEC_YES;
	return 0;
}

int cloexec_set_all(struct options *options, const char *value, struct error *error)
{
	options->cloexec = REPORT_CLOEXEC_ALL;
	return 0;
}
