/* session/control and session/client over real sockets: what two well-behaved ends say. */
#include "control_harness.h"

enum { CLIENTS = 100, BIG_BYTES = 20 << 20 };

static void test_answers(void **state)
{
	struct host host;
	int first, second;

	host_begin(&host, false);
	first = raw_connect();
	second = raw_connect();
	raw_ask(first, "one");
	raw_ask(second, "two");
	raw_expect(&host, second, 0, "two", NULL);
	raw_expect(&host, first, 0, "one", NULL);
	assert_int_equal(control_step(host.control), 2);
	assert_int_equal(control_client_uid(host.last), geteuid());
	raw_ask(first, "three");
	raw_expect(&host, first, 0, "three", NULL);
	close(first);
	host_until(&host, control_step(host.control) == 1);
	assert_int_equal(host.gone, 1);
	host_end(&host);
	assert_int_equal(host.gone, 2);
	assert_true(raw_is_cut(second));
	close(second);
}

static void test_pipelined(void **state)
{
	struct host host;
	int fd;

	host_begin(&host, true);
	fd = raw_connect();
	raw_say(fd, "{\"htrace\":1,\"words\":[\"a\"]}\n{\"htrace\":1,\"words\":[\"b\"]}\n"
		    "{\"htrace\":1,\"words\":[\"c\"");
	host_run(&host, 20);
	assert_int_equal(host.requests, 1); /* the next one waits */
	assert_string_equal(host.words, "a");
	raw_say(fd, "]}\n");
	host_run(&host, 20);
	assert_int_equal(host.requests, 1);
	host_answer(host.last, "A");
	raw_expect(&host, fd, 0, "A", NULL);
	host_until(&host, host.requests == 2);
	assert_string_equal(host.words, "b");
	host_answer(host.last, "B");
	host_until(&host, host.requests == 3);
	assert_string_equal(host.words, "c");
	host_answer(host.last, "C");
	raw_expect(&host, fd, 0, "B", NULL);
	raw_expect(&host, fd, 0, "C", NULL);
	host_end(&host);
	close(fd);
}

static void test_gone_while_pending(void **state)
{
	struct host host;
	int fd, mark;

	host_begin(&host, true);
	fd = raw_connect();
	raw_ask(fd, "slow");
	raw_ask(fd, "unread"); /* what was sent does not hide that it is gone */
	host_until(&host, host.requests == 1);
	assert_null(*control_client_data(host.last));
	*control_client_data(host.last) = &mark;
	close(fd);
	host_until(&host, host.gone == 1);
	assert_ptr_equal(host.last_gone, host.last);
	assert_int_equal(control_step(host.control), 0);
	assert_int_equal(host.requests, 1);
	/* An answer to who has gone, which is not known yet, is lost; no signal comes. */
	fd = raw_connect();
	raw_ask(fd, "slow");
	host_until(&host, host.requests == 2);
	close(fd);
	host_answer(host.last, "late");
	host_answer(host.last, "twice");
	host_until(&host, host.gone == 2);
	/* Who has never asked is not told of. */
	fd = raw_connect();
	host_until(&host, control_step(host.control) == 1);
	close(fd);
	host_until(&host, control_step(host.control) == 0);
	assert_int_equal(host.gone, 2);
	host_end(&host);
}

/* Who says that nothing more will come still waits for the answers. */
static void test_half_closed(void **state)
{
	struct host host;
	int fd;

	host_begin(&host, true);
	fd = raw_connect();
	raw_ask(fd, "a");
	raw_ask(fd, "b");
	raw_say(fd, "{\"htrace\"");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	host_run(&host, 20);
	assert_int_equal(host.requests, 1);
	host_answer(host.last, "A");
	host_until(&host, host.requests == 2);
	host_answer(host.last, "B");
	raw_expect(&host, fd, 0, "A", NULL);
	raw_expect(&host, fd, 0, "B", NULL);
	host_until(&host, raw_is_cut(fd));
	host_until(&host, host.gone == 1);
	close(fd);
	host_end(&host);
}

static void send_big(int fd)
{
	struct answer answer = {.status = 3, .output = xmalloc(BIG_BYTES), .output_n = BIG_BYTES};

	memset(answer.output, 'x', BIG_BYTES);
	_exit(control_send(fd, &(struct answer){.progress = "on it"}) || control_send(fd, &answer));
}

/* Reads the client's big answer bit by bit, while another one is served. */
static void read_big(struct host *host, int fd, int other)
{
	char *bytes = xmalloc(2 * BIG_BYTES), *line;
	struct answer answer;
	size_t count = 0;
	uint32_t requests;

	while (!count || bytes[count - 1] != '\n' || count < BIG_BYTES) {
		host_until(host, recv(fd, bytes + count, 1, MSG_DONTWAIT | MSG_PEEK) == 1);
		count += recv(fd, bytes + count, 2 * BIG_BYTES - count, MSG_DONTWAIT);
	}
	requests = host->requests;
	raw_ask(other, "meanwhile");
	host_until(host, host->requests == requests + 1);
	host_answer(host->last, "yes");
	raw_expect(host, other, 0, "yes", NULL);
	line = memchr(bytes, '\n', count);
	assert_int_equal(answer_parse(bytes, line - bytes, &answer, NULL), 0);
	assert_string_equal(answer.progress, "on it");
	answer_fini(&answer);
	assert_int_equal(answer_parse(line + 1, bytes + count - line - 2, &answer, NULL), 0);
	assert_int_equal(answer.output_n, BIG_BYTES);
	assert_int_equal(answer.status, 3);
	answer_fini(&answer);
	free(bytes);
}

static void test_hand_over(void **state)
{
	struct control_client *client;
	struct answer answer;
	struct host host;
	int fd, other, handed;
	pid_t pid;

	host_begin(&host, true);
	fd = raw_connect();
	other = raw_connect();
	raw_ask(fd, "big");
	raw_ask(fd, "next");
	host_until(&host, host.requests == 1);
	client = host.last;
	handed = control_hand_over(client);
	pid = fork();
	if (!pid) {
		control_close_others(host.control, client);
		send_big(handed);
	}
	read_big(&host, fd, other);
	assert_int_equal(host_wait_for(&host, pid), 0);
	assert_int_equal(host.requests, 2); /* "next" is not looked at yet */
	/* An event in the meantime waits. */
	control_answer(client, &(struct answer){.event = "ended"});
	host_run(&host, 10);
	assert_int_equal(recv(fd, &(char){0}, 1, MSG_DONTWAIT), -1);
	control_take_back(client);
	host_until(&host, host.requests == 3);
	assert_string_equal(host.words, "next");
	host_answer(client, "fine");
	raw_hear(&host, fd, &answer);
	assert_string_equal(answer.event, "ended");
	answer_fini(&answer);
	raw_expect(&host, fd, 0, "fine", NULL);
	close(fd);
	close(other);
	host_end(&host);
}

/* The writer is killed: another answer takes its place. And the client goes while it writes. */
static void test_hand_over_fails(void **state)
{
	struct control_client *client;
	struct host host;
	int fd, go_on[2];
	char byte;
	pid_t pid;

	host_begin(&host, true);
	fd = raw_connect();
	raw_ask(fd, "a");
	host_until(&host, host.requests == 1);
	client = host.last;
	assert_true(control_hand_over(client) >= 0);
	control_answer(client, &(struct answer){.status = 125, .message = "it crashed"});
	raw_expect(&host, fd, 125, "", "it crashed");
	raw_ask(fd, "b");
	host_until(&host, host.requests == 2);
	assert_true(control_hand_over(client) >= 0);
	assert_int_equal(pipe(go_on), 0);
	pid = fork();
	if (!pid) {
		control_close_others(host.control, client);
		close(fd); /* its copy of the other end */
		close(go_on[1]);
		if (read(go_on[0], &byte, 1) != 0)
			_exit(2);
		_exit(control_send(client->fd, &(struct answer){0}) == -EPIPE ? 0 : 1);
	}
	host_run(&host, 5);
	assert_int_equal(host.gone, 0);
	close(fd);
	host_until(&host, host.gone == 1);
	assert_ptr_equal(host.last_gone, client);
	close(go_on[1]);
	assert_int_equal(wait_for(pid), 0);
	close(go_on[0]);
	host_end(&host);
}

/* The copies that a forked process has do not keep connections or the session alive. */
static void test_forked_copies(void **state)
{
	struct host host;
	pid_t pid;
	int fd;

	host_begin(&host, true);
	fd = raw_connect();
	raw_ask(fd, "a");
	host_until(&host, host.requests == 1);
	pid = fork(); /* it closes nothing */
	if (!pid) {
		pause();
		_exit(0);
	}
	host_end(&host);
	assert_true(raw_is_cut(fd));
	assert_int_equal(socket_dir_connect("4242", NULL), -ECONNREFUSED);
	kill(pid, SIGKILL);
	wait_for(pid);
	close(fd);
}

/* One of many client processes: its own words come back. */
static int ask_own(int number)
{
	char word[32];
	char *words[] = {"echo", word, NULL};
	struct request request = {words, 2, 80, false};
	struct client *client;
	struct answer answer;
	struct error error;
	bool same;

	snprintf(word, sizeof(word), "%d", number * 7919);
	if (client_open("4242", &client, &error) ||
	    client_call(client, &request, &answer, NULL, NULL, &error)) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	same = !strncmp(answer.output, "echo ", 5) && !strcmp(answer.output + 5, word);
	answer_fini(&answer);
	client_close(client);
	return same ? 0 : 2;
}

static void test_many(void **state)
{
	pid_t pids[CLIENTS];
	struct host host;

	host_begin(&host, false);
	for (int i = 0; i < CLIENTS; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(ask_own(i));
	}
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(host_wait_for(&host, pids[i]), 0);
	assert_int_equal(host.requests, CLIENTS);
	host_until(&host, control_step(host.control) == 0);
	assert_int_equal(host.gone, CLIENTS);
	host_end(&host);
}

static void count_progress(void *context, const char *text)
{
	int *count = context;

	*count += !strcmp(text, "reading");
}

static int expect_event(struct client *client, const char *wanted)
{
	struct pollfd polled = {client_fd(client), POLLIN, 0};
	char *text;
	int result;

	while (!(result = client_event(client, &text)))
		poll(&polled, 1, 1000);
	if (result < 0)
		return result;
	result = strcmp(text, wanted) ? 2 : 1;
	free(text);
	return result;
}

/* The console's connection: progress, an event before the answer, events after it, the end. */
static int hold(void)
{
	char *words[] = {"hold", NULL}, *text;
	struct request request = {words, 1, 0, false};
	struct client *client;
	struct answer answer;
	struct error error;
	int progress = 0;

	if (client_open("4242", &client, &error) ||
	    client_call(client, &request, &answer, count_progress, &progress, &error))
		return 1;
	if (progress != 2 || answer.status || strcmp(answer.output, "held"))
		return 2;
	answer_fini(&answer);
	if (expect_event(client, "before") != 1 || expect_event(client, "with it") != 1)
		return 3;
	if (client_event(client, &text))
		return 4;
	request.words = (char *[]){"go on", NULL};
	if (client_call(client, &request, &answer, NULL, NULL, &error))
		return 5;
	answer_fini(&answer);
	if (expect_event(client, "after") != 1 || expect_event(client, "") != -EPIPE)
		return 6;
	if (client_call(client, &request, &answer, NULL, NULL, &error) != -EPIPE)
		return 7;
	client_close(client);
	return 0;
}

static void test_events(void **state)
{
	struct host host;
	pid_t pid;

	host_begin(&host, true);
	pid = fork();
	if (!pid)
		_exit(hold());
	host_until(&host, host.requests == 1);
	control_answer(host.last, &(struct answer){.progress = "reading"});
	control_answer(host.last, &(struct answer){.event = "before"});
	control_answer(host.last, &(struct answer){.progress = "reading"});
	host_answer(host.last, "held");
	control_answer(host.last, &(struct answer){.event = "with it"});
	host_until(&host, host.requests == 2);
	host_answer(host.last, "");
	host_run(&host, 20);
	control_answer(host.last, &(struct answer){.event = "after"});
	host_run(&host, 5);
	host_end(&host);
	assert_int_equal(wait_for(pid), 0);
}

static void nothing(int signal)
{
	(void)signal;
}

/* What can go wrong for a client whose session is not what it should be. */
static int client_troubles(void)
{
	char *many[REQUEST_WORDS_MAX + 2] = {0}, *words[] = {"x", NULL};
	struct sigaction action = {.sa_handler = nothing};
	char *long_word = xmalloc(REQUEST_BYTES_MAX);
	struct client *client;
	struct answer answer;
	struct error error;

	if (client_open("4242", &client, &error))
		return 1;
	for (int i = 0; i <= REQUEST_WORDS_MAX; i++)
		many[i] = "x";
	if (client_call(client, &(struct request){many, REQUEST_WORDS_MAX + 1, 0, false}, &answer,
			NULL, NULL, &error) != -E2BIG)
		return 2;
	memset(long_word, 'x', REQUEST_BYTES_MAX - 1);
	long_word[REQUEST_BYTES_MAX - 1] = 0;
	if (client_call(client, &(struct request){&long_word, 1, 0, false}, &answer, NULL, NULL,
			&error) != -E2BIG)
		return 3;
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 20000);
	if (client_call(client, &(struct request){words, 1, 0, false}, &answer, NULL, NULL,
			&error) != -EINTR)
		return 4;
	ualarm(0, 0);
	client_close(client);
	if (client_open("4242", &client, &error))
		return 5;
	if (client_call(client, &(struct request){words, 1, 0, false}, &answer, NULL, NULL,
			&error) != -EPIPE ||
	    !strstr(error.message, "has ended"))
		return 6;
	client_close(client);
	return 0;
}

static void test_client_troubles(void **state)
{
	struct host host;
	pid_t pid;

	host_begin(&host, true);
	pid = fork();
	if (!pid)
		_exit(client_troubles());
	host_until(&host, host.gone == 1); /* the interrupted one */
	host_until(&host, host.requests == 2);
	host_end(&host);
	assert_int_equal(wait_for(pid), 0);
}

/* A session that answers nonsense. */
static void test_no_answer(void **state)
{
	static const char *const lines[] = {"nonsense\n", "\n", "{\"htrace\":2}\n",
					    "{\"htrace\":1,\"progress\":\"a\"}\n{}\n"};
	char *words[] = {"x", NULL};
	_cleanup_(close_fd) int fd = socket_dir_listen("4242", NULL);

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct client *client;
		struct answer answer;
		struct error error;
		int server;

		assert_int_equal(client_open("4242", &client, &error), 0);
		server = accept(fd, NULL, NULL);
		assert_true(write(server, lines[i], strlen(lines[i])) > 0);
		assert_int_equal(client_call(client, &(struct request){words, 1, 0, false}, &answer,
					     NULL, NULL, &error),
				 -EPROTO);
		assert_int_equal(error.code, -EPROTO);
		assert_null(answer.output);
		client_close(client);
		close(server);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_folder(test_answers),
	    in_folder(test_pipelined),
	    in_folder(test_gone_while_pending),
	    in_folder(test_half_closed),
	    in_folder(test_hand_over),
	    in_folder(test_hand_over_fails),
	    in_folder(test_forked_copies),
	    in_folder(test_many),
	    in_folder(test_events),
	    in_folder(test_client_troubles),
	    in_folder(test_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
