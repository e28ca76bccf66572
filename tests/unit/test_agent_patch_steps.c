/*
 * Stacks with a patched call on them: a thread that is cancelled there, unwinders that start in the
 * hooks, and after every single instruction. And patching after every single instruction.
 */
#include "agent_patch/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
#include <cmocka.h>

static int pipe_ends[2];
static volatile int cleaned;
static int how;

static void clean(int *value)
{
	cleaned += *value;
}

/* Its own declaration says that it does not: the compiler would leave out the cleanup. */
static long (*volatile may_throw)(long, ...) = syscall;

static __attribute__((noinline)) void wait_somehow(void)
{
	__attribute__((cleanup(clean), unused)) int value = 1;
	char byte;

	if (how == 0)
		(void)!read(pipe_ends[0], &byte, 1);
	else if (how == 1)
		accept(pipe_ends[0], NULL, NULL);
	else /* the thread waits inside of a stub */
		may_throw(SYS_read, pipe_ends[0], &byte, 1);
}

static void *thread_waits(void *context)
{
	int type;

	if (how == 2)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	wait_somehow();
	return NULL;
}

/* Cancelled in a blocking call: the cleanups of all frames run. */
static void test_cancel(void **state)
{
	struct sockaddr address = {AF_UNIX, ""};

	for (how = 0; how < 3; how++) {
		pthread_t thread;
		void *result;

		if (how == 1) {
			pipe_ends[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			assert_int_equal(bind(pipe_ends[0], &address, sizeof(sa_family_t)), 0);
			assert_int_equal(listen(pipe_ends[0], 1), 0);
		} else {
			assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
		}
		cleaned = 0;
		assert_int_equal(pthread_create(&thread, NULL, thread_waits, NULL), 0);
		usleep(20000);
		assert_int_equal(pthread_cancel(thread), 0);
		assert_int_equal(pthread_join(thread, &result), 0);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		assert_int_equal(cleaned, 1);
		close(pipe_ends[0]);
		if (how != 1)
			close(pipe_ends[1]);
	}
}

struct trace {
	bool stub, libc, caller;
	int frames;
};

static struct trace trace;
static volatile int unwound;
static uint64_t caller_start, caller_end;

static _Unwind_Reason_Code trace_frame(struct _Unwind_Context *context, void *arg)
{
	uint64_t ip = _Unwind_GetIP(context);

	trace.frames++;
	trace.stub |= probe_is_stub(ip);
	trace.libc |= trace.stub && ip >= texts[0].start && ip < texts[0].end;
	trace.caller |= trace.libc && ip >= caller_start && ip < caller_end;
	return _URC_NO_REASON;
}

static void unwind_here(bool after)
{
	trace = (struct trace){0};
	_Unwind_Backtrace(trace_frame, NULL);
	if (trace.stub && trace.libc && trace.caller)
		unwound |= after ? 2 : 1;
}

static __attribute__((noinline)) void calls_something(int what)
{
	int fds[2];

	if (what == 0)
		close(-1);
	else if (what == 1)
		(void)!eventfd(0, -1);
	else if (what == 2)
		syscall(SYS_dup3, -1, -1, -1);
	else
		(void)!pipe2(fds, -1);
	__asm__ volatile("" ::: "memory");
}

/* From within the hooks, through a stub of each kind, to who called libc. */
static void test_unwind(void **state)
{
	static const uint32_t numbers[] = {SYS_close, SYS_eventfd2, SYS_dup3, SYS_pipe2};
	static const int seen[] = {3, 2, 3, 2};

	_Unwind_Backtrace(trace_frame, NULL); /* loads what it needs */
	caller_start = (uint64_t)calls_something;
	caller_end = caller_start + 1000;
	for (int i = 0; i < 4; i++) {
		unwound = 0;
		probe_inside_number = numbers[i];
		probe_inside = unwind_here;
		calls_something(i);
		probe_inside = NULL;
		assert_int_equal(unwound, seen[i]);
	}
}

static volatile uint32_t steps, steps_in_stubs, steps_lost;
static uint64_t lost_ip;
static volatile bool toggling, is_patched;

static _Unwind_Reason_Code find_caller(struct _Unwind_Context *context, void *arg)
{
	uint64_t ip = _Unwind_GetIP(context);

	*(bool *)arg |= ip >= caller_start && ip < caller_end;
	return _URC_NO_REASON;
}

/* After every single instruction: unwinds from there, or changes the text around it. */
static void on_step(int number, siginfo_t *info, void *context)
{
	uint64_t ip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	bool found = false;

	steps++;
	steps_in_stubs += probe_is_stub(ip);
	if (toggling) {
		if (is_patched ? probe_restore() != 0 : patch_known() <= 60)
			steps_lost++;
		is_patched = !is_patched;
		return;
	}
	_Unwind_Backtrace(find_caller, &found);
	if (!found && !steps_lost++)
		lost_ip = ip;
}

static __attribute__((noinline)) void calls_stepping(void)
{
	int bad, fd, copy;
	sigset_t set;
	char byte;

	sigemptyset(&set);
	__asm__ volatile(
	    "lea -128(%%rsp),%%rsp; pushfq; orl $0x100,(%%rsp); popfq; lea 128(%%rsp),%%rsp"
	    :
	    :
	    : "memory", "cc");
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	copy = dup(fd);
	bad = read(copy, &byte, 1) != 1;
	bad += close(copy) != 0;
	bad += close(copy) != -1;
	bad += read(copy, &byte, 1) != -1;
	copy = (int)syscall(SYS_dup, fd);
	bad += syscall(SYS_close, copy) != 0;
	bad += syscall(SYS_getpid) <= 0;
	copy = signalfd(-1, &set, SFD_CLOEXEC);
	bad += close(copy) != 0 || close(fd) != 0;
	if (fork() == 0)
		_exit(0);
	__asm__ volatile(
	    "lea -128(%%rsp),%%rsp; pushfq; andl $~0x100,(%%rsp); popfq; lea 128(%%rsp),%%rsp"
	    :
	    :
	    : "memory", "cc");
	assert_int_equal(bad, 0);
	assert_true(fd >= 0 && copy >= 0);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void step_through(bool toggle)
{
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, old;

	toggling = toggle;
	steps = steps_in_stubs = steps_lost = 0;
	caller_start = (uint64_t)calls_stepping;
	caller_end = caller_start + 1000;
	calls_something(0); /* binds what is bound lazily */
	sigaction(SIGTRAP, &action, &old);
	calls_stepping();
	sigaction(SIGTRAP, &old, NULL);
	printf("%u steps, %u of them in stubs\n", steps, steps_in_stubs);
	if (steps_lost)
		fail_msg("%u steps went wrong, first at %#" PRIx64, steps_lost, lost_ip);
	assert_true(steps > 300);
}

/* From every instruction of libc, stubs and hooks an unwinder finds back. */
static void test_unwind_steps(void **state)
{
	step_through(false);
	assert_true(steps_in_stubs > 60);
}

/* The text may change between any two instructions. */
static void test_patch_steps(void **state)
{
	assert_true(patch_known() > 60); /* it searches once, not in the handler */
	assert_int_equal(probe_restore(), 0);
	is_patched = false;
	step_through(true);
	assert_true(steps_in_stubs > 0);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_cancel, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_unwind, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_unwind_steps, patch_begin, patch_end),
	    cmocka_unit_test(test_patch_steps),
	};

	texts_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
