/*
 * session/control against clients that are wrong, too big, too slow, too many or not permitted:
 * each is told why where that can be said, is cut off, and a client that is none of this notices
 * nothing.
 */
#include "allocated.h"
#include "control_harness.h"

#include <sys/resource.h>
#include <sys/time.h>

enum {
	GARBAGE_BYTES = 100 << 20,
	MEMORY_BYTES_MAX = 1 << 20, /* that it may cost */
	BIG_BYTES = 4 << 20,
	OTHER_USER = 65534,
};

/* Another client is answered within a few steps, whatever else goes on. */
static void other_is_served(struct host *host, int fd)
{
	char answer[256];
	int steps = 0;

	host->silent = false;
	raw_ask(fd, "other");
	while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) < 0) {
		control_step(host->control);
		assert_true(++steps < 20);
	}
	assert_non_null(strstr(answer, "\"other\""));
}

static void test_wrong_lines(void **state)
{
	static const struct {
		const char *line, *reason;
	} wrong[] = {
	    {"\n", "not a line of JSON"},
	    {"GET / HTTP/1.1\r\n", "not a line of JSON"},
	    {"\xff\xfe\xfd\n", "not a line of JSON"},
	    {"{\"htrace\":1}\n", "no \"words\""},
	    {"{\"htrace\":9,\"words\":[\"x\"]}\n", "version 9"},
	    {"{\"htrace\":1,\"words\":[]}\n", "1 to 64 words"},
	};
	struct host host;
	int fd;

	host_begin(&host, false);
	fd = raw_connect();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		raw_say(fd, wrong[i].line);
		raw_expect(&host, fd, 2, "", wrong[i].reason);
		raw_ask(fd, "right"); /* it may go on */
		raw_expect(&host, fd, 0, "right", NULL);
	}
	assert_int_equal(host.requests, sizeof(wrong) / sizeof(*wrong));
	close(fd);
	host_end(&host);
}

static void test_too_long(void **state)
{
	char *line = xmalloc(REQUEST_BYTES_MAX + 1);
	struct host host;
	size_t sent = 0;
	int fd;

	host_begin(&host, false);
	/* To the last byte it is fine. */
	fd = raw_connect();
	memset(line, ' ', REQUEST_BYTES_MAX);
	memcpy(line, "{\"htrace\":1,\"words\":[\"a\"]}", 26);
	line[REQUEST_BYTES_MAX - 1] = '\n';
	line[REQUEST_BYTES_MAX] = 0;
	raw_say(fd, line);
	raw_expect(&host, fd, 0, "a", NULL);
	line[REQUEST_BYTES_MAX - 1] = ' ';
	while (sent < REQUEST_BYTES_MAX) {
		ssize_t more = send(fd, line + sent, REQUEST_BYTES_MAX - sent, MSG_NOSIGNAL);

		sent += more > 0 ? more : 0;
		control_step(host.control);
	}
	raw_expect(&host, fd, 2, "", "longer than 65536 bytes");
	host_until(&host, raw_is_cut(fd));
	assert_int_equal(host.requests, 1);
	assert_int_equal(host.gone, 1);
	close(fd);
	free(line);
	host_end(&host);
}

/* Tries to get all of it in, in a process of its own; reads nothing. `lines`: with line ends. */
static void send_garbage(bool lines)
{
	char bytes[1 << 16];
	int fd = socket_dir_connect("4242", NULL);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = lines && i % 1000 == 0 ? '\n' : "x\xff{\0["[i % 5];
	for (size_t sent = 0; sent < GARBAGE_BYTES;) {
		ssize_t more = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);

		if (more < 0)
			_exit(errno == EPIPE || errno == ECONNRESET ? 0 : 1);
		sent += more;
	}
	_exit(2); /* somebody took it */
}

static void garbage(bool lines)
{
	size_t before, most = 0;
	struct host host;
	int other, status;
	pid_t pids[4];
	bool running = true;

	host_begin(&host, false);
	host.control->stuck_ns_max = 200 * MS;
	other = raw_connect();
	other_is_served(&host, other);
	before = allocated_bytes();
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i])
			send_garbage(lines);
	}
	while (running) {
		siginfo_t ended = {0};
		size_t now;

		control_wait(host.control, 1);
		other_is_served(&host, other);
		now = allocated_bytes();
		most = now > most ? now : most;
		running = false;
		for (int i = 0; i < 4; i++) {
			ended.si_pid = 0;
			waitid(P_PID, pids[i], &ended, WEXITED | WNOHANG | WNOWAIT);
			running |= !ended.si_pid;
		}
	}
	for (int i = 0; i < 4; i++) {
		waitpid(pids[i], &status, 0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	print_message("memory: %zu KiB more\n", (most > before ? most - before : 0) >> 10);
	assert_true(most < before + MEMORY_BYTES_MAX);
	host_until(&host, control_step(host.control) == 1);
	close(other);
	host_end(&host);
}

static void test_garbage(void **state)
{
	garbage(false);
}

/* Each line gets an answer that nobody reads. */
static void test_lines_of_garbage(void **state)
{
	garbage(true);
}

static void test_half_line(void **state)
{
	struct host host;
	int fd, idle;
	uint64_t began_ns;

	host_begin(&host, true);
	host.control->line_ns_max = 400 * MS;
	idle = raw_connect(); /* says nothing, and may */
	fd = raw_connect();
	raw_say(fd, "{\"htrace\":1,");
	began_ns = clock_now_ns();
	/* Byte by byte does not help, and the waiting ends in time by itself. Not faster: 64 KiB
	 * would be another reason to be cut off. */
	while (!host.control->clients.count || !raw_is_cut(fd)) {
		send(fd, " ", 1, MSG_NOSIGNAL);
		nanosleep(&(struct timespec){.tv_nsec = MS}, NULL);
		control_wait(host.control, 5);
		control_step(host.control);
		assert_true(clock_now_ns() - began_ns < PATIENCE_S * 1000 * MS);
	}
	assert_true(clock_now_ns() - began_ns >= 400 * MS);
	close(fd);
	/* The time of a line that has begun is that in which it could be heard. */
	fd = raw_connect();
	raw_ask(fd, "a");
	raw_say(fd, "{\"htrace\":1,");
	host_run(&host, 600);
	assert_int_equal(host.requests, 1);
	host_answer(host.last, "A");
	raw_expect(&host, fd, 0, "A", NULL);
	host_run(&host, 10);
	raw_say(fd, "\"words\":[\"b\"]}\n");
	host_until(&host, host.requests == 2);
	host_answer(host.last, "B");
	raw_expect(&host, fd, 0, "B", NULL);
	raw_say(fd, "{");
	began_ns = clock_now_ns();
	control_step(host.control);
	control_wait(host.control, -1);
	assert_true(clock_now_ns() - began_ns >= 390 * MS);
	control_step(host.control);
	raw_expect(&host, fd, 2, "", "took too long");
	assert_true(raw_is_cut(fd));
	assert_false(raw_is_cut(idle));
	close(fd);
	close(idle);
	host_end(&host);
}

static char *big_text(void)
{
	char *text = xmalloc(BIG_BYTES + 1);

	memset(text, 'x', BIG_BYTES);
	text[BIG_BYTES] = 0;
	return text;
}

static void test_slow_reader(void **state)
{
	_cleanup_(free) char *text = big_text(), *bytes = xmalloc(BIG_BYTES + 100);
	struct host host;
	uint64_t began_ns;
	size_t count = 0;
	int fd, other;

	host_begin(&host, true);
	host.control->stuck_ns_max = 1000 * MS;
	fd = raw_connect();
	other = raw_connect();
	raw_ask(fd, "a");
	host_until(&host, host.requests == 1);
	began_ns = clock_now_ns();
	host_answer(host.last, text);
	/* Slow, but not stuck: longer than the limit in all. */
	while (count < BIG_BYTES || bytes[count - 1] != '\n') {
		ssize_t got = recv(fd, bytes + count, 200000, MSG_DONTWAIT);

		count += got > 0 ? got : 0;
		host_run(&host, 60);
	}
	assert_int_equal(host.gone, 0);
	assert_true(clock_now_ns() - began_ns > 1000 * MS);
	other_is_served(&host, other);
	/* Now it does not read. */
	host.silent = true;
	raw_ask(fd, "b");
	host_until(&host, !strcmp(host.words, "b"));
	began_ns = clock_now_ns();
	host_answer(host.last, text);
	host_until(&host, host.gone == 1);
	assert_true(clock_now_ns() - began_ns >= 1000 * MS);
	assert_int_equal(control_step(host.control), 1);
	other_is_served(&host, other);
	close(fd);
	close(other);
	host_end(&host);
}

/* The same where another process writes: it is told, and tells that the client is to be cut off. */
static void test_slow_reader_handed_over(void **state)
{
	_cleanup_(free) char *text = big_text();
	struct host host;
	int fd, handed;
	pid_t pid;

	host_begin(&host, true);
	host.control->stuck_ns_max = 100 * MS;
	fd = raw_connect();
	raw_ask(fd, "a");
	host_until(&host, host.requests == 1);
	handed = control_hand_over(host.last);
	pid = fork();
	if (!pid) {
		int result =
		    control_send(handed, &(struct answer){.output = text, .output_n = BIG_BYTES});

		_exit(result == -EAGAIN ? 0 : 1);
	}
	assert_int_equal(host_wait_for(&host, pid), 0);
	assert_int_equal(host.gone, 0);
	control_cut_off(host.last);
	host_until(&host, host.gone == 1);
	assert_true(raw_is_cut(fd));
	close(fd);
	host_end(&host);
}

static void test_unread_events(void **state)
{
	_cleanup_(free) char *text = big_text();
	struct host host;
	int fd, sent = 0;

	host_begin(&host, true);
	fd = raw_connect();
	raw_ask(fd, "hold");
	host_until(&host, host.requests == 1);
	host_answer(host.last, "");
	text[10000] = 0;
	for (; !host.gone; sent++) {
		control_answer(host.last, &(struct answer){.event = text});
		control_step(host.control);
		assert_true(sent < 1000);
	}
	assert_true(sent > 50);
	close(fd);
	host_end(&host);
}

/* Thousands of requests at once: one a step. */
static void test_flood(void **state)
{
	_cleanup_(free) char *line = xasprintf("{\"htrace\":1,\"words\":[\"flood\"]}\n");
	struct host host;
	int floods[8], other;
	char drop[1 << 16];

	host_begin(&host, false);
	other = raw_connect();
	for (int i = 0; i < 8; i++)
		floods[i] = raw_connect();
	host_steps(&host, 2);
	for (int round = 0; round < 300; round++) {
		uint32_t before;

		for (int i = 0; i < 8; i++) {
			while (send(floods[i], line, strlen(line), MSG_NOSIGNAL) > 0)
				;
			recv(floods[i], drop, sizeof(drop), MSG_DONTWAIT);
		}
		before = host.requests;
		control_step(host.control);
		assert_true(host.requests - before <= 8);
		other_is_served(&host, other);
	}
	assert_true(host.requests > 8 * 300);
	for (int i = 0; i < 8; i++)
		close(floods[i]);
	close(other);
	host_end(&host);
}

/* A process of another user: 0 when it was refused with a sentence. */
static int be_stranger(void)
{
	static const char folder[] = "HTRACE_SOCKET_DIR";
	_cleanup_(free) char *path = xasprintf("%s/4242.sock", getenv(folder));
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char text[4096] = "";
	ssize_t got, count = 0;

	if (setresuid(OTHER_USER, OTHER_USER, OTHER_USER))
		return 1;
	strcpy((char *)&address + sizeof(sa_family_t), path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + strlen(path) + 1))
		return 2;
	send(fd, "{\"htrace\":1,\"words\":[\"disable\"]}\n", 33, MSG_NOSIGNAL);
	while ((got = recv(fd, text + count, sizeof(text) - 1 - count, 0)) > 0)
		count += got;
	return strstr(text, "it answers that user and root, not user 65534") ? 0 : 3;
}

static void test_stranger(void **state)
{
	_cleanup_(free) char *path = NULL;
	struct host host;
	char *slash;
	int other;

	if (geteuid()) {
		print_message("skipped: only root can be somebody else\n");
		skip();
	}
	host_begin(&host, false);
	path = xasprintf("%s/4242.sock", socket_folder);
	other = raw_connect();
	/* As it is the folder keeps it out; then it is opened up. */
	for (int opened = 0; opened < 2; opened++) {
		pid_t pid = fork();

		if (!pid)
			_exit(be_stranger());
		assert_int_equal(host_wait_for(&host, pid), opened ? 0 : 2);
		assert_int_equal(chmod(path, 0666), 0);
		assert_int_equal(chmod(socket_folder, 0711), 0);
		slash = strrchr(socket_folder, '/');
		*slash = 0;
		assert_int_equal(chmod(socket_folder, 0711), 0);
		*slash = '/';
	}
	assert_int_equal(host.requests, 0);
	assert_int_equal(host.gone, 0);
	other_is_served(&host, other);
	close(other);
	host_end(&host);
}

/* More than may be in at once; who says nothing gives way to who waits. */
static void test_full(void **state)
{
	enum { SILENT = CONTROL_CLIENTS_MAX };
	int silent[SILENT], other, cut = 0;
	struct host host;

	host_begin(&host, false);
	host.control->line_ns_max = 500 * MS;
	for (int i = 0; i < SILENT; i++)
		silent[i] = raw_connect();
	host_until(&host, control_step(host.control) == CONTROL_CLIENTS_MAX);
	other = raw_connect();
	raw_ask(other, "waiting");
	host_steps(&host, 10);
	assert_int_equal(host.requests, 0);
	raw_expect(&host, other, 0, "waiting", NULL);
	for (int i = 0; i < SILENT; i++) {
		cut += raw_is_cut(silent[i]);
		close(silent[i]);
	}
	assert_true(cut > 0);
	close(other);
	host_end(&host);
}

/* No descriptor is left for who waits outside: nobody spins, and it comes in later. */
static void test_no_descriptors(void **state)
{
	struct rlimit old, none;
	struct host host;
	int fd, lowest, waits = 0;
	uint64_t began_ns;

	host_begin(&host, false);
	fd = raw_connect();
	raw_ask(fd, "a");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	lowest = dup(fd); /* that is free */
	close(lowest);
	none = (struct rlimit){lowest, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	began_ns = clock_now_ns();
	while (clock_now_ns() - began_ns < 300 * MS) {
		control_step(host.control);
		control_wait(host.control, 1000);
		waits++;
	}
	assert_true(waits < 10);
	assert_int_equal(host.requests, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	raw_expect(&host, fd, 0, "a", NULL);
	close(fd);
	host_end(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_folder(test_wrong_lines),
	    in_folder(test_too_long),
	    in_folder(test_garbage),
	    in_folder(test_lines_of_garbage),
	    in_folder(test_half_line),
	    in_folder(test_slow_reader),
	    in_folder(test_slow_reader_handed_over),
	    in_folder(test_unread_events),
	    in_folder(test_flood),
	    in_folder(test_stranger),
	    in_folder(test_full),
	    in_folder(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
