/* Owns the agent's coming and going: as a preloaded library, or copied in by a tracer. */
#include "agent.h"

struct agent agent;

void agent_off(enum arena_off_reason reason, int error)
{
	agent.arena = NULL;
}
