/* The options that say what reports hide (report/filter.h), as the table of options sets them. */
#ifndef HTRACE_CLI_OPTIONS_FILTER_H
#define HTRACE_CLI_OPTIONS_FILTER_H

#include "cli/commands.h"

/* Each 0, or -EINVAL with a sentence. */
int filter_set_type(struct options *options, const char *value, struct error *error);
int filter_set_name(struct options *options, const char *value, struct error *error);
int filter_set_stack(struct options *options, const char *value, struct error *error);
int filter_set_not_stack(struct options *options, const char *value, struct error *error);
int filter_set_age(struct options *options, const char *value, struct error *error);
int cloexec_set(struct options *options, const char *value, struct error *error);
int cloexec_set_all(struct options *options, const char *value, struct error *error);
int filter_set_n(struct options *options, const char *value, struct error *error);

#endif
