/* Owns what can be known of a program before it runs: its file, and its interpreter's name. */
#include "collect/agent/program_file.h"

#include "base/cleanup.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { SCRIPT_DEPTH_MAX = 5, SEGMENTS_MAX = 128, HEAD_BYTES = 256 };

#define CANNOT "the agent cannot be loaded into %s: "

/* The kernel tells the dynamic linker not to trust LD_PRELOAD (AT_SECURE). */
static bool is_privileged(const char *path, const struct stat *status)
{
	char capabilities[64];

	return (status->st_mode & S_ISUID && status->st_uid != geteuid()) ||
	       (status->st_mode & S_ISGID && status->st_mode & S_IXGRP &&
		status->st_gid != getegid()) ||
	       (geteuid() &&
		getxattr(path, "security.capability", capabilities, sizeof(capabilities)) > 0);
}

/* The interpreter that an ELF file names; false: none. */
static bool read_interpreter(int fd, char name[static HEAD_BYTES], const Elf64_Ehdr *header)
{
	for (unsigned i = 0; i < header->e_phnum && i < SEGMENTS_MAX; i++) {
		Elf64_Phdr segment;
		ssize_t bytes;

		if (pread(fd, &segment, sizeof(segment),
			  header->e_phoff + (uint64_t)i * sizeof(segment)) != sizeof(segment))
			return false;
		if (segment.p_type != PT_INTERP)
			continue;
		bytes = segment.p_filesz < HEAD_BYTES ? segment.p_filesz : HEAD_BYTES - 1;
		bytes = pread(fd, name, bytes, segment.p_offset);
		name[bytes > 0 ? bytes : 0] = '\0';
		return bytes > 0;
	}
	return false;
}

static int check_elf(int fd, const char *path, struct error *error)
{
	char interpreter[HEAD_BYTES];
	Elf64_Ehdr header;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
	    header.e_phentsize != sizeof(Elf64_Phdr))
		return 0;
	if (!read_interpreter(fd, interpreter, &header))
		return error_set(error, -ENOTSUP, CANNOT "it is statically linked", path);
	if (strstr(interpreter, "musl"))
		return error_set(error, -ENOTSUP, CANNOT "it runs with musl, not glibc", path);
	return 0;
}

/* "#! /usr/bin/env ...": what runs is the interpreter. */
static int check_script(char *line, unsigned depth, struct error *error);

static int check_file(const char *path, unsigned depth, struct error *error)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char head[HEAD_BYTES] = "";
	struct stat status;

	if (depth > SCRIPT_DEPTH_MAX || stat(path, &status) < 0 || !S_ISREG(status.st_mode))
		return 0;
	if (is_privileged(path, &status))
		return error_set(error, -ENOTSUP,
				 CANNOT "it has another user's rights (set-user-ID, set-group-ID "
					"or capabilities)",
				 path);
	if (fd < 0)
		return errno == EACCES
			   ? error_set(error, -ENOTSUP, CANNOT "its file may not be read", path)
			   : 0;
	if (pread(fd, head, sizeof(head) - 1, 0) < 4)
		return 0;
	if (!memcmp(head, ELFMAG, SELFMAG))
		return check_elf(fd, path, error);
	return head[0] == '#' && head[1] == '!' ? check_script(head + 2, depth, error) : 0;
}

static int check_script(char *line, unsigned depth, struct error *error)
{
	line += strspn(line, " \t");
	line[strcspn(line, " \t\n")] = '\0';
	return check_file(line, depth + 1, error);
}

int program_file_takes_agent(const char *path, struct error *error)
{
	return check_file(path, 0, error);
}
