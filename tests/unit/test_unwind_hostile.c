/*
 * The unwinder on files whose call frame information is wrong: cut, endless, looping, out of every
 * range. Each stack ends with the reason that is stated here, after a bounded number of frames; and
 * what is not damaged still unwinds.
 */
#include "base/alloc.h"
#include "unwind/unwind.h"
#include "unwind_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum {
	BIAS = 0x100000,
	TEXT = 0x4000, /* vaddr of the only function */
	TEXT_BYTES = 0x100,
	ELSEWHERE = 0x8000, /* code without CFI */
	STACK = 0x700000,
	WORDS = 64,
	FRAMES_BYTES_MAX = 1024,
};

/* CIE "zR": code 1, data -8, RA 16, FDEs pcrel sdata4; CFA = rsp + 8, RA at CFA - 8. */
static const uint8_t cie[] = {0x14, 0,    0,    0, 0,    0,    0, 0, 1,    'z', 'R', 0,
			      1,    0x78, 0x10, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,   0};
/* The same with augmentation "zRS": a signal frame. */
static const uint8_t signal_cie[] = {0x18, 0,    0, 0,    0,    0, 0, 0,    1, 'z', 'R', 'S', 0, 1,
				     0x78, 0x10, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0,   0,   0,   0, 0};

struct frames {
	uint8_t bytes[FRAMES_BYTES_MAX];
	size_t size;
};

static void put32(struct frames *frames, size_t at, uint32_t value)
{
	memcpy(frames->bytes + at, &value, sizeof(value));
}

static void add(struct frames *frames, const void *bytes, size_t size)
{
	assert_true(frames->size + size <= FRAMES_BYTES_MAX);
	memcpy(frames->bytes + frames->size, bytes, size);
	frames->size += size;
}

/* An FDE of the CIE at offset 0, for [start, start + range); `vaddr` of the section. */
static size_t add_fde(struct frames *frames, uint64_t vaddr, int64_t start, int32_t range,
		      const uint8_t *program, size_t size)
{
	const size_t at = frames->size;

	frames->size = at + 17;
	put32(frames, at + 4, at + 4);
	put32(frames, at + 8, start - (int64_t)(vaddr + at + 8));
	put32(frames, at + 12, range);
	add(frames, program, size);
	while (frames->size % 4)
		frames->bytes[frames->size++] = 0;
	put32(frames, at, frames->size - at - 4);
	return at;
}

static struct frames make(const uint8_t *program, size_t size)
{
	struct frames frames = {0};

	add(&frames, cie, sizeof(cie));
	add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT, TEXT_BYTES, program, size);
	return frames;
}

struct result {
	enum stack_end end;
	uint32_t frames_n;
	struct frame frames[STACK_FRAMES_MAX];
};

/* What can be told of a stack beside its frames: where it starts, and whether it was cut. */
struct stack_given {
	uint64_t words[WORDS];
	uint64_t sp, bp, bx;
	bool cut;
};

static struct result unwind_file(const struct unwind_file *file, const struct stack_given *given)
{
	struct event_syscall *event = xcalloc(1, EVENT_SIZE_MAX);
	struct image_table *images = image_table_new();
	struct address_space *space = address_space_new();
	struct unwinder *unwinder = unwinder_cfi.create(images);
	int fd = unwind_file_make(file);
	struct result result;

	assert_true(fd >= 0);
	address_space_map(space, BIAS, BIAS + UNWIND_FILE_MAPPED_BYTES,
			  unwind_file_map(images, fd, BIAS));
	close(fd);
	event->header.type = EVENT_SYSCALL;
	event->header.size = sizeof(*event) + sizeof(given->words);
	event->phase = EVENT_ENTER;
	event->stacks_n = 1;
	event->stacks[0] =
	    (struct event_stack){STACK, sizeof(given->words), given->cut ? EVENT_STACK_CUT : 0};
	memcpy(event->bytes, given->words, sizeof(given->words));
	event->registers = (struct event_registers){.ip = BIAS + TEXT,
						    .sp = given->sp ? given->sp : STACK,
						    .bp = given->bp ? given->bp : 1,
						    .bx = given->bx,
						    .r12 = BIAS + TEXT + 32};
	result.end = unwinder_cfi.unwind(unwinder, space, event, result.frames, &result.frames_n);
	unwinder_cfi.destroy(unwinder);
	address_space_free(space);
	image_table_free(images);
	free(event);
	assert_true(result.frames_n >= 1);
	assert_int_equal(result.frames[0].pc, BIAS + TEXT);
	return result;
}

static struct result unwind_frames(const struct frames *frames, const struct stack_given *given)
{
	const struct unwind_file file = {
	    .frames = frames->bytes, .frames_bytes = frames->size, .section_headers = true};

	return unwind_file(&file, given);
}

/* Unwinds a stack whose every word leads back into the function. */
static struct result unwind_program(const uint8_t *program, size_t size)
{
	struct frames frames = make(program, size);
	struct stack_given given = {0};

	for (unsigned i = 0; i < WORDS; i++)
		given.words[i] = BIAS + TEXT + 1;
	return unwind_frames(&frames, &given);
}

static void assert_result(struct result result, enum stack_end end, uint32_t frames_n)
{
	assert_int_equal(result.end, end);
	assert_int_equal(result.frames_n, frames_n);
}

#define PROGRAM(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void test_good(void **state)
{
	struct frames frames = make(PROGRAM(0));
	struct stack_given given = {.words = {BIAS + TEXT + 1, BIAS + TEXT + 2, 0}};

	(void)state;
	assert_result(unwind_frames(&frames, &given), STACK_END_COMPLETE, 3);
	/* Until the copied bytes end: one frame for each word, and the innermost. */
	assert_result(unwind_program(PROGRAM(0)), STACK_END_BAD_READ, WORDS + 1);
}

static void test_cfa_that_stays(void **state)
{
	(void)state;
	/* CFA = rsp: the caller is where the frame is. */
	assert_result(unwind_program(PROGRAM(0x0e, 0)), STACK_END_BAD_READ, 1);
	/* ... and with a return address that it finds: itself, over and over. */
	assert_result(unwind_program(PROGRAM(0x0e, 0, 0x11, 16, 0)), STACK_END_BAD_READ, 2);
	/* CFA = rsp - 8 */
	assert_result(unwind_program(PROGRAM(0x13, 1, 0x11, 16, 0x7f)), STACK_END_BAD_READ, 1);
	/* CFA = rsp + 2^31 does not fit a rule, and there is no frame pointer. */
	assert_result(unwind_program(PROGRAM(0x0e, 0x80, 0x80, 0x80, 0x80, 0x08)), STACK_END_NO_CFI,
		      1);
}

/* Two functions whose return address is in a register send each other back, on one CFA. */
static void test_cfa_that_stays_in_two(void **state)
{
	struct frames frames = {0};
	struct stack_given given = {.bx = BIAS + TEXT + 16};

	(void)state;
	add(&frames, cie, sizeof(cie));
	add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT, 20, PROGRAM(0x0e, 0, 0x09, 16, 12));
	add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT + 20, 20, PROGRAM(0x0e, 0, 0x09, 16, 3));
	assert_result(unwind_frames(&frames, &given), STACK_END_TOO_DEEP, STACK_FRAMES_MAX);
}

/* Only a signal may come from a stack further down; a chain of them is no longer than any. */
static void test_signals_for_ever(void **state)
{
	struct frames frames = {0};
	struct stack_given given = {.words = {BIAS + TEXT}};
	struct result result;

	(void)state;
	add(&frames, signal_cie, sizeof(signal_cie));
	add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT, TEXT_BYTES, PROGRAM(0x16, 7, 2, 0x77, 0));
	result = unwind_frames(&frames, &given);
	assert_result(result, STACK_END_TOO_DEEP, STACK_FRAMES_MAX);
	assert_true(result.frames[1].exact);
}

static void test_outside_of_the_copy(void **state)
{
	struct frames frames = make(PROGRAM(0x0e, 0x80, 0x80, 0x40)); /* CFA = rsp + 1 MiB */
	struct stack_given given = {0};

	(void)state;
	assert_result(unwind_frames(&frames, &given), STACK_END_BAD_READ, 1);
	given.cut = true;
	assert_result(unwind_frames(&frames, &given), STACK_END_TRUNCATED, 1);
	/* Below the copy nothing was cut off. */
	given.sp = STACK - (2 << 20);
	assert_result(unwind_frames(&frames, &given), STACK_END_BAD_READ, 1);
	/* The last 8 bytes of the address space, and one over them. */
	given.cut = false;
	given.sp = UINT64_MAX - (1 << 20) + 1;
	assert_result(unwind_frames(&frames, &given), STACK_END_BAD_READ, 1);
	given.sp = UINT64_MAX - (1 << 20) + 8;
	assert_result(unwind_frames(&frames, &given), STACK_END_BAD_READ, 1);
	/* CFA = *(rsp + 8), which points nowhere. */
	given = (struct stack_given){.words = {0, 0x123}};
	frames = make(PROGRAM(0x0f, 3, 0x77, 8, 0x06));
	assert_result(unwind_frames(&frames, &given), STACK_END_BAD_READ, 1);
	/* A return address where nothing is mapped. */
	given = (struct stack_given){.words = {0x666}};
	frames = make(PROGRAM(0));
	assert_result(unwind_frames(&frames, &given), STACK_END_BAD_PC, 1);
}

static void test_expressions(void **state)
{
	(void)state;
	/* CFA: skip back to itself; push for ever; a value of nothing. */
	assert_result(unwind_program(PROGRAM(0x0f, 3, 0x2f, 0xfd, 0xff)), STACK_END_NO_CFI, 1);
	assert_result(unwind_program(PROGRAM(0x0f, 4, 0x30, 0x2f, 0xfc, 0xff)), STACK_END_NO_CFI,
		      1);
	assert_result(unwind_program(PROGRAM(0x0f, 1, 0x13)), STACK_END_NO_CFI, 1);
	assert_result(unwind_program(PROGRAM(0x0f, 0)), STACK_END_NO_CFI, 1);
	/* The return address by an expression that loops, and by one that reads elsewhere. */
	assert_result(unwind_program(PROGRAM(0x10, 16, 3, 0x2f, 0xfd, 0xff)), STACK_END_NO_CFI, 1);
	assert_result(unwind_program(PROGRAM(0x10, 16, 3, 0x08, 8, 0x06)), STACK_END_BAD_READ, 1);
	/* Any other register by one: it is not known, and nothing else depends on it. */
	assert_result(unwind_program(PROGRAM(0x10, 3, 3, 0x2f, 0xfd, 0xff)), STACK_END_BAD_READ,
		      WORDS + 1);
}

/* Every length that the FDE may state, and every size at which the section may be cut. */
static void test_cut_and_wrong_lengths(void **state)
{
	const struct frames whole = make(PROGRAM(0x41, 0x0e, 0x10, 0x86, 2));
	const struct stack_given given = {.words = {BIAS + TEXT + 1, 0, 0}};

	(void)state;
	assert_result(unwind_frames(&whole, &given), STACK_END_COMPLETE, 3 - 1);
	for (size_t size = 0; size < whole.size; size++) {
		struct frames frames = whole;

		frames.size = size;
		assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	}
	for (uint64_t length = 0; length <= UINT32_MAX; length = length * 5 / 4 + 1) {
		struct frames frames = whole;
		uint32_t rest = whole.size - sizeof(cie) - 4;

		put32(&frames, sizeof(cie), length);
		if (length < 13 || length > rest)
			assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
		else
			assert_true(unwind_frames(&frames, &given).frames_n <= 3);
		frames = whole;
		put32(&frames, 0, length);
		if (length != 0x14)
			assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	}
}

static void test_cie_chains(void **state)
{
	const struct stack_given given = {.words = {BIAS + TEXT + 1}};
	const size_t pointer = sizeof(cie) + 4;
	struct frames frames = make(PROGRAM(0));
	size_t second;

	(void)state;
	/* An FDE whose CIE is itself, another FDE that points back, or beyond both ends. */
	put32(&frames, pointer, 4);
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	second = add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT + TEXT_BYTES, 16, PROGRAM(0));
	put32(&frames, pointer, pointer - second);
	put32(&frames, second + 4, second + 4 - sizeof(cie));
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	put32(&frames, pointer, 0x7fffffff);
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	put32(&frames, pointer, 0x80000000);
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	put32(&frames, pointer, pointer);
	assert_int_equal(unwind_frames(&frames, &given).frames_n, 2);
}

static void test_huge_numbers(void **state)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
	const struct stack_given given = {.words = {BIAS + TEXT + 1}};
	const size_t fde_augmentation = sizeof(cie) + 16;
	struct frames frames;

	(void)state;
	for (uint8_t op = 0; op < 0x30; op++) {
		uint8_t program[2 * sizeof(huge) + 1] = {op};

		memcpy(program + 1, huge, sizeof(huge));
		memcpy(program + 1 + sizeof(huge), huge, sizeof(huge));
		assert_true(unwind_program(program, sizeof(program)).frames_n <= WORDS + 1);
	}
	/* The length of the FDE's and of the CIE's augmentation data. */
	frames = make(huge, sizeof(huge));
	memcpy(frames.bytes + fde_augmentation, huge, sizeof(huge));
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	frames = make(PROGRAM(0));
	memcpy(frames.bytes + 15, huge, 9);
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	/* One that does not end at all, up to the end of the section. */
	frames = make(PROGRAM(0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
}

static void test_ranges(void **state)
{
	const struct stack_given given = {.words = {BIAS + TEXT + 1}};
	static const int32_t bad[] = {0, -1, -16, INT32_MIN};
	struct frames frames;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		frames = (struct frames){0};
		add(&frames, cie, sizeof(cie));
		add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT + 16, bad[i], PROGRAM(0));
		add_fde(&frames, UNWIND_FILE_SECTIONS, TEXT, bad[i], PROGRAM(0));
		assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	}
	/* 8 bytes each: a start and a length whose sum is 0 again, and more. */
	for (uint64_t over = 0; over < 3; over++) {
		const uint64_t range = -(uint64_t)TEXT + over;

		frames = make(PROGRAM(0, 0, 0, 0, 0, 0, 0, 0, 0));
		frames.bytes[16] = 0; /* absptr */
		memcpy(frames.bytes + sizeof(cie) + 8, &(uint64_t){TEXT}, 8);
		memcpy(frames.bytes + sizeof(cie) + 16, &range, 8);
		assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
	}
	/* A range before the file's first byte. */
	frames = (struct frames){0};
	add(&frames, cie, sizeof(cie));
	add_fde(&frames, UNWIND_FILE_SECTIONS, -0x1000, 0x800, PROGRAM(0));
	assert_result(unwind_frames(&frames, &given), STACK_END_NO_CFI, 1);
}

/* Rows of .eh_frame_hdr, in the order given. */
struct row {
	int32_t start, fde; /* relative to the header */
};

static struct result unwind_with_header(uint8_t table_encoding, uint32_t count,
					const struct row *rows, size_t rows_n,
					const struct frames *frames)
{
	const struct stack_given given = {.words = {BIAS + TEXT + 1}};
	uint8_t header[256] = {1, 0x1b, 0x03, table_encoding};
	const size_t size = 12 + rows_n * sizeof(*rows);
	const struct unwind_file file = {.header = header,
					 .header_bytes = size,
					 .frames = frames->bytes,
					 .frames_bytes = frames->size,
					 .has_header = true,
					 .section_headers = true};

	memcpy(header + 4, &(int32_t){size - 4}, 4);
	memcpy(header + 8, &count, 4);
	if (rows_n)
		memcpy(header + 12, rows, rows_n * sizeof(*rows));
	return unwind_file(&file, &given);
}

enum { DATAREL_SDATA4 = 0x3b };

static void test_header_tables(void **state)
{
	enum {
		ROWS = 3,
		VADDR = UNWIND_FILE_SECTIONS + 12 + 8 * ROWS,
		BASE = UNWIND_FILE_SECTIONS
	};
	struct frames frames = {0};
	struct row good[ROWS], bad[ROWS];

	(void)state;
	add(&frames, cie, sizeof(cie));
	for (int i = 0; i < ROWS; i++) {
		int32_t start = TEXT + (i - 1) * TEXT_BYTES;

		good[i].start = start - BASE;
		good[i].fde = VADDR - BASE + add_fde(&frames, VADDR, start, TEXT_BYTES, PROGRAM(0));
	}
	assert_int_equal(unwind_with_header(DATAREL_SDATA4, ROWS, good, ROWS, &frames).frames_n, 2);
	/* More rows than there are bytes; fewer than there are FDEs; none. */
	assert_int_equal(
	    unwind_with_header(DATAREL_SDATA4, UINT32_MAX, good, ROWS, &frames).frames_n, 2);
	assert_result(unwind_with_header(DATAREL_SDATA4, 1, good, ROWS, &frames), STACK_END_NO_CFI,
		      1);
	assert_int_equal(unwind_with_header(DATAREL_SDATA4, 0, good, ROWS, &frames).frames_n, 2);
	/* An encoding that nobody writes: the entries are searched without the table. */
	assert_int_equal(unwind_with_header(0x1b, ROWS, good, ROWS, &frames).frames_n, 2);
	/* Not sorted: what is found does not cover the address. */
	memcpy(bad, (struct row[]){good[2], good[1], good[0]}, sizeof(bad));
	assert_true(unwind_with_header(DATAREL_SDATA4, ROWS, bad, ROWS, &frames).frames_n <= 2);
	memcpy(bad, (struct row[]){good[1], good[0], good[2]}, sizeof(bad));
	assert_result(unwind_with_header(DATAREL_SDATA4, ROWS, bad, ROWS, &frames),
		      STACK_END_NO_CFI, 1);
	/* Rows that lead to another FDE, to the CIE, into the middle, before and behind it all. */
	for (int i = 0; i < 6; i++) {
		const int32_t leads[] = {good[0].fde, VADDR - BASE, good[1].fde + 3,
					 -BASE,       INT32_MAX,    INT32_MIN};

		memcpy(bad, good, sizeof(bad));
		bad[1].fde = leads[i];
		assert_result(unwind_with_header(DATAREL_SDATA4, ROWS, bad, ROWS, &frames),
			      STACK_END_NO_CFI, 1);
	}
}

/* .debug_frame: its CIE pointers are offsets, and a CIE has all ones there. */
static struct frames make_debug_frame(void)
{
	static const uint8_t debug_cie[] = {0x10, 0,    0,  0,    0xff, 0xff, 0xff, 0xff, 3, 0,
					    1,    0x78, 16, 0x0c, 7,    8,    0x90, 1,    0, 0};
	struct frames frames = {0};
	const size_t at = sizeof(debug_cie);

	add(&frames, debug_cie, sizeof(debug_cie));
	frames.size = at + 24 + 4;
	put32(&frames, at, 24);
	memcpy(frames.bytes + at + 8, &(uint64_t){TEXT}, 8);
	memcpy(frames.bytes + at + 16, &(uint64_t){TEXT_BYTES}, 8);
	return frames;
}

static struct result unwind_debug_frame(const struct frames *frames, bool compressed)
{
	const struct stack_given given = {.words = {BIAS + TEXT + 1}};
	const struct unwind_file file = {.frames = frames->bytes,
					 .frames_bytes = frames->size,
					 .section_headers = true,
					 .debug_frame = true,
					 .compressed = compressed};

	return unwind_file(&file, &given);
}

static void test_debug_frame(void **state)
{
	const struct frames whole = make_debug_frame();
	const size_t fde = 20;
	struct frames frames;

	(void)state;
	assert_result(unwind_debug_frame(&whole, false), STACK_END_COMPLETE, 2);
	assert_result(unwind_debug_frame(&whole, true), STACK_END_NO_CFI, 1);
	for (size_t size = 0; size < whole.size - 4; size++) {
		frames = whole;
		frames.size = size;
		assert_result(unwind_debug_frame(&frames, false), STACK_END_NO_CFI, 1);
	}
	/* The CIE that it names is itself, in the middle of one, beyond the end. */
	for (unsigned i = 0; i < 4; i++) {
		const uint32_t cies[] = {fde, 4, 0x1000, 0xfffffffe};

		frames = whole;
		put32(&frames, fde + 4, cies[i]);
		assert_result(unwind_debug_frame(&frames, false), STACK_END_NO_CFI, 1);
	}
	/* The long form, with a length that is not there. */
	frames = whole;
	put32(&frames, fde, UINT32_MAX);
	assert_result(unwind_debug_frame(&frames, false), STACK_END_NO_CFI, 1);
	/* Nothing but padding before it: it is found; nothing but padding: it is not. */
	frames = (struct frames){.size = FRAMES_BYTES_MAX};
	assert_result(unwind_debug_frame(&frames, false), STACK_END_NO_CFI, 1);
	memcpy(frames.bytes + FRAMES_BYTES_MAX - whole.size, whole.bytes, whole.size);
	put32(&frames, FRAMES_BYTES_MAX - whole.size + fde + 4, FRAMES_BYTES_MAX - whole.size);
	assert_result(unwind_debug_frame(&frames, false), STACK_END_COMPLETE, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_cfa_that_stays),
	    cmocka_unit_test(test_cfa_that_stays_in_two),
	    cmocka_unit_test(test_signals_for_ever),
	    cmocka_unit_test(test_outside_of_the_copy),
	    cmocka_unit_test(test_expressions),
	    cmocka_unit_test(test_cut_and_wrong_lengths),
	    cmocka_unit_test(test_cie_chains),
	    cmocka_unit_test(test_huge_numbers),
	    cmocka_unit_test(test_ranges),
	    cmocka_unit_test(test_header_tables),
	    cmocka_unit_test(test_debug_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
