/* agent/stack, known: what is read of a stack, and how one that was unwound before is recognised.
 */
#include "agent_harness.h"

#include "base/alloc.h"
#include "collect/maps.h"
#include "os/procfs.h"
#include "unwind/unwind.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024 };

static const uint64_t close_args[6] = {5};

static const struct event_syscall *close_event(void)
{
	harness_before_call(__NR_close, close_args);
	return harness_take(EVENT_SYSCALL);
}

/* ---- where stacks end ---- */

static uint64_t stack_line_end;

static int note_stack(void *context, const struct procfs_mapping *mapping)
{
	if (!strcmp(mapping->path, "[stack]"))
		stack_line_end = mapping->end;
	return 0;
}

static void check_copied_to(const struct event_syscall *event, uint64_t end)
{
	assert_int_equal(event->stacks_n, 1);
	assert_int_equal(event->stacks[0].flags, 0);
	assert_int_equal(event->stacks[0].start, event->registers.sp);
	assert_int_equal(event->stacks[0].start + event->stacks[0].size, end & ~7ul);
}

static void test_main_stack(void **state)
{
	procfs_maps(getpid(), note_stack, NULL, NULL);
	check_copied_to(close_event(), stack_line_end);
}

static __attribute__((noinline)) uint64_t deeper(unsigned kilobytes)
{
	volatile uint8_t room[1024];
	const struct event_syscall *event;

	room[0] = (uint8_t)kilobytes;
	if (kilobytes)
		return deeper(kilobytes - 1) + room[0];
	event = close_event();
	assert_int_equal(event->stacks[0].size, EVENT_STACK_BYTES_MAX);
	assert_int_equal(event->stacks[0].flags, EVENT_STACK_CUT);
	return room[0];
}

/* It grows far below where it ended when it was looked for. */
static void test_growth(void **state)
{
	struct agent_thread *thread = thread_current();
	uint64_t low;

	close_event();
	low = thread->stack_low;
	deeper(2000);
	assert_true(thread->stack_low + (1800 << 10) < low);
	assert_int_equal(thread->stack_tries, 1);
}

/* One that is seen as it begins, or only later: then its stack has to be looked for. */
static void *pthread_records(void *context)
{
	uint64_t end, top = (uint64_t)__builtin_frame_address(0);

	__asm__("movq %%fs:0, %0" : "=r"(end));
	if (context) {
		thread_started(top);
		end = top + 64;
	}
	check_copied_to(close_event(), end);
	deeper(1000);
	assert_int_equal(thread_current()->stack_tries, context ? 0 : 1);
	thread_ends(thread_current());
	return NULL;
}

static void test_pthread(void **state)
{
	pthread_t thread;

	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&thread, NULL, pthread_records, (void *)i), 0);
		pthread_join(thread, NULL);
	}
}

/* ---- stacks that are not known ---- */

static struct event_syscall *taken;
static ucontext_t here, there;

static void coroutine(void)
{
	const struct event_syscall *event = close_event();

	free(taken);
	taken = xmemdup(event, event->header.size);
}

/* On a stack of ours, of which only the first `readable` bytes can be read. */
static void run_on(uint8_t *stack, size_t used, size_t readable)
{
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = used;
	there.uc_link = &here;
	makecontext(&there, coroutine, 0);
	mprotect(stack + readable, STACK_BYTES - readable, PROT_NONE);
	swapcontext(&here, &there);
	mprotect(stack, STACK_BYTES, PROT_READ | PROT_WRITE);
}

static void test_coroutine(void **state)
{
	uint8_t *stack =
	    mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t readable = STACK_BYTES / 2; readable <= STACK_BYTES; readable += AGENT_PAGE) {
		run_on(stack, STACK_BYTES / 2, readable);
		assert_in_range(taken->registers.sp, (uint64_t)stack,
				(uint64_t)stack + STACK_BYTES / 2);
		assert_int_equal(taken->stacks_n, 1);
		if (!(taken->stacks[0].flags & EVENT_STACK_CUT))
			assert_int_equal(taken->stacks[0].start + taken->stacks[0].size,
					 (uint64_t)stack + readable);
		else
			assert_int_equal(taken->stacks[0].size, 32 * 1024);
	}
	munmap(stack, STACK_BYTES);
	/* The thread's own is known all the same. */
	check_copied_to(close_event(), stack_line_end);
}

static void alternative_handler(int signal)
{
	coroutine();
}

static void test_sigaltstack(void **state)
{
	static uint8_t room[STACK_BYTES / 4] __attribute__((aligned(16)));
	stack_t alternative = {.ss_sp = room, .ss_size = sizeof(room)},
		none = {.ss_flags = SS_DISABLE};
	struct sigaction action = {.sa_handler = alternative_handler, .sa_flags = SA_ONSTACK};

	uint64_t head;

	close_event();
	head = thread_current()->slot->head;
	sigaltstack(&alternative, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	sigaltstack(&none, NULL);
	/* What was reserved and not needed went back. */
	assert_int_equal(thread_current()->slot->head - head, taken->header.size);
	assert_in_range(taken->stacks[0].start, (uint64_t)room, (uint64_t)room + sizeof(room));
	assert_true(taken->stacks[0].size > 512);
	assert_int_equal(taken->stacks[0].start + taken->stacks[0].size,
			 (uint64_t)room + sizeof(room));
	assert_int_equal(taken->stacks[0].flags, 0);
	/* And what it interrupted, which is below this frame. */
	assert_int_equal(taken->stacks_n, 2);
	assert_int_equal(taken->stacks[1].start + taken->stacks[1].size, stack_line_end);
	assert_in_range(taken->stacks[1].start, (uint64_t)__builtin_frame_address(0) - 4096,
			(uint64_t)__builtin_frame_address(0));
	assert_int_equal(taken->header.size,
			 sizeof(*taken) + taken->stacks[0].size + taken->stacks[1].size);
}

/* ---- recognition ---- */

struct unwinding {
	struct image_table *images;
	struct address_space *space;
	struct unwinder *unwinder;
};

static int add_mapping(void *context, const struct procfs_mapping *mapping)
{
	struct unwinding *unwinding = context;
	struct event_map *event;

	if (!mapping->executable)
		return 0;
	event = maps_event_new(getpid(), mapping);
	address_space_map(unwinding->space, event->start, event->end,
			  image_table_add(unwinding->images, event));
	free(event);
	return 0;
}

static void unwinding_init(struct unwinding *unwinding)
{
	unwinding->images = image_table_new();
	unwinding->space = address_space_new();
	unwinding->unwinder = unwinder_cfi.create(unwinding->images);
	procfs_maps(getpid(), add_mapping, unwinding, NULL);
}

static void unwinding_fini(struct unwinding *unwinding)
{
	unwinder_cfi.destroy(unwinding->unwinder);
	address_space_free(unwinding->space);
	image_table_free(unwinding->images);
}

/* What the collector does with a copy: afterwards the stack is known as `number`. */
static struct known_stack *learn(struct unwinding *unwinding, const struct event_syscall *event,
				 uint32_t number)
{
	struct frame frames[STACK_FRAMES_MAX];
	struct known_stack *entry;
	uint32_t frames_n;

	unwinder_cfi.unwind(unwinding->unwinder, unwinding->space, event, frames, &frames_n);
	assert_true(frames_n > 4);
	entry = &agent.arena->known_stacks[known_stack_first(event->mappings, event->registers.ip,
							     event->registers.sp)];
	entry += number % KNOWN_STACK_WAYS;
	assert_true(unwinder_cfi_footprint(unwinding->unwinder, event, &entry->footprint));
	entry->mappings = event->mappings;
	entry->stack = number;
	entry->version += 2;
	return entry;
}

static uint64_t told; /* known_stack of the last record */
static struct known_stack *(*volatile way)(struct unwinding *unwinding);

static __attribute__((noinline)) struct known_stack *leaf(struct unwinding *unwinding)
{
	const struct event_syscall *event = close_event();

	told = event->known_stack;
	return !told && unwinding ? learn(unwinding, event, 7) : NULL;
}

static __attribute__((noinline)) struct known_stack *branch(struct unwinding *unwinding)
{
	struct known_stack *entry = leaf(unwinding);

	__asm__ volatile("" : : : "memory");
	return entry;
}

static __attribute__((noinline)) struct known_stack *other_branch(struct unwinding *unwinding)
{
	struct known_stack *entry = leaf(unwinding);

	__asm__ volatile("nop" : : : "memory");
	return entry;
}

/* What a step changes of the entry, and what has to be told then. */
struct steps {
	struct known_stack *entry, kept;
	uint32_t expected;
	bool hostile; /* the first steps learn, then anything stands there */
};

enum { HOSTILE_STEPS = 20000, LEARNING_STEPS = 5 };

static void prepare_hostile(struct steps *steps, unsigned step)
{
	struct footprint *footprint = &steps->entry->footprint;

	footprint->words_n = (uint16_t)(rand() % 3 ? steps->kept.footprint.words_n : rand());
	footprint->span = (uint32_t)(rand() % 3 ? rand() : 0);
	footprint->offsets[rand() % steps->kept.footprint.words_n] = (uint16_t)rand();
}

/* False: this was the last step. */
static __attribute__((noinline)) bool prepare(struct steps *steps, unsigned step)
{
	struct footprint *footprint;
	unsigned words_n = steps->kept.footprint.words_n;

	if (step < LEARNING_STEPS) {
		way = step == 3 ? other_branch : branch;
		steps->expected = step == 0 || step == 3 ? 0 : 7;
		return true;
	}
	footprint = &steps->entry->footprint;
	*steps->entry = steps->kept;
	steps->expected = 0;
	if (steps->hostile) {
		prepare_hostile(steps, step);
		return step < HOSTILE_STEPS;
	}
	step -= LEARNING_STEPS;
	if (step < words_n) {
		footprint->values[step] ^= 1ull << rand() % 64;
		return true;
	}
	step -= words_n;
	if (step < words_n) {
		footprint->offsets[step] ^= rand() % 2 ? 1 << rand() % 3 : 0x8000;
		return true;
	}
	switch (step - words_n) {
	case 0:
		steps->entry->version++;
		return true;
	case 1:
		steps->entry->version += 2;
		steps->expected = 7;
		return true;
	case 2:
		agent.mappings++;
		return true;
	}
	return false;
}

/* All calls come from one place, or their stacks would not be the same. */
static void take_steps(bool hostile)
{
	struct steps steps = {.hostile = hostile};
	struct unwinding unwinding;

	unwinding_init(&unwinding);
	for (volatile unsigned step = 0; prepare(&steps, step); step++) {
		struct known_stack *learnt = way(step ? NULL : &unwinding);

		if (learnt) {
			steps.entry = learnt;
			steps.kept = *learnt;
			assert_true(steps.kept.footprint.words_n > 3);
		}
		if (!hostile || step < LEARNING_STEPS)
			assert_int_equal(told, steps.expected);
	}
	unwinding_fini(&unwinding);
}

/* Only who was called by the same is the same, and only while the mappings are. */
static void test_known(void **state)
{
	take_steps(false);
}

/* Whatever stands there, nothing is read outside of the stack. */
static void test_hostile_known(void **state)
{
	take_steps(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_main_stack, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_growth, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_pthread, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_coroutine, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_sigaltstack, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_known, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_hostile_known, harness_setup, harness_teardown),
	};
	unsigned seed = (unsigned)time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
