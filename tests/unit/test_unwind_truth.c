/*
 * unwinder_cfi against stacks that no unwinder established: the list of call sites which the
 * compiler's -finstrument-functions hooks keep (tests/unwind_programs/truth*). This process
 * captures itself, so that any user can run it.
 */
#include "base/alloc.h"
#include "collect/maps.h"
#include "event/codec.h"
#include "os/procfs.h"
#include "truth.h"
#include "unwind/unwind.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include <cmocka.h>

enum { SITES_MAX = 64, RED_ZONE_BYTES = 128, OTHER_STACK_BYTES = 1 << 18 };

/* What is known to be on the stack, outermost first. */
struct site {
	uint64_t pc;
	bool exact;
};

static struct site sites[SITES_MAX];
static uint32_t sites_n;

/* Where a sigaltstack is, and the stack pointer that it interrupted; 0: we are not on it. */
static uint8_t *other_stack;
static uint64_t interrupted_sp;

static struct fixture {
	struct image_table *images;
	struct address_space *space;
	struct unwinder *unwinder;
	uint32_t own_image; /* of this program */
	uint64_t stack_end;
	int memory; /* /proc/self/mem */
	struct event_syscall *event;
	unsigned stacks;
} fixture;

static void push(uint64_t pc, bool exact)
{
	if (sites_n < SITES_MAX)
		sites[sites_n] = (struct site){pc, exact};
	sites_n++;
}

/* The compiler's hooks; declared nowhere. */
void __cyg_profile_func_enter(void *function, void *call_site);
void __cyg_profile_func_exit(void *function, void *call_site);

void __cyg_profile_func_enter(void *function, void *call_site)
{
	push((uintptr_t)call_site, false);
}

void __cyg_profile_func_exit(void *function, void *call_site)
{
	sites_n--;
}

static void add_piece(uint64_t start, uint64_t end)
{
	struct event_syscall *event = fixture.event;
	ssize_t got;

	if (end - start > EVENT_STACK_BYTES_MAX)
		end = start + EVENT_STACK_BYTES_MAX;
	/* As a file: a sanitizer would not let us read what is left of frames. */
	got = pread(fixture.memory, (uint8_t *)event_stack_bytes(event, event->stacks_n),
		    end - start, start);
	assert_int_equal(got, end - start);
	event->stacks[event->stacks_n++] = (struct event_stack){.start = start, .size = got};
}

/*
 * The innermost frames are take()'s own and its caller's. Where the C library called back, neither
 * its own frames have hooks nor the call of it.
 */
static void compare(const struct frame *frames, uint32_t frames_n)
{
	uint32_t at = 2;

	assert_true(sites_n > 0 && sites_n <= SITES_MAX);
	for (uint32_t i = sites_n; i-- > 0; at++) {
		if (frames[at - 1].image != fixture.own_image && !frames[at - 1].exact) {
			while (at < frames_n && frames[at].image != fixture.own_image)
				at++;
			at++;
		}
		assert_true(at < frames_n);
		assert_int_equal(frames[at].pc, sites[i].pc);
		assert_int_equal(frames[at].exact, sites[i].exact);
	}
}

static void take(void)
{
	static struct frame frames[STACK_FRAMES_MAX];
	struct event_syscall *event = fixture.event;
	struct event_registers *registers = &event->registers;
	uint32_t frames_n;
	enum stack_end end;

	memset(event, 0, sizeof(*event));
	event->header.type = EVENT_SYSCALL;
	event->phase = EVENT_ENTER;
	/* In the order of struct event_registers. */
	__asm__ volatile("leaq 0(%%rip), %%rax\n\t"
			 "movq %%rax, 0(%0)\n\t"
			 "movq %%rsp, 8(%0)\n\t"
			 "movq %%rbp, 16(%0)\n\t"
			 "movq %%rbx, 24(%0)\n\t"
			 "movq %%r12, 32(%0)\n\t"
			 "movq %%r13, 40(%0)\n\t"
			 "movq %%r14, 48(%0)\n\t"
			 "movq %%r15, 56(%0)"
			 :
			 : "r"(registers)
			 : "rax", "memory");
	if (interrupted_sp) {
		add_piece(registers->sp & ~7ull, (uintptr_t)other_stack + OTHER_STACK_BYTES);
		add_piece((interrupted_sp & ~7ull) - RED_ZONE_BYTES, fixture.stack_end);
	} else {
		add_piece(registers->sp & ~7ull, fixture.stack_end);
	}
	event->header.size = sizeof(*event) + event->stacks[0].size + event->stacks[1].size;
	end = unwinder_cfi.unwind(fixture.unwinder, fixture.space, event, frames, &frames_n);
	assert_int_equal(frames[1].pc, (uintptr_t)__builtin_return_address(0));
	assert_true(frames[0].exact && !frames[1].exact);
	assert_int_equal(end, STACK_END_COMPLETE);
	compare(frames, frames_n);
	fixture.stacks++;
}

/* The handler: what it interrupted is known from the kernel's own record. */
static void on_signal(int number, siginfo_t *info, void *context)
{
	const ucontext_t *interrupted = context;

	push(interrupted->uc_mcontext.gregs[REG_RIP], true);
	/* The trampoline, which nobody called either. */
	push((uintptr_t)__builtin_return_address(0), true);
	if (other_stack)
		interrupted_sp = interrupted->uc_mcontext.gregs[REG_RSP];
	truth_omit(take);
	interrupted_sp = 0;
	sites_n -= 2;
}

/* The kernel interrupts us right behind the breakpoint. */
static __attribute__((noinline)) void interrupt(void)
{
	push((uintptr_t)__builtin_return_address(0), false);
	__asm__ volatile("int3");
	sites_n--;
}

static void check(void (*shapes)(truth_callback *), truth_callback *back, unsigned stacks_min)
{
	fixture.stacks = sites_n = 0;
	shapes(back);
	printf("%u stacks\n", fixture.stacks);
	assert_true(fixture.stacks >= stacks_min);
}

#define TEST_OF(name)                                                                              \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		check(truth_##name, take, 12);                                                     \
	}
TRUTH_VARIANTS(TEST_OF)

static void test_exceptions(void **state)
{
#ifdef HTRACE_TEST_TRUTH_EXCEPTIONS
	/* Five destructors, and the handler. */
	check(truth_exceptions, take, 6);
#else
	printf("skipped: not built with g++\n");
	skip();
#endif
}

static void catch_breakpoints(int flags)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};

	assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
}

static void test_signal(void **state)
{
	catch_breakpoints(0);
	check(truth_plain, interrupt, 100);
	check(truth_realign, interrupt, 100);
}

static void test_other_stack(void **state)
{
	stack_t stack = {.ss_size = OTHER_STACK_BYTES};

	stack.ss_sp = other_stack = xcalloc(1, OTHER_STACK_BYTES);
	assert_int_equal(sigaltstack(&stack, NULL), 0);
	catch_breakpoints(SA_ONSTACK);
	check(truth_plain, interrupt, 100);
	check(truth_keep, interrupt, 100);
	stack.ss_flags = SS_DISABLE;
	assert_int_equal(sigaltstack(&stack, NULL), 0);
	free(other_stack);
	other_stack = NULL;
}

static int add_mapping(void *context, const struct procfs_mapping *mapping)
{
	struct event_map *event;
	uint32_t image;

	if (!strcmp(mapping->path, "[stack]"))
		fixture.stack_end = mapping->end;
	if (!mapping->executable)
		return 0;
	event = maps_event_new(getpid(), mapping);
	image = image_table_add(fixture.images, event);
	address_space_map(fixture.space, event->start, event->end, image);
	if (event->start <= (uintptr_t)take && (uintptr_t)take < event->end)
		fixture.own_image = image;
	free(event);
	return 0;
}

static int setup(void **state)
{
	fixture.images = image_table_new();
	fixture.space = address_space_new();
	procfs_maps(getpid(), add_mapping, NULL, NULL);
	fixture.unwinder = unwinder_cfi.create(fixture.images);
	fixture.event = xcalloc(1, EVENT_SIZE_MAX);
	fixture.memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	return fixture.memory < 0 || !fixture.own_image;
}

static int teardown(void **state)
{
	close(fixture.memory);
	free(fixture.event);
	unwinder_cfi.destroy(fixture.unwinder);
	address_space_free(fixture.space);
	image_table_free(fixture.images);
	return 0;
}

int main(void)
{
#define ENTRY_OF(name) cmocka_unit_test(test_##name),
	const struct CMUnitTest tests[] = {
	    TRUTH_VARIANTS(ENTRY_OF) cmocka_unit_test(test_exceptions),
	    cmocka_unit_test(test_signal),
	    cmocka_unit_test(test_other_stack),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
