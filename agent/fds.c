/* Owns the bitmap of the descriptors that are open in this process, at a start and after a fork. */
#include "agent.h"

#include "system.h"
#include "text.h"

#include <dirent.h>
#include <fcntl.h>

enum {
	LIST_BYTES = 32 * 1024,   /* of agent.scratch, for the folder's entries; */
	BITMAP_BYTES = 16 * 1024, /* and behind it */
	LISTS_MAX = 8,            /* a fork must not take long in a process that has very many */
};

/* linux/dirent.h, which user space has not */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

struct bitmap {
	uint64_t
	    *words; /* the first words_n mean something: a page that is not touched costs nothing */
	uint64_t words_n;
	uint64_t own; /* what we read the folder with */
	bool cut;
};

static void note_number(struct bitmap *bitmap, uint64_t number)
{
	if (number >= BITMAP_BYTES * 8) {
		bitmap->cut = true;
		return;
	}
	while (bitmap->words_n <= number / 64)
		bitmap->words[bitmap->words_n++] = 0;
	bitmap->words[number / 64] |= 1ull << number % 64;
}

static void note_entries(struct bitmap *bitmap, const uint8_t *list, int64_t bytes)
{
	const struct entry *entry;

	for (int64_t at = 0; at + (int64_t)sizeof(*entry) <= bytes; at += entry->bytes) {
		const char *name;
		uint64_t number;

		entry = (const struct entry *)(list + at);
		name = entry->name;
		if (!entry->bytes)
			return;
		if (text_number(&name, &number) && number != bitmap->own)
			note_number(bitmap, number);
	}
}

static void tell(struct agent_thread *thread, const struct bitmap *bitmap)
{
	uint32_t size = (uint32_t)(bitmap->words_n * 8);
	struct event_data *event =
	    record_begin(thread, (uint32_t)sizeof(*event) + size, bitmap->cut ? EVENT_DATA_CUT : 0);

	if (!event)
		return;
	event->kind = EVENT_DATA_FDS;
	event->size = size;
	memcpy(event->bytes, bitmap->words, size);
	ring_commit(event, EVENT_DATA, (uint32_t)sizeof(*event) + size);
}

void lifetime_tell_fds(struct agent_thread *thread)
{
	struct bitmap bitmap = {.words = (uint64_t *)(agent.scratch + LIST_BYTES)};
	int64_t fd = system_call6(__NR_openat, (uint64_t)AT_FDCWD, (uint64_t) "/proc/self/fd",
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
	int64_t bytes = 0;

	if (fd < 0)
		return;
	bitmap.own = (uint64_t)fd;
	for (int i = 0; i < LISTS_MAX; i++) {
		bytes = system_call3(__NR_getdents64, (uint64_t)fd, (uint64_t)agent.scratch,
				     LIST_BYTES);
		if (bytes <= 0)
			break;
		note_entries(&bitmap, agent.scratch, bytes);
	}
	bitmap.cut |= bytes != 0;
	system_call3(__NR_close, (uint64_t)fd, 0, 0);
	tell(thread, &bitmap);
}
