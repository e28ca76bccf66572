/*
 * The agent's two variables in the environment: out of it at the start, and back into what the
 * program passes to execve, so that the program never sees them and its children are traced.
 */
#ifndef HTRACE_AGENT_ENVIRONMENT_H
#define HTRACE_AGENT_ENVIRONMENT_H

#include "agent.h"

/* Takes the agent's variables out of `envp`, in place; LD_PRELOAD keeps what others put there. */
void environment_take_out(char **envp);

/* The value of a variable, NULL if there is none; `name` ends with '='. */
const char *environment_value(char **envp, const char *name);

/*
 * A copy of `envp` (memory of the program, which may be bad) with the agent's variables, in memory
 * of *bytes that environment_free() returns; 0: the program's own has to do.
 */
uint64_t environment_with_agent(uint64_t envp, uint64_t *memory, uint64_t *bytes);
void environment_free(uint64_t memory, uint64_t bytes);

/* Whether the program at `path` (memory of the program) can take the agent: false for another
 * machine's, whose loader would complain, and where AddressSanitizer's would. */
bool environment_suits(int folder, uint64_t path);

#endif
