/* collect/agent/program_file, event/first_library: which programs the agent cannot be loaded into.
 */
#include "collect/agent/program_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { ADDRESS = 0x400000, SEGMENTS = 3, ENTRIES = 24 };

/* A dynamically linked program: one segment that is the file, and needs one library. */
struct file {
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS];
	Elf64_Dyn dynamic[ENTRIES];
	char interpreter[32], strings[64];
};

static struct file file_needing(const char *library)
{
	struct file file = {
	    .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				   EV_CURRENT},
		       .e_type = ET_DYN,
		       .e_machine = EM_X86_64,
		       .e_phoff = offsetof(struct file, segments),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = SEGMENTS},
	    .segments = {{.p_type = PT_INTERP,
			  .p_offset = offsetof(struct file, interpreter),
			  .p_filesz = sizeof(file.interpreter)},
			 {.p_type = PT_LOAD, .p_vaddr = ADDRESS, .p_filesz = sizeof(file)},
			 {.p_type = PT_DYNAMIC,
			  .p_offset = offsetof(struct file, dynamic),
			  .p_filesz = sizeof(file.dynamic)}},
	    .interpreter = "/lib64/ld-linux-x86-64.so.2",
	};

	/* In the second batch that is read, the string table's address behind it. */
	for (unsigned i = 0; i < 18; i++)
		file.dynamic[i].d_tag = DT_FLAGS;
	file.dynamic[18] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = 5};
	file.dynamic[19] =
	    (Elf64_Dyn){.d_tag = DT_STRTAB, .d_un.d_ptr = ADDRESS + offsetof(struct file, strings)};
	strcpy(file.strings + 5, library);
	return file;
}

/* What is said of the first `bytes` of it; `why` is a part of the reason. */
static int way_of_bytes(const void *file, size_t bytes, bool runs, const char *why)
{
	int fd = memfd_create("program", MFD_CLOEXEC);
	struct error error = {0};
	enum program_way way;
	char path[64];
	int result;

	assert_int_equal(write(fd, file, bytes), bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = program_file_way(path, runs, &way, &error);
	if (result)
		assert_non_null(strstr(error.message, why));
	else
		assert_int_equal(way, PROGRAM_PRELOAD);
	close(fd);
	return result;
}

static int way_of(const struct file *file, bool runs)
{
	return way_of_bytes(file, sizeof(*file), runs, "AddressSanitizer");
}

static void test_first_library(void **state)
{
	static const char *const others[] = {"libc.so.6", "libtsan.so.2", "libubsan.so.1", ""};
	struct file file;

	file = file_needing("libasan.so.8");
	assert_int_equal(way_of(&file, false), -ENOTSUP);
	assert_int_equal(way_of(&file, true), 0); /* its library has looked already */
	file = file_needing("libclang_rt.asan-x86_64.so");
	assert_int_equal(way_of(&file, false), -ENOTSUP);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		file = file_needing(others[i]);
		assert_int_equal(way_of(&file, false), 0);
	}
	file = file_needing("libasan.so.8");
	file.dynamic[17].d_tag = DT_NULL; /* what follows is none of it */
	assert_int_equal(way_of(&file, false), 0);
}

/* Whatever a file says, it is read and nothing else. */
static void test_hostile(void **state)
{
	struct file file = file_needing("libasan.so.8");
	unsigned seed = getpid();

	print_message("seed %u\n", seed);
	for (size_t bytes = 0; bytes < sizeof(file); bytes += 3)
		way_of_bytes(&file, bytes, false, "");
	for (int round = 0; round < 5000; round++) {
		struct file bad = file;

		for (int i = 0; i < 4; i++) {
			size_t at = rand_r(&seed) % (offsetof(struct file, interpreter) / 4) * 4;
			uint32_t value = rand_r(&seed) % 3 ? (uint32_t)rand_r(&seed) : UINT32_MAX;

			memcpy((char *)&bad + at, &value, sizeof(value));
		}
		memcpy(&bad.header, &file.header, EI_NIDENT);
		way_of_bytes(&bad, sizeof(bad), false, "");
	}
}

static void test_others(void **state)
{
	struct file file = file_needing("libc.so.6");

	strcpy(file.interpreter, "/lib/ld-musl-x86_64.so.1");
	assert_int_equal(way_of_bytes(&file, sizeof(file), false, "musl"), -ENOTSUP);
	file.segments[0].p_type = PT_NULL;
	assert_int_equal(way_of_bytes(&file, sizeof(file), false, "statically linked"), -ENOTSUP);
	assert_int_equal(way_of_bytes("#!/nowhere\n", 11, false, ""), 0);
}

/* A device may take it as an order that it is opened: what is no file is left alone. */
static void test_device(void **state)
{
	char folder[] = "/tmp/htrace-test-XXXXXX", pipe[64], script[80];
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct inotify_event events[8];

	assert_non_null(mkdtemp(folder));
	snprintf(pipe, sizeof(pipe), "%s/pipe", folder);
	snprintf(script, sizeof(script), "#!%s\n", pipe);
	assert_int_equal(mkfifo(pipe, 0700), 0);
	assert_true(inotify_add_watch(watch, pipe, IN_OPEN) >= 0);
	assert_int_equal(way_of_bytes(script, strlen(script), false, ""), 0);
	assert_int_equal(read(watch, events, sizeof(events)), -1);
	close(open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	assert_true(read(watch, events, sizeof(events)) > 0);
	close(watch);
	unlink(pipe);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_first_library),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_others),
	    cmocka_unit_test(test_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
