/* Owns the reading of /proc/self/maps in pieces; knows nothing of what it is read for. */
#include "maps.h"

#include "agent.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>

/* Moves *text behind a hexadecimal number, and one character more. */
static uint64_t take_hex(const char **text, const char *end)
{
	uint64_t number = 0;
	const char *at = *text;

	for (; at < end; at++) {
		if (*at >= '0' && *at <= '9')
			number = number << 4 | (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			number = number << 4 | (uint64_t)(*at - 'a' + 10);
		else
			break;
	}
	*text = at < end ? at + 1 : end;
	return number;
}

static uint64_t take_decimal(const char **text, const char *end)
{
	uint64_t number = 0;
	const char *at = *text;

	for (; at < end && *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (uint64_t)(*at - '0');
	*text = at;
	return number;
}

/* "start-end rwxp offset major:minor inode   path\n" (proc_pid_maps(5)); the path goes to `path`.
 */
static void parse(struct maps_line *line, const char *text, const char *end, char *path)
{
	const char *at = text;

	line->text = text;
	line->bytes = (uint32_t)(end + 1 - text);
	line->start = take_hex(&at, end);
	line->end = take_hex(&at, end);
	line->executable = end - at > 2 && at[2] == 'x';
	at = end - at > 5 ? at + 5 : end;
	line->file_offset = take_hex(&at, end);
	line->device_major = (uint32_t)take_hex(&at, end);
	line->device_minor = (uint32_t)take_hex(&at, end);
	line->inode = take_decimal(&at, end);
	while (at < end && *at == ' ')
		at++;
	memcpy(path, at, (size_t)(end - at));
	path[end - at] = 0;
	line->path = path;
}

/* The thread's, for the process's is empty when its first thread is gone. */
static int64_t maps_open(void)
{
	static const char *const names[] = {"/proc/thread-self/maps", "/proc/self/maps"};
	int64_t fd = -ENOENT;

	for (int i = 0; i < 2 && fd == -ENOENT; i++)
		fd = system_call6(__NR_openat, (uint64_t)AT_FDCWD, (uint64_t)names[i],
				  O_RDONLY | O_CLOEXEC, 0, 0, 0);
	return fd;
}

struct reader {
	char *text; /* what was read and not handed on yet: `used` bytes of `room` */
	char *path;
	size_t used, room;
	bool overlong; /* the line that it begins with has lost its beginning */
	bool done;
};

/* Hands on all whole lines, and keeps the rest. */
static void take_lines(struct reader *reader,
		       bool (*each)(void *context, const struct maps_line *line), void *context)
{
	size_t from = 0;

	for (size_t at = 0; at < reader->used && !reader->done; at++) {
		struct maps_line line;

		if (reader->text[at] != '\n')
			continue;
		if (!reader->overlong) {
			parse(&line, reader->text + from, reader->text + at, reader->path);
			reader->done = !each(context, &line);
		}
		reader->overlong = false;
		from = at + 1;
	}
	for (size_t at = from; at < reader->used; at++)
		reader->text[at - from] = reader->text[at];
	reader->used -= from;
	if (reader->used == reader->room) {
		reader->overlong = true;
		reader->used = 0;
	}
}

int maps_each_of(int fd, char *buffer, size_t bytes,
		 bool (*each)(void *context, const struct maps_line *line), void *context)
{
	struct reader reader = {.text = buffer, .path = buffer + bytes / 2, .room = bytes / 2 - 1};
	int64_t got;

	if (bytes < MAPS_BUFFER_MIN)
		return -EINVAL;
	do {
		got = system_call3(__NR_read, (uint64_t)fd, (uint64_t)(buffer + reader.used),
				   reader.room - reader.used);
		if (got > 0) {
			reader.used += (size_t)got;
			take_lines(&reader, each, context);
		}
	} while ((got > 0 || got == -EINTR) && !reader.done);
	return got < 0 ? (int)got : 0;
}

int maps_each(char *buffer, size_t bytes, bool (*each)(void *context, const struct maps_line *line),
	      void *context)
{
	int64_t fd = maps_open();
	int result;

	if (fd < 0)
		return (int)fd;
	result = maps_each_of((int)fd, buffer, bytes, each, context);
	system_call3(__NR_close, (uint64_t)fd, 0, 0);
	return result;
}
