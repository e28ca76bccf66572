/* Owns the search of a file's bytes for system calls, and the arena's table of files. */
#include "collect/agent/sites.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "event/libc_file.h"
#include "event/site_search.h"
#include "os/elf_file.h"

#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { SEGMENT_BYTES_MAX = 64 << 20 };

static void search(struct arena_file *file, const struct plan *plan, const uint8_t *code,
		   size_t bytes, uint64_t file_offset)
{
	struct site site = {0};
	size_t at = 0;

	while ((at = site_next(code, bytes, at, plan, &site)) &&
	       file->sites_n < ARENA_FILE_SITES_MAX)
		file->sites[file->sites_n++] = (struct arena_site){
		    .offset = file_offset + site.at,
		    .number = site.number,
		    .kind = site.kind,
		};
}

static int search_file(struct arena_file *file, const struct plan *plan, int fd, const char *path)
{
	struct elf_file elf;
	int result = elf_file_read(fd, path, &elf, NULL);

	if (result)
		return result;
	array_each (segment, &elf.segments) {
		_cleanup_(free) uint8_t *code = NULL;
		ssize_t bytes;

		if (!segment->executable || segment->file_bytes > SEGMENT_BYTES_MAX ||
		    segment->file_offset + segment->file_bytes > UINT32_MAX)
			continue;
		code = xmalloc(segment->file_bytes + 1);
		bytes = pread(fd, code, segment->file_bytes, segment->file_offset);
		if (bytes > 0)
			search(file, plan, code, bytes, segment->file_offset);
	}
	elf_file_fini(&elf);
	return 0;
}

static bool is_same(const struct arena_file *file, const struct stat *status)
{
	return file->inode == status->st_ino && file->bytes == (uint64_t)status->st_size &&
	       file->device_major == major(status->st_dev) &&
	       file->device_minor == minor(status->st_dev) &&
	       file->modified_ns == status->st_mtim.tv_sec * 1000000000ll + status->st_mtim.tv_nsec;
}

int sites_publish(struct arena *arena, const struct plan *plan, const char *path)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct arena_file file, *place = NULL;
	struct stat status;
	int result;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	for (unsigned i = 0; i < ARENA_FILES_MAX && !place; i++) {
		if (!arena->files[i].ready)
			place = &arena->files[i];
		else if (is_same(&arena->files[i], &status))
			return 0;
	}
	if (!place)
		return -ENOSPC;
	file = (struct arena_file){
	    .inode = status.st_ino,
	    .bytes = status.st_size,
	    .modified_ns = status.st_mtim.tv_sec * 1000000000ll + status.st_mtim.tv_nsec,
	    .device_major = major(status.st_dev),
	    .device_minor = minor(status.st_dev),
	};
	result = search_file(&file, plan, fd, path);
	if (result)
		return result;
	*place = file;
	__atomic_store_n(&place->ready, 1, __ATOMIC_RELEASE);
	return 0;
}

struct own {
	struct arena *arena;
	const struct plan *plan;
};

static int publish_own(struct dl_phdr_info *info, size_t bytes, void *context)
{
	const struct own *own = context;

	if (info->dlpi_name && is_libc_file(info->dlpi_name))
		sites_publish(own->arena, own->plan, info->dlpi_name);
	return 0;
}

void sites_publish_own(struct arena *arena, const struct plan *plan)
{
	struct own own = {arena, plan};

	dl_iterate_phdr(publish_own, &own);
}
