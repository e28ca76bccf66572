/* report/detail_words: what is told of a handle, word for word; strings of targets are made
 * harmless.
 */
#include "report/detail_words.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <cmocka.h>

static void says(void (*add)(struct words *words, const struct detail *detail),
		 const struct detail *detail, const char *wanted)
{
	struct words words = {0};

	words_add(&words, "> ");
	add(&words, detail);
	assert_string_equal(words_text(&words) + 2, wanted);
	words_fini(&words);
}

static void test_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {{0, "0 bytes"},          {1, "1 byte"},     {1023, "1,023 bytes"},
		     {1024, "1.0 KiB"},       {1536, "1.5 KiB"}, {5ull << 30, "5.0 GiB"},
		     {UINT64_MAX, "16.0 EiB"}};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct words words = {0};

		words_add_size(&words, sizes[i].bytes);
		assert_string_equal(words_text(&words), sizes[i].text);
		words_fini(&words);
	}
}

static void test_sockets(void **state)
{
	struct socket_info socket = {.table = SOCKET_TCP,
				     .family = AF_INET,
				     .state = 8,
				     .local = {.address = {127, 0, 0, 1}, .port = 80},
				     .remote = {.address = {10, 0, 0, 7}, .port = 40000},
				     .receive_bytes = 12,
				     .send_bytes = 2048};
	struct detail detail = {.socket = &socket};

	(void)state;
	says(detail_add_object, &detail,
	     "127.0.0.1:80 -> 10.0.0.7:40000, CLOSE_WAIT, 12 bytes unread, 2.0 KiB not yet taken "
	     "by the other end");
	socket = (struct socket_info){.table = SOCKET_TCP,
				      .family = AF_INET6,
				      .state = 10,
				      .listens = true,
				      .local = {.port = 443},
				      .waiting = 3,
				      .backlog = 128};
	says(detail_add_object, &detail, "*:443, LISTEN, 3 of 128 waiting to be accepted");
	/* A path that would write to the terminal, and a process that is called so. */
	socket = (struct socket_info){.table = SOCKET_UNIX,
				      .kind = SOCK_STREAM,
				      .state = 1,
				      .peer_inode = 5,
				      .path = "/run/\033[2J\xff"};
	detail.peers = (struct detail_holders){.count = 10, .shown = 1, .items = {{7, 3, "\033]"}}};
	says(detail_add_object, &detail,
	     "stream, /run/\\x1b[2J\\xff, ESTABLISHED, other end: \\x1b] (7) handle 3 and 9 more");
	detail.peers = (struct detail_holders){0};
	detail.peers_known = true;
	socket.path[0] = 0;
	says(detail_add_object, &detail, "stream, ESTABLISHED, other end: nobody that can be seen");
	detail.socket = NULL;
	detail.unlisted = true;
	says(detail_add_object, &detail, "neither bound nor connected");
}

static void test_objects(void **state)
{
	struct detail detail = {.mode = S_IFIFO,
				.reads = true,
				.peers_known = true,
				.pipe_known = true,
				.pipe_bytes = 1,
				.pipe_capacity = 65536};

	(void)state;
	says(detail_add_object, &detail,
	     "read end, 1 byte of 64.0 KiB inside, written by nobody that can be seen");
	detail = (struct detail){.writes = true, .mode = S_IFIFO};
	says(detail_add_object, &detail, "write end");
	detail = (struct detail){.info = {.has = FDINFO_TIMERFD, .clock = CLOCK_MONOTONIC}};
	says(detail_add_object, &detail, "CLOCK_MONOTONIC, not armed");
	detail.info.value_ns = 1500000000;
	detail.info.interval_ns = 2000000000;
	detail.info.ticks = 1;
	says(detail_add_object, &detail,
	     "CLOCK_MONOTONIC, expires in 1.5 s, every 2.0 s, 1 expiration unread");
	detail = (struct detail){.info = {.has = FDINFO_EPOLL, .targets_n = 2, .targets = {4, 5}}};
	says(detail_add_object, &detail, "watches 2 handles: 4, 5");
	detail = (struct detail){.info = {.has = FDINFO_SIGNALFD, .signals = 1 << (SIGINT - 1)}};
	says(detail_add_object, &detail, "SIGINT");
	detail = (struct detail){.info = {.has = FDINFO_PIDFD, .pid = -1}};
	says(detail_add_object, &detail, "of a process that has ended");
	detail = (struct detail){.deleted = true, .cost = COST_DISK};
	says(detail_add_object, &detail, "deleted");
	says(detail_add_object, NULL, "");
	says(detail_add_object, &(struct detail){0}, "");
}

static void test_common(void **state)
{
	struct detail detail = {
	    .info = {.flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC,
		     .position = 4096,
		     .locks_n = 2,
		     .locks = {{.kind = "FLOCK", .write = true, .pid = 7, .last = UINT64_MAX},
			       {.kind = "OFDLCK", .pid = -1, .first = 5, .last = 14}}},
	    .size_bytes = 1};
	struct words words = {0};

	(void)state;
	says(detail_add_flags, &detail, "writing, at the end, without waiting");
	says(detail_add_position, &detail, "at 4,096 of 1 byte");
	says(detail_add_locks, &detail,
	     "FLOCK for writing by process 7, OFDLCK for reading of bytes 5 to 14");
	detail_add_flag_names(&words, detail.info.flags | 040);
	assert_string_equal(words_text(&words), "O_WRONLY|O_APPEND|O_NONBLOCK|O_CLOEXEC|040");
	words_clear(&words);
	detail_add_cost(&words, COST_DISK, 1 << 20);
	detail_add_cost(&words, COST_UNKNOWN, 5);
	assert_string_equal(words_text(&words), "1.0 MiB on disk");
	words_fini(&words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_sockets),
	    cmocka_unit_test(test_objects),
	    cmocka_unit_test(test_common),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
