/* Owns the words for the model's enums. They are part of the formats: append, never change. */
#include "report/names.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

const char *name_of_origin(enum handle_origin origin)
{
	static const char *const names[] = {
	    [ORIGIN_OPENED] = "opened",       [ORIGIN_BEFORE_TRACING] = "before-tracing",
	    [ORIGIN_INHERITED] = "inherited", [ORIGIN_RECEIVED] = "received",
	    [ORIGIN_UNKNOWN] = "unknown",
	};

	return names[origin];
}

const char *name_of_stack_end(enum stack_end end)
{
	static const char *const names[STACK_END_N] = {
	    [STACK_END_COMPLETE] = "complete", [STACK_END_TRUNCATED] = "truncated",
	    [STACK_END_NO_CFI] = "no-cfi",     [STACK_END_BAD_READ] = "bad-read",
	    [STACK_END_BAD_PC] = "bad-pc",     [STACK_END_TOO_DEEP] = "too-deep",
	    [STACK_END_NO_COPY] = "no-copy",
	};

	return names[end];
}

const char *name_of_bad_reference(enum bad_reference_kind kind)
{
	static const char *const names[] = {
	    [BAD_DOUBLE_CLOSE] = "double-close",
	    [BAD_USE_AFTER_CLOSE] = "use-after-close",
	    [BAD_NEVER_OPENED] = "never-opened",
	    [BAD_STALE_CLOSE] = "stale-close",
	};

	return names[kind];
}

const char *name_of_close_cause(enum close_cause cause)
{
	static const char *const names[] = {
	    [CLOSED_BY_CALL] = "call",
	    [CLOSED_BY_DUP] = "dup",
	    [CLOSED_BY_EXEC] = "exec",
	    [CLOSED_UNSEEN] = "unseen",
	};

	return names[cause];
}

const char *name_of_call(uint32_t call, char out[static CALL_NAME_BYTES])
{
	const char *name = fd_syscalls_name(call);

	if (name)
		return name;
	snprintf(out, CALL_NAME_BYTES, "syscall_%u", call);
	return out;
}

bool bad_reference_closed_by(const struct report *report, const struct process *process,
			     const struct bad_reference *bad, enum close_cause *out)
{
	const struct handle *handle = model_handle(report->model, process, bad->number);

	*out = CLOSED_BY_CALL;
	if (bad->kind == BAD_STALE_CLOSE) /* of others nothing is inferred */
		return true;
	if (!handle || !bad->closed.time_ns ||
	    model_handle_past(handle)->closed.time_ns != bad->closed.time_ns)
		return false;
	*out = handle->closed_by;
	return true;
}

bool bad_reference_is_harmless(const struct bad_reference *bad)
{
	const char *call = fd_syscalls_name(bad->call);

	/* read(-1) is the mark of an error that was not looked at; close(-1) is tidying up. */
	return bad->asks || (bad->number < 0 && call && !strcmp(call, "close"));
}

bool process_has_ended(const struct process *process)
{
	return process->exited && !WIFSTOPPED(process->exit_status);
}

int stream_finish(FILE *stream)
{
	errno = 0;
	if (fflush(stream))
		return errno ? -errno : -EIO;
	return ferror(stream) ? -EIO : 0;
}
