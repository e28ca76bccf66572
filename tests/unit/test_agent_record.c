/* agent/hook, record, data: which calls make a record, and what is in it. */
#include "agent_harness.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_MOST = 511 };

static void test_enter(void **state)
{
	const uint64_t args[6] = {5, 11, 12, 13, 14, 15};
	uint64_t before = clock_now_ns();
	const struct event_syscall *event;

	harness_before_call(__NR_close, args);
	event = harness_take(EVENT_SYSCALL);
	assert_in_range(event->header.time_ns, before, clock_now_ns());
	assert_int_equal(event->number, __NR_close);
	assert_int_equal(event->phase, EVENT_ENTER);
	assert_int_equal(event->result, 0);
	assert_memory_equal(event->args, args, sizeof(args));
	assert_int_equal(event->mappings, agent.mappings);
	assert_int_equal(event->known_stack, 0);
	assert_int_equal(event->stacks_n, 1);
	assert_int_equal(event->stacks[0].start, event->registers.sp);
	assert_int_equal(event->stacks[0].flags, 0);
	assert_true(event->stacks[0].size > 64);
	harness_nothing();
	/* It worked: nothing to amend. */
	harness_after_call(__NR_close, args, 0);
	harness_nothing();
}

static void test_leave(void **state)
{
	int fd = eventfd(0, 0);
	const uint64_t args[6] = {0};
	const struct event_syscall *event;

	harness_before_call(__NR_eventfd2, args);
	harness_nothing();
	harness_after_call(__NR_eventfd2, args, fd);
	event = harness_take(EVENT_SYSCALL);
	assert_int_equal(event->phase, EVENT_LEAVE);
	assert_int_equal(event->result, fd);
	assert_int_equal(event->stacks_n, 1);
	harness_after_call(__NR_eventfd2, args, -EINVAL);
	harness_nothing();
	close(fd);
}

/* ---- what the plan wants ---- */

/* Whether the return of this call makes a record, and with a stack. */
static void check_leave(uint32_t number, uint64_t arg0, uint64_t arg1, int64_t result, int records,
			int stacks)
{
	const uint64_t args[6] = {arg0, arg1};

	harness_after_call(number, args, result);
	if (records) {
		const struct event_syscall *event = harness_take(EVENT_SYSCALL);

		assert_int_equal(event->result, result);
		assert_int_equal(event->stacks_n, stacks);
	}
	harness_nothing();
}

static void test_guards(void **state)
{
	const uint64_t unshare_files[6] = {CLONE_FILES}, unshare_other[6] = {CLONE_NEWNS};

	check_leave(__NR_fcntl, 3, F_DUPFD, 7, 1, 1);
	check_leave(__NR_fcntl, 3, F_GETFL, 7, 0, 0);
	check_leave(__NR_fcntl, 3, F_GETFL, -EBADF, 1, 1);
	check_leave(__NR_signalfd4, (uint32_t)-1, 0, 7, 1, 1);
	check_leave(__NR_signalfd4, 7, 0, 7, 0, 0);
	check_leave(__NR_getpid, 0, 0, 7, 0, 0);
	check_leave(PLAN_SYSCALLS_MAX, 0, 0, 7, 0, 0);
	check_leave(0xffffffff, 0, 0, 7, 0, 0);
	harness_before_call(__NR_unshare, unshare_other);
	harness_after_call(__NR_unshare, unshare_other, 0);
	harness_nothing();
	harness_before_call(__NR_unshare, unshare_files);
	harness_after_call(__NR_unshare, unshare_files, 0);
	harness_take(EVENT_SYSCALL);
	harness_nothing();
}

/* Of a close that failed only EBADF is told, without a stack: it amends the one on entry. */
static void test_ebadf(void **state)
{
	check_leave(__NR_read, 999, 0, -EBADF, 1, 1);
	check_leave(__NR_read, 999, 0, -EIO, 0, 0);
	check_leave(__NR_read, (uint64_t)-1, 0, -EBADF, 0, 0);
	check_leave(__NR_read, 5, 0, 10, 0, 0);
	check_leave(__NR_newfstatat, (uint32_t)AT_FDCWD, 0, -EBADF, 0, 0);
	check_leave(__NR_close, 999, 0, -EBADF, 1, 0);
	agent.arena->plan.calls[__NR_read].when = 0;
	check_leave(__NR_read, 999, 0, -EBADF, 0, 0);
}

/* No room for another handle is told with a stack, of calls that would have made one. */
static void test_exhausted(void **state)
{
	const uint64_t args[6] = {5};
	const struct event_syscall *event;
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	harness_after_call(__NR_accept4, args, -EMFILE);
	event = harness_take(EVENT_SYSCALL);
	assert_int_equal(event->stacks_n, 1);
	assert_int_equal(event->out[0], limit.rlim_cur);
	harness_after_call(__NR_accept4, args, -EMFILE);
	event = harness_take(EVENT_SYSCALL);
	assert_int_equal(event->out[0], 0); /* not asked again so soon */
	check_leave(__NR_accept4, 5, 0, -EMFILE, 1, 1);
	check_leave(__NR_openat, (uint32_t)AT_FDCWD, 0, -ENFILE, 1, 1);
	check_leave(__NR_fcntl, 3, F_DUPFD, -EMFILE, 1, 1);
	check_leave(__NR_fcntl, 3, F_SETLK, -EMFILE, 0, 0);
	check_leave(__NR_accept4, 5, 0, -ECONNABORTED, 0, 0);
	check_leave(__NR_read, 5, 0, -EMFILE, 0, 0);
	agent.arena->plan.calls[__NR_read].when = PLAN_LEAVE_FULL;
	check_leave(__NR_read, 5, 0, -EMFILE, 1, 1);
	check_leave(__NR_read, 5, 0, 3, 0, 0);
	check_leave(__NR_read, 5, 0, -EBADF, 0, 0);
}

static void test_off(void **state)
{
	const uint64_t args[6] = {5};

	agent.arena->active = 0;
	harness_before_call(__NR_close, args);
	agent.arena->active = 1;
	agent.on = false;
	harness_before_call(__NR_close, args);
	harness_before_call(__NR_fork, args);
	agent.on = true;
	assert_null(harness_slot(gettid()));
	assert_int_equal(harness_before, 0);
	harness_before_call(__NR_fork, args);
	harness_after_call(__NR_mmap, args, 0);
	assert_int_equal(harness_before, 1);
	assert_int_equal(harness_after, 1);
	harness_before_call(__NR_close, args);
	harness_take(EVENT_SYSCALL);
}

/* ---- what the call wrote ---- */

static void check_out(uint32_t number, const uint64_t args[6], int64_t first, int64_t second)
{
	const struct event_syscall *event;

	harness_after_call(number, args, 0);
	event = harness_take(EVENT_SYSCALL);
	assert_int_equal((int64_t)event->out[0], first);
	assert_int_equal((int64_t)event->out[1], second);
}

static void test_out(void **state)
{
	int pair[2] = {70, 71}, pidfd = 72, socket_pair[2] = {73, 74};
	struct clone_args clone3 = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)&pidfd};
	struct {
		uint32_t type, fd, flags;
	} device = {1, 75, 0};

	check_out(__NR_pipe2, (uint64_t[6]){(uint64_t)pair}, 70, 71);
	check_out(__NR_socketpair, (uint64_t[6]){0, 0, 0, (uint64_t)socket_pair}, 73, 74);
	check_out(__NR_clone, (uint64_t[6]){CLONE_PIDFD, 0, (uint64_t)&pidfd}, 72, -1);
	check_out(__NR_clone3, (uint64_t[6]){(uint64_t)&clone3, sizeof(clone3)}, CLONE_PIDFD, 72);
	check_out(__NR_ioctl, (uint64_t[6]){4, 0xc00caee0, (uint64_t)&device}, 75, 0);
	/* A driver of another kind may take the same number, and no pointer. */
	check_out(__NR_ioctl, (uint64_t[6]){4, 0xc00caee0, 12}, -1, -1);
}

/* ---- data ---- */

static void check_path(uint32_t number, unsigned arg, const char *path, const char *expected,
		       uint16_t flags)
{
	uint64_t args[6] = {0};
	const struct event_data *data;
	uint64_t time_ns;

	args[arg] = (uint64_t)path;
	harness_after_call(number, args, 9);
	data = harness_take(EVENT_DATA);
	time_ns = data->header.time_ns;
	assert_int_equal(data->kind, EVENT_DATA_PATH);
	assert_int_equal(data->size, strlen(expected));
	assert_memory_equal(data->bytes, expected, data->size);
	assert_int_equal(data->header.flags, flags);
	data = harness_take(EVENT_SYSCALL);
	assert_int_equal(data->header.time_ns, time_ns);
	harness_nothing();
}

/* Two pages, of which the second cannot be read. */
static char *page_before_nothing(void)
{
	char *page =
	    mmap(NULL, 2 * AGENT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(page + AGENT_PAGE, AGENT_PAGE, PROT_NONE);
	return page;
}

static void test_paths(void **state)
{
	char *page = page_before_nothing(), *text = page + AGENT_PAGE - 1;
	char longest[PATH_MOST + 2] = "";

	memset(longest, 'x', PATH_MOST - 1);
	check_path(__NR_openat, 1, "", "", 0);
	check_path(__NR_openat, 1, "/etc/hosts", "/etc/hosts", 0);
	check_path(__NR_open, 0, longest, longest, 0);
	check_path(__NR_mq_open, 0, longest, longest, 0);
	longest[PATH_MOST - 1] = 'y';
	check_path(__NR_open, 0, longest, longest, EVENT_DATA_CUT);
	check_path(__NR_mq_open, 0, longest, longest, EVENT_DATA_CUT);
	longest[PATH_MOST] = 'z';
	page[0] = 0;
	for (unsigned length = 0; length < 600; length++) {
		unsigned told = length < PATH_MOST ? length : PATH_MOST;
		char expected[600];

		strcpy(expected, text);
		expected[told] = 0;
		check_path(__NR_openat, 1, text, expected, told == PATH_MOST ? EVENT_DATA_CUT : 0);
		check_path(__NR_mq_open, 0, text, expected, told == PATH_MOST ? EVENT_DATA_CUT : 0);
		*--text = (char)('a' + length % 26);
	}
	/* What is not there, or has no end, where the kernel may not have read it. */
	check_path(__NR_fsopen, 0, (const char *)8, "", 0);
	page[AGENT_PAGE - 1] = 'q';
	check_path(__NR_fsopen, 0, page + AGENT_PAGE - 1, "q", 0);
	munmap(page, 2 * AGENT_PAGE);
}

struct message {
	struct msghdr header;
	char control[CMSG_SPACE(3 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov;
	char byte;
};

static void message_init(struct message *message)
{
	memset(message, 0, sizeof(*message));
	message->iov = (struct iovec){&message->byte, 1};
	message->header = (struct msghdr){
	    .msg_iov = &message->iov,
	    .msg_iovlen = 1,
	    .msg_control = message->control,
	    .msg_controllen = sizeof(message->control),
	};
}

static void send_fds(int socket, unsigned fds_n)
{
	struct message message;
	struct cmsghdr *control;

	message_init(&message);
	message.header.msg_controllen = fds_n ? CMSG_SPACE(fds_n * sizeof(int)) : 0;
	control = CMSG_FIRSTHDR(&message.header);
	if (control) {
		*control = (struct cmsghdr){CMSG_LEN(fds_n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memset(CMSG_DATA(control), 0, fds_n * sizeof(int)); /* standard input */
	}
	assert_int_equal(sendmsg(socket, &message.header, 0), 1);
}

static void close_fds(const struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);

	for (unsigned i = 0; control && i < (control->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
		close(((int *)CMSG_DATA(control))[i]);
}

static void test_control(void **state)
{
	struct message message;
	const struct event_data *data;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	for (unsigned fds_n = 0; fds_n <= 3; fds_n++) {
		const uint64_t args[6] = {(uint64_t)pair[1], (uint64_t)&message.header};
		size_t bytes;

		send_fds(pair[0], fds_n);
		message_init(&message);
		assert_int_equal(recvmsg(pair[1], &message.header, 0), 1);
		bytes = (message.header.msg_controllen + 7) & ~7ul;
		harness_after_call(__NR_recvmsg, args, 1);
		if (fds_n) {
			data = harness_take(EVENT_DATA);
			assert_int_equal(data->kind, EVENT_DATA_CONTROL);
			assert_int_equal(data->size, bytes);
			assert_memory_equal(data->bytes, message.control,
					    message.header.msg_controllen);
			harness_take(EVENT_SYSCALL);
		}
		harness_nothing();
		close_fds(&message.header);
	}
	/* More than there is room for: said to be cut, and empty. */
	message.header.msg_controllen = 9000;
	harness_after_call(__NR_recvmsg, (uint64_t[6]){0, (uint64_t)&message.header}, 1);
	data = harness_take(EVENT_DATA);
	assert_int_equal(data->size, 0);
	assert_int_equal(data->header.flags, EVENT_DATA_CUT);
	harness_take(EVENT_SYSCALL);
	close(pair[0]), close(pair[1]);
}

static void test_control_vector(void **state)
{
	static char control[80][5000];
	static struct mmsghdr messages[80];
	uint64_t args[6] = {3, (uint64_t)messages, 80};
	const struct event_data *data;

	for (unsigned i = 0; i < 80; i++)
		memset(control[i], 'a' + (int)i % 26, sizeof(control[i]));
	harness_after_call(__NR_recvmmsg, args, 2);
	harness_nothing();
	for (unsigned i = 0; i < 3; i++) {
		messages[i].msg_hdr.msg_control = control[i];
		messages[i].msg_hdr.msg_controllen = i == 1 ? 0 : 20 + i;
	}
	harness_after_call(__NR_recvmmsg, args, 3);
	data = harness_take(EVENT_DATA);
	assert_int_equal(data->size, 24 + 24);
	assert_int_equal(data->header.flags, 0);
	assert_memory_equal(data->bytes, control[0], 24);
	assert_memory_equal(data->bytes + 24, control[2], 24);
	harness_take(EVENT_SYSCALL);
	/* One that is too long, and more of them than are looked at. */
	messages[1].msg_hdr.msg_control = control[1];
	messages[1].msg_hdr.msg_controllen = 5000;
	harness_after_call(__NR_recvmmsg, args, 3);
	data = harness_take(EVENT_DATA);
	assert_int_equal(data->size, 48);
	assert_int_equal(data->header.flags, EVENT_DATA_CUT);
	harness_take(EVENT_SYSCALL);
	messages[0].msg_hdr.msg_controllen = messages[1].msg_hdr.msg_controllen = 0;
	messages[2].msg_hdr.msg_controllen = 0;
	harness_after_call(__NR_recvmmsg, args, 80);
	data = harness_take(EVENT_DATA);
	assert_int_equal(data->size, 0);
	assert_int_equal(data->header.flags, EVENT_DATA_CUT);
	harness_take(EVENT_SYSCALL);
	harness_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_enter, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_leave, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_guards, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_ebadf, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_exhausted, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_off, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_out, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_paths, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_control, harness_setup, harness_teardown),
	    cmocka_unit_test_setup_teardown(test_control_vector, harness_setup, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
