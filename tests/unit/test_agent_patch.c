/*
 * agent/patch.c in this very process: its C library is patched while it runs, its calls go on to do
 * what they did, and all bytes are put back. What the hooks are told is written down by
 * agent_patch/probe.c.
 */
#include "agent_patch/probe.h"

#include "event/site_search.h"
#include "model/fd_syscalls.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
#include <cmocka.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

struct text {
	uint64_t start, end, offset;
	char path[256];
	uint8_t *file; /* what the text should be */
};

static struct text texts[2]; /* libc, ld.so */
static uint32_t reason;

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void text_find(struct text *text, const char *name)
{
	char line[512], permissions[8];
	FILE *stream = fopen("/proc/self/maps", "re");
	int fd;

	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream)) {
		if (strstr(line, name) &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %255s",
			   &text->start, &text->end, permissions, &text->offset, text->path) == 5 &&
		    !strcmp(permissions, "r-xp"))
			break;
	}
	fclose(stream);
	fd = open(text->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	text->file = malloc(text->end - text->start);
	memset(text->file, 0, text->end - text->start);
	assert_true(pread(fd, text->file, text->end - text->start, (off_t)text->offset) > 0);
	close(fd);
}

static uint64_t bytes_changed(void)
{
	uint64_t changed = 0;

	for (int i = 0; i < 2; i++) {
		const uint8_t *bytes = (const uint8_t *)texts[i].start;

		for (uint64_t at = 0; at < texts[i].end - texts[i].start; at++)
			changed += bytes[at] != texts[i].file[at];
	}
	return changed;
}

static int patch(void)
{
	int sum = 0;

	for (int i = 0; i < 2; i++) {
		int n = probe_patch(texts[i].start, texts[i].end, texts[i].offset, NULL, &reason);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

static int patch_begin(void **state)
{
	int n = patch();

	assert_true(n > 60);
	probe_calls_n = 0;
	return 0;
}

static int patch_end(void **state)
{
	probe_inside = NULL;
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
	return 0;
}

/* The calls of a number that were noted since `from`; *last: the last of them. */
static uint32_t calls_of(uint32_t from, uint32_t number, bool after, struct probe_call *last)
{
	uint32_t n = 0;

	for (uint32_t i = from; i < probe_calls_n && i < PROBE_CALLS_MAX; i++) {
		if (probe_calls[i].number == number && probe_calls[i].after == after) {
			n++;
			*last = probe_calls[i];
		}
	}
	return n;
}

static void expect_call(uint32_t from, uint32_t number, bool after, int64_t result, uint64_t arg0)
{
	struct probe_call call;

	assert_int_equal(calls_of(from, number, after, &call), 1);
	if (after)
		assert_int_equal(call.result, result);
	assert_int_equal(call.args[0], arg0);
	assert_true(call.site_ip >= texts[0].start && call.site_ip < texts[0].end);
	assert_memory_equal(texts[0].file + (call.site_ip - 2 - texts[0].start), "\x0f\x05", 2);
	assert_true(call.sp > (uint64_t)&call - (1 << 20) && call.sp < (uint64_t)&call + 4096);
}

static void test_values(void **state)
{
	int pair[2], fd, copy;
	uint32_t from = probe_calls_n;
	struct probe_call call;

	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	expect_call(from, SYS_openat, true, fd, (uint32_t)AT_FDCWD);
	from = probe_calls_n;
	copy = dup(fd);
	assert_true(copy > fd);
	expect_call(from, SYS_dup, true, copy, (uint64_t)fd);
	from = probe_calls_n;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	expect_call(from, SYS_pipe2, true, 0, (uint64_t)pair);
	for (int i = 0; i < 2; i++) {
		from = probe_calls_n;
		assert_int_equal(close(pair[i]), 0);
		expect_call(from, SYS_close, false, 0, (uint64_t)pair[i]);
		assert_int_equal(calls_of(from, SYS_close, true, &call), 0);
	}
	from = probe_calls_n;
	pair[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	expect_call(from, SYS_socket, true, pair[0], AF_UNIX);
	from = probe_calls_n;
	pair[1] = eventfd(3, EFD_CLOEXEC);
	expect_call(from, SYS_eventfd2, true, pair[1], 3);
	close(pair[0]);
	close(pair[1]);
	close(copy);
	close(fd);
	from = probe_calls_n;
	assert_int_equal(open("/nonexistent", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	expect_call(from, SYS_openat, true, -ENOENT, (uint32_t)AT_FDCWD);
}

/* Only a bad descriptor is told of; of a close, any failure. */
static void test_filters(void **state)
{
	struct probe_call call;
	char byte;
	void *volatile nowhere = (void *)8;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	uint32_t from = probe_calls_n;

	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(read(fd, nowhere, 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(calls_of(from, SYS_read, true, &call), 0);
	assert_int_equal(read(-7, &byte, 1), -1);
	assert_int_equal(errno, EBADF);
	expect_call(from, SYS_read, true, -EBADF, (uint32_t)-7);
	close(fd);
	from = probe_calls_n;
	assert_int_equal(close(fd), -1);
	assert_int_equal(errno, EBADF);
	expect_call(from, SYS_close, true, -EBADF, (uint64_t)fd);
	from = probe_calls_n;
	free(malloc(64 << 20));
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 0);
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 1);
	assert_ptr_equal((void *)call.result, code);
	munmap(code, 4096);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -5, 0), MAP_FAILED);
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 2);
	assert_int_equal(call.result, -EBADF);
}

/* syscall(2): the number is not known before the call, and all six arguments count. */
static void test_any_number(void **state)
{
	struct probe_call call;
	uint32_t from = probe_calls_n;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0), copy;
	void *page;

	assert_true(fd >= 0);
	expect_call(from, SYS_openat, true, fd, (uint32_t)AT_FDCWD);
	from = probe_calls_n;
	assert_int_equal(syscall(SYS_close, fd), 0);
	expect_call(from, SYS_close, false, 0, (uint64_t)fd);
	assert_int_equal(syscall(SYS_getpid), getpid());
	assert_int_equal(syscall(100000), -1);
	assert_int_equal(errno, ENOSYS);
	assert_int_equal(syscall(-1L), -1);
	copy = (int)syscall(SYS_memfd_create, "x", 0);
	expect_call(from, SYS_memfd_create, true, copy,
		    calls_of(from, SYS_memfd_create, true, &call) ? call.args[0] : 0);
	assert_int_equal(ftruncate(copy, 8192), 0);
	from = probe_calls_n;
	page = (void *)syscall(SYS_mmap, NULL, 4096L, PROT_READ, MAP_PRIVATE, copy, 4096L);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(calls_of(from, SYS_mmap, false, &call), 1);
	assert_int_equal(call.args[5], 4096);
	assert_int_equal(calls_of(from, SYS_mmap, true, &call), 1);
	assert_int_equal(call.args[5], 4096);
	munmap(page, 4096);
	close(copy);
}

static void test_restored(void **state)
{
	uint32_t from, stubs;
	int first = patch(), second;
	uint64_t changed = bytes_changed();

	stubs = probe_stubs_n();
	assert_true(changed > 300);
	assert_int_equal(patch(), 0);
	assert_int_equal(bytes_changed(), changed);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
	from = probe_calls_n;
	close(dup(1));
	assert_int_equal(probe_calls_n, from);
	second = patch();
	assert_int_equal(first, second);
	assert_int_equal(bytes_changed(), changed);
	assert_int_equal(probe_stubs_n(), stubs);
	close(dup(1));
	assert_int_equal(probe_calls_n, from + 2);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
	printf("%d sites, %u stubs, %u left alone\n", first, stubs, probe_sites_left());
}

static void test_processes(void **state)
{
	char *argv[] = {"true", NULL};
	struct probe_call call;
	volatile uint32_t from = probe_calls_n;
	int status;
	uint32_t *exits =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();

	if (!pid) {
		probe_exits = exits;
		_exit(close(dup(1)) == 0 ? 11 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 11);
	assert_int_equal(exits[0], 1);
	assert_int_equal(exits[1], 11);
	munmap(exits, 4096);
	assert_int_equal(calls_of(from, SYS_clone, true, &call), 1);
	assert_int_equal(call.result, pid);
	from = probe_calls_n;
	pid = vfork();
	if (!pid) {
		close(-1);
		_exit(12);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 12);
	assert_int_equal(calls_of(from, SYS_vfork, false, &call), 1);
	assert_int_equal(calls_of(from, SYS_vfork, true, &call), 2);
	assert_int_equal(call.result, pid);
	assert_int_equal(calls_of(from, SYS_close, false, &call), 1);
	from = probe_calls_n;
	assert_int_equal(posix_spawnp(&pid, "true", NULL, NULL, argv, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(calls_of(from, SYS_execve, false, &call) >= 1);
	assert_int_equal(posix_spawn(&pid, "/nonexistent", NULL, NULL, argv, NULL), ENOENT);
	pid = fork();
	if (!pid) {
		execve("/nonexistent", argv, NULL);
		_exit(errno == ENOENT ? 13 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 13);
}

static void *thread_works(void *context)
{
	int fd = dup(1);

	*(int *)context = fd;
	return fd >= 0 && close(fd) == 0 ? context : NULL;
}

static void test_threads(void **state)
{
	struct probe_call call;
	uint32_t from = probe_calls_n;

	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		void *result;
		int fd;

		assert_int_equal(pthread_create(&thread, NULL, thread_works, &fd), 0);
		assert_int_equal(pthread_join(thread, &result), 0);
		assert_ptr_equal(result, &fd);
	}
	/* Parent and child both come back. */
	assert_int_equal(calls_of(from, SYS_clone3, true, &call), 40);
	assert_int_equal(calls_of(from, SYS_exit, false, &call), 20);
}

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
	caller_end = caller_start + 200;
	for (int i = 0; i < 4; i++) {
		unwound = 0;
		probe_inside_number = numbers[i];
		probe_inside = unwind_here;
		calls_something(i);
		probe_inside = NULL;
		assert_int_equal(unwound, seen[i]);
	}
}

static struct arena_file known[2];
static volatile uint32_t steps, steps_in_stubs, steps_lost;
static uint64_t lost_ip;
static volatile bool toggling, is_patched;

static int patch_known(void)
{
	int sum = 0;

	for (int i = 0; i < 2; i++) {
		int n =
		    probe_patch(texts[i].start, texts[i].end, texts[i].offset, &known[i], &reason);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

static void sites_learn(void)
{
	for (int i = 0; i < 2; i++) {
		size_t from = 0;
		struct site site;

		known[i].sites_n = 0;
		while ((from = site_next((const uint8_t *)texts[i].start,
					 texts[i].end - texts[i].start, from, &probe_plan, &site)))
			known[i].sites[known[i].sites_n++] = (struct arena_site){
			    (uint32_t)(texts[i].offset + site.at), site.number, site.kind};
	}
}

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
	sites_learn();
	is_patched = false;
	step_through(true);
	assert_true(steps_in_stubs > 0);
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
}

static int patch_own(void)
{
	return probe_patch((uint64_t)probe_sites_start, (uint64_t)probe_sites_end, 0, NULL,
			   &reason);
}

/* Every register and the red zone are as they were, at any alignment of the stack. */
static void check_own_sites(bool before, bool patched)
{
	static uint64_t (*const sites[])(int64_t *) = {
	    probe_site_compared, probe_site_compared_32,  probe_site_bare,
	    probe_site_between,  probe_site_between_bare,
	};
	uint64_t alignments = 0;

	for (size_t i = 0; i < sizeof(sites) / sizeof(*sites); i++) {
		uint32_t from = probe_calls_n;
		struct probe_call call;
		int64_t result = 0;

		assert_int_equal(sites[i](&result), 0);
		assert_int_equal(result, getpid());
		assert_int_equal(calls_of(from, SYS_getpid, false, &call),
				 patched && (before || i == 2 || i == 4));
		assert_int_equal(calls_of(from, SYS_getpid, true, &call), patched);
		if (!patched)
			continue;
		assert_int_equal(call.result, result);
		assert_int_equal(call.args[1], 0x2222222222222222);
		assert_int_equal(call.args[5], 0x6666666666666666);
		assert_int_equal(call.args[0], i == 3   ? 0x77777777
					       : i == 4 ? call.sp + 8
							: 0x4444444444444444);
		alignments |= 1 << (call.sp & 15);
	}
	assert_int_equal(alignments, patched ? 0x101 : 0);
}

static void test_own_sites(void **state)
{
	uint64_t bytes = (uint64_t)(probe_sites_end - probe_sites_start);
	uint8_t *copy = malloc(bytes);
	struct plan saved = probe_plan;
	int64_t result;

	memcpy(copy, probe_sites_start, bytes);
	check_own_sites(false, false);
	for (int round = 0; round < 3; round++) {
		probe_plan.calls[SYS_getpid].when =
		    round == 1 ? PLAN_ENTER | PLAN_LEAVE_OK : PLAN_LEAVE_OK;
		probe_keep_rcx(round == 2);
		assert_int_equal(patch_own(), 6);
		check_own_sites(round >= 1, true);
		probe_calls_n = 0;
		assert_int_equal(probe_site_decoys(&result), 0);
		assert_int_equal(probe_site_jumped_to(&result), 0);
		assert_int_equal(result, 12345);
		assert_int_equal(probe_calls_n, 0);
		assert_int_equal(probe_restore(), 0);
		assert_memory_equal(copy, probe_sites_start, bytes);
		check_own_sites(false, false);
	}
	probe_keep_rcx(false);
	probe_plan = saved;
	free(copy);
}

/* The list of sites may say anything. */
static void test_known_sites(void **state)
{
	static struct arena_file file;
	struct plan saved = probe_plan;
	uint32_t first = (uint32_t)((uintptr_t)probe_site_compared - (uintptr_t)probe_sites_start);
	int64_t result;

	probe_plan.calls[SYS_getpid].when = PLAN_LEAVE_OK;
	for (uint32_t i = 0; i < ARENA_FILE_SITES_MAX; i++)
		file.sites[i] = (struct arena_site){0x1000 + first + i, SYS_getpid,
						    i % 2 ? ARENA_SITE_BARE : ARENA_SITE_COMPARED};
	file.sites_n = UINT32_MAX;
	assert_in_range(probe_patch((uint64_t)probe_sites_start, (uint64_t)probe_sites_end, 0x1000,
				    &file, &reason),
			1, 6);
	assert_int_equal(probe_site_compared(&result), 0);
	assert_int_equal(result, getpid());
	assert_int_equal(probe_restore(), 0);
	for (uint32_t i = 0; i < ARENA_FILE_SITES_MAX; i++)
		file.sites[i] = (struct arena_site){UINT32_MAX - i, SYS_getpid, ARENA_SITE_BARE};
	assert_int_equal(probe_patch((uint64_t)probe_sites_start, (uint64_t)probe_sites_end, 0x1000,
				     &file, &reason),
			 0);
	probe_plan = saved;
}

/* Text that is gone, or somebody else's by now, is not touched. */
static void test_gone(void **state)
{
	uint64_t bytes = (uint64_t)(probe_sites_end - probe_sites_start);
	struct plan saved = probe_plan;
	uint8_t *far = mmap((void *)0x10000000, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *near = mmap((void *)(texts[0].start - (64 << 20)), bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	probe_plan.calls[SYS_getpid].when = PLAN_LEAVE_OK;
	memcpy(near, probe_sites_start, bytes);
	memcpy(far, probe_sites_start, bytes);
	assert_int_equal(mprotect(near, bytes, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(probe_patch((uint64_t)near, (uint64_t)near + bytes, 0, NULL, &reason), 6);
	munmap(near, bytes);
	assert_int_equal(probe_restore(), 0);
	assert_ptr_equal(mmap(near, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 near);
	memcpy(near, probe_sites_start, bytes);
	assert_int_equal(mprotect(near, bytes, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(probe_patch((uint64_t)near, (uint64_t)near + bytes, 0, NULL, &reason), 6);
	mprotect(near, bytes, PROT_READ | PROT_WRITE);
	memset(near, 0x90, bytes);
	assert_int_equal(probe_restore(), 0);
	for (uint64_t i = 0; i < bytes; i++)
		assert_int_equal(near[i], 0x90);
	near[0] = 1; /* still writable */
	assert_int_equal(probe_patch((uint64_t)far, (uint64_t)far + bytes, 0, NULL, &reason),
			 -ERANGE);
	assert_int_equal(reason, ARENA_OFF_FAR);
	munmap(near, bytes);
	munmap(far, bytes);
	probe_plan = saved;
}

/* Where text may not be made writable, nothing happens. */
static void test_denied(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
			_exit(77);
		if (patch() != -EACCES || reason != ARENA_OFF_PROTECT || bytes_changed())
			_exit(1);
		_exit(close(dup(1)) == 0 && probe_restore() == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status == 77 << 8)
		skip(); /* a kernel before 6.3 */
	assert_int_equal(status, 0);
}

enum { HAMMERS = 2, ROUNDS = 100 };

static volatile bool pausing, stopping;
static volatile uint32_t paused;
static volatile uint64_t hammered[HAMMERS];

/* Stands still wherever the thread is, as if a tracer had stopped it. */
static void on_pause(int number)
{
	__atomic_add_fetch(&paused, 1, __ATOMIC_SEQ_CST);
	while (pausing)
		__builtin_ia32_pause();
	__atomic_sub_fetch(&paused, 1, __ATOMIC_SEQ_CST);
}

static void *thread_hammers(void *context)
{
	uint64_t i = 0, index = (uint64_t)context;

	while (!stopping) {
		int fds[2], fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		char *memory = malloc(16 + i % 300000), byte = 1;

		assert_true(memory && fd >= 0);
		memory[i % 16] = 1;
		assert_int_equal(write(fd, memory, 16), 16);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		while (write(fds[1], &byte, 1) != 1)
			;
		while (read(fds[0], &byte, 1) != 1)
			;
		assert_int_equal(close(fds[0]) | close(fds[1]) | close(fd), 0);
		assert_int_equal(read(-1, &byte, 1), -1);
		assert_int_equal(errno, EBADF);
		fd = (int)syscall(SYS_dup, 1);
		assert_int_equal(syscall(SYS_close, fd), 0);
		free(memory);
		hammered[index] = ++i;
	}
	return NULL;
}

static void threads_pause(const pthread_t *threads)
{
	pausing = true;
	for (int i = 0; i < HAMMERS; i++)
		pthread_kill(threads[i], SIGUSR1);
	while (__atomic_load_n(&paused, __ATOMIC_SEQ_CST) != HAMMERS)
		__builtin_ia32_pause();
}

static void threads_go_on(void)
{
	pausing = false;
	while (__atomic_load_n(&paused, __ATOMIC_SEQ_CST))
		__builtin_ia32_pause();
}

/* Comes and goes while two threads are anywhere in libc, in a stub, or in the hooks. */
static void test_hammered(void **state)
{
	struct sigaction action = {.sa_handler = on_pause, .sa_flags = SA_RESTART};
	pthread_t threads[HAMMERS];
	double patch_us = 0, restore_us = 0;

	sigaction(SIGUSR1, &action, NULL);
	for (uint64_t i = 0; i < HAMMERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_hammers, (void *)i), 0);
	for (int round = 0; round < ROUNDS; round++) {
		double start;
		int n;

		usleep(1000 + (useconds_t)(round * 37 % 1000));
		threads_pause(threads);
		start = now_us();
		n = patch();
		patch_us += now_us() - start;
		threads_go_on();
		assert_true(n > 60);
		usleep(1000 + (useconds_t)(round * 53 % 1000));
		threads_pause(threads);
		start = now_us();
		n = probe_restore();
		restore_us += now_us() - start;
		threads_go_on();
		assert_int_equal(n, 0);
	}
	stopping = true;
	for (int i = 0; i < HAMMERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(hammered[i] > ROUNDS);
	}
	assert_int_equal(bytes_changed(), 0);
	printf("%u calls noted; patch %.0f us, restore %.0f us each\n", probe_calls_n,
	       patch_us / ROUNDS, restore_us / ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_restored),
	    cmocka_unit_test(test_own_sites),
	    cmocka_unit_test(test_known_sites),
	    cmocka_unit_test(test_gone),
	    cmocka_unit_test(test_denied),
	    cmocka_unit_test_setup_teardown(test_values, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_filters, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_any_number, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_processes, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_threads, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_cancel, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_unwind, patch_begin, patch_end),
	    cmocka_unit_test_setup_teardown(test_unwind_steps, patch_begin, patch_end),
	    cmocka_unit_test(test_patch_steps),
	    cmocka_unit_test(test_hammered),
	};

	text_find(&texts[0], "/libc.so");
	text_find(&texts[1], "/ld-linux");
	fd_syscalls_plan(&probe_plan, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
