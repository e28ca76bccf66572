/*
 * htrace enable --by-debugger: a session for a process that a debugger holds. Owns the telling of
 * what the debugger's script has to do there, as JSON; does not know why.
 */
#include "cli/await.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static void write_step(const struct entry_step *step)
{
	static const char *const names[] = {
	    [ENTRY_MAP] = "map",
	    [ENTRY_PROTECT] = "protect",
	    [ENTRY_WRITE] = "write",
	    [ENTRY_CALL] = "call",
	};

	printf("{\"do\":\"%s\",\"at\":%" PRIu64 ",", names[step->kind], step->at);
	if (step->kind == ENTRY_CALL)
		printf("\"argument\":%" PRIu64 "}", step->bytes);
	else if (step->kind != ENTRY_WRITE)
		printf("\"bytes\":%" PRIu64 ",\"protection\":%d}", step->bytes, step->protection);
	if (step->kind != ENTRY_WRITE)
		return;
	fputs("\"hex\":\"", stdout);
	for (uint64_t i = 0; i < step->bytes; i++)
		printf("%02x", step->data[i]);
	fputs("\"}", stdout);
}

int adopt_begin(struct session *session, pid_t pid, struct error *error)
{
	struct entry_plan plan;
	int result = session_adopt(session, pid, &plan, error);

	if (result)
		return result;
	printf("{\"schema\":\"htrace.adopt/1\",\"session_pid\":%d,\"leave\":%" PRIu64
	       ",\"syscall\":%" PRIu64 ",\"stack_end\":%" PRIu64 ",\"return_to\":%" PRIu64
	       ",\"steps\":[",
	       getpid(), plan.leave, plan.syscall_at, plan.stack_end, plan.return_to);
	for (size_t i = 0; i < plan.n; i++) {
		fputs(i ? "," : "", stdout);
		write_step(&plan.steps[i]);
	}
	puts("]}");
	return fflush(stdout) ? error_set_errno(error, -errno, "cannot tell the steps") : 0;
}
