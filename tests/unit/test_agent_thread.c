/* agent/thread, clock, maps: who the calling thread is, what time it is, what is mapped. */
#include "agent_harness.h"

#include "maps.h"
#include "os/procfs.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { RING_BYTES = 1 << 16, SLOTS = 8 };

static const uint64_t close_args[6] = {5};

static int start(void **state)
{
	harness_start(SLOTS, RING_BYTES);
	return 0;
}

static int end(void **state)
{
	harness_end();
	return 0;
}

static unsigned slots_in(enum arena_slot_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		n += agent.slots[i].state == state;
	return n;
}

static void set_fs(uint64_t base)
{
	__asm__ volatile("wrfsbase %0" : : "r"(base));
}

static uint64_t get_fs(void)
{
	uint64_t base;

	__asm__ volatile("rdfsbase %0" : "=r"(base));
	return base;
}

/* thread_current() as the thread of FS base `fs` would call it. Nothing in between needs libc. */
static struct agent_thread *current_of(uint64_t fs)
{
	uint64_t own = get_fs();
	struct agent_thread *thread;

	set_fs(fs);
	thread = thread_current();
	set_fs(own);
	return thread;
}

/* ---- the table ---- */

static void test_slots(void **state)
{
	struct agent_thread *threads[SLOTS];

	for (uint64_t i = 0; i < SLOTS; i++) {
		threads[i] = current_of(0x10000 + i * 64);
		assert_non_null(threads[i]);
		assert_ptr_equal(current_of(0x10000 + i * 64), threads[i]);
		assert_int_equal(threads[i]->slot->tid, gettid());
		assert_int_equal(threads[i]->slot->pid, getpid());
		assert_ptr_equal(threads[i]->ring,
				 agent.rings + (threads[i]->slot - agent.slots) * RING_BYTES);
	}
	assert_null(current_of(0x999000));
	assert_int_equal(agent.arena->dropped, 1);
	/* The collector lets a slot go only when it has read all of it. */
	thread_ends(threads[3]);
	assert_int_equal(slots_in(ARENA_SLOT_LEFT), 1);
	assert_null(current_of(0x999000));
	for (unsigned i = 0; i < SLOTS; i++)
		if (agent.slots[i].state == ARENA_SLOT_LEFT)
			agent.slots[i].state = ARENA_SLOT_FREE;
	assert_non_null(current_of(0x999000));
	assert_ptr_equal(current_of(0x10000), threads[0]);
}

/* More threads than the table has entries come and go, some at a time. */
static void test_churn(void **state)
{
	uint64_t living[SLOTS] = {0};

	for (unsigned i = 0; i < 60000; i++) {
		unsigned which = (unsigned)rand() % SLOTS;
		struct agent_thread *thread;

		if (living[which] && rand() % 2) {
			thread = current_of(living[which]);
			assert_int_equal(thread->fs_base, living[which]);
			thread->slot->state = ARENA_SLOT_FREE;
			thread_ends(thread);
			for (unsigned j = 0; j < SLOTS; j++)
				if (agent.slots[j].state == ARENA_SLOT_LEFT)
					agent.slots[j].state = ARENA_SLOT_FREE;
			living[which] = 0;
		} else if (!living[which]) {
			living[which] = 0x100000 + (uint64_t)(rand() % 3 ? i : which) * 0x940;
		}
		for (unsigned j = 0; j < SLOTS; j++) {
			thread = living[j] ? current_of(living[j]) : NULL;
			assert_true(!living[j] || (thread && thread->fs_base == living[j]));
			for (unsigned k = 0; k < j; k++)
				assert_true(!thread || !living[k] || living[k] == living[j] ||
					    current_of(living[k]) != thread);
		}
	}
	assert_int_equal(agent.arena->dropped, 0);
}

static void test_other_arena(void **state)
{
	struct agent_thread *thread = thread_current();

	thread->slot->state = ARENA_SLOT_LEFT;
	agent.slots[0].state = ARENA_SLOT_TAKEN;
	agent.slots[1].state = ARENA_SLOT_TAKEN;
	agent.generation++;
	assert_ptr_equal(thread_current(), thread);
	assert_ptr_equal(thread->slot, &agent.slots[2]);
	assert_ptr_equal(thread->ring, agent.rings + 2 * RING_BYTES);
	harness_before_call(__NR_close, close_args);
	assert_int_equal(agent.slots[2].head, agent.slots[2].tail + thread->slot->head);
}

static void test_taken_over(void **state)
{
	struct agent_thread *thread = thread_current();
	struct arena_slot *before = thread->slot;

	thread->own_tid = thread->tid = 1; /* of one that is gone */
	assert_non_null(thread_started((uint64_t)__builtin_frame_address(0)));
	thread = thread_current();
	assert_int_equal(thread->own_tid, gettid());
	assert_ptr_not_equal(thread->slot, before);
	assert_int_equal(before->state, ARENA_SLOT_LEFT);
	assert_in_range((uint64_t)__builtin_frame_address(0), thread->stack_low,
			thread->stack_high);
}

static void test_who(void **state)
{
	struct agent_thread *thread = thread_current();

	agent.check_tid = true;
	assert_ptr_equal(thread_current(), thread);
	thread->own_tid++; /* somebody else with our FS base: a guest, with a place of its own */
	assert_ptr_not_equal(thread_current(), thread);
	assert_int_equal(thread_current()->own_tid, gettid());
	assert_ptr_not_equal(thread_current()->slot, thread->slot);
	thread->vforked = true; /* the child, in our place */
	assert_ptr_equal(thread_current(), thread);
	thread->own_tid--;
	/* A process that shares our memory, and has never been seen. */
	agent.check_tid = false;
	agent.pid++;
	assert_null(current_of(0x777000));
	agent.pid--;
	assert_non_null(current_of(0x777000));
	/* A program that has no FS base yet is told by its number. */
	assert_ptr_equal(current_of(0), current_of(0));
	assert_int_equal(current_of(0)->own_tid, gettid());
	assert_ptr_not_equal(current_of(0), thread);
}

static void test_forked(void **state)
{
	assert_non_null(thread_current());
	*agent.alive = 0;
	assert_null(thread_current());
	harness_before_call(__NR_close, close_args);
	assert_int_equal(harness_forked, 2);
	harness_forked_returns = true;
	assert_non_null(thread_current());
	harness_forked_returns = false;
	*agent.alive = AGENT_ALIVE;
}

/* ---- a handler that comes while the thread is made known ---- */

static volatile unsigned handled;

static void handle(int signal)
{
	assert_non_null(thread_current());
	handled++;
}

static unsigned entries_of(uint64_t fs)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AGENT_THREADS_MAX; i++)
		n += agent.threads[i].fs_base == fs;
	return n;
}

static void test_interrupted(void **state)
{
	struct itimerval timer = {{0, 10}, {0, 10}}, none = {{0, 0}, {0, 0}};
	time_t begin = time(NULL);
	unsigned rounds = 0;

	signal(SIGALRM, handle);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (time(NULL) < begin + 2) {
		struct agent_thread *thread;
		sigset_t all, before;

		thread = thread_current();
		assert_non_null(thread);
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, &before);
		assert_int_equal(entries_of(get_fs()), 1);
		assert_int_equal(slots_in(ARENA_SLOT_TAKEN), 1);
		assert_int_equal(thread->slot->state, ARENA_SLOT_TAKEN);
		assert_ptr_equal(thread->ring,
				 agent.rings + (thread->slot - agent.slots) * RING_BYTES);
		thread_ends(thread);
		for (unsigned i = 0; i < SLOTS; i++)
			agent.slots[i].state = ARENA_SLOT_FREE;
		sigprocmask(SIG_SETMASK, &before, NULL);
		rounds++;
	}
	setitimer(ITIMER_REAL, &none, NULL);
	printf("%u rounds, %u signals\n", rounds, handled);
	assert_true(handled > 1000);
}

/* ---- clock and maps ---- */

static void test_clock(void **state)
{
	uint64_t times[3];

	assert_non_null(agent.clock);
	for (int i = 0; i < 3; i++) {
		struct timespec now;

		if (i == 1)
			agent.clock = NULL; /* asks the kernel instead */
		times[i] = clock_now();
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_in_range(times[i], i ? times[i - 1] : 1,
				(uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	}
	assert_true(times[2] - times[0] < 1000000000);
}

static void test_vdso_hostile(void **state)
{
	uint8_t *copy = aligned_alloc(AGENT_PAGE, 4 * AGENT_PAGE);
	const void *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);

	memcpy(copy, vdso, 2 * AGENT_PAGE);
	assert_non_null(vdso_find_clock((uint64_t)copy));
	assert_null(vdso_find_clock(0));
	assert_null(vdso_find_clock((uint64_t)copy + 8));
	copy[0] = 0;
	assert_null(vdso_find_clock((uint64_t)copy));
	free(copy);
}

struct seen {
	char text[1 << 20];
	size_t bytes;
	unsigned lines;
	struct procfs_mapping mapping;
};

static bool see(void *context, const struct maps_line *line)
{
	struct seen *seen = context;
	char *copy = seen->text + seen->bytes, line_copy[8192];

	assert_int_equal(line->text[line->bytes - 1], '\n');
	memcpy(copy, line->text, line->bytes);
	copy[line->bytes - 1] = 0;
	assert_non_null(strstr(copy, line->path));
	strcpy(line_copy, copy);
	assert_true(procfs_parse_mapping(line_copy, &seen->mapping));
	assert_int_equal(line->start, seen->mapping.start);
	assert_int_equal(line->end, seen->mapping.end);
	assert_int_equal(line->file_offset, seen->mapping.file_offset);
	assert_int_equal(line->inode, seen->mapping.inode);
	assert_int_equal(line->device_major, seen->mapping.device_major);
	assert_int_equal(line->device_minor, seen->mapping.device_minor);
	assert_int_equal(line->executable, seen->mapping.executable);
	assert_int_equal(strncmp(line->path, seen->mapping.path, strlen(seen->mapping.path)), 0);
	copy[line->bytes - 1] = '\n';
	seen->bytes += line->bytes;
	seen->lines++;
	return true;
}

static bool see_one(void *context, const struct maps_line *line)
{
	++*(unsigned *)context;
	return false;
}

static void test_maps(void **state)
{
	static struct seen seen;
	static char buffer[4096], file[1 << 20];
	unsigned once = 0;
	size_t bytes;
	FILE *maps;

	assert_int_equal(maps_each(buffer, sizeof(buffer), see, &seen), 0);
	maps = fopen("/proc/self/maps", "r");
	bytes = fread(file, 1, sizeof(file), maps);
	fclose(maps);
	assert_true(seen.lines > 20);
	/* The heap may have grown in between; the first lines are the program's. */
	assert_memory_equal(seen.text, file, 400);
	assert_true(seen.bytes + 2000 > bytes && bytes + 2000 > seen.bytes);
	assert_int_equal(maps_each(buffer, sizeof(buffer), see_one, &once), 0);
	assert_int_equal(once, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_slots, start, end),
	    cmocka_unit_test_setup_teardown(test_churn, start, end),
	    cmocka_unit_test_setup_teardown(test_other_arena, start, end),
	    cmocka_unit_test_setup_teardown(test_taken_over, start, end),
	    cmocka_unit_test_setup_teardown(test_who, start, end),
	    cmocka_unit_test_setup_teardown(test_forked, start, end),
	    cmocka_unit_test_setup_teardown(test_interrupted, start, end),
	    cmocka_unit_test_setup_teardown(test_clock, start, end),
	    cmocka_unit_test_setup_teardown(test_vdso_hostile, start, end),
	    cmocka_unit_test_setup_teardown(test_maps, start, end),
	};
	unsigned seed = (unsigned)time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
