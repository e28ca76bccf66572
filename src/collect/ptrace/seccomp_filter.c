/*
 * Owns the translation of a plan into classic BPF. All guards are exact here, for they look at the
 * low 32 bits only (plan.h); whether a descriptor is open is left to the tracer.
 */
#include "collect/ptrace/seccomp_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	X32_SYSCALL_BIT = 0x40000000,
	NO_DESCRIPTOR = -1,
	WORKING_DIRECTORY = -100, /* AT_FDCWD */
};

static void emit(struct seccomp_filter *filter, uint16_t code, uint32_t k, uint8_t jump_true,
		 uint8_t jump_false)
{
	array_push(&filter->code, (struct sock_filter){code, jump_true, jump_false, k});
}

static void emit_load(struct seccomp_filter *filter, size_t offset)
{
	emit(filter, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

/* Little endian: the low half comes first. */
static void emit_load_arg(struct seccomp_filter *filter, unsigned arg)
{
	emit_load(filter, offsetof(struct seccomp_data, args) + 8ul * arg);
}

static void emit_return(struct seccomp_filter *filter, uint32_t action)
{
	emit(filter, BPF_RET | BPF_K, action, 0, 0);
}

/* The next instruction is run only if the test holds. */
static void emit_unless_skip(struct seccomp_filter *filter, uint16_t test, uint32_t value)
{
	emit(filter, BPF_JMP | test | BPF_K, value, 0, 1);
}

static void emit_guard(struct seccomp_filter *filter, const struct plan *plan, uint32_t number)
{
	const struct syscall_plan *call = &plan->calls[number];

	if (call->guard_arg < 6)
		emit_load_arg(filter, call->guard_arg);
	switch (call->guard) {
	case PLAN_GUARD_MASK:
		emit_unless_skip(filter, BPF_JSET, call->guard_value);
		emit_return(filter, SECCOMP_RET_TRACE);
		break;
	case PLAN_GUARD_EQUAL:
		emit_unless_skip(filter, BPF_JEQ, call->guard_value);
		emit_return(filter, SECCOMP_RET_TRACE);
		break;
	case PLAN_GUARD_SET:
		for (uint32_t i = 0; i < plan->guard_values_n && i < PLAN_GUARD_VALUES_MAX; i++) {
			if (plan->guard_values[i].number != number)
				continue;
			emit_unless_skip(filter, BPF_JEQ, plan->guard_values[i].value);
			emit_return(filter, SECCOMP_RET_TRACE);
		}
		break;
	default:
		emit_return(filter, SECCOMP_RET_TRACE);
	}
}

static void emit_call(struct seccomp_filter *filter, const struct plan *plan, uint32_t number)
{
	const struct syscall_plan *call = &plan->calls[number];

	if (number == __NR_mmap || number == __NR_mprotect || number == __NR_pkey_mprotect) {
		emit_load_arg(filter, 2);
		emit_unless_skip(filter, BPF_JSET, PROT_EXEC);
		emit_return(filter, SECCOMP_RET_TRACE);
	}
	if (call->when & ~PLAN_LEAVE_EBADF)
		emit_guard(filter, plan, number);
	/* With two descriptors the tracer looks whether both of them are none. */
	if (call->when & PLAN_LEAVE_EBADF && call->fd_arg < 6 && call->fd_arg2 >= 6) {
		emit_load_arg(filter, call->fd_arg);
		emit_unless_skip(filter, BPF_JEQ, (uint32_t)NO_DESCRIPTOR);
		emit_return(filter, SECCOMP_RET_ALLOW);
		emit_unless_skip(filter, BPF_JEQ, (uint32_t)WORKING_DIRECTORY);
		emit_return(filter, SECCOMP_RET_ALLOW);
	}
	emit_return(filter, call->when & PLAN_LEAVE_EBADF ? SECCOMP_RET_TRACE : SECCOMP_RET_ALLOW);
}

/* A call's block stands behind its own test; it always returns, so that the number stays loaded. */
void seccomp_filter_build(struct seccomp_filter *filter, const struct plan *plan)
{
	*filter = (struct seccomp_filter){0};
	emit_load(filter, offsetof(struct seccomp_data, arch));
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	emit_return(filter, SECCOMP_RET_ALLOW);
	emit_load(filter, offsetof(struct seccomp_data, nr));
	emit(filter, BPF_JMP | BPF_JGE | BPF_K, X32_SYSCALL_BIT, 0, 1);
	emit_return(filter, SECCOMP_RET_ALLOW);
	for (uint32_t number = 0; number < PLAN_SYSCALLS_MAX; number++) {
		size_t test = filter->code.count;

		if (!plan->calls[number].when && number != __NR_mmap && number != __NR_mprotect &&
		    number != __NR_pkey_mprotect)
			continue;
		emit(filter, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 0);
		emit_call(filter, plan, number);
		filter->code.data[test].jf = filter->code.count - test - 1;
	}
	emit_return(filter, SECCOMP_RET_ALLOW);
}

void seccomp_filter_fini(struct seccomp_filter *filter)
{
	array_fini(&filter->code);
}

int seccomp_filter_install(const struct seccomp_filter *filter)
{
	struct sock_fprog program = {filter->code.count, filter->code.data};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		return 0;
	if (errno != EACCES)
		return -errno;
	/* seccomp(2): without CAP_SYS_ADMIN only for who gives up set-user-ID programs, which a
	 * tracer would take from them anyway. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return -errno;
	return 0;
}
