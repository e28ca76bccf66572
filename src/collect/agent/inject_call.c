/*
 * Owns what one stopped thread of the target does for us: system calls, and calls of functions of
 * the image. All its registers and its signal mask come back; general registers are all that is
 * used. Does not know what is called.
 */
#include "collect/agent/inject_parts.h"

#include "os/remote.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const uint8_t inject_code_start[], inject_code_leave[], inject_code_end[];

enum {
	SYSCALL_STOP = SIGTRAP | 0x80,
	FLAG_DIRECTION = 0x400,
	FLAG_TRAP = 0x100,
	STATE_WAITS = 1, /* the function has returned */
	STATE_LEAVES = 2,
	WAITS = 100, /* of 10 ms */
	POLL_US = 50,
	RED_ZONE = 128,
};

static const int64_t system_call_limit_ns = 2000000000;
static const int64_t function_limit_ns = 5000000000;

/* In the target; inject_code.S knows the first five. */
struct control {
	uint32_t state, pad;
	int64_t result;
	uint64_t waits;
	uint64_t timeout[2];
	uint64_t pad2[3];
	struct home_frame home;
	char variable[INJECT_VARIABLE_MAX];
};

_Static_assert(offsetof(struct control, result) == 8, "inject_code.S");
_Static_assert(offsetof(struct control, waits) == 16, "inject_code.S");
_Static_assert(offsetof(struct control, timeout) == 24, "inject_code.S");
_Static_assert(offsetof(struct control, home) == 64, "inject_code.S");
_Static_assert(sizeof(struct control) <= INJECT_CONTROL_BYTES, "room");

uint64_t remote_code_bytes(void)
{
	return inject_code_end - inject_code_start;
}

const void *remote_code(void)
{
	return inject_code_start;
}

void remote_hurry(pid_t tid, uint64_t code)
{
	struct user_regs_struct registers;
	uint32_t state;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &registers) < 0 ||
	    registers.rip - code >= (uint64_t)(inject_code_leave - inject_code_start) ||
	    remote_read(tid, registers.rbx, &state, sizeof(state)) != sizeof(state) ||
	    state != STATE_WAITS)
		return;
	registers.rip = code + (inject_code_leave - inject_code_start);
	registers.orig_rax = -1;
	ptrace(PTRACE_SETREGS, tid, NULL, &registers);
}

static int gone(const struct remote_call *call, struct error *error)
{
	return error_set(error, -ESRCH, "process %d ended", call->pid);
}

/* Faults of the agent's code must not reset the program's handlers, as they do while blocked. */
static uint64_t mask_during_call(void)
{
	static const int open[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
	uint64_t mask = ~0ull;

	for (size_t i = 0; i < sizeof(open) / sizeof(*open); i++)
		mask &= ~(1ull << (open[i] - 1));
	return mask;
}

int remote_begin(struct remote_call *call, pid_t pid, pid_t tid, struct error *error)
{
	*call = (struct remote_call){.pid = pid, .tid = tid, .gadgets = call->gadgets};
	if (ptrace(PTRACE_GETREGS, tid, NULL, &call->saved) < 0 ||
	    ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof(call->mask), &call->mask) < 0)
		return errno == ESRCH
			   ? gone(call, error)
			   : error_set_errno(error, -errno,
					     "cannot read the registers of thread %d", tid);
	return 0;
}

enum stop_kind { STOP_SYSCALL, STOP_EVENT, STOP_FAULT, STOP_OTHER };

/* *pass: the signal to go on with. Nearly all are blocked; of the others none is lost. */
static enum stop_kind classify(struct remote_call *call, int stop, int *pass)
{
	int event = stop >> 8, signal = stop & 0x7f;
	siginfo_t info = {0};

	*pass = 0;
	if (event == PTRACE_EVENT_STOP)
		return STOP_EVENT;
	if (!event && stop == SYSCALL_STOP)
		return STOP_SYSCALL;
	if (event)
		return STOP_OTHER;
	if (mask_during_call() & 1ull << (signal - 1)) {
		*pass = signal; /* SIGSTOP */
		return STOP_OTHER;
	}
	ptrace(PTRACE_GETSIGINFO, call->tid, NULL, &info);
	if (info.si_code > 0)
		return STOP_FAULT;
	call->held |= 1u << signal;
	return STOP_OTHER;
}

static int fault(const struct remote_call *call, int stop, struct error *error)
{
	struct user_regs_struct now = {0};

	if ((stop & 0x7f) == SIGSYS)
		return error_set(error, -EPERM,
				 "a seccomp filter forbids process %d what the agent needs: use "
				 "another collector",
				 call->pid);
	ptrace(PTRACE_GETREGS, call->tid, NULL, &now);
	return error_set(error, -EFAULT, "the agent failed in process %d: %s at %#llx", call->pid,
			 strsignal(stop & 0x7f), now.rip);
}

/* Goes on until a stop of `wanted`: 0 or a negative errno. */
static int run_until(struct remote_call *call, int request, enum stop_kind wanted,
		     struct error *error)
{
	int64_t deadline = inject_now_ns() + system_call_limit_ns;
	int pass = 0;

	for (;;) {
		enum stop_kind kind;
		int stop;

		if (ptrace(request, call->tid, NULL, (void *)(intptr_t)pass) < 0)
			return gone(call, error);
		stop = thread_wait(call->tid, deadline);
		if (stop < 0)
			return gone(call, error);
		if (!stop)
			return error_set(error, -ETIMEDOUT,
					 "thread %d of process %d does not go on", call->tid,
					 call->pid);
		kind = classify(call, stop, &pass);
		if (kind == wanted)
			return 0;
		if (kind == STOP_FAULT)
			return fault(call, stop, error);
	}
}

/* The signal of a seccomp filter, for a call of ours, must not be left for the program. */
static void take_fault(struct remote_call *call)
{
	if (thread_has_fault(call->tid))
		run_until(call, PTRACE_CONT, STOP_FAULT, NULL);
}

int remote_settle(struct remote_call *call, struct error *error)
{
	int result;

	ptrace(PTRACE_INTERRUPT, call->tid, NULL, NULL);
	result = run_until(call, PTRACE_CONT, STOP_EVENT, error);
	call->in_call = false;
	if (!result)
		take_fault(call);
	return result;
}

/* The signal mask comes after registers that know the way home, and goes before they go. */
static int set_registers(struct remote_call *call, struct user_regs_struct *registers,
			 struct error *error)
{
	uint64_t mask = mask_during_call();

	registers->eflags &= ~(FLAG_DIRECTION | FLAG_TRAP);
	registers->orig_rax = -1;
	if (ptrace(PTRACE_SETREGS, call->tid, NULL, registers) < 0 ||
	    (!call->is_masked &&
	     ptrace(PTRACE_SETSIGMASK, call->tid, (void *)sizeof(mask), &mask) < 0))
		return gone(call, error);
	call->is_masked = true;
	return 0;
}

void remote_guard(struct remote_call *call)
{
	struct home_frame *frame = xcalloc(1, sizeof(*frame));
	struct {
		uint64_t pad[7], home; /* what `ret` finds */
	} head = {.home = call->gadgets.home};
	uint64_t at = (call->saved.rsp - RED_ZONE - sizeof(*frame)) & -64ull;
	size_t bytes = home_frame_fill(call->tid, &call->saved, call->mask, at, frame);

	call->below_bytes = sizeof(head) + bytes;
	call->below = xmalloc(call->below_bytes);
	/* A stack that has no room, or would have to grow, has no way home on it. */
	if (call->gadgets.home &&
	    remote_read(call->tid, at - sizeof(head), call->below, call->below_bytes) ==
		call->below_bytes &&
	    remote_write(call->tid, at - sizeof(head), &head, sizeof(head)) == sizeof(head) &&
	    remote_write(call->tid, at, frame, bytes) == bytes)
		call->stack = at - sizeof(head.home);
	free(frame);
}

int remote_system_call(struct remote_call *call, long number, const uint64_t args[6],
		       int64_t *result, struct error *error)
{
	struct user_regs_struct registers = call->saved;
	int code;

	registers.rip = call->gadgets.call;
	registers.rax = number;
	if (call->stack)
		registers.rsp = call->stack;
	registers.rdi = args[0];
	registers.rsi = args[1];
	registers.rdx = args[2];
	registers.r10 = args[3];
	registers.r8 = args[4];
	registers.r9 = args[5];
	code = set_registers(call, &registers, error);
	if (code < 0)
		return code;
	code = run_until(call, PTRACE_SYSCALL, STOP_SYSCALL, error);
	if (code < 0)
		return code;
	call->in_call = true;
	code = run_until(call, PTRACE_SYSCALL, STOP_SYSCALL, error);
	if (code < 0)
		return code;
	if (ptrace(PTRACE_GETREGS, call->tid, NULL, &registers) < 0)
		return gone(call, error);
	*result = registers.rax;
	return 0;
}

static int start_function(struct remote_call *call, uint64_t code, uint64_t at, uint64_t function,
			  const char *argument, struct error *error)
{
	struct user_regs_struct registers = call->saved;
	struct control *control = xcalloc(1, sizeof(*control));
	size_t written;

	control->waits = WAITS;
	home_frame_fill(call->tid, &call->saved, call->mask, at + offsetof(struct control, home),
			&control->home);
	if (argument)
		snprintf(control->variable, sizeof(control->variable), "%s", argument);
	written = remote_write(call->tid, at, control, sizeof(*control));
	free(control);
	if (written != sizeof(*control))
		return error_set(error, -EFAULT, "cannot write to the memory of process %d",
				 call->pid);
	registers.rip = code;
	registers.rax = 0;
	registers.rbx = at;
	registers.r12 = function;
	registers.rdi = argument ? at + offsetof(struct control, variable) : 0;
	registers.rbp = 0;
	registers.rsp = at + INJECT_CONTROL_BYTES + INJECT_STACK_BYTES - 64;
	if (set_registers(call, &registers, error) < 0 ||
	    ptrace(PTRACE_CONT, call->tid, NULL, NULL) < 0)
		return gone(call, error);
	call->in_call = false;
	return 0;
}

/* STATE_..., 0 while the function runs; negative: there is no such memory any more. */
static int read_state(const struct remote_call *call, uint64_t at)
{
	int32_t state;

	return remote_read(call->tid, at, &state, sizeof(state)) == sizeof(state) ? state & 3 : -1;
}

/* Until the function has returned (0), failed, or took too long. Then the thread stops. */
static int await_function(struct remote_call *call, uint64_t at, struct error *error)
{
	int64_t deadline = inject_now_ns() + function_limit_ns;
	int pass, state;

	for (;;) {
		int stop = thread_peek(call->tid);

		if (stop < 0)
			return gone(call, error);
		if (stop && classify(call, stop, &pass) == STOP_FAULT)
			return fault(call, stop, error);
		if (stop)
			ptrace(PTRACE_CONT, call->tid, NULL, (void *)(intptr_t)pass);
		else if ((state = read_state(call, at)) < 0)
			return gone(call, error);
		else if (state || inject_now_ns() > deadline)
			break;
		else
			usleep(POLL_US);
	}
	ptrace(PTRACE_INTERRUPT, call->tid, NULL, NULL);
	return 0;
}

/* After an interrupt, of a thread that runs. */
static int await_stop(struct remote_call *call, struct error *error)
{
	int64_t deadline = inject_now_ns() + system_call_limit_ns;
	int stop, pass;

	while ((stop = thread_wait(call->tid, deadline)) > 0) {
		enum stop_kind kind = classify(call, stop, &pass);

		if (kind == STOP_EVENT)
			return 0;
		if (kind == STOP_FAULT)
			return fault(call, stop, error);
		ptrace(PTRACE_CONT, call->tid, NULL, (void *)(intptr_t)pass);
	}
	return stop < 0 ? gone(call, error)
			: error_set(error, -ETIMEDOUT, "thread %d of process %d does not stop",
				    call->tid, call->pid);
}

int remote_function(struct remote_call *call, uint64_t code, uint64_t control, uint64_t function,
		    const char *argument, int64_t *result, struct error *error)
{
	struct user_regs_struct now = {0};
	int state;
	int failed = start_function(call, code, control, function, argument, error);

	if (!failed)
		failed = await_function(call, control, error);
	if (failed)
		return failed;
	failed = await_stop(call, error);
	if (failed)
		return failed;
	state = read_state(call, control);
	if (state < 0)
		return gone(call, error);
	if (!state)
		return error_set(error, -ETIMEDOUT,
				 "the agent did not finish in process %d within five seconds",
				 call->pid);
	ptrace(PTRACE_GETREGS, call->tid, NULL, &now);
	call->at_home = state == STATE_LEAVES && now.rip - code >= remote_code_bytes();
	if (remote_read(call->tid, control + offsetof(struct control, result), result,
			sizeof(*result)) != sizeof(*result))
		return gone(call, error);
	return 0;
}

static void put_back(struct remote_call *call)
{
	if (call->in_call)
		remote_settle(call, NULL);
	if (call->is_masked)
		ptrace(PTRACE_SETSIGMASK, call->tid, (void *)sizeof(call->mask), &call->mask);
	ptrace(PTRACE_SETREGS, call->tid, NULL, &call->saved);
}

void remote_end(struct remote_call *call)
{
	if (!call->at_home)
		put_back(call);
	if (call->stack)
		remote_write(call->tid, call->stack - 7 * sizeof(uint64_t), call->below,
			     call->below_bytes);
	free(call->below);
	for (int signal = 1; signal < 32; signal++)
		if (call->held & 1u << signal)
			syscall(SYS_tgkill, call->pid, call->tid, signal);
}
