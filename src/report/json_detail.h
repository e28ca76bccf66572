/* What a handle, and a group of them, is: the members "details" of the JSON documents. */
#ifndef HTRACE_REPORT_JSON_DETAIL_H
#define HTRACE_REPORT_JSON_DETAIL_H

#include "report/detail_group.h"
#include "report/json_stack.h"

/* null where it is not known. */
json_t *json_detail(const struct detail *detail);
/* What could not be looked at; null: nothing was asked for. */
json_t *json_details_limits(const struct details *details);
json_t *json_group_detail(const struct group_detail *group);

#endif
