/* The one evaluation of a plan's guard, for collectors in the kernel and outside. */
#ifndef HTRACE_EVENT_PLAN_GUARD_H
#define HTRACE_EVENT_PLAN_GUARD_H

#include "event/plan.h"

/* Whether {number, value} is one of the first `n` guard values. */
static inline __attribute__((always_inline)) int
plan_guard_set_has(const volatile struct plan_guard_value *values, uint32_t n, uint32_t number,
		   uint32_t value)
{
	for (uint32_t i = 0; i < PLAN_GUARD_VALUES_MAX && i < n; i++)
		if (values[i].number == number && values[i].value == value)
			return 1;
	return 0;
}

#endif
