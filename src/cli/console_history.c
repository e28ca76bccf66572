/*
 * Owns the file of typed lines. Each is appended at once, so that consoles side by side keep those
 * of both; a file that is full is written anew without the oldest.
 */
#include "cli/console_history.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { LINE_BYTES_MAX = 64 * 1024 };

struct console_history {
	char *path; /* NULL: nothing is kept */
	char *last; /* NULL: none yet */
};

struct lines {
	ARRAY(char *) all;
};

static void lines_fini(struct lines *lines)
{
	array_each (line, &lines->all)
		free(*line);
	array_fini(&lines->all);
}

/* The file's path, owned by the caller; NULL where the user has no home. */
static char *history_path(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (!home || *home != '/')
		return NULL;
	if (state && *state == '/') /* others are invalid: XDG Base Directory Specification */
		return xasprintf("%s/htrace/history", state);
	return xasprintf("%s/.local/state/htrace/history", home);
}

/* The folders above, made where they are missing, as the same specification wants them. */
static void make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

static void read_lines(const char *path, struct lines *out)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(fclose) FILE *file = NULL;
	_cleanup_(free) char *line = NULL;
	struct stat status;
	size_t room = 0;
	ssize_t length;

	if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode))
		return;
	file = fdopen(fd, "r");
	if (!file)
		return;
	take_fd(&fd);
	while ((length = getline(&line, &room, file)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		if (!*line || length > LINE_BYTES_MAX)
			continue;
		array_push(&out->all, xstrdup(line));
		if (out->all.count == 2 * HISTORY_LINES_MAX) { /* not ours: it grows no further */
			for (size_t i = 0; i < HISTORY_LINES_MAX; i++)
				free(out->all.data[i]);
			out->all.count = HISTORY_LINES_MAX;
			memmove(out->all.data, out->all.data + HISTORY_LINES_MAX,
				HISTORY_LINES_MAX * sizeof(char *));
		}
	}
}

/* The last lines in a file beside it, which takes its place once it is whole. */
static void write_last(const char *path, const struct lines *lines)
{
	_cleanup_(free) char *beside = xasprintf("%s.%d", path, (int)getpid());
	int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	size_t first =
	    lines->all.count > HISTORY_LINES_MAX ? lines->all.count - HISTORY_LINES_MAX : 0;
	bool failed;

	if (!file) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t i = first; i < lines->all.count; i++)
		fprintf(file, "%s\n", lines->all.data[i]);
	failed = ferror(file);
	if (fclose(file) || failed || rename(beside, path))
		unlink(beside);
}

struct console_history *console_history_open(void (*line)(void *context, const char *text),
					     void *context)
{
	struct console_history *history = xcalloc(1, sizeof(*history));
	struct lines lines = {0};

	history->path = history_path();
	if (!history->path)
		return history;
	read_lines(history->path, &lines);
	array_each (text, &lines.all)
		line(context, *text);
	if (lines.all.count)
		history->last = xstrdup(lines.all.data[lines.all.count - 1]);
	lines_fini(&lines);
	return history;
}

void console_history_close(struct console_history *history)
{
	if (!history)
		return;
	free(history->path);
	free(history->last);
	free(history);
}

static bool append(const char *path, const char *line)
{
	_cleanup_(close_fd) int fd =
	    open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	_cleanup_(free) char *text = xasprintf("%s\n", line);
	size_t length = strlen(text);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode))
		return false;
	if (status.st_mode & 077)
		fchmod(fd, 0600); /* it is another's, then: never mind */
	return write(fd, text, length) == (ssize_t)length;
}

void console_history_add(struct console_history *history, const char *line)
{
	struct lines lines = {0};

	if (!line[strspn(line, " \t")] || strlen(line) > LINE_BYTES_MAX || strchr(line, '\n') ||
	    (history->last && !strcmp(history->last, line)))
		return;
	free(history->last);
	history->last = xstrdup(line);
	if (!history->path)
		return;
	if (!append(history->path, line)) {
		make_folders(history->path);
		if (!append(history->path, line))
			return;
	}
	read_lines(history->path, &lines);
	if (lines.all.count > HISTORY_LINES_MAX)
		write_last(history->path, &lines);
	lines_fini(&lines);
}
