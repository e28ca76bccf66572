/* Owns the open descriptors of mapped files and where each was placed. */
#include "os/image.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/map.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct image_table {
	ARRAY(struct module *) modules;
	struct map images; /* id -> struct image * */
	uint32_t last_id;
	struct map by_place; /* hash of (module, start, file_offset) -> image id */
	struct map by_file;  /* hash of (device, inode, path) -> module */
	struct module *vdso;
};

struct image_table *image_table_new(void)
{
	return xcalloc(1, sizeof(struct image_table));
}

static void module_free(struct module *module)
{
	if (module->fd >= 0)
		close(module->fd);
	elf_file_fini(&module->elf);
	free((char *)module->path);
	free((char *)module->why_not);
	free(module);
}

void image_table_free(struct image_table *table)
{
	if (!table)
		return;
	array_each (module, &table->modules)
		module_free(*module);
	map_each (entry, &table->images)
		free((void *)(uintptr_t)entry->value);
	array_fini(&table->modules);
	map_fini(&table->images);
	map_fini(&table->by_place);
	map_fini(&table->by_file);
	free(table);
}

/*
 * Opens the file behind the mapping; `by_name` asks for proof that it is the one that is mapped.
 * Device numbers are not compared: overlay and btrfs show others in maps than in stat(2).
 */
static int open_candidate(const char *path, const struct event_map *event, bool by_name)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (by_name && status.st_ino != event->inode)
		return -ESTALE;
	return take_fd(&fd);
}

/* The kernel's own links, which lead to files without a name too. map_files needs privileges. */
static int open_by_link(const struct event_map *event)
{
	_cleanup_(free) char *mapping =
	    xasprintf("/proc/%d/map_files/%llx-%llx", event->header.pid,
		      (unsigned long long)event->start, (unsigned long long)event->end);
	_cleanup_(free) char *exe = xasprintf("/proc/%d/exe", event->header.pid);
	int fd = open_candidate(mapping, event, true);

	if (fd < 0 && event->header.flags & EVENT_MAP_EXE)
		fd = open_candidate(exe, event, true);
	return fd;
}

static int open_mapped(const struct event_map *event, const char *path, char **why_not)
{
	int fd = open_by_link(event);
	char *proc_path;
	int reason;

	if (fd >= 0)
		return fd;
	proc_path = xasprintf("/proc/%d/root%s", event->header.pid, path);
	reason = fd = open_candidate(proc_path, event, true);
	free(proc_path);
	if (fd < 0)
		fd = open_candidate(path, event, true);
	if (fd >= 0)
		return fd;
	if (reason == -ESTALE || fd == -ESTALE)
		*why_not = xstrdup("the file was replaced after it was mapped");
	else if (event->header.flags & EVENT_MAP_DELETED)
		*why_not =
		    xstrdup("the file was deleted, and /proc/PID/map_files is not permitted");
	else
		*why_not = xasprintf("cannot open it: %s", strerror(-fd));
	return -1;
}

/* A copy of our own vDSO in a memfd, so that it reads like any other file. */
static int open_vdso(void)
{
	const uint8_t *start = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	_cleanup_(close_fd) int fd = memfd_create("htrace-vdso", MFD_CLOEXEC);
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)start;
	size_t bytes;

	if (!start || fd < 0)
		return -1;
	/* The section headers come last in the vDSO (vdso2c keeps it so). */
	bytes = ehdr->e_shoff + (size_t)ehdr->e_shnum * ehdr->e_shentsize;
	if (write(fd, start, bytes) != (ssize_t)bytes)
		return -1;
	return take_fd(&fd);
}

static struct module *module_new(const struct event_map *event, const char *path)
{
	struct module *module = xcalloc(1, sizeof(*module));
	const char *slash;
	char *why_not = NULL;

	module->path = xstrdup(path);
	slash = strrchr(module->path, '/');
	module->name = slash && slash[1] ? slash + 1 : module->path;
	module->deleted = event->header.flags & EVENT_MAP_DELETED;
	module->seen_in = event->header.pid;
	module->fd =
	    event->header.flags & EVENT_MAP_VDSO ? open_vdso() : open_mapped(event, path, &why_not);
	if (module->fd >= 0) {
		struct error error;

		if (elf_file_read(module->fd, path, &module->elf, &error) < 0)
			why_not = xstrdup(error.message);
	}
	module->why_not = why_not;
	return module;
}

static struct module *module_find(struct image_table *table, const struct event_map *event)
{
	_cleanup_(free) char *path = xstrndup(event->path, event->path_size);
	struct module *module, *known;
	uint64_t key;

	if (event->header.flags & EVENT_MAP_VDSO) {
		if (!table->vdso) {
			table->vdso = module_new(event, "[vdso]");
			array_push(&table->modules, table->vdso);
		}
		return table->vdso;
	}
	key = hash_bytes(path, strlen(path), event->inode);
	key = hash_combine(key, (uint64_t)event->device_major << 32 | event->device_minor);
	known = map_get_pointer(&table->by_file, key);
	if (known && known->fd >= 0)
		return known;
	/* A file that could not be opened in one process may well be in the next. */
	module = module_new(event, path);
	if (known && module->fd < 0) {
		module_free(module);
		return known;
	}
	array_push(&table->modules, module);
	map_put_pointer(&table->by_file, key, module);
	return module;
}

uint32_t image_table_add(struct image_table *table, const struct event_map *event)
{
	struct module *module;
	struct image *image;
	uint64_t *slot;

	if (!event->inode && !(event->header.flags & EVENT_MAP_VDSO))
		return 0;
	module = module_find(table, event);
	slot = map_put(&table->by_place, hash_combine(hash_combine((uintptr_t)module, event->start),
						      event->file_offset ^ event->end << 20));
	if (*slot)
		return *slot;
	image = xcalloc(1, sizeof(*image));
	image->module = module;
	image->start = event->start;
	image->end = event->end;
	image->bias_known =
	    elf_file_bias(&module->elf, event->start, event->file_offset, &image->bias);
	if (!image->bias_known)
		image->bias = event->start - event->file_offset;
	*slot = ++table->last_id;
	map_put_pointer(&table->images, table->last_id, image);
	return table->last_id;
}

const struct image *image_table_get(const struct image_table *table, uint32_t image)
{
	return map_get_pointer(&table->images, image);
}

uint32_t image_table_count(const struct image_table *table)
{
	return table->images.count;
}

uint32_t image_table_modules(const struct image_table *table)
{
	return table->modules.count;
}

/* Those that no image is of. The vDSO stays. */
static uint32_t sweep_modules(struct image_table *table)
{
	struct map used = {0}, by_file = {0};
	uint32_t before = table->modules.count;
	size_t kept = 0;

	map_each (entry, &table->images)
		*map_put(&used, (uintptr_t)((struct image *)(uintptr_t)entry->value)->module) = 1;
	map_each (entry, &table->by_file)
		if (map_get(&used, entry->value))
			*map_put(&by_file, entry->key) = entry->value;
	map_fini(&table->by_file);
	table->by_file = by_file;
	array_each (module, &table->modules) {
		if (*module == table->vdso || map_get(&used, (uintptr_t)*module))
			table->modules.data[kept++] = *module;
		else
			module_free(*module);
	}
	table->modules.count = kept;
	map_fini(&used);
	return before - kept;
}

uint32_t image_table_sweep(struct image_table *table,
			   bool (*is_used)(const void *context, uint32_t image),
			   const void *context)
{
	struct map images = {0}, by_place = {0};

	map_each (entry, &table->by_place)
		if (is_used(context, entry->value))
			*map_put(&by_place, entry->key) = entry->value;
	map_each (entry, &table->images) {
		if (is_used(context, entry->key))
			*map_put(&images, entry->key) = entry->value;
		else
			free((void *)(uintptr_t)entry->value);
	}
	map_fini(&table->by_place);
	map_fini(&table->images);
	table->by_place = by_place;
	table->images = images;
	return sweep_modules(table);
}
