/*
 * Owns the standing still of all threads of a process. ptrace(2) is the source of the rules. Does
 * not know what they stand still for.
 */
#include "collect/agent/inject_parts.h"

#include "os/procfs.h"
#include "os/remote.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	USER_CODE_SEGMENT = 0x33, /* 64 bits */
	SPINS = 50,
	CHECKS = 100,
	PAUSE_US = 50,
	CHECK_NS = 10 * 1000 * 1000,
	/* include/linux/errno.h of the kernel: how an interrupted call goes on. */
	RESTART_IF_NO_HANDLER = 514,
	RESTART_BLOCK = 516,
};

int64_t inject_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int thread_peek(pid_t tid)
{
	siginfo_t info = {0};
	int flags = WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL;

	if (waitid(P_PID, tid, &info, flags) < 0)
		return -ESRCH;
	if (!info.si_pid)
		return 0;
	return info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED ? info.si_status : -ESRCH;
}

bool thread_has_ended(pid_t tid)
{
	struct procfs_status status;

	return procfs_status(tid, &status, NULL) < 0 || status.ending;
}

int thread_wait(pid_t tid, int64_t deadline_ns)
{
	int stop;

	for (int spins = 1; !(stop = thread_peek(tid)) && inject_now_ns() < deadline_ns; spins++) {
		/* A leader that ends before its threads tells nobody. */
		if (spins % CHECKS == 0 && thread_has_ended(tid))
			return -ESRCH;
		if (spins < SPINS)
			sched_yield();
		else
			usleep(PAUSE_US);
	}
	return stop;
}

/*
 * Some calls return EINTR instead of going on after a stop (signal(7)). They did nothing yet: let
 * them go on unless a handler runs.
 */
static void undo_interruption(struct stopped_thread *thread)
{
	struct user_regs_struct *registers = &thread->registers;

	if ((int64_t)registers->rax != -EINTR)
		return;
	switch (registers->orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case 441: /* epoll_pwait2 */
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
		registers->rax = -RESTART_IF_NO_HANDLER;
		ptrace(PTRACE_SETREGS, thread->tid, NULL, registers);
	}
}

/* A stop that is not what we wait for is let go, with its signal. True: now it stands still. */
static bool take_stop(struct stopped_thread *thread, int stop)
{
	int event = stop >> 8, signal = stop & 0x7f;

	if (event != PTRACE_EVENT_STOP) {
		ptrace(PTRACE_CONT, thread->tid, NULL,
		       (void *)(intptr_t)(event || stop & 0x80 ? 0 : signal));
		return false;
	}
	if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) < 0)
		return false;
	thread->stopped = true;
	if (signal == SIGTRAP)
		undo_interruption(thread);
	return true;
}

static struct stopped_thread *find_thread(struct stopped_threads *threads, pid_t tid)
{
	array_each (thread, &threads->list)
		if (thread->tid == tid)
			return thread;
	return NULL;
}

static int seize_refused(pid_t tid, struct error *error)
{
	struct procfs_status status;
	int code = -errno;

	if (code == -ESRCH || thread_has_ended(tid) || procfs_status(tid, &status, NULL) < 0)
		return 0; /* it has ended */
	if (code != -EPERM)
		return error_set_errno(error, code, "cannot stop thread %d", tid);
	code = remote_refused(tid, &status, error);
	/* By the thread of our last attempt, which is about to end? */
	return status.tracer && syscall(SYS_tgkill, getpid(), status.tracer, 0) == 0 ? -EBUSY
										     : code;
}

/* The threads that are new: how many, or a negative errno. */
static int seize_new(struct stopped_threads *threads, struct error *error)
{
	size_t known = threads->list.count;
	struct procfs_fds tids;
	int result = procfs_threads(threads->pid, &tids, error);

	if (result < 0)
		return result;
	array_each (tid, &tids.numbers) {
		if (find_thread(threads, *tid))
			continue;
		if (ptrace(PTRACE_SEIZE, *tid, NULL, (void *)PTRACE_O_TRACESYSGOOD) == 0)
			array_push(&threads->list, (struct stopped_thread){.tid = *tid});
		else if ((result = seize_refused(*tid, error)) < 0)
			break;
	}
	array_fini(&tids.numbers);
	if (result < 0)
		return result;
	if (!threads->since_ns)
		threads->since_ns = inject_now_ns();
	for (size_t i = known; i < threads->list.count; i++)
		ptrace(PTRACE_INTERRUPT, threads->list.data[i].tid, NULL, NULL);
	return threads->list.count - known;
}

/* A leader that has ended before its threads tells nobody. What waits in the kernel, for a vfork
 * child or a device, may do so for long: -EBUSY. */
static int check_slow(struct stopped_thread *thread)
{
	struct procfs_status status;

	if (procfs_status(thread->tid, &status, NULL) < 0 || status.ending)
		thread->gone = true;
	else if (status.uninterruptible)
		return -EBUSY;
	return 0;
}

/* One look at all that do not stand yet: how many still do not, or -EBUSY. */
static int look_at_all(struct stopped_threads *threads, bool slow)
{
	int left = 0;

	array_each (thread, &threads->list) {
		int stop;

		if (thread->stopped || thread->gone)
			continue;
		stop = thread_peek(thread->tid);
		if (stop < 0)
			thread->gone = true;
		else if (!stop && slow && check_slow(thread) < 0)
			return -EBUSY;
		else if (!thread->gone && (!stop || !take_stop(thread, stop)))
			left++;
	}
	return left;
}

static int wait_all(struct stopped_threads *threads, int64_t deadline, struct error *error)
{
	int64_t check = inject_now_ns() + CHECK_NS;

	for (int spins = 0;; spins++) {
		int64_t now = inject_now_ns();
		int left = look_at_all(threads, now > check);

		if (!left)
			return 0;
		if (left < 0 || now > deadline)
			break;
		if (now > check)
			check = now + CHECK_NS;
		if (spins < SPINS)
			sched_yield();
		else
			usleep(PAUSE_US);
	}
	array_each (thread, &threads->list)
		if (!thread->stopped && !thread->gone)
			return error_set(error, -EBUSY,
					 "thread %d of process %d does not stop: it waits in the "
					 "kernel for a vfork child or a device; try again later",
					 thread->tid, threads->pid);
	return -EBUSY;
}

int threads_stop(struct stopped_threads *threads, pid_t pid, int64_t limit_ns, struct error *error)
{
	int64_t deadline = inject_now_ns() + limit_ns;
	int result;

	*threads = (struct stopped_threads){.pid = pid};
	while ((result = seize_new(threads, error)) > 0) {
		result = wait_all(threads, deadline, error);
		if (result < 0)
			return result;
	}
	if (result < 0)
		return result;
	array_each (thread, &threads->list)
		if (thread->stopped)
			return 0;
	return error_set(error, -ESRCH, "process %d has ended", pid);
}

void threads_release(struct stopped_threads *threads)
{
	array_each (thread, &threads->list)
		if (thread->stopped)
			ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
	array_fini(&threads->list);
}

/* Calls that have a signal mask of their own while they wait. */
static bool has_temporary_mask(uint64_t number)
{
	return number == SYS_rt_sigsuspend || number == SYS_ppoll || number == SYS_pselect6 ||
	       number == SYS_epoll_pwait || number == 441;
}

/*
 * Restartable sequences (rseq(2)): in one, the kernel would have to see to the thread's address
 * when it moves, and sees ours instead. struct rseq: cs at 8; struct rseq_cs: start at 8, length
 * at 16.
 */
static bool in_sequence(const struct stopped_thread *thread)
{
	struct {
		uint64_t address;
		uint32_t size, signature, flags, pad;
	} configuration;
	uint64_t sequence = 0, range[2];

	if (ptrace(0x420f /* PTRACE_GET_RSEQ_CONFIGURATION */, thread->tid, sizeof(configuration),
		   &configuration) != sizeof(configuration) ||
	    !configuration.address)
		return false;
	if (remote_read(thread->tid, configuration.address + 8, &sequence, 8) != 8 || !sequence ||
	    remote_read(thread->tid, sequence + 8, range, sizeof(range)) != sizeof(range))
		return false;
	return thread->registers.rip - range[0] < range[1];
}

bool thread_has_fault(pid_t tid)
{
	struct __ptrace_peeksiginfo_args args = {.nr = 8};
	siginfo_t pending[8];
	long count = ptrace(PTRACE_PEEKSIGINFO, tid, &args, pending);

	for (long i = 0; i < count; i++)
		switch (pending[i].si_signo) {
		case SIGSEGV:
		case SIGBUS:
		case SIGILL:
		case SIGFPE:
		case SIGTRAP:
		case SIGSYS:
			return true;
		}
	return false;
}

/* How much of a disturbance it would be; the least is best. */
static int disturbance(const struct stopped_thread *thread)
{
	const struct user_regs_struct *registers = &thread->registers;
	int64_t result = registers->rax;

	if (!thread->stopped || registers->cs != USER_CODE_SEGMENT || !registers->rip)
		return 4; /* 32-bit code, or a worker of io_uring */
	if (thread_has_fault(thread->tid))
		return 4; /* it would be taken for the agent's */
	if ((int64_t)registers->orig_rax < 0)
		return in_sequence(thread) ? 3 : 1;
	return result == -RESTART_BLOCK || has_temporary_mask(registers->orig_rax) ? 2 : 0;
}

pid_t threads_choose(const struct stopped_threads *threads)
{
	pid_t best = 0;
	int least = 4;

	array_each (thread, &threads->list) {
		int amount = least ? disturbance(thread) : 4;

		if (amount < least) {
			least = amount;
			best = thread->tid;
		}
	}
	return best;
}
