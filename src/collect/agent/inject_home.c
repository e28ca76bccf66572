/*
 * Owns the way home of a thread that does something for us, for the case that we are killed: the
 * frame of a signal that never was. Nobody goes it while we live.
 */
#include "collect/agent/inject_parts.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum {
	RESTARTS_MIN = 512, /* the kernel's ERESTARTSYS, ... */
	RESTARTS_MAX = 514,
	RESTART_BLOCK = 516,
};

/* The registers as the kernel would have set them to go on with an interrupted call. */
static struct user_regs_struct restarted(const struct user_regs_struct *saved)
{
	struct user_regs_struct registers = *saved;
	int64_t result = saved->rax;

	if ((int64_t)saved->orig_rax < 0)
		return registers;
	if (-result >= RESTARTS_MIN && -result <= RESTARTS_MAX) {
		registers.rax = saved->orig_rax;
		registers.rip -= 2;
	} else if (-result == RESTART_BLOCK) {
		registers.rax = -EINTR; /* what restart_syscall(2) says after rt_sigreturn(2) */
	}
	return registers;
}

/* Bytes of it. arch/x86/include/uapi/asm/sigcontext.h: struct _fpx_sw_bytes, at the end of the
 * legacy area. */
static size_t fill_xstate(pid_t tid, uint8_t xstate[static HOME_XSTATE_MAX])
{
	enum { SOFTWARE_AT = 464, MAGIC1 = 0x46505853, MAGIC2 = 0x46505845 };
	struct iovec vector = {xstate, HOME_XSTATE_MAX - sizeof(uint32_t)};
	uint32_t software[6] = {MAGIC1}, magic2 = MAGIC2;

	if (ptrace(PTRACE_GETREGSET, tid, (void *)0x202 /* NT_X86_XSTATE */, &vector) < 0 ||
	    vector.iov_len < SOFTWARE_AT + sizeof(software))
		return 0;
	software[1] = vector.iov_len + sizeof(magic2);
	/* The kernel leaves the features that are there at the same place. */
	memcpy(&software[2], xstate + SOFTWARE_AT, sizeof(uint64_t));
	software[4] = vector.iov_len;
	memcpy(xstate + SOFTWARE_AT, software, sizeof(software));
	memcpy(xstate + vector.iov_len, &magic2, sizeof(magic2));
	return vector.iov_len + sizeof(magic2);
}

size_t home_frame_fill(pid_t tid, const struct user_regs_struct *saved, uint64_t mask, uint64_t at,
		       struct home_frame *out)
{
	struct user_regs_struct from = restarted(saved);
	size_t xstate_bytes = fill_xstate(tid, out->xstate);
	ucontext_t *context = &out->context;
	greg_t *to = context->uc_mcontext.gregs;

	context->uc_stack.ss_flags = 0x100; /* invalid: sigaltstack(2) stays as it is */
	to[REG_R8] = from.r8;
	to[REG_R9] = from.r9;
	to[REG_R10] = from.r10;
	to[REG_R11] = from.r11;
	to[REG_R12] = from.r12;
	to[REG_R13] = from.r13;
	to[REG_R14] = from.r14;
	to[REG_R15] = from.r15;
	to[REG_RDI] = from.rdi;
	to[REG_RSI] = from.rsi;
	to[REG_RBP] = from.rbp;
	to[REG_RBX] = from.rbx;
	to[REG_RDX] = from.rdx;
	to[REG_RAX] = from.rax;
	to[REG_RCX] = from.rcx;
	to[REG_RSP] = from.rsp;
	to[REG_RIP] = from.rip;
	to[REG_EFL] = from.eflags;
	to[REG_CSGSFS] = (from.cs & 0xffff) | (from.ss & 0xffff) << 48;
	context->uc_flags = 2 | 4; /* UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
	memcpy(&context->uc_sigmask, &mask, sizeof(mask));
	if (!xstate_bytes)
		return sizeof(*context);
	context->uc_flags |= 1; /* UC_FP_XSTATE */
	context->uc_mcontext.fpregs = (void *)(at + offsetof(struct home_frame, xstate));
	return offsetof(struct home_frame, xstate) + xstate_bytes;
}
