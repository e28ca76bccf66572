/*
 * Where a module's call frame information is found: by section headers, without them, and in a
 * file that is truncated after it was opened (which must cost rules, not our life).
 */
#include "base/cleanup.h"
#include "unwind/module_cfi.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <cmocka.h>

extern const char __executable_start;

/* Address of a function of this program in its own tables. */
static uint64_t vaddr_of(const void *function)
{
	return (uint64_t)function - (uint64_t)&__executable_start;
}

/* This very program, as a module of which we may change the file. */
static void setup_module(struct module *module)
{
	_cleanup_(close_fd) int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	off_t at = 0;

	*module = (struct module){.path = "self", .name = "self"};
	module->fd = memfd_create("self", MFD_CLOEXEC);
	assert_int_equal(fstat(self, &status), 0);
	while (at < status.st_size)
		assert_true(sendfile(module->fd, self, &at, status.st_size - at) > 0);
	assert_int_equal(elf_file_read(module->fd, "self", &module->elf, NULL), 0);
}

static bool rule_of(const struct module *module, uint64_t vaddr, struct rule *rule)
{
	struct module_cfi *loaded = module_cfi_new(module);
	struct rule_table table;
	bool found;

	rule_table_init(&table);
	found = cfi_rule(&loaded->cfi, vaddr, &table, rule);
	rule_table_fini(&table);
	module_cfi_free(loaded);
	return found;
}

static void teardown_module(struct module *module)
{
	close(module->fd);
	elf_file_fini(&module->elf);
}

static void test_sections(void **state)
{
	const Elf64_Half none = 0;
	const Elf64_Off nowhere = 0;
	struct module module;
	struct rule by_sections, by_segments;

	(void)state;
	setup_module(&module);
	assert_true(rule_of(&module, vaddr_of(test_sections), &by_sections));
	assert_int_equal(by_sections.cfa, RULE_CFA_REGISTER);
	assert_int_equal(by_sections.cfa_register, REGISTER_RSP);
	assert_int_equal(by_sections.cfa_offset, 8);
	assert_int_equal(pwrite(module.fd, &none, 2, offsetof(Elf64_Ehdr, e_shnum)), 2);
	assert_int_equal(pwrite(module.fd, &none, 2, offsetof(Elf64_Ehdr, e_shstrndx)), 2);
	assert_int_equal(pwrite(module.fd, &nowhere, 8, offsetof(Elf64_Ehdr, e_shoff)), 8);
	assert_true(rule_of(&module, vaddr_of(test_sections), &by_segments));
	assert_memory_equal(&by_sections, &by_segments, offsetof(struct rule, saved));
	teardown_module(&module);
}

static void test_truncated_file(void **state)
{
	uint8_t code[8];
	struct module module;
	struct rule rule;
	off_t bytes;

	(void)state;
	setup_module(&module);
	assert_true(module_code_read(&module, vaddr_of(setup_module), code, sizeof(code)));
	assert_memory_equal(code, (const void *)setup_module, sizeof(code));
	for (bytes = lseek(module.fd, 0, SEEK_END); bytes > 0; bytes = bytes * 7 / 8) {
		assert_int_equal(ftruncate(module.fd, bytes), 0);
		rule_of(&module, vaddr_of(setup_module), &rule);
		module_code_read(&module, vaddr_of(setup_module), code, sizeof(code));
	}
	assert_int_equal(ftruncate(module.fd, 0), 0);
	assert_false(rule_of(&module, vaddr_of(setup_module), &rule));
	assert_false(module_code_read(&module, vaddr_of(setup_module), code, sizeof(code)));
	teardown_module(&module);
}

/* Any file at all may be what was mapped: whatever bytes are wrong, nothing is read amiss. */
static void test_damaged_file(void **state)
{
	unsigned seed = getpid();
	struct rule rule;

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (unsigned round = 0; round < 60; round++) {
		struct module module;
		off_t bytes;

		setup_module(&module);
		bytes = lseek(module.fd, 0, SEEK_END);
		for (unsigned i = 0; i < 300; i++) {
			uint8_t byte = rand();
			/* Half of them in the headers and in the section headers at the end. */
			off_t range = i % 4 == 0 ? 1024 : i % 4 == 1 ? 2400 : bytes;
			off_t at = rand() % range;

			at = i % 4 == 1 ? bytes - 1 - at : at;
			assert_int_equal(pwrite(module.fd, &byte, 1, at), 1);
		}
		for (uint64_t vaddr = 0; vaddr < 0x10000; vaddr += 0x1003)
			rule_of(&module, vaddr, &rule);
		teardown_module(&module);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sections),
	    cmocka_unit_test(test_truncated_file),
	    cmocka_unit_test(test_damaged_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
