/* Owns the search for separate debug files and the proof that one belongs to its module. */
#include "symbol/debug_file.h"

#include "base/cleanup.h"
#include "symbol/debuginfod.h"
#include "symbol/elf_section.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct debug_finder {
	char *root;
	struct debuginfod *debuginfod;
};

/* What is looked for, and in whose file system. */
struct wanted {
	const struct module *module;
	const uint8_t *build_id;
	size_t build_id_bytes; /* 0: the CRC decides */
	bool has_crc;
	uint32_t crc;
};

/* A debug file without a build ID is read whole for its CRC: not one of any size. */
static const uint64_t crc_file_bytes_max = (uint64_t)4 << 30;

struct debug_finder *debug_finder_new(const char *root)
{
	struct debug_finder *finder = xcalloc(1, sizeof(*finder));

	finder->root = xstrdup(root ? root : "/usr/lib/debug");
	return finder;
}

void debug_finder_free(struct debug_finder *finder)
{
	if (!finder)
		return;
	debuginfod_free(finder->debuginfod);
	free(finder->root);
	free(finder);
}

/* CRC-32 of .gnu_debuglink: polynomial 0xedb88320, reflected (GDB manual, "Separate Debug Files").
 */
static uint32_t crc_update(uint32_t crc, const uint8_t *bytes, size_t size)
{
	uint32_t table[256];

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320u : table[i] >> 1;
	}
	for (size_t i = 0; i < size; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return crc;
}

static bool crc_matches(int fd, const struct stat *status, uint32_t wanted)
{
	enum { CHUNK = 1 << 20 };
	_cleanup_(free) uint8_t *bytes = xmalloc(CHUNK);
	uint32_t crc = 0xffffffffu;
	off_t offset = 0;
	ssize_t got;

	if ((uint64_t)status->st_size > crc_file_bytes_max)
		return false;
	/* No further than its size at the start: a file may grow while it is read. */
	while (offset < status->st_size && (got = pread(fd, bytes, CHUNK, offset)) > 0) {
		crc = crc_update(crc, bytes, got);
		offset += got;
	}
	return ~crc == wanted;
}

static bool belongs(int fd, const struct wanted *wanted)
{
	struct stat status, own;
	struct elf_file file;
	bool same_id, has_id;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return false;
	if (wanted->module->fd >= 0 && fstat(wanted->module->fd, &own) == 0 &&
	    own.st_dev == status.st_dev && own.st_ino == status.st_ino)
		return false; /* the module itself */
	if (elf_file_read(fd, "", &file, NULL) < 0)
		return false;
	has_id = file.build_id_bytes;
	same_id = file.build_id_bytes == wanted->build_id_bytes &&
		  !memcmp(file.build_id, wanted->build_id, wanted->build_id_bytes);
	elf_file_fini(&file);
	if (has_id && wanted->build_id_bytes)
		return same_id;
	return wanted->has_crc && crc_matches(fd, &status, wanted->crc);
}

/* O_NONBLOCK: a FIFO under that name must not stop us. */
static int open_candidate(const char *path, const struct wanted *wanted)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd >= 0 && belongs(fd, wanted) ? take_fd(&fd) : -1;
}

/* `path` as the module's process sees it, then as we do. */
static int open_both(const char *path, const struct wanted *wanted)
{
	_cleanup_(free) char *theirs = xasprintf("/proc/%d/root%s", wanted->module->seen_in, path);
	int fd = wanted->module->seen_in > 0 ? open_candidate(theirs, wanted) : -1;

	return fd >= 0 ? fd : open_candidate(path, wanted);
}

static int open_by_build_id(const struct debug_finder *finder, const struct wanted *wanted)
{
	char hex[2 * ELF_BUILD_ID_MAX + 1] = "";
	_cleanup_(free) char *path = NULL;

	if (wanted->build_id_bytes < 2 || wanted->build_id_bytes > ELF_BUILD_ID_MAX)
		return -1;
	for (size_t i = 0; i < wanted->build_id_bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", wanted->build_id[i]);
	path = xasprintf("%s/.build-id/%.2s/%s.debug", finder->root, hex, hex + 2);
	return open_both(path, wanted);
}

/* The folder of `path` without its last slash; "" for the root folder. */
static char *folder_dup(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? xstrndup(path, slash - path) : xstrdup(".");
}

/* .gnu_debuglink: a file name, padded to 4 bytes, and the CRC of the file. */
static const char *read_debuglink(Elf *elf, uint32_t *crc)
{
	Elf_Data *data = elf_section_data(elf, ".gnu_debuglink");
	size_t name_bytes, at;

	if (!data || !data->d_buf)
		return NULL;
	name_bytes = strnlen(data->d_buf, data->d_size);
	at = (name_bytes + 4) & ~(size_t)3;
	if (!name_bytes || name_bytes > NAME_MAX || at + sizeof(*crc) > data->d_size ||
	    memchr(data->d_buf, '/', name_bytes))
		return NULL;
	memcpy(crc, (char *)data->d_buf + at, sizeof(*crc));
	return data->d_buf;
}

static int open_by_debuglink(const struct debug_finder *finder, Elf *elf, struct wanted *wanted)
{
	_cleanup_(free) char *folder = folder_dup(wanted->module->path);
	const char *name = read_debuglink(elf, &wanted->crc);
	int fd = -1;

	if (!name || folder[0] == '[')
		return -1;
	wanted->has_crc = true;
	for (int place = 0; place < 3 && fd < 0; place++) {
		_cleanup_(free) char *path = xasprintf("%s%s%s/%s", place == 2 ? finder->root : "",
						       folder, place == 1 ? "/.debug" : "", name);

		fd = open_both(path, wanted);
	}
	return fd;
}

int debug_finder_open(struct debug_finder *finder, const struct module *module, Elf *elf)
{
	struct wanted wanted = {
	    .module = module,
	    .build_id = module->elf.build_id,
	    .build_id_bytes = module->elf.build_id_bytes,
	};
	int fd = open_by_build_id(finder, &wanted);

	if (fd < 0)
		fd = open_by_debuglink(finder, elf, &wanted);
	if (fd < 0 && wanted.build_id_bytes) {
		if (!finder->debuginfod)
			finder->debuginfod = debuginfod_new();
		fd = debuginfod_find(finder->debuginfod, wanted.build_id, wanted.build_id_bytes);
		if (fd >= 0 && !belongs(fd, &wanted)) {
			close(fd);
			fd = -1;
		}
	}
	return fd < 0 ? -1 : fd;
}

int debug_finder_open_alt(struct debug_finder *finder, const struct module *module, int beside,
			  const char *name, const uint8_t *build_id, size_t build_id_bytes)
{
	struct wanted wanted = {
	    .module = module, .build_id = build_id, .build_id_bytes = build_id_bytes};
	_cleanup_(free) char *self = xasprintf("/proc/self/fd/%d", beside);
	_cleanup_(free) char *folder = NULL, *path = NULL;
	char target[PATH_MAX];
	ssize_t bytes;
	int fd = open_by_build_id(finder, &wanted);

	if (fd >= 0)
		return fd;
	if (name[0] == '/')
		return open_both(name, &wanted);
	bytes = readlink(self, target, sizeof(target) - 1);
	if (bytes < 0)
		return -1;
	target[bytes] = '\0';
	folder = folder_dup(target);
	path = xasprintf("%s/%s", folder, name);
	return open_candidate(path, &wanted);
}
