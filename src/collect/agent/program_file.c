/* Owns what can be known of a program before it runs: its file, and its interpreter's name. */
#include "collect/agent/program_file.h"

#include "base/cleanup.h"
#include "event/first_library.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPT_DEPTH_MAX = 5, SEGMENTS_MAX = 128, HEAD_BYTES = 256, NOTES_BYTES = 4096 };

#define CANNOT "the agent cannot be loaded into %s: "

struct program_file {
	const char *path;
	bool runs;
	enum program_way way;
};

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

/* ---- ELF files ---- */

struct elf_facts {
	char interpreter[HEAD_BYTES]; /* "": none */
	bool is_go;                   /* has a note of its linker */
	bool is_gnu;                  /* has the note that glibc's startup code brings */
};

static void read_notes(const uint8_t *bytes, size_t n, struct elf_facts *facts)
{
	Elf64_Nhdr note;

	for (size_t at = 0; at + sizeof(note) <= n;) {
		const char *name = (const char *)bytes + at + sizeof(note);

		memcpy(&note, bytes + at, sizeof(note));
		at += sizeof(note);
		if (note.n_namesz > n - at || note.n_descsz > n - at)
			return;
		facts->is_go |= note.n_namesz == 4 && !memcmp(name, "Go\0", 4);
		facts->is_gnu |=
		    note.n_namesz == 4 && !memcmp(name, "GNU", 4) && note.n_type == NT_GNU_ABI_TAG;
		at += ((size_t)note.n_namesz + 3) / 4 * 4 + ((size_t)note.n_descsz + 3) / 4 * 4;
	}
}

static void read_segments(int fd, const Elf64_Ehdr *header, struct elf_facts *facts)
{
	for (unsigned i = 0; i < header->e_phnum && i < SEGMENTS_MAX; i++) {
		uint8_t bytes[NOTES_BYTES];
		Elf64_Phdr segment;
		ssize_t n;

		if (pread(fd, &segment, sizeof(segment),
			  header->e_phoff + (uint64_t)i * sizeof(segment)) != sizeof(segment))
			return;
		if (segment.p_type != PT_INTERP && segment.p_type != PT_NOTE)
			continue;
		n = segment.p_filesz < sizeof(bytes) ? segment.p_filesz : sizeof(bytes);
		n = pread(fd, bytes, n, segment.p_offset);
		if (n > 0 && segment.p_type == PT_NOTE)
			read_notes(bytes, n, facts);
		else if (n > 0)
			memcpy(facts->interpreter, bytes, n < HEAD_BYTES ? n : HEAD_BYTES - 1);
	}
}

static int64_t read_at(int fd, void *to, uint64_t bytes, uint64_t offset)
{
	return pread(fd, to, bytes, offset);
}

static bool wants_own_library_first(int fd, const Elf64_Ehdr *header)
{
	return first_library_is_wanted(&(struct first_library_file){read_at, fd, header});
}

static int check_elf(int fd, struct program_file *program, struct error *error)
{
	struct elf_facts facts = {0};
	Elf64_Ehdr header;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
	    header.e_phentsize != sizeof(Elf64_Phdr))
		return 0;
	read_segments(fd, &header, &facts);
	if (facts.is_go)
		return error_set(error, -ENOTSUP,
				 CANNOT "it is a Go program, which makes its system calls itself",
				 program->path);
	if (strstr(facts.interpreter, "musl"))
		return error_set(error, -ENOTSUP, CANNOT "it runs with musl, not glibc",
				 program->path);
	if (!*facts.interpreter && !facts.is_gnu)
		return error_set(error, -ENOTSUP,
				 CANNOT "it is statically linked, and not with glibc",
				 program->path);
	if (!program->runs && wants_own_library_first(fd, &header))
		return error_set(error, -ENOTSUP,
				 CANNOT
				 "AddressSanitizer's library (libasan) must be its first one",
				 program->path);
	if (!*facts.interpreter)
		program->way = PROGRAM_INJECT;
	return 0;
}

/* ---- files ---- */

/* "#! /usr/bin/env ...": what runs is the interpreter. */
static bool script_interpreter(const char *head, char path[static HEAD_BYTES])
{
	if (head[0] != '#' || head[1] != '!')
		return false;
	head += 2 + strspn(head + 2, " \t");
	snprintf(path, HEAD_BYTES, "%.*s", (int)strcspn(head, " \t\n"), head);
	return true;
}

static int check_file(const char *path, struct program_file *program, unsigned depth,
		      struct error *error)
{
	char head[HEAD_BYTES] = "", interpreter[HEAD_BYTES];
	_cleanup_(close_fd) int fd = -1;
	struct stat status;
	int code;

	/* Not opened to find out: a device may take that as an order (#!/dev/watchdog). */
	if (depth > SCRIPT_DEPTH_MAX || stat(path, &status) < 0 || !S_ISREG(status.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	code = fd < 0 ? errno : 0;
	if (!program->runs && is_privileged(path, &status))
		return error_set(error, -ENOTSUP,
				 CANNOT "it has another user's rights (set-user-ID, set-group-ID "
					"or capabilities)",
				 program->path);
	if (code == EACCES)
		return error_set(error, -ENOTSUP, CANNOT "its file may not be read", program->path);
	if (code || pread(fd, head, sizeof(head) - 1, 0) < 4)
		return 0;
	if (!memcmp(head, ELFMAG, SELFMAG))
		return check_elf(fd, program, error);
	return script_interpreter(head, interpreter)
		   ? check_file(interpreter, program, depth + 1, error)
		   : 0;
}

int program_file_way(const char *path, bool runs, enum program_way *way, struct error *error)
{
	struct program_file program = {path, runs, PROGRAM_PRELOAD};
	int result = check_file(path, &program, 0, error);

	*way = program.way;
	return result;
}
