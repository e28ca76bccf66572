/*
 * The search for system call sites against objdump: every one of interest in the C library, in
 * ld.so and in a program that is linked statically, and nothing that is none.
 */
#include "event/site_search.h"

#include "base/array.h"
#include "model/fd_syscalls.h"
#include "os/elf_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { INSTRUCTIONS_BACK = 12 };

struct instruction {
	uint64_t vaddr;
	char text[88];
};

struct instructions {
	ARRAY(struct instruction) all;
};

static struct plan plan;

static void disassemble(const char *path, struct instructions *out)
{
	char command[4096], line[512];
	FILE *stream;

	*out = (struct instructions){0};
	snprintf(command, sizeof(command), "objdump -d --no-show-raw-insn '%s' 2>/dev/null", path);
	stream = popen(command, "r");
	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream)) {
		struct instruction instruction = {0};

		if (sscanf(line, " %" SCNx64 ":\t%87[^\n]", &instruction.vaddr, instruction.text) ==
		    2)
			array_push(&out->all, instruction);
	}
	assert_int_equal(pclose(stream), 0);
	assert_true(out->all.count > 1000);
}

static const struct instruction *instruction_at(const struct instructions *all, uint64_t vaddr)
{
	size_t low = 0, high = all->all.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (all->all.data[middle].vaddr < vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < all->all.count && all->all.data[low].vaddr == vaddr ? &all->all.data[low]
									 : NULL;
}

/* Does it, straight ahead, set eax? *number: to what, -1: to something else. */
static bool sets_eax(const char *text, int64_t *number)
{
	unsigned value;
	size_t length = strlen(text);

	*number = -1;
	if (sscanf(text, "mov $0x%x,%%eax", &value) == 1 && strstr(text, ",%eax"))
		*number = value;
	else if (!strncmp(text, "xor    %eax,%eax", 16))
		*number = 0;
	return length > 5 && (strstr(text, ",%eax") || strstr(text, ",%rax")) &&
	       strncmp(text, "cmp", 3) && strncmp(text, "test", 4);
}

/* The number that stands in eax at a syscall as the code before it says; -1: it does not. */
static int64_t number_at(const struct instructions *all, size_t call)
{
	for (size_t i = call; i > 0 && call - i < INSTRUCTIONS_BACK; i--) {
		const char *text = all->all.data[i - 1].text;
		int64_t number;

		if (sets_eax(text, &number))
			return number;
		if (text[0] == 'j' || !strncmp(text, "call", 4) || !strncmp(text, "ret", 3) ||
		    !strncmp(text, "syscall", 7))
			break;
	}
	return -1;
}

/* What the search takes for a site is one. */
static void check_site(const struct instructions *all, const struct site *site, uint64_t vaddr)
{
	const struct instruction *mov = instruction_at(all, vaddr + site->at);
	const struct instruction *call = instruction_at(all, vaddr + site->behind - 2);
	const struct instruction *next = instruction_at(all, vaddr + site->behind);
	unsigned number = 0;

	assert_non_null(mov);
	assert_non_null(call);
	assert_non_null(next);
	assert_true(!strncmp(call->text, "syscall", 7));
	if (site->kind == ARENA_SITE_ANY_NUMBER) {
		assert_true(!strncmp(mov->text, "mov    0x8(%rsp),%r9", 20));
	} else if (site->set_bytes == 2) {
		assert_true(!strncmp(mov->text, "xor    %eax,%eax", 16));
	} else {
		assert_int_equal(sscanf(mov->text, "mov $0x%x", &number), 1);
		assert_int_equal(number, site->number);
	}
	assert_int_equal(site->compare_bytes != 0,
			 site->kind != ARENA_SITE_EXIT && !strncmp(next->text, "cmp    $", 8) &&
			     (strstr(next->text, ",%eax") || strstr(next->text, ",%rax")) &&
			     next[1].vaddr - next->vaddr >= 5);
}

/* Nothing may be missed but bad references, where more than a plain move stands in between. */
static void check_segment(const char *path, const struct instructions *all,
			  const struct elf_segment *segment, const uint8_t *bytes, size_t least)
{
	ARRAY(uint64_t) found = {0};
	size_t from = 0, missed = 0, kinds[5] = {0}, between = 0;
	struct site site;

	while ((from = site_next(bytes, segment->file_bytes, from, &plan, &site))) {
		check_site(all, &site, segment->vaddr);
		array_push(&found, segment->vaddr + site.behind);
		kinds[site.kind]++;
		between += site.between_bytes > 0;
	}
	for (size_t i = 0, next = 0; i < all->all.count; i++) {
		int64_t number;

		if (strncmp(all->all.data[i].text, "syscall", 7) ||
		    all->all.data[i].vaddr - segment->vaddr >= segment->file_bytes)
			continue;
		number = number_at(all, i);
		if (next < found.count && found.data[next] == all->all.data[i].vaddr + 2) {
			next++;
		} else if (number >= 0 && site_is_wanted(&plan, (uint32_t)number)) {
			assert_int_equal(plan.calls[number].when, PLAN_LEAVE_EBADF);
			missed++;
			printf("missed: %" PRIx64 ", call %" PRId64 ", behind %s\n",
			       all->all.data[i].vaddr, number, all->all.data[i - 1].text);
		}
	}
	printf("%s: %zu compared, %zu bare, %zu of any number, %zu exits; %zu with something "
	       "between; %zu missed\n",
	       path, kinds[ARENA_SITE_COMPARED], kinds[ARENA_SITE_BARE],
	       kinds[ARENA_SITE_ANY_NUMBER], kinds[ARENA_SITE_EXIT], between, missed);
	assert_true(found.count >= least);
	assert_true(found.count <= ARENA_FILE_SITES_MAX);
	assert_true(missed <= 4);
	array_fini(&found);
}

static void check_file(const char *path, size_t least)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_file elf;
	struct error error;
	struct instructions all;

	assert_true(fd >= 0);
	assert_int_equal(elf_file_read(fd, path, &elf, &error), 0);
	disassemble(path, &all);
	array_each (segment, &elf.segments) {
		uint8_t *bytes;

		if (!segment->executable)
			continue;
		bytes = malloc(segment->file_bytes);
		assert_int_equal(pread(fd, bytes, segment->file_bytes, (off_t)segment->file_offset),
				 segment->file_bytes);
		check_segment(path, &all, segment, bytes, least);
		free(bytes);
	}
	array_fini(&all.all);
	elf_file_fini(&elf);
	close(fd);
}

static int check_library(struct dl_phdr_info *info, size_t size, void *context)
{
	const char *name = strrchr(info->dlpi_name, '/');

	(void)size;
	(void)context;
	if (name && !strncmp(name, "/libc.so", 8))
		check_file(info->dlpi_name, 60);
	if (name && !strncmp(name, "/ld-linux", 9))
		check_file(info->dlpi_name, 10);
	return 0;
}

static void test_libraries(void **state)
{
	(void)state;
	dl_iterate_phdr(check_library, NULL);
}

static void test_static_program(void **state)
{
	(void)state;
	check_file(HTRACE_TEST_STATIC, 30);
}

/* One site at a time, between bytes that are none; or none. */
static void expect(const char *hex, uint32_t kind, uint32_t number, uint32_t between)
{
	uint8_t bytes[64];
	size_t n = 0;
	struct site site = {0};

	for (const char *at = hex; *at; at += at[2] ? 3 : 2) {
		unsigned value;

		assert_int_equal(sscanf(at, "%2x", &value), 1);
		bytes[n++] = (uint8_t)value;
	}
	if (!kind) {
		assert_int_equal(site_next(bytes, n, 0, &plan, &site), 0);
		return;
	}
	assert_true(site_next(bytes, n, 0, &plan, &site) > 0);
	assert_int_equal(site.kind, kind);
	assert_int_equal(site.number, number);
	assert_int_equal(site.between_bytes, between);
	for (size_t cut = 0; cut < n; cut++) { /* never reads behind the end */
		uint8_t *copy = malloc(cut + 1);

		memcpy(copy, bytes, cut);
		for (size_t at = 0; at <= cut; at++)
			site_read(copy, cut, at, &site);
		free(copy);
	}
}

static void test_forms(void **state)
{
	(void)state;
	expect("b8 03 00 00 00 0f 05 48 3d 00 f0 ff ff", ARENA_SITE_COMPARED, 3, 0);
	expect("b8 03 00 00 00 0f 05 3d 00 f0 ff ff", ARENA_SITE_COMPARED, 3, 0);
	expect("b8 03 00 00 00 0f 05 c3", ARENA_SITE_BARE, 3, 0);
	expect("b8 03 00 00 00 0f 05", ARENA_SITE_BARE, 3, 0);
	expect("b8 01 01 00 00 bf 9c ff ff ff 0f 05 c3", ARENA_SITE_BARE, 257, 5);
	expect("b8 01 01 00 00 bf 9c ff ff ff 31 d2 0f 05 c3", ARENA_SITE_BARE, 257, 7);
	expect("b8 03 00 00 00 8b 7d a0 0f 05 c3", ARENA_SITE_BARE, 3, 3);
	expect("b8 03 00 00 00 41 89 c8 0f 05 c3", ARENA_SITE_BARE, 3, 3);
	expect("31 c0 0f 05 48 3d 00 f0 ff ff", ARENA_SITE_COMPARED, 0, 0);
	expect("4c 8b 4c 24 08 0f 05 48 3d 01 f0 ff ff", ARENA_SITE_ANY_NUMBER, 0, 0);
	expect("ba 3c 00 00 00 66 90 31 ff 89 d0 0f 05 eb f8", ARENA_SITE_EXIT, 60, 0);
	expect("be e7 00 00 00 eb 01 cc 89 f0 0f 05", ARENA_SITE_EXIT, 231, 0);
	/* Not a number, not of interest, another register, an immediate behind a displacement. */
	expect("b8 03 00 01 00 0f 05", 0, 0, 0);
	expect("b8 27 00 00 00 0f 05", 0, 0, 0);
	expect("41 b8 03 00 00 00 0f 05 c3", 0, 0, 0);
	expect("45 31 c0 0f 05 48 3d 00 f0 ff ff", 0, 0, 0);
	expect("c7 45 b8 03 00 00 00 0f 05 c3", 0, 0, 0);
	expect("c7 44 24 b8 03 00 00 00 0f 05 c3", 0, 0, 0);
	/* What stands between takes eax, rsp, or where it stands for something. */
	expect("b8 03 00 00 00 8b 07 0f 05 c3", 0, 0, 0);
	expect("b8 03 00 00 00 b8 27 00 00 00 0f 05 c3", 0, 0, 0);
	expect("b8 03 00 00 00 8b 3d 00 00 00 00 0f 05 c3", 0, 0, 0);
	expect("b8 03 00 00 00 48 89 e4 0f 05 c3", 0, 0, 0);
	expect("b8 03 00 00 00 eb 00 0f 05 c3", 0, 0, 0);
	expect("ba 3c 00 00 00 ba 05 00 00 00 89 d0 0f 05", 0, 0, 0);
	expect("ba 3c 00 00 00 89 c8 0f 05", 0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_libraries),
	    cmocka_unit_test(test_static_program),
	};

	fd_syscalls_plan(&plan, true);
	if (system("objdump --version >/dev/null 2>&1") != 0) {
		puts("skipped: no objdump here");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
