/*
 * detail/: a child opens one of each and waits; what is told of its handles is what was done here:
 * who has the other ends, who shares a description, what is held of memory and disk.
 */
#include "detail/detail.h"
#include "os/fd_type.h"
#include "os/procfs.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { FIRST = 500, MEGABYTE = 1 << 20 };

/* Numbers in both processes. */
enum {
	PIPE_READ = FIRST,
	PIPE_WRITE,
	UNIX_OURS, /* closed in the child */
	UNIX_ITS,
	LISTENER,
	LEFT, /* the other end has closed it */
	DELETED,
	MEMORY,
	EVENT,
	EVENT_COPY,
	LONELY, /* a pipe that nobody reads */
	UNBOUND,
	NUMBERS_END,
};

static pid_t child;
static struct model *model;
static struct details *details;
static ARRAY(struct observed_handle) observed;

static void put(int from, int number)
{
	assert_true(from >= 0);
	assert_int_equal(dup2(from, number), number);
	close(from);
}

static void open_sockets(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(address);
	int pair[2], accepted;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	put(pair[0], UNIX_OURS);
	put(pair[1], UNIX_ITS);
	put(socket(AF_INET, SOCK_STREAM, 0), LISTENER);
	put(socket(AF_INET, SOCK_STREAM, 0), LEFT);
	put(socket(AF_INET, SOCK_STREAM, 0), UNBOUND);
	assert_int_equal(bind(LISTENER, (struct sockaddr *)&address, bytes), 0);
	assert_int_equal(listen(LISTENER, 5), 0);
	assert_int_equal(getsockname(LISTENER, (struct sockaddr *)&address, &bytes), 0);
	assert_int_equal(connect(LEFT, (struct sockaddr *)&address, bytes), 0);
	accepted = accept(LISTENER, NULL, NULL);
	assert_int_equal(send(accepted, "bye", 3, 0), 3);
	close(accepted);
}

static void open_all(void)
{
	char path[] = "/tmp/htrace-detail-XXXXXX", *block = calloc(1, MEGABYTE);
	int pipes[2];

	memset(block, 'x', MEGABYTE);
	assert_int_equal(pipe(pipes), 0);
	put(pipes[0], PIPE_READ);
	put(pipes[1], PIPE_WRITE);
	assert_int_equal(write(PIPE_WRITE, block, 5000), 5000);
	assert_int_equal(pipe(pipes), 0);
	close(pipes[0]);
	put(pipes[1], LONELY);
	open_sockets();
	put(mkstemp(path), DELETED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(DELETED, block, MEGABYTE), MEGABYTE);
	put(memfd_create("held", 0), MEMORY);
	assert_int_equal(write(MEMORY, block, MEGABYTE), MEGABYTE);
	put(eventfd(3, 0), EVENT);
	assert_int_equal(dup2(EVENT, EVENT_COPY), EVENT_COPY);
	free(block);
}

static void observe(int number)
{
	char link[PROCFS_LINK_MAX];

	if (procfs_fd_link(child, number, link) < 0)
		return;
	array_push(&observed, (struct observed_handle){.number = number,
						       .type = fd_type_look(child, number, link),
						       .name = strdup(link)});
}

static int setup(void **state)
{
	const struct process *process;
	int ready[2];
	char byte;

	(void)state;
	open_all();
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "held");
		close(UNIX_OURS);
		close(PIPE_READ);
		assert_int_equal(write(ready[1], "r", 1), 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(PIPE_WRITE); /* each has one end */
	close(UNIX_ITS);
	close(LONELY);
	close(ready[0]);
	close(ready[1]);
	for (int number = FIRST; number < NUMBERS_END; number++)
		observe(number);
	model = model_new(NULL);
	process = model_attach(model, child, getpid(), 1);
	for (int i = 2; i < 4; i++)
		model_observe(model, child, observed.data, observed.count, i, i);
	details = details_new();
	for (int number = FIRST; number < NUMBERS_END; number++)
		if (model_handle(model, process, number))
			details_want(details, model, process, model_handle(model, process, number));
	details_gather(details);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	details_free(details);
	model_free(model);
	array_each (handle, &observed)
		free((char *)handle->name);
	array_fini(&observed);
	for (int number = FIRST; number < NUMBERS_END; number++)
		close(number);
	return 0;
}

static const struct detail *get(int number)
{
	const struct process *process = model_process(model, child);
	const struct detail *detail =
	    details_get(details, child, model_handle(model, process, number));

	assert_non_null(detail);
	return detail;
}

/* The pass leaves out who asks: what it knows of itself is no news. */
static void test_pipes(void **state)
{
	const struct detail *detail = get(PIPE_WRITE);

	(void)state;
	assert_true(detail->writes && !detail->reads);
	assert_true(detail->pipe_known);
	assert_int_equal(detail->pipe_bytes, 5000);
	assert_int_equal(detail->pipe_capacity, fcntl(PIPE_READ, F_GETPIPE_SZ));
	assert_int_equal(detail->cost, COST_MEMORY);
	assert_int_equal(detail->cost_bytes, 5000);
	assert_true(detail->peers_known);
	detail = get(LONELY);
	assert_true(detail->peers_known);
	assert_int_equal(detail->peers.count, 0);
	assert_int_equal(detail->pipe_bytes, 0);
}

static void test_sockets(void **state)
{
	const struct detail *detail = get(LEFT);

	(void)state;
	assert_non_null(detail->socket);
	assert_string_equal(socket_info_state(detail->socket), "CLOSE_WAIT");
	assert_in_range(detail->socket->receive_bytes, 3, 4);
	assert_int_equal(detail->cost, COST_MEMORY);
	assert_true(detail->cost_bytes >= 3);
	assert_true(get(LISTENER)->socket->listens);
	assert_null(get(UNBOUND)->socket);
	assert_true(get(UNBOUND)->unlisted);
	detail = get(UNIX_ITS);
	assert_non_null(detail->socket);
	assert_true(detail->socket->peer_inode);
}

static void test_bytes(void **state)
{
	const struct detail *detail = get(DELETED);

	(void)state;
	assert_true(detail->deleted);
	assert_int_equal(detail->size_bytes, MEGABYTE);
	assert_int_equal(detail->cost, COST_DISK);
	assert_true(detail->cost_bytes >= MEGABYTE);
	assert_int_equal(detail->info.position, MEGABYTE);
	detail = get(MEMORY);
	assert_int_equal(detail->cost, COST_MEMORY);
	assert_true(detail->cost_bytes >= MEGABYTE);
	assert_int_equal(get(EVENT)->cost, COST_UNKNOWN);
}

static void test_same_description(void **state)
{
	const struct detail *detail = get(EVENT);

	(void)state;
	assert_true(detail->holders_known);
	assert_int_equal(detail->holders.count, 1);
	assert_int_equal(detail->holders.items[0].pid, child);
	assert_int_equal(detail->holders.items[0].number, EVENT_COPY);
	assert_string_equal(detail->holders.items[0].comm, "held");
	assert_true(detail->object == get(EVENT_COPY)->object);
	assert_int_equal(get(MEMORY)->holders.count, 0);
	assert_int_equal(detail->info.eventfd_count, 3);
}

/* Another handle of that number, and one of a process that has ended. */
static void test_not_known(void **state)
{
	struct handle later = *model_handle(model, model_process(model, child), EVENT);
	struct details *none = details_new();

	(void)state;
	later.opened.time_ns = 77;
	assert_null(details_get(details, child, &later));
	assert_null(details_get(details, child + 1, &later));
	assert_null(details_get(NULL, child, &later));
	details_gather(none);
	assert_false(details_limits(none)->cut);
	details_free(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pipes),     cmocka_unit_test(test_sockets),
	    cmocka_unit_test(test_bytes),     cmocka_unit_test(test_same_description),
	    cmocka_unit_test(test_not_known),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
