/*
 * Owns what a stub asks of us: which records the plan wants of this call, and who else wants to
 * know. The plan is read as every collector reads it (event/plan_guard.h).
 */
#include "agent.h"

#include "event/plan_guard.h"
#include "event/site_search.h"
#include "raise.h"

enum { EBADF_RESULT = -9, ENFILE_RESULT = -23, EMFILE_RESULT = -24 };

/* enum plan_when of this call. */
static uint8_t wanted(const struct call_frame *frame, uint32_t number)
{
	const uint64_t args[6] = {frame->di,  frame->si, frame->dx,
				  frame->r10, frame->r8, frame->r9};

	return plan_when_wanted(&agent.arena->plan, number, args);
}

/* What of it a result calls for. */
static uint8_t when_of(uint8_t when, int64_t result)
{
	if (result >= 0)
		return when & PLAN_LEAVE_OK;
	if (result == EBADF_RESULT)
		return when & (PLAN_LEAVE_EBADF | PLAN_LEAVE_FAILED);
	if (result == EMFILE_RESULT || result == ENFILE_RESULT)
		return when & (PLAN_LEAVE_FULL | PLAN_LEAVE_FAILED);
	return when & PLAN_LEAVE_FAILED;
}

void agent_before(struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp)
{
	struct agent_thread *thread;

	if (!agent.on)
		return;
	if (site_is_lifetime_before(number))
		lifetime_before(frame, number);
	if (!(wanted(frame, number) & PLAN_ENTER))
		return;
	thread = thread_current();
	if (thread)
		record_call(thread, frame, number, site_ip, sp, EVENT_ENTER, true, 0);
}

struct raise *agent_after(struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp)
{
	struct agent_thread *thread;
	bool raises;
	uint8_t when;

	if (!agent.on)
		return NULL;
	if (site_is_lifetime_after(number))
		lifetime_after(frame, number, sp);
	when = when_of(wanted(frame, number), (int64_t)frame->ax);
	thread = when ? thread_current() : NULL;
	if (!thread)
		return NULL;
	/* Seldom asked for. */
	raises =
	    __builtin_expect(agent.arena->bad_reference_signal, 0) && raise_wanted(frame, number);
	record_call(thread, frame, number, site_ip, sp, EVENT_LEAVE, !(when & PLAN_LEAVE_FAILED),
		    raises ? EVENT_SYSCALL_SIGNALLED : 0);
	if (!raises)
		return NULL;
	ring_wake_collector();
	return raise_prepare(frame, site_ip, sp);
}
