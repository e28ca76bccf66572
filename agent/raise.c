/* Owns what bad references are answered with (raise.h), and the memory for those under way. */
#include "raise.h"

#include "event/plan_guard.h"
#include "system.h"

#include <fcntl.h>
#include <stddef.h>

enum {
	EBADF_RESULT = -9,
	RAISES_MAX = 256,
	SIGNALS_MAX = 64,
	POLLED_PIECE = 16,
	POLLNVAL = 0x20, /* poll(2) */
};

#define AT(member, offset) _Static_assert(offsetof(struct raise, member) == (offset), "hook.S")
AT(taken, RAISE_TAKEN);
AT(pid, RAISE_PID);
AT(tid, RAISE_TID);
AT(signal, RAISE_SIGNAL);
AT(site_ip, RAISE_SITE_IP);
AT(below, RAISE_BELOW);
AT(stub, RAISE_STUB);
AT(ax, RAISE_AX);
AT(dx, RAISE_DX);
AT(si, RAISE_SI);
AT(di, RAISE_DI);

static struct raise raises[RAISES_MAX];

static uint32_t signal_wanted(void)
{
	return __atomic_load_n(&agent.arena->bad_reference_signal, __ATOMIC_RELAXED);
}

static bool number_is_open(uint32_t number)
{
	return system_call3(__NR_fcntl, number, F_GETFD, 0) != EBADF_RESULT;
}

static bool is_bad(uint8_t arg, const uint64_t args[6])
{
	return plan_is_number(arg, args) && !number_is_open((uint32_t)args[arg]);
}

/* poll() has found one. */
static bool polled_bad(const struct call_frame *frame, uint8_t arg)
{
	uint64_t address = call_argument(frame, arg);
	uint32_t left = (uint32_t)call_argument(frame, arg + 1);
	struct event_polled entries[POLLED_PIECE];

	for (left = left < PLAN_POLLED_MAX ? left : PLAN_POLLED_MAX; left;) {
		uint32_t n = left < POLLED_PIECE ? left : POLLED_PIECE;

		if (safe_copy(entries, address, n * sizeof(*entries)) < n * sizeof(*entries))
			return false;
		for (uint32_t i = 0; i < n; i++)
			if (entries[i].revents & POLLNVAL && entries[i].number >= 0 &&
			    !number_is_open((uint32_t)entries[i].number))
				return true;
		address += n * sizeof(*entries);
		left -= n;
	}
	return false;
}

bool raise_wanted(const struct call_frame *frame, uint32_t number)
{
	const uint64_t args[6] = {frame->di,  frame->si, frame->dx,
				  frame->r10, frame->r8, frame->r9};
	const struct plan *plan = &agent.arena->plan;
	struct syscall_plan call;

	if (number >= PLAN_SYSCALLS_MAX || !signal_wanted() || signal_wanted() > SIGNALS_MAX)
		return false;
	call = plan->calls[number];
	if (call.data == PLAN_DATA_POLLED)
		return (int64_t)frame->ax > 0 && polled_bad(frame, call.data_arg);
	if ((int64_t)frame->ax != EBADF_RESULT || plan_only_asks(plan, number, args))
		return false;
	/* select() says EBADF of nothing but the table (fs/select.c, max_select_fd). */
	return call.data == PLAN_DATA_SETS || is_bad(call.fd_arg, args) ||
	       is_bad(call.fd_arg2, args);
}

static struct raise *raise_take(void)
{
	for (uint32_t i = 0; i < RAISES_MAX; i++) {
		uint64_t unused = 0;

		if (__atomic_compare_exchange_n(&raises[i].taken, &unused, 1, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return &raises[i];
	}
	return NULL;
}

/* Who we are is asked of the kernel: after a vfork we may be somebody's guest. */
struct raise *raise_prepare(const struct call_frame *frame, uint64_t site_ip, uint64_t sp)
{
	uint64_t pid = (uint64_t)system_call3(__NR_getpid, 0, 0, 0);
	uint64_t tid = (uint64_t)system_call3(__NR_gettid, 0, 0, 0);
	struct raise *raise = raise_take();

	if (!raise) {
		system_call3(__NR_tgkill, pid, tid, signal_wanted());
		return NULL;
	}
	raise->pid = pid;
	raise->tid = tid;
	raise->signal = signal_wanted();
	raise->site_ip = site_ip;
	raise->below = *(const uint64_t *)(sp - sizeof(raise->below));
	raise->stub = frame->stub;
	raise->ax = frame->ax;
	raise->dx = frame->dx;
	raise->si = frame->si;
	raise->di = frame->di;
	return raise;
}
