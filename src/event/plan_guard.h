/*
 * Which records of a call the plan wants, from its number and arguments alone: the one place that
 * says what the guards of plan.h mean. Shared with the BPF program.
 */
#ifndef HTRACE_EVENT_PLAN_GUARD_H
#define HTRACE_EVENT_PLAN_GUARD_H

#include "event/plan.h"

static inline int plan_guard_in_set(const struct plan *plan, uint32_t number, uint32_t value)
{
	for (uint32_t i = 0; i < PLAN_GUARD_VALUES_MAX && i < plan->guard_values_n; i++)
		if (plan->guard_values[i].number == number && plan->guard_values[i].value == value)
			return 1;
	return 0;
}

static inline int plan_guard_passes(const struct plan *plan, uint32_t number,
				    const struct syscall_plan *call, const uint64_t args[6])
{
	uint64_t arg = args[call->guard_arg < 6 ? call->guard_arg : 0];

	switch (call->guard) {
	case PLAN_GUARD_NONE:
		return 1;
	case PLAN_GUARD_MASK:
		return (arg & call->guard_value) != 0;
	case PLAN_GUARD_EQUAL:
		return (uint32_t)arg == call->guard_value;
	case PLAN_GUARD_SET:
		return plan_guard_in_set(plan, number, (uint32_t)arg);
	}
	return 0;
}

/*
 * Numbers that programs pass on purpose where there is no descriptor: -1 and AT_FDCWD. EBADF of
 * these is no bad reference.
 */
static inline int plan_no_descriptor(uint64_t arg)
{
	return (int32_t)arg == -1 || (int32_t)arg == -100;
}

/* Whether the call does nothing but ask about its number. */
static inline int plan_only_asks(const struct plan *plan, uint32_t number, const uint64_t args[6])
{
	for (uint32_t i = 0; i < PLAN_QUESTIONS_MAX && i < plan->questions_n; i++)
		if (plan->questions[i].number == number &&
		    plan->questions[i].value == (uint32_t)args[1] &&
		    args[2] >= plan->questions[i].least)
			return 1;
	return 0;
}

/* Whether `arg` (an index, or PLAN_NO_ARG) is a number that nothing but a descriptor has. */
static inline int plan_is_number(uint8_t arg, const uint64_t args[6])
{
	return arg < 6 && (int32_t)args[arg] >= 0;
}

/* Whether no argument of the call could be a bad reference; a call without fd_arg is left alone. */
static inline int plan_no_descriptors(const struct syscall_plan *call, const uint64_t args[6])
{
	return call->fd_arg < 6 && plan_no_descriptor(args[call->fd_arg]) &&
	       (call->fd_arg2 >= 6 || plan_no_descriptor(args[call->fd_arg2]));
}

/* enum plan_when of this call; 0: it is not of interest. */
static inline uint8_t plan_when_wanted(const struct plan *plan, uint32_t number,
				       const uint64_t args[6])
{
	const struct syscall_plan *call;
	uint8_t when;

	if (number >= PLAN_SYSCALLS_MAX)
		return 0;
	call = &plan->calls[number];
	when = call->when;
	if (!when)
		return 0;
	if (!plan_guard_passes(plan, number, call, args))
		when &= PLAN_LEAVE_EBADF;
	if (plan_no_descriptors(call, args))
		when &= (uint8_t)~PLAN_LEAVE_EBADF;
	return when;
}

#endif
