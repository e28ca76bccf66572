/* Owns what is told of mapped code, and which of it is patched. */
#include "mappings.h"

#include "event/libc_file.h"
#include "maps.h"
#include "system.h"
#include "text.h"

#include <sys/mman.h>
#include <sys/stat.h>

enum {
	PATH_BYTES = 1024,
	ANYWHERE_BYTES = 32, /* for "/proc/self/fd/N" */
	PIECE_BYTES = 4096,  /* of ARENA_MAPS */
};

/* The last state's number is given up only now: who saw it saw what was told before. */
static void renew_number(void)
{
	uint64_t number = __atomic_add_fetch(&agent.arena->mappings, 1, __ATOMIC_RELAXED);

	__atomic_store_n(&agent.mappings, number, __ATOMIC_RELEASE);
}

/* ---- whose sites are patched ---- */

static const struct arena_file *known_file(uint64_t inode, uint32_t major, uint32_t minor)
{
	for (int i = 0; i < ARENA_FILES_MAX; i++) {
		const struct arena_file *file = &agent.arena->files[i];

		if (__atomic_load_n(&file->ready, __ATOMIC_ACQUIRE) == 1 && file->inode == inode &&
		    file->device_major == major && file->device_minor == minor)
			return file;
	}
	return NULL;
}

/* ---- at the start ---- */

struct start {
	struct agent_thread *thread;
	struct arena_text *piece; /* under construction, in agent.scratch */
	uint32_t *reason;
	uint64_t entry; /* of the program; its own text is patched where there is no libc */
	int patched;
	int error;
};

static void tell_piece(struct start *start)
{
	uint32_t bytes = (uint32_t)((sizeof(*start->piece) + start->piece->size + 7) & ~7u);
	struct arena_text *event;

	if (!start->piece->size)
		return;
	event = record_begin(start->thread, bytes, 0);
	if (event) {
		event->size = start->piece->size;
		event->reserved = 0;
		memcpy(event->text, start->piece->text, start->piece->size);
		ring_commit(event, ARENA_MAPS, bytes);
	}
	start->piece->size = 0;
}

static void add_line(struct start *start, const struct maps_line *line)
{
	if (!start->thread || line->bytes > PIECE_BYTES - sizeof(*start->piece))
		return;
	if (start->piece->size + line->bytes > PIECE_BYTES - sizeof(*start->piece))
		tell_piece(start);
	memcpy(start->piece->text + start->piece->size, line->text, line->bytes);
	start->piece->size += line->bytes;
}

static void patch_line(struct start *start, const struct maps_line *line)
{
	int patched = patch_mapping(line->start, line->end, line->file_offset,
				    known_file(line->inode, line->device_major, line->device_minor),
				    start->reason);

	if (patched < 0)
		start->error = patched;
	else
		start->patched += patched;
}

static bool start_line(void *context, const struct maps_line *line)
{
	struct start *start = context;

	if (!line->executable)
		return true;
	add_line(start, line);
	if (line->inode && is_libc_file(line->path))
		patch_line(start, line);
	return true;
}

/* A static program has its libc in itself. */
static bool own_line(void *context, const struct maps_line *line)
{
	struct start *start = context;

	if (start->entry < line->start || start->entry >= line->end)
		return true;
	if (line->executable)
		patch_line(start, line);
	return false;
}

int mappings_start(struct agent_thread *thread, uint64_t entry, uint32_t *reason)
{
	struct start start = {
	    .thread = thread,
	    .entry = entry,
	    .reason = reason,
	    .piece = (struct arena_text *)(agent.scratch + AGENT_SCRATCH_BYTES - PIECE_BYTES),
	};
	int result;

	start.piece->size = 0;
	result =
	    maps_each((char *)agent.scratch, AGENT_SCRATCH_BYTES - PIECE_BYTES, start_line, &start);
	tell_piece(&start);
	renew_number();
	if (!result && !start.patched && !start.error)
		result = maps_each((char *)agent.scratch, AGENT_SCRATCH_BYTES - PIECE_BYTES,
				   own_line, &start);
	if (result < 0) {
		*reason = ARENA_OFF_MAPS;
		return result;
	}
	return start.patched ?: start.error;
}

/* ---- later ---- */

/* As new_decode_dev() of the kernel has it (linux/kdev_t.h). */
static uint32_t device_major(uint64_t device)
{
	return (uint32_t)((device >> 8 & 0xfff) | (device >> 32 & ~0xfffu));
}

static uint32_t device_minor(uint64_t device)
{
	return (uint32_t)((device & 0xff) | (device >> 12 & ~0xffu));
}

/* Of the file that was just mapped; its bytes. */
static uint32_t file_path(int fd, char *path)
{
	char link[ANYWHERE_BYTES];
	char *end = text_append_number(text_append(link, "/proc/self/fd/"), (uint64_t)fd);
	int64_t bytes;

	*end = 0;
	bytes = system_call3(__NR_readlink, (uint64_t)link, (uint64_t)path, PATH_BYTES - 1);
	if (bytes < 0)
		bytes = 0;
	path[bytes] = 0;
	return (uint32_t)bytes;
}

static void tell_map(struct agent_thread *thread, const struct call_frame *frame,
		     const struct stat *status, const char *path, uint32_t path_bytes)
{
	uint32_t bytes = (uint32_t)((sizeof(struct event_map) + path_bytes + 7) & ~7u);
	struct event_map *event = record_begin(thread, bytes, 0);

	if (!event)
		return;
	event->start = frame->ax;
	event->end = (frame->ax + frame->si + AGENT_PAGE - 1) & ~(uint64_t)(AGENT_PAGE - 1);
	event->file_offset = status ? frame->r9 : 0;
	event->inode = status ? status->st_ino : 0;
	event->device_major = status ? device_major(status->st_dev) : 0;
	event->device_minor = status ? device_minor(status->st_dev) : 0;
	event->path_size = path_bytes;
	event->reserved = 0;
	memcpy(event->path, path, path_bytes);
	ring_commit(event, EVENT_MAP, bytes);
}

void mappings_mapped(struct agent_thread *thread, const struct call_frame *frame)
{
	char path[PATH_BYTES];
	struct stat status;
	uint32_t reason;

	if (frame->r10 & MAP_ANONYMOUS) {
		tell_map(thread, frame, NULL, "", 0);
	} else if (system_call3(__NR_fstat, frame->r8, (uint64_t)&status, 0) < 0) {
		mappings_changed(thread);
		return;
	} else {
		tell_map(thread, frame, &status, path, file_path((int)frame->r8, path));
		if (is_libc_file(path)) /* another one, of dlmopen's */
			patch_mapping(frame->ax,
				      (frame->ax + frame->si + AGENT_PAGE - 1) &
					  ~(uint64_t)(AGENT_PAGE - 1),
				      frame->r9,
				      known_file(status.st_ino, device_major(status.st_dev),
						 device_minor(status.st_dev)),
				      &reason);
	}
	renew_number();
}

void mappings_changed(struct agent_thread *thread)
{
	struct arena_text *event = record_begin(thread, sizeof(*event), 0);

	if (event) {
		event->size = event->reserved = 0;
		ring_commit(event, ARENA_MAPS, sizeof(*event));
	}
	renew_number();
}
