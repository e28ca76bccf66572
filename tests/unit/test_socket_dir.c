/* session/socket_dir: who is found, who is dead, what is refused, and many who want one name. */
#include "session/socket_dir.h"

#include "base/cleanup.h"
#include "socket_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>
#include <cmocka.h>

enum { RACERS = 12, ROUNDS = 30, OTHER_USER = 65534 };

static char *socket_path(const char *name)
{
	return xasprintf("%s/%s.sock", socket_folder, name);
}

static bool socket_exists(const char *name)
{
	_cleanup_(free) char *path = socket_path(name);

	return access(path, F_OK) == 0;
}

/* The sentence tells what is wrong: it has `reason` in it. */
static void fails(int result, int wanted, const struct error *error, const char *reason)
{
	if (result != wanted || error->code != wanted || !strstr(error->message, reason))
		fail_msg("%d, not %d \"%s\": \"%s\"", result, wanted, reason, error->message);
}

/* A session that was killed: its socket is there, and nobody listens. */
static void leave_behind(const char *name)
{
	int fd = socket_dir_listen(name, NULL);

	assert_true(fd >= 0);
	close(fd);
	assert_true(socket_exists(name));
}

static bool is_listened_to(const char *name)
{
	int fd = socket_dir_connect(name, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A session that goes by another name; what a dead one has left there is replaced. */
static void test_rename(void **state)
{
	int fd, other;

	(void)state;
	assert_int_equal(socket_dir_rename("100", "200"), -ENOENT);
	leave_behind("200");
	fd = socket_dir_listen("100", NULL);
	assert_true(fd >= 0);
	assert_int_equal(socket_dir_rename("100", "../200"), -EINVAL);
	assert_int_equal(socket_dir_rename("100", "200"), 0);
	assert_false(socket_exists("100"));
	assert_true(is_listened_to("200"));
	other = socket_dir_listen("100", NULL);
	assert_true(other >= 0);
	assert_int_equal(socket_dir_rename("100", "200"), -EADDRINUSE);
	assert_true(is_listened_to("100"));
	assert_true(is_listened_to("200"));
	socket_dir_remove("200");
	assert_false(socket_exists("200"));
	close(fd);
	close(other);
}

static void test_life(void **state)
{
	struct error error = {0};
	struct session_names names;
	struct stat status;
	char *path = socket_path("4242"), byte;
	int fd, client, server;

	/* Who only looks makes nothing. */
	assert_int_equal(socket_dir_list(&names, &error), 0);
	assert_int_equal(names.names.count, 0);
	fails(socket_dir_connect("4242", &error), -ENOENT, &error, "no session");
	assert_int_equal(access(socket_folder, F_OK), -1);

	fd = socket_dir_listen("4242", &error);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(stat(socket_folder, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	client = socket_dir_connect("4242", &error);
	assert_true(client >= 0);
	assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC && !(fcntl(client, F_GETFL) & O_NONBLOCK));
	server = accept(fd, NULL, NULL);
	assert_int_equal(write(client, "x", 1), 1);
	assert_int_equal(read(server, &byte, 1), 1);
	fails(socket_dir_connect("4243", &error), -ENOENT, &error, "no session for 4243");
	fails(socket_dir_listen("4242", &error), -EADDRINUSE, &error, "already");
	assert_true(socket_exists("4242"));
	close(client);
	close(server);
	socket_dir_remove("4242"); /* ours, though it listens still */
	assert_false(socket_exists("4242"));
	socket_dir_remove("4242");
	close(fd);
	free(path);
}

static void test_dead(void **state)
{
	struct error error = {0};
	int fd;

	leave_behind("4242");
	fails(socket_dir_connect("4242", &error), -ECONNREFUSED, &error, "killed");
	assert_false(socket_exists("4242"));
	fails(socket_dir_connect("4242", &error), -ENOENT, &error, "no session");
	leave_behind("4242");
	fd = socket_dir_listen("4242", &error);
	assert_true(fd >= 0);
	close(socket_dir_connect("4242", &error));
	close(fd);
	assert_true(socket_exists("4242"));
	socket_dir_remove("4242"); /* of nobody any more */
	assert_false(socket_exists("4242"));
}

/* A session that ends late leaves its successor's socket alone. */
static void test_successor(void **state)
{
	int ready[2], fd;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		fd = socket_dir_listen("7", NULL);
		if (fd < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	socket_dir_remove("7");
	assert_true(socket_exists("7"));
	fd = socket_dir_connect("7", NULL);
	assert_true(fd >= 0);
	close(fd);
	kill(pid, SIGKILL);
	wait_for(pid);
	socket_dir_remove("7");
	assert_false(socket_exists("7"));
	close(ready[0]);
	close(ready[1]);
}

static void test_full_queue(void **state)
{
	_cleanup_(close_fd) int fd = socket_dir_listen("8", NULL);
	struct error error = {0};
	int fds[1024], count = 0;

	/* Nobody is let in: such a session lives, though nobody more may wait. */
	assert_true(fd >= 0 && listen(fd, 1) == 0);
	for (; count < 2; count++)
		fds[count] = socket_dir_connect("8", NULL);
	fails(socket_dir_listen("8", &error), -EADDRINUSE, &error, "already");
	assert_true(socket_exists("8"));
	while (count)
		close(fds[--count]);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"",      ".",           "..",  "../x",     "0",  "01",
					  "4242 ", "a",           "All", "all/",     "-1", "0x12",
					  "+1",    "12345678901", "1/2", "4242.sock"};
	static const char *const listed[] = {"9", "10", "4242", "4294967295", "all"};
	struct session_names names;
	struct error error = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fails(socket_dir_listen(bad[i], &error), -EINVAL, &error, "is no session");
		fails(socket_dir_connect(bad[i], &error), -EINVAL, &error, "is no session");
		socket_dir_remove(bad[i]);
	}
	leave_behind("all");
	for (int i = 3; i >= 0; i--)
		leave_behind(listed[i]);
	close(openat(AT_FDCWD, socket_folder, O_RDONLY));
	for (size_t i = 0; i < 3; i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", socket_folder,
			 (const char *[]){".sock", "x.sock", "77.socket"}[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	assert_int_equal(socket_dir_list(&names, &error), 0);
	assert_int_equal(names.names.count, 5);
	for (int i = 0; i < 5; i++)
		assert_string_equal(names.names.data[i], listed[i]);
	session_names_fini(&names);
	assert_int_equal(names.names.count, 0);
	socket_folder_empty();
}

static void test_no_socket(void **state)
{
	_cleanup_(free) char *path = NULL;
	struct error error = {0};

	free(socket_dir_path(&error));
	path = socket_path("5");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	fails(socket_dir_listen("5", &error), -EEXIST, &error, "has to be removed");
	fails(socket_dir_connect("5", &error), -EEXIST, &error, "has to be removed");
	assert_true(socket_exists("5"));
}

static void refused(int wanted, const char *reason)
{
	struct session_names names;
	struct error error = {0};

	assert_null(socket_dir_path(&error));
	fails(error.code, wanted, &error, reason);
	fails(socket_dir_listen("1", &error), wanted, &error, reason);
	fails(socket_dir_connect("1", &error), wanted, &error, reason);
	fails(socket_dir_list(&names, &error), wanted, &error, reason);
	assert_int_equal(names.names.count, 0);
}

static void test_folder_refused(void **state)
{
	static const mode_t bad[] = {0770, 0707, 0777, 01777, 0720, 0702};
	struct error error;

	free(socket_dir_path(&error));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(chmod(socket_folder, bad[i]), 0);
		refused(-EPERM, "chmod 700");
	}
	assert_int_equal(chmod(socket_folder, 0755), 0); /* they may look */
	free(socket_dir_path(&error));
	assert_int_equal(rmdir(socket_folder), 0);
	assert_int_equal(symlink("/tmp", socket_folder), 0);
	refused(-ENOTDIR, "is not a folder");
	assert_int_equal(unlink(socket_folder), 0);
	close(open(socket_folder, O_CREAT | O_WRONLY, 0600));
	refused(-ENOTDIR, "is not a folder");
	assert_int_equal(unlink(socket_folder), 0);
	setenv("HTRACE_SOCKET_DIR", "relative", 1);
	refused(-EINVAL, "begin with /");
	setenv("HTRACE_SOCKET_DIR", socket_folder, 1);
}

static void test_other_owner(void **state)
{
	if (geteuid()) {
		print_message("skipped: only root can give a folder away\n");
		skip();
	}
	assert_int_equal(mkdir(socket_folder, 0700), 0);
	assert_int_equal(chown(socket_folder, OTHER_USER, OTHER_USER), 0);
	refused(-EPERM, "belongs to user 65534");
}

/* In our folder, but another user listens: listen(2) tells the kernel whose it is. */
static void test_other_listener(void **state)
{
	struct error error = {0};
	int ready[2];
	pid_t pid;
	char byte;

	if (geteuid()) {
		print_message("skipped: only root can be somebody else\n");
		skip();
	}
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		int fd = socket_dir_listen("6", NULL);

		if (fd < 0 || setresuid(OTHER_USER, OTHER_USER, OTHER_USER) || listen(fd, 5) ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	fails(socket_dir_connect("6", &error), -EPERM, &error, "user 65534's");
	kill(pid, SIGKILL);
	wait_for(pid);
	close(ready[0]);
}

/* The folder that an ordinary user gets, in a process of that user. */
static char *path_of_user(const char *runtime)
{
	static char path[256];
	int pipes[2];
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		struct error error = {0};
		char *found;

		unsetenv("HTRACE_SOCKET_DIR");
		if (runtime)
			setenv("XDG_RUNTIME_DIR", runtime, 1);
		else
			unsetenv("XDG_RUNTIME_DIR");
		if (!geteuid() && setresuid(OTHER_USER, OTHER_USER, OTHER_USER))
			_exit(1);
		found = socket_dir_path(&error);
		if (!found)
			found = error.message;
		_exit(write(pipes[1], found, strlen(found)) < 0);
	}
	close(pipes[1]);
	got = read(pipes[0], path, sizeof(path) - 1);
	close(pipes[0]);
	assert_int_equal(wait_for(pid), 0);
	path[got > 0 ? got : 0] = 0;
	return path;
}

static void test_where(void **state)
{
	uid_t user = geteuid() ? geteuid() : OTHER_USER;
	char runtime[] = "/tmp/htrace-test-XXXXXX", wanted[64], *found;
	struct stat status;
	bool had_fallback;

	assert_non_null(mkdtemp(runtime));
	assert_int_equal(chown(runtime, user, -1), 0);
	snprintf(wanted, sizeof(wanted), "%s/htrace", runtime);
	assert_string_equal(path_of_user(runtime), wanted);
	assert_int_equal(stat(wanted, &status), 0);
	assert_int_equal(status.st_uid, user);
	assert_int_equal(status.st_mode & 07777, 0700);
	rmdir(wanted);
	/* Another's, none, not there, or nonsense. */
	snprintf(wanted, sizeof(wanted), "/tmp/htrace-%u", (unsigned)user);
	had_fallback = access(wanted, F_OK) == 0;
	if (!geteuid() && !chown(runtime, 0, -1))
		assert_string_equal(path_of_user(runtime), wanted);
	rmdir(runtime);
	assert_string_equal(path_of_user(runtime), wanted);
	assert_string_equal(path_of_user(NULL), wanted);
	found = path_of_user("tmp");
	assert_string_equal(found, wanted);
	if (!had_fallback)
		rmdir(wanted);
}

/* A path that is too long for a socket's address is none of our concern. */
static void test_long_path(void **state)
{
	char path[256];
	int fd, client;

	snprintf(path, sizeof(path), "%s", socket_folder);
	free(socket_dir_path(NULL));
	snprintf(path, sizeof(path), "%s/%0150d", socket_folder, 0);
	setenv("HTRACE_SOCKET_DIR", path, 1);
	fd = socket_dir_listen("1234", NULL);
	assert_true(fd >= 0);
	client = socket_dir_connect("1234", NULL);
	assert_true(client >= 0);
	socket_dir_remove("1234");
	assert_int_equal(rmdir(path), 0);
	setenv("HTRACE_SOCKET_DIR", socket_folder, 1);
	close(client);
	close(fd);
}

/*
 * One of the many, after a random pause: 'w' it has won, 'l' another one lives and was reached, 'd'
 * there was none when it asked; else wrong.
 */
static char race(unsigned seed, int *fd)
{
	struct error error = {0};

	usleep(seed % 300);
	if (seed % 5 == 0) { /* only asks, and may take away what is dead */
		*fd = socket_dir_connect("99", &error);
		return *fd >= 0 ? 'l' : *fd == -ECONNREFUSED || *fd == -ENOENT ? 'd' : '1';
	}
	*fd = socket_dir_listen("99", &error);
	if (*fd >= 0)
		return 'w';
	if (*fd != -EADDRINUSE)
		return '2';
	*fd = socket_dir_connect("99", &error); /* somebody has won, and listens until the end */
	return *fd >= 0 ? 'l' : '3';
}

static void racer(int begin, int told, int end, unsigned seed)
{
	char result, byte;
	int fd;

	if (read(begin, &byte, 1) != 0) /* all at once */
		_exit(1);
	result = race(seed, &fd);
	if (write(told, &result, 1) != 1 || read(end, &byte, 1) != 0)
		_exit(1);
	_exit(0);
}

static void race_round(unsigned seed)
{
	int begin[2], told[2], end[2], winners = 0;
	pid_t pids[RACERS];
	char result;

	assert_true(!pipe(begin) && !pipe(told) && !pipe(end));
	if (seed % 2)
		leave_behind("99");
	for (int i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			close(begin[1]);
			close(end[1]);
			racer(begin[0], told[1], end[0], i ? seed + i * 7919 : 1);
		}
	}
	close(begin[1]); /* now */
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(read(told[0], &result, 1), 1);
		if (!strchr("wld", result))
			fail_msg("seed %u: %c", seed, result);
		winners += result == 'w';
	}
	assert_int_equal(winners, 1);
	assert_true(socket_exists("99"));
	close(end[1]);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(wait_for(pids[i]), 0);
	assert_int_equal(socket_dir_connect("99", NULL), -ECONNREFUSED);
	close(begin[0]);
	close(told[0]);
	close(told[1]);
	close(end[0]);
}

static void test_race(void **state)
{
	const char *given = getenv("TEST_SEED");
	unsigned seed = given ? strtoul(given, NULL, 0) : (unsigned)time(NULL);

	print_message("TEST_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < ROUNDS; i++)
		race_round((unsigned)rand());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_folder(test_life),           in_folder(test_dead),
	    in_folder(test_successor),      in_folder(test_full_queue),
	    in_folder(test_names),          in_folder(test_no_socket),
	    in_folder(test_folder_refused), in_folder(test_other_owner),
	    in_folder(test_other_listener), cmocka_unit_test(test_where),
	    in_folder(test_long_path),      in_folder(test_rename),
	    in_folder(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
