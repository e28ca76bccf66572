/* model/fd_syscalls: the plan and the decoding of every row. */
#include "event/codec.h"
#include "event/plan_guard.h"
#include "fd_syscalls_event.h"
#include "model/fd_syscalls.h"
#include "model/fd_syscalls_table.h"
#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct handle_op ops[HANDLE_OPS_MAX];

/* Every row gives a descriptor with the right type, and close-on-exec as the row's flag says. */
static void test_rows_open(void **state)
{
	static const struct {
		const char *name, *type;
		int flag_arg; /* -1: never, -2: always */
		uint64_t flag;
	} truth[] = {
	    {"open", "file", 1, O_CLOEXEC},
	    {"creat", "file", -1, 0},
	    {"openat", "file", 2, O_CLOEXEC},
	    {"open_by_handle_at", "file", 2, O_CLOEXEC},
	    {"open_tree", "file", 2, O_CLOEXEC},
	    {"open_tree_attr", "file", 2, O_CLOEXEC},
	    {"fsopen", "fscontext", 1, 1},
	    {"fsmount", "file", 1, 1},
	    {"fspick", "fscontext", 2, 1},
	    {"mq_open", "mqueue", -2, 0},
	    {"memfd_create", "memfd", 1, 1},
	    {"memfd_secret", "memfd", 0, O_CLOEXEC},
	    {"socket", "socket", 1, SOCK_CLOEXEC},
	    {"accept", "socket", -1, 0},
	    {"accept4", "socket", 3, SOCK_CLOEXEC},
	    {"eventfd", "eventfd", -1, 0},
	    {"eventfd2", "eventfd", 1, O_CLOEXEC},
	    {"epoll_create", "epoll", -1, 0},
	    {"epoll_create1", "epoll", 0, O_CLOEXEC},
	    {"timerfd_create", "timerfd", 1, O_CLOEXEC},
	    {"inotify_init", "inotify", -1, 0},
	    {"inotify_init1", "inotify", 0, O_CLOEXEC},
	    {"fanotify_init", "fanotify", 0, 1},
	    {"userfaultfd", "userfaultfd", 0, O_CLOEXEC},
	    {"perf_event_open", "perf", 4, 8},
	    {"io_uring_setup", "io_uring", -2, 0},
	    {"pidfd_open", "pidfd", -2, 0},
	    {"pidfd_getfd", NULL, -2, 0},
	    {"landlock_create_ruleset", "landlock", -2, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(truth) / sizeof(*truth); i++) {
		uint32_t number = 0;

		while (
		    number < PLAN_SYSCALLS_MAX &&
		    (!fd_syscalls_name(number) || strcmp(fd_syscalls_name(number), truth[i].name)))
			number++;
		assert_true(number < PLAN_SYSCALLS_MAX);
		for (int set = 0; set < 2; set++) {
			struct event_syscall event = call_make(number, EVENT_LEAVE, 7, 0, 0, 0, 0);

			if (set && truth[i].flag_arg >= 0)
				event.args[truth[i].flag_arg] |= truth[i].flag;
			assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
			assert_int_equal(ops[0].kind, HANDLE_OPEN);
			assert_int_equal(ops[0].number, 7);
			if (truth[i].type)
				assert_string_equal(ops[0].type, truth[i].type);
			assert_int_equal(ops[0].cloexec, truth[i].flag_arg == -2 ||
							     (set && truth[i].flag_arg >= 0));
			event.result = -ENOENT;
			assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);
			event.result = 7;
			event.phase = EVENT_ENTER;
			assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);
		}
	}
}

static size_t decode(uint32_t number, enum event_phase phase, int64_t result, uint64_t a0,
		     uint64_t a1, uint64_t a2, uint64_t a3)
{
	struct event_syscall event = call_make(number, phase, result, a0, a1, a2, a3);

	return fd_syscalls_decode(&event, NULL, ops);
}

/* What the arguments tell of the type. */
static void test_types(void **state)
{
	static const struct {
		uint64_t domain, type, protocol;
		const char *is;
	} sockets[] = {
	    {AF_INET, SOCK_STREAM, 0, "tcp"},
	    {AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP, "tcp"},
	    {AF_INET, SOCK_STREAM, IPPROTO_SCTP, "sctp"},
	    {AF_INET6, SOCK_STREAM, 262, "mptcp"},
	    {AF_INET, SOCK_DGRAM, 0, "udp"},
	    {AF_INET, SOCK_DGRAM, IPPROTO_ICMP, "ping"},
	    {AF_INET6, SOCK_RAW, 255, "raw"},
	    {AF_INET, 9, 9, "socket"},
	    {AF_UNIX, SOCK_SEQPACKET, 0, "unix"},
	    {AF_NETLINK, SOCK_RAW, 0, "netlink"},
	    {AF_PACKET, SOCK_DGRAM, 8, "packet"},
	    {AF_VSOCK, SOCK_STREAM, 0, "vsock"},
	    {AF_ALG, SOCK_SEQPACKET, 0, "alg"},
	    {99, SOCK_STREAM, 0, "socket"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sockets) / sizeof(*sockets); i++) {
		assert_int_equal(decode(SYS_socket, EVENT_LEAVE, 5, sockets[i].domain,
					sockets[i].type, sockets[i].protocol, 0),
				 1);
		assert_string_equal(ops[0].type, sockets[i].is);
	}
	decode(SYS_accept4, EVENT_LEAVE, 5, 3, 0, 0, 0);
	assert_true(ops[0].alike);
	assert_int_equal(ops[0].source, 3);
	decode(SYS_socket, EVENT_LEAVE, 5, AF_INET, SOCK_STREAM, 0, 0);
	assert_false(ops[0].alike);
	decode(SYS_open, EVENT_LEAVE, 5, 0, O_DIRECTORY, 0, 0);
	assert_string_equal(ops[0].type, "directory");
	decode(SYS_openat, EVENT_LEAVE, 5, 0, 0, O_DIRECTORY | O_CLOEXEC, 0);
	assert_string_equal(ops[0].type, "directory");
	decode(SYS_openat, EVENT_LEAVE, 5, 0, 0, O_TMPFILE | O_RDWR, 0);
	assert_string_equal(ops[0].type, "file");
}

static void test_guarded(void **state)
{
	(void)state;
	/* signalfd: only -1 makes a new one; a seccomp listener; a landlock version is no handle */
	assert_int_equal(decode(SYS_signalfd4, EVENT_LEAVE, 5, UINT64_MAX, 0, 8, O_CLOEXEC), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_signalfd4, EVENT_LEAVE, 5, 5, 0, 8, 0), 0);
	assert_int_equal(decode(SYS_signalfd, EVENT_LEAVE, 5, 0xffffffff, 0, 8, 0), 1);
	assert_int_equal(decode(SYS_seccomp, EVENT_LEAVE, 5, 1, 8, 0, 0), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_seccomp, EVENT_LEAVE, 0, 1, 0, 0, 0), 0);
	assert_int_equal(decode(SYS_seccomp, EVENT_LEAVE, 0, 2, 8, 0, 0), 0);
	assert_int_equal(decode(444, EVENT_LEAVE, 5, 0, 0, 1, 0), 0);
	assert_int_equal(decode(SYS_bpf, EVENT_LEAVE, 5, 0, 0, 0, 0), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_bpf, EVENT_LEAVE, 0, 1, 0, 0, 0), 0); /* MAP_LOOKUP_ELEM */
	/* fcntl */
	assert_int_equal(decode(SYS_fcntl, EVENT_LEAVE, 9, 5, F_DUPFD, 0, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_DUPLICATE);
	assert_int_equal(ops[0].source, 5);
	assert_false(ops[0].cloexec);
	assert_int_equal(decode(SYS_fcntl, EVENT_LEAVE, 9, 5, F_DUPFD_CLOEXEC, 0, 0), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_fcntl, EVENT_LEAVE, 0, 5, F_SETFD, FD_CLOEXEC, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_CLOEXEC);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_fcntl, EVENT_LEAVE, 1, 5, F_GETFD, 0, 0), 0);
	/* ioctl */
	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, 0, 5, FIOCLEX, 0, 0), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, 0, 5, FIONCLEX, 0, 0), 1);
	assert_false(ops[0].cloexec);
	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, 6, 5, TIOCGPTPEER, O_CLOEXEC, 0), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, 6, 5, TIOCGWINSZ, 0, 0), 0);
	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, 6, 5, 0x40182103, 0, 0), 0);
	/* dup2 onto itself */
	assert_int_equal(decode(SYS_dup2, EVENT_LEAVE, 5, 5, 5, 0, 0), 0);
	assert_int_equal(decode(SYS_dup2, EVENT_LEAVE, 6, 5, 6, 0, 0), 1);
	assert_int_equal(decode(SYS_dup3, EVENT_LEAVE, 6, 5, 6, O_CLOEXEC, 0), 1);
	assert_true(ops[0].cloexec);
	assert_int_equal(decode(SYS_unshare, EVENT_LEAVE, 0, 0x400, 0, 0, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_UNSHARE);
	assert_int_equal(decode(SYS_unshare, EVENT_LEAVE, 0, 0x200, 0, 0, 0), 0);
}

static void test_close(void **state)
{
	(void)state;
	assert_int_equal(decode(SYS_close, EVENT_ENTER, 0, 5, 0, 0, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_CLOSE);
	assert_int_equal(decode(SYS_close, EVENT_LEAVE, 0, 5, 0, 0, 0), 0);
	assert_int_equal(decode(SYS_close, EVENT_LEAVE, -EBADF, 5, 0, 0, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_CLOSE_FAILED);
	assert_int_equal(ops[0].error, -EBADF);
	assert_int_equal(decode(436, EVENT_ENTER, 0, 3, UINT_MAX, 0, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_CLOSE_RANGE);
	assert_int_equal(ops[0].last, INT32_MAX);
	assert_int_equal(decode(436, EVENT_ENTER, 0, 3, 9, 4, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_CLOEXEC);
	assert_int_equal(decode(436, EVENT_ENTER, 0, 3, 9, 2, 0), 2);
	assert_int_equal(ops[0].kind, HANDLE_UNSHARE);
	assert_int_equal(ops[1].kind, HANDLE_CLOSE_RANGE);
	assert_int_equal(decode(436, EVENT_ENTER, 0, 3, 9, 8, 0), 0);
	assert_int_equal(decode(436, EVENT_ENTER, 0, 9, 3, 0, 0), 0);
	assert_int_equal(decode(436, EVENT_LEAVE, -EINVAL, 9, 3, 0, 0), 0);
	assert_int_equal(decode(436, EVENT_LEAVE, -ENOMEM, 3, 9, 2, 0), 1);
	assert_int_equal(ops[0].kind, HANDLE_RECONCILE);
}

static void test_out(void **state)
{
	struct event_syscall event = call_make(SYS_pipe2, EVENT_LEAVE, 0, 1, O_CLOEXEC, 0, 0);

	(void)state;
	event.out[0] = 3;
	event.out[1] = 4;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 2);
	assert_int_equal(ops[1].number, 4);
	assert_true(ops[1].cloexec);
	assert_string_equal(ops[0].type, "pipe");
	event = call_make(SYS_socketpair, EVENT_LEAVE, 0, 1, SOCK_STREAM, 0, 0);
	event.out[1] = 1;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 2);
	assert_string_equal(ops[0].type, "unix");
	assert_string_equal(ops[1].type, "unix");
	event.out[1] = 0; /* could not be read */
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_int_equal(ops[0].kind, HANDLE_RECONCILE);
	event = call_make(SYS_clone, EVENT_LEAVE, 77, 0x1000, 0, 0, 0);
	event.out[0] = 6;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_true(ops[0].cloexec);
	event.result = 0; /* in the child */
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);
	event = call_make(435, EVENT_LEAVE, 77, 0, 0, 0, 0);
	event.out[0] = 0x1000;
	event.out[1] = 6;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_int_equal(ops[0].number, 6);
	event.out[0] = 0;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);
	event = call_make(SYS_getsockopt, EVENT_LEAVE, 0, 3, SOL_SOCKET, 77, 0);
	event.out[0] = 6;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_string_equal(ops[0].type, "pidfd");
	event.args[1] = 6;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);
	event = call_make(SYS_ioctl, EVENT_LEAVE, 0, 3, 0xc00caee0, 0, 0);
	event.out[0] = 6;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_int_equal(ops[0].number, 6);
	event.out[1] = 1; /* only asks whether it could */
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);
	event = call_make(SYS_ioctl, EVENT_LEAVE, 0, 3, 0xc00c642d, 0, 0);
	event.out[0] = O_CLOEXEC;
	event.out[1] = 7;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_int_equal(ops[0].number, 7);
	assert_true(ops[0].cloexec);
	event = call_make(437, EVENT_LEAVE, 6, 0, 0, 0, 0);
	event.out[0] = O_CLOEXEC;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_true(ops[0].cloexec);
}

static void test_control(void **state)
{
	union {
		char bytes[256];
		struct cmsghdr header;
	} control = {0};
	struct cmsghdr *header = &control.header;
	int fds[3] = {5, 6, 7}, pidfd = 9;
	struct event_syscall event =
	    call_make(SYS_recvmsg, EVENT_LEAVE, 1, 3, 0, MSG_CMSG_CLOEXEC, 0);

	(void)state;
	*header = (struct cmsghdr){CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(header), fds, sizeof(fds));
	header = (struct cmsghdr *)(control.bytes + CMSG_SPACE(sizeof(fds)));
	*header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, 4};
	memcpy(CMSG_DATA(header), &pidfd, sizeof(int));
	for (uint32_t end = 0; end < 2; end++) { /* the last one's padding may be missing */
		uint32_t size = CMSG_SPACE(sizeof(fds)) + (end ? CMSG_LEN(4) : CMSG_SPACE(4));
		struct event_data *data = data_make(EVENT_DATA_CONTROL, &control, size);

		assert_int_equal(fd_syscalls_decode(&event, data, ops), 4);
		assert_int_equal(ops[2].kind, HANDLE_RECEIVE);
		assert_int_equal(ops[2].number, 7);
		assert_true(ops[2].cloexec);
		assert_int_equal(ops[3].kind, HANDLE_OPEN);
		assert_string_equal(ops[3].type, "pidfd");
		data->header.flags = EVENT_DATA_CUT;
		assert_int_equal(fd_syscalls_decode(&event, data, ops), 5);
		assert_int_equal(ops[4].kind, HANDLE_RECONCILE);
	}
	/* lying lengths */
	control.header.cmsg_len = SIZE_MAX;
	assert_int_equal(
	    fd_syscalls_decode(&event, data_make(EVENT_DATA_CONTROL, &control, 64), ops), 1);
	assert_int_equal(ops[0].kind, HANDLE_RECONCILE);
	control.header.cmsg_len = 3;
	assert_int_equal(
	    fd_syscalls_decode(&event, data_make(EVENT_DATA_CONTROL, &control, 64), ops), 1);
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_int_equal(ops[0].kind, HANDLE_RECONCILE);
}

static void test_plan(void **state)
{
	static struct plan plan, with_bad;

	(void)state;
	fd_syscalls_plan(&plan, false);
	fd_syscalls_plan(&with_bad, true);
	assert_int_equal(plan.calls[SYS_close].when, PLAN_ENTER | PLAN_LEAVE_FAILED);
	assert_int_equal(with_bad.calls[SYS_close].when, PLAN_ENTER | PLAN_LEAVE_FAILED);
	assert_int_equal(plan.calls[SYS_read].when, 0);
	assert_int_equal(with_bad.calls[SYS_read].when, PLAN_LEAVE_EBADF);
	assert_int_equal(with_bad.calls[SYS_read].fd_arg2, PLAN_NO_ARG);
	assert_int_equal(with_bad.calls[SYS_epoll_ctl].fd_arg2, 2);
	assert_int_equal(with_bad.calls[SYS_mmap].fd_arg, 4);
	assert_int_equal(with_bad.calls[SYS_epoll_ctl].fd_arg, 0);
	assert_int_equal(with_bad.calls[SYS_accept].when,
			 PLAN_LEAVE_OK | PLAN_LEAVE_EBADF | PLAN_LEAVE_FULL);
	assert_int_equal(plan.calls[SYS_accept].when, PLAN_LEAVE_OK | PLAN_LEAVE_FULL);
	assert_int_equal(plan.calls[SYS_unshare].when, PLAN_LEAVE_OK);
	assert_int_equal(plan.calls[SYS_openat].data, PLAN_DATA_PATH);
	assert_int_equal(plan.calls[SYS_openat].data_arg, 1);
	assert_int_equal(plan.calls[SYS_fcntl].guard, PLAN_GUARD_SET);
	assert_int_equal(plan.calls[SYS_getpid].when, 0);
	assert_int_equal(plan.calls[SYS_getpid].fd_arg, PLAN_NO_ARG);
	for (uint32_t i = 0; i < fd_syscalls_table_n; i++) {
		const struct fd_syscall *row = &fd_syscalls_table[i];

		assert_true(row->number < PLAN_SYSCALLS_MAX);
		assert_string_equal(fd_syscalls_name(row->number), row->name); /* no two alike */
		if (row->fd_arg == PLAN_NO_ARG)
			continue;
		struct event_syscall event =
		    call_make(row->number, EVENT_LEAVE, -EBADF, 11, 11, 11, 11);

		event.args[4] = event.args[5] = 11;
		if (row->does == FD_CLOSE)
			continue;
		if (row->fd2_values) { /* not a descriptor with any value of the argument */
			event.args[row->fd2_guard_arg] = 0;
			assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
			event.args[row->fd2_guard_arg] = 5;
			assert_int_equal(row->fd2_values >> 5 & 1, 1);
		}
		assert_int_equal(fd_syscalls_decode(&event, NULL, ops),
				 1 + (row->fd_arg2 != PLAN_NO_ARG));
		assert_int_equal(ops[0].kind, HANDLE_BAD_REFERENCE);
		assert_int_equal(ops[0].number, 11);
		event.args[row->fd_arg] = (uint64_t)AT_FDCWD;
		assert_int_equal(fd_syscalls_decode(&event, NULL, ops),
				 row->fd_arg2 != PLAN_NO_ARG);
	}
}

static size_t decode_failure(uint32_t number, int64_t error, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct event_syscall event = call_make(number, EVENT_LEAVE, error, a0, a1, a2, 0);

	return fd_syscalls_decode(&event, NULL, ops);
}

/* EMFILE and ENFILE, of every call that makes a handle and of no other. */
static void test_exhausted(void **state)
{
	static const uint32_t others[] = {SYS_read, SYS_mmap, SYS_mount, SYS_unshare};

	(void)state;
	for (uint32_t i = 0; i < fd_syscalls_table_n; i++) {
		const struct fd_syscall *row = &fd_syscalls_table[i];
		bool makes =
		    row->does != FD_NOTHING && row->does != FD_UNSHARE && row->does != FD_SELECT;

		if (row->guard != PLAN_GUARD_NONE || row->does == FD_CLOSE ||
		    row->does == FD_CLOSE_RANGE)
			continue;
		assert_int_equal(decode_failure(row->number, -EMFILE, 1, 2, 3), makes);
		assert_int_equal(decode_failure(row->number, -ENFILE, 1, 2, 3), makes);
		assert_int_equal(ops[0].kind == HANDLE_EXHAUSTED && makes, makes);
		assert_int_equal(ops[0].error == -ENFILE && makes, makes);
		assert_int_equal(decode_failure(row->number, -EAGAIN, 1, 2, 3), 0);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(decode_failure(others[i], -EMFILE, 1, 0x400, 3), 0);
	assert_int_equal(decode_failure(SYS_fcntl, -EMFILE, 3, F_DUPFD, 10), 1);
	assert_int_equal(decode_failure(SYS_fcntl, -EMFILE, 3, F_SETLK, 0), 0);
	assert_int_equal(decode_failure(SYS_signalfd4, -EMFILE, (uint32_t)-1, 0, 0), 1);
	assert_int_equal(decode_failure(SYS_signalfd4, -EMFILE, 7, 0, 0), 0);
	assert_int_equal(decode_failure(SYS_clone, -EMFILE, 0x1000, 0, 0), 1);
	assert_int_equal(decode_failure(SYS_clone, -EMFILE, 0x11, 0, 0), 0);
	assert_string_equal(fd_syscalls_other_limit(SYS_inotify_init1, -EMFILE),
			    "fs.inotify.max_user_instances");
	assert_null(fd_syscalls_other_limit(SYS_inotify_init1, -ENFILE));
	assert_non_null(fd_syscalls_other_limit(SYS_pipe2, -ENFILE));
	assert_null(fd_syscalls_other_limit(SYS_accept4, -EMFILE));
	assert_null(fd_syscalls_other_limit(100000, -EMFILE));
}

/* EBADF of a call that does nothing but ask is marked. */
static void test_asks(void **state)
{
	static const struct {
		int command;
		uint64_t argument;
		bool asks;
	} truth[] = {
	    {F_GETFD, 0, true},  {F_GETFL, 0, true},          {F_SETFD, 1, false},
	    {F_DUPFD, 0, false}, {F_DUPFD, 9, false},         {F_DUPFD, 10, true},
	    {F_SETFL, 0, false}, {F_DUPFD_CLOEXEC, 0, false}, {F_DUPFD_CLOEXEC, 10, true},
	};
	struct plan plan;

	(void)state;
	fd_syscalls_plan(&plan, true);
	for (size_t i = 0; i < sizeof(truth) / sizeof(*truth); i++) {
		assert_int_equal(decode(SYS_fcntl, EVENT_LEAVE, -EBADF, 7, truth[i].command,
					truth[i].argument, 0),
				 1);
		assert_int_equal(ops[0].kind, HANDLE_BAD_REFERENCE);
		assert_int_equal(ops[0].asks, truth[i].asks);
		assert_int_equal(
		    plan_only_asks(&plan, SYS_fcntl,
				   (uint64_t[6]){7, truth[i].command, truth[i].argument}),
		    truth[i].asks);
	}
	assert_false(plan_only_asks(&plan, SYS_read, (uint64_t[6]){7, F_GETFD}));
	assert_int_equal(decode(SYS_read, EVENT_LEAVE, -EBADF, 7, F_GETFD, 0, 0), 1);
	assert_false(ops[0].asks);
}

/* What poll() and select() looked for, and an ioctl's second descriptor. */
static void test_waited_for(void **state)
{
	const struct event_polled polled[] = {{12, POLLIN, POLLNVAL}, {13, 0, POLLNVAL}};
	struct event_syscall event = call_make(SYS_poll, EVENT_LEAVE, 2, 0, 5, 0, 0);
	uint8_t sets[3 * EVENT_SET_BYTES] = {[0] = 0x81, [EVENT_SET_BYTES + 1] = 1};
	struct event_data *data = data_make(EVENT_DATA_POLLED, polled, sizeof(polled));

	(void)state;
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 2);
	assert_int_equal(ops[0].kind, HANDLE_BAD_REFERENCE);
	assert_int_equal(ops[0].number, 12);
	assert_false(ops[0].asks);
	assert_int_equal(ops[1].number, 13);
	assert_true(ops[1].asks);
	event.args[2] = 100; /* it waits: that is more than a question */
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 2);
	assert_false(ops[1].asks);
	event.number = SYS_ppoll;
	event.args[2] = 0;
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 2);
	assert_false(ops[1].asks);
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 0);

	sets[2 * EVENT_SET_BYTES + 127] = 0x80;
	event = call_make(SYS_select, EVENT_LEAVE, -EBADF, 1024, 0, 0, 0);
	data = data_make(EVENT_DATA_SETS, sets, sizeof(sets));
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 4);
	assert_int_equal(ops[0].number, 0);
	assert_int_equal(ops[1].number, 7);
	assert_int_equal(ops[2].number, 8);
	assert_int_equal(ops[3].number, 1023);
	event.args[0] = 8; /* what is behind is not looked at */
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 2);
	memset(sets, 0xff, sizeof(sets));
	event.args[0] = UINT64_MAX;
	data = data_make(EVENT_DATA_SETS, sets, sizeof(sets));
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 1024);
	assert_int_equal(ops[1023].kind, HANDLE_BAD_REFERENCE);
	data->size--;
	assert_int_equal(fd_syscalls_decode(&event, data, ops), 0);

	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, -EBADF, 7, 0x40049409, 9, 0), 2);
	assert_int_equal(ops[1].number, 9);
	assert_int_equal(decode(SYS_ioctl, EVENT_LEAVE, -EBADF, 7, 0x5401, 9, 0), 1);
}

/* As the kernel that runs here shows them. */
static void test_fixed_names(void **state)
{
	const struct {
		const char *type;
		int fd;
	} made[] = {
	    {"eventfd", eventfd(0, EFD_CLOEXEC)},
	    {"epoll", epoll_create1(EPOLL_CLOEXEC)},
	    {"timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)},
	    {"inotify", inotify_init1(IN_CLOEXEC)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		char path[64], link[256] = "";

		assert_true(made[i].fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", made[i].fd);
		assert_true(readlink(path, link, sizeof(link) - 1) > 0);
		assert_string_equal(fd_syscalls_fixed_name(made[i].type), link);
		close(made[i].fd);
	}
	assert_null(fd_syscalls_fixed_name("file"));
	assert_null(fd_syscalls_fixed_name(NULL));
}

static void test_path(void **state)
{
	struct event_syscall event = call_make(SYS_openat, EVENT_LEAVE, 5, 0, 0, 0, 0);

	(void)state;
	assert_int_equal(
	    fd_syscalls_decode(&event, data_make(EVENT_DATA_PATH, "/etc/x\0junk", 11), ops), 1);
	assert_int_equal(ops[0].name_bytes, 6);
	assert_string_equal(ops[0].type, "file");
	assert_int_equal(
	    fd_syscalls_decode(&event, data_make(EVENT_DATA_PATH, "/dev/null", 9), ops), 1);
	assert_int_equal(ops[0].name_bytes, 9);
	assert_string_equal(ops[0].type, "device");
	event.result = INT64_MAX;
	assert_int_equal(fd_syscalls_decode(&event, NULL, ops), 1);
	assert_int_equal(ops[0].kind, HANDLE_RECONCILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows_open), cmocka_unit_test(test_guarded),
	    cmocka_unit_test(test_close),     cmocka_unit_test(test_out),
	    cmocka_unit_test(test_control),   cmocka_unit_test(test_plan),
	    cmocka_unit_test(test_asks),      cmocka_unit_test(test_fixed_names),
	    cmocka_unit_test(test_path),      cmocka_unit_test(test_exhausted),
	    cmocka_unit_test(test_types),     cmocka_unit_test(test_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
