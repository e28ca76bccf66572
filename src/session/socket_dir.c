/*
 * Owns the folder of sockets: where it is, whom it may belong to, what is taken away from it. Who
 * changes it holds its lock (flock), so that nobody takes a socket for a dead one that is just
 * being made. Knows nothing of what is said over a socket.
 */
#include "session/socket_dir.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
	PID_DIGITS_MAX = 10,
	BACKLOG = 512, /* clients that wait to be let in */
};

#define SUFFIX ".sock"

/* Paths over the folder's descriptor always fit into sun_path. */
struct folder {
	char *path;
	int fd;
};

static void cleanup_folder(struct folder *folder)
{
	free(folder->path);
	cleanup_close_fd(&folder->fd);
}

static bool name_is_valid(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return !strcmp(name, "all") ||
	       (digits && digits <= PID_DIGITS_MAX && !name[digits] && name[0] != '0');
}

static int name_check(const char *name, struct error *error)
{
	if (name_is_valid(name))
		return 0;
	return error_set(error, -EINVAL, "\"%.64s\" is no session: it is a process ID or \"all\"",
			 name);
}

static bool is_folder(const char *path, bool ours)
{
	struct stat status;

	return path && path[0] == '/' && !stat(path, &status) && S_ISDIR(status.st_mode) &&
	       (!ours || status.st_uid == geteuid());
}

static char *folder_path(struct error *error)
{
	const char *chosen = getenv("HTRACE_SOCKET_DIR"), *runtime = getenv("XDG_RUNTIME_DIR");

	if (chosen && chosen[0] == '/')
		return xstrdup(chosen);
	if (chosen && chosen[0]) {
		error_set(error, -EINVAL, "HTRACE_SOCKET_DIR=%s: it has to begin with /", chosen);
		return NULL;
	}
	/* A root that was made by su or sudo finds the same folder as one that has logged in. */
	if (geteuid() == 0 && is_folder("/run", true))
		return xstrdup("/run/htrace");
	if (geteuid() != 0 && is_folder(runtime, true))
		return xasprintf("%s/htrace", runtime);
	return xasprintf("/tmp/htrace-%u", (unsigned)geteuid());
}

static int folder_check(const struct folder *folder, struct error *error)
{
	struct stat status;

	if (fstat(folder->fd, &status))
		return error_set_errno(error, -errno, "cannot look at %s", folder->path);
	if (status.st_uid != geteuid())
		return error_set(error, -EPERM,
				 "%s belongs to user %u and not to us (%u): it has to be removed, "
				 "or HTRACE_SOCKET_DIR set to another folder",
				 folder->path, (unsigned)status.st_uid, (unsigned)geteuid());
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM,
				 "others may write to %s: `chmod 700 %s` allows it to us only",
				 folder->path, folder->path);
	return 0;
}

/* -ENOENT, without a sentence: the folder is not there, and was not to be made. */
static int folder_open(bool make, struct folder *out, struct error *error)
{
	*out = (struct folder){.path = folder_path(error), .fd = -1};
	if (!out->path)
		return -EINVAL;
	if (make && mkdir(out->path, 0700) && errno != EEXIST)
		return error_set_errno(
		    error, -errno, "cannot make the folder %s (HTRACE_SOCKET_DIR names another)",
		    out->path);
	out->fd = open(out->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out->fd < 0 && errno == ENOENT && !make)
		return -ENOENT;
	if (out->fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return error_set(error, -ENOTDIR,
				 "%s is not a folder: it has to be removed, or "
				 "HTRACE_SOCKET_DIR set to another one",
				 out->path);
	if (out->fd < 0)
		return error_set_errno(error, -errno, "cannot open the folder %s", out->path);
	return folder_check(out, error);
}

/* Until the folder is closed. */
static int folder_lock(const struct folder *folder, struct error *error)
{
	while (flock(folder->fd, LOCK_EX))
		if (errno != EINTR)
			return error_set_errno(error, -errno, "cannot lock the folder %s",
					       folder->path);
	return 0;
}

static struct sockaddr_un address_of(const struct folder *folder, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s" SUFFIX,
		 folder->fd, name);
	return address;
}

/* A connected socket, or a negative errno. `flags`: SOCK_NONBLOCK tells a full queue (-EAGAIN). */
static int dial(const struct folder *folder, const char *name, int flags)
{
	struct sockaddr_un address = address_of(folder, name);
	_cleanup_(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return take_fd(&fd);
}

/* With the folder locked: 1 when anybody listens, 0 when not. */
static int is_alive(const struct folder *folder, const char *name, struct error *error)
{
	_cleanup_(close_fd) int fd = dial(folder, name, SOCK_NONBLOCK);

	if (fd >= 0 || fd == -EAGAIN)
		return 1;
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	return error_set_errno(error, fd, "cannot connect to %s/%s%s", folder->path, name, SUFFIX);
}

/* With the folder locked. */
static int remove_dead(const struct folder *folder, const char *name, struct error *error)
{
	struct sockaddr_un address = address_of(folder, name);
	struct stat status;

	if (lstat(address.sun_path, &status))
		return errno == ENOENT ? 0
				       : error_set_errno(error, -errno, "cannot look at %s/%s%s",
							 folder->path, name, SUFFIX);
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, -EEXIST, "%s/%s%s is not a socket: it has to be removed",
				 folder->path, name, SUFFIX);
	if (unlink(address.sun_path) && errno != ENOENT)
		return error_set_errno(error, -errno, "cannot remove %s/%s%s", folder->path, name,
				       SUFFIX);
	return 0;
}

static int listen_at(const struct folder *folder, const char *name, struct error *error)
{
	struct sockaddr_un address = address_of(folder, name);
	_cleanup_(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int result;

	/* The mode that it is bound with: there is no moment at which others may connect. */
	if (fd >= 0 && !fchmod(fd, 0600) &&
	    !bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		if (!listen(fd, BACKLOG))
			return take_fd(&fd);
		result = -errno;
		unlink(address.sun_path);
		errno = -result;
	}
	return error_set_errno(error, -errno, "cannot listen at %s/%s%s", folder->path, name,
			       SUFFIX);
}

char *socket_dir_path(struct error *error)
{
	_cleanup_(folder) struct folder folder = {.fd = -1};
	char *path;

	if (folder_open(true, &folder, error))
		return NULL;
	path = folder.path;
	folder.path = NULL;
	return path;
}

int socket_dir_listen(const char *name, struct error *error)
{
	_cleanup_(folder) struct folder folder = {.fd = -1};
	int result = name_check(name, error);

	if (!result)
		result = folder_open(true, &folder, error);
	if (!result)
		result = folder_lock(&folder, error);
	if (!result)
		result = is_alive(&folder, name, error);
	if (result > 0)
		return error_set(error, -EADDRINUSE, "there is a session for %s already", name);
	if (!result)
		result = remove_dead(&folder, name, error);
	return result ? result : listen_at(&folder, name, error);
}

static int no_session(const char *name, struct error *error)
{
	return error_set(error, -ENOENT, "there is no session for %s", name);
}

/* Nobody listened a moment ago. With the folder locked that is no session that begins. */
static int dial_again(const struct folder *folder, const char *name, struct error *error)
{
	int result = folder_lock(folder, error);

	if (result)
		return result;
	result = dial(folder, name, SOCK_NONBLOCK);
	if (result >= 0 && fcntl(result, F_SETFL, 0) == 0)
		return result;
	if (result == -ENOENT)
		return no_session(name, error);
	if (result != -ECONNREFUSED)
		return error_set_errno(error, result, "cannot connect to the session for %s", name);
	result = remove_dead(folder, name, error);
	if (result)
		return result;
	return error_set(error, -ECONNREFUSED,
			 "the session for %s has ended without a word, it may have been killed: "
			 "what it has recorded is lost",
			 name);
}

/* The listener is who we are, or root. */
static int peer_check(int fd, const char *name, struct error *error)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return error_set_errno(error, -errno, "cannot tell whose the session for %s is",
				       name);
	if (peer.uid != geteuid() && peer.uid != 0)
		return error_set(error, -EPERM,
				 "the session for %s is user %u's, and neither ours nor root's",
				 name, (unsigned)peer.uid);
	return 0;
}

int socket_dir_connect(const char *name, struct error *error)
{
	_cleanup_(folder) struct folder folder = {.fd = -1};
	_cleanup_(close_fd) int fd = -1;
	int result = name_check(name, error);

	if (!result)
		result = folder_open(false, &folder, error);
	if (result)
		return result == -ENOENT ? no_session(name, error) : result;
	fd = dial(&folder, name, 0);
	if (fd == -ENOENT)
		return no_session(name, error);
	if (fd == -ECONNREFUSED)
		fd = dial_again(&folder, name, error);
	else if (fd < 0)
		error_set_errno(error, fd, "cannot connect to the session for %s", name);
	if (fd < 0)
		return fd;
	result = peer_check(fd, name, error);
	return result ? result : take_fd(&fd);
}

/* By pid; "all" comes last. */
static int compare_names(const void *a, const void *b)
{
	const char *left = *(char *const *)a, *right = *(char *const *)b;
	bool left_is_all = left[0] == 'a', right_is_all = right[0] == 'a';
	size_t left_n = strlen(left), right_n = strlen(right);

	if (left_is_all != right_is_all)
		return left_is_all - right_is_all;
	return left_n != right_n ? (left_n > right_n) - (left_n < right_n) : strcmp(left, right);
}

static void list_add(struct session_names *out, const char *file)
{
	size_t length = strlen(file), suffix = strlen(SUFFIX);
	char name[SESSION_NAME_BYTES];

	if (length <= suffix || length - suffix >= sizeof(name) ||
	    strcmp(file + length - suffix, SUFFIX))
		return;
	memcpy(name, file, length - suffix);
	name[length - suffix] = 0;
	if (name_is_valid(name))
		array_push(&out->names, xstrdup(name));
}

int socket_dir_list(struct session_names *out, struct error *error)
{
	_cleanup_(folder) struct folder folder = {.fd = -1};
	_cleanup_(closedir) DIR *directory = NULL;
	struct dirent *entry;
	int result;

	*out = (struct session_names){0};
	result = folder_open(false, &folder, error);
	if (result)
		return result == -ENOENT ? 0 : result;
	directory = fdopendir(folder.fd);
	if (!directory)
		return error_set_errno(error, -errno, "cannot read the folder %s", folder.path);
	folder.fd = -1;
	while ((entry = readdir(directory)))
		list_add(out, entry->d_name);
	if (out->names.count)
		qsort(out->names.data, out->names.count, sizeof(*out->names.data), compare_names);
	return 0;
}

void session_names_fini(struct session_names *names)
{
	array_each (name, &names->names)
		free(*name);
	array_fini(&names->names);
}

void socket_dir_remove(const char *name)
{
	_cleanup_(folder) struct folder folder = {.fd = -1};
	_cleanup_(close_fd) int fd = -1;
	struct ucred peer = {0};

	if (!name_is_valid(name) || folder_open(false, &folder, NULL) || folder_lock(&folder, NULL))
		return;
	fd = dial(&folder, name, SOCK_NONBLOCK);
	if (fd >= 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &(socklen_t){sizeof(peer)});
	if (fd == -ECONNREFUSED || peer.pid == getpid())
		remove_dead(&folder, name, NULL);
}

int socket_dir_rename(const char *name, const char *other)
{
	_cleanup_(folder) struct folder folder = {.fd = -1};
	struct sockaddr_un from, to;
	int result = name_check(name, NULL) ?: name_check(other, NULL);

	if (!result)
		result = folder_open(false, &folder, NULL) ?: folder_lock(&folder, NULL);
	if (!result)
		result = is_alive(&folder, other, NULL);
	if (result)
		return result > 0 ? -EADDRINUSE : result;
	from = address_of(&folder, name);
	to = address_of(&folder, other);
	return rename(from.sun_path, to.sun_path) ? -errno : 0;
}
