/* A file that a target executes: truncated, lying, or no ELF file at all. */
#include "base/cleanup.h"
#include "os/elf_file.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void use(struct elf_file *file)
{
	uint64_t bias;

	if (file->build_id_bytes > ELF_BUILD_ID_MAX)
		abort();
	elf_file_bias(file, 0x400000, 0, &bias);
	elf_file_bias(file, 0x7f0000001000, 0x1000, &bias);
	elf_file_bias(file, UINT64_MAX - 0xfff, UINT64_MAX - 0xfff, &bias);
	array_each (segment, &file->segments)
		elf_file_bias(file, segment->vaddr, segment->file_offset, &bias);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct elf_file file = {0};
	struct error error = {0};
	int result;

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		abort();
	result = elf_file_read(fd, "fuzz", &file, &error);
	if (!result) {
		use(&file);
		elf_file_fini(&file);
	} else if (!error.message[0] || error.code != result) {
		abort(); /* a failure says why */
	}
	close(fd);
	return 0;
}
