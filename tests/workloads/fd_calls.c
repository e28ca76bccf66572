/*
 * One function for every system call that gives a process a new descriptor.
 *
 *     fd_calls open [NAME]    each leaves its handles open (or only the named function's)
 *     fd_calls close [NAME]   each one's handles are opened and closed twice
 *
 * Handles that a call needs beforehand are opened by setup_* functions and stay open. A call that
 * the kernel or the user's rights refuse is told as unsupported.
 */
#include "send_numbers.h"
#include "workload.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

/* Handles that several calls need; opened once. */
static int base_file;      /* an open file */
static int base_socket[2]; /* a connected pair */
static int base_listener;  /* a listening socket in the abstract name space */
static int base_terminal;  /* a pseudo terminal's master */
static int base_namespace; /* /proc/self/ns/net */
static struct sockaddr_un base_address;
static socklen_t base_address_size;

OPENER static void setup_files(void)
{
	base_file = KEEP(open("base", O_RDWR | O_CREAT, 0600));
	truth_opened(base_file, "setup_files", "file");
	base_namespace = KEEP(open("/proc/self/ns/net", O_RDONLY));
	truth_opened(base_namespace, "setup_files", "namespace");
	base_terminal = KEEP(open("/dev/ptmx", O_RDWR | O_NOCTTY));
	truth_opened(base_terminal, "setup_files", "tty");
	int zero = 0;

	ioctl(base_terminal, TIOCSPTLCK, &zero);
}

OPENER static void setup_sockets(void)
{
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, base_socket) != 0)
		exit(97);
	truth_opened(base_socket[0], "setup_sockets", "socket");
	truth_opened(base_socket[1], "setup_sockets", "socket");
	base_listener = KEEP(socket(AF_UNIX, SOCK_STREAM, 0));
	truth_opened(base_listener, "setup_sockets", "socket");
	base_address.sun_family = AF_UNIX;
	base_address_size =
	    offsetof(struct sockaddr_un, sun_path) + 1 +
	    (socklen_t)snprintf(base_address.sun_path + 1, 60, "htrace-%d", getpid());
	if (bind(base_listener, (struct sockaddr *)&base_address, base_address_size) != 0 ||
	    listen(base_listener, 8) != 0)
		exit(97);
}

/* A client of the listener, so that accept has something to take. */
OPENER static int setup_client(void)
{
	int client = KEEP(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));

	truth_opened(client, "setup_client", "socket");
	if (connect(client, (struct sockaddr *)&base_address, base_address_size) != 0)
		exit(97);
	return client;
}

/* Each writes the numbers it got into `out`, and returns how many, or -1. */
#define RETURNS(name, call)                                                                        \
	OPENER static int name(int out[2])                                                         \
	{                                                                                          \
		out[0] = KEEP(call);                                                               \
		return out[0] < 0 ? -1 : 1;                                                        \
	}

RETURNS(open_open, syscall(SYS_open, "opened", O_RDWR | O_CREAT, 0600))
RETURNS(open_creat, syscall(SYS_creat, "created", 0600))
RETURNS(open_openat, openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY))
RETURNS(open_dup, dup(base_file))
RETURNS(open_dupfd, fcntl(base_file, F_DUPFD, 200))
RETURNS(open_dupfd_cloexec, fcntl(base_file, F_DUPFD_CLOEXEC, 200))
RETURNS(open_dup2_free, dup2(base_file, 300))
RETURNS(open_dup3_free, dup3(base_file, 301, O_CLOEXEC))
RETURNS(open_eventfd, syscall(SYS_eventfd, 0))
RETURNS(open_eventfd2, eventfd(0, EFD_CLOEXEC))
RETURNS(open_epoll_create, syscall(SYS_epoll_create, 8))
RETURNS(open_epoll_create1, epoll_create1(EPOLL_CLOEXEC))
RETURNS(open_timerfd_create, timerfd_create(CLOCK_MONOTONIC, 0))
RETURNS(open_inotify_init, syscall(SYS_inotify_init))
RETURNS(open_inotify_init1, inotify_init1(IN_CLOEXEC))
RETURNS(open_fanotify_init, fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY))
RETURNS(open_memfd_create, memfd_create("workload", MFD_CLOEXEC))
RETURNS(open_memfd_secret, syscall(SYS_memfd_secret, 0))
RETURNS(open_userfaultfd, syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */))
RETURNS(open_pidfd_open, syscall(SYS_pidfd_open, getpid(), 0))
RETURNS(open_fsopen, syscall(SYS_fsopen, "tmpfs", 1))
RETURNS(open_fspick, syscall(SYS_fspick, AT_FDCWD, "/", 1))
RETURNS(open_open_tree, syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLOEXEC))
RETURNS(open_open_tree_attr, syscall(SYS_open_tree_attr, AT_FDCWD, ".", OPEN_TREE_CLOEXEC, NULL, 0))
RETURNS(open_socket, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
RETURNS(open_ioctl_tiocgptpeer, ioctl(base_terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY))
RETURNS(open_ioctl_ns_get_userns, ioctl(base_namespace, NS_GET_USERNS))

OPENER static int open_openat2(int out[2])
{
	struct open_how how = {.flags = O_RDONLY};

	out[0] = KEEP(syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof(how)));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_by_handle(int out[2])
{
	struct {
		struct file_handle handle;
		unsigned char bytes[MAX_HANDLE_SZ];
	} file = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount;

	if (name_to_handle_at(AT_FDCWD, "base", &file.handle, &mount, 0) != 0)
		return -1;
	out[0] = KEEP(open_by_handle_at(base_file, &file.handle, O_RDONLY));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_accept(int out[2])
{
	setup_client();
	out[0] = KEEP(syscall(SYS_accept, base_listener, NULL, NULL));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_accept4(int out[2])
{
	setup_client();
	out[0] = KEEP(accept4(base_listener, NULL, NULL, SOCK_CLOEXEC));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_signalfd(int out[2])
{
	uint64_t mask = 0;

	out[0] = KEEP(syscall(SYS_signalfd, -1, &mask, 8));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_signalfd4(int out[2])
{
	sigset_t mask;

	sigemptyset(&mask);
	out[0] = KEEP(signalfd(-1, &mask, SFD_CLOEXEC));
	/* with a number it only changes that one */
	if (out[0] >= 0 && signalfd(out[0], &mask, 0) != out[0])
		exit(97);
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_perf_event(int out[2])
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_SOFTWARE,
				       .config = PERF_COUNT_SW_DUMMY,
				       .exclude_kernel = 1};

	out[0] = KEEP(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_bpf_map(int out[2])
{
	union bpf_attr attr = {
	    .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	out[0] = KEEP(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
	if (out[0] >= 0) {
		/* a command whose 0 is no descriptor */
		uint32_t key = 0, value = 1;
		union bpf_attr update = {.map_fd = (uint32_t)out[0],
					 .key = (uint64_t)(uintptr_t)&key,
					 .value = (uint64_t)(uintptr_t)&value};

		syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &update, sizeof(update));
	}
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_io_uring_setup(int out[2])
{
	struct io_uring_params params = {0};

	out[0] = KEEP(syscall(SYS_io_uring_setup, 4, &params));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_fsmount(int out[2])
{
	int context = KEEP(syscall(SYS_fsopen, "tmpfs", 1));

	if (context < 0)
		return -1;
	if (syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) == 0)
		out[0] = KEEP(syscall(SYS_fsmount, context, 1, 0));
	else
		out[0] = -1;
	int error = errno;

	close(context);
	errno = error;
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_mq_open(int out[2])
{
	char name[40];

	snprintf(name, sizeof(name), "/htrace-%d", getpid());
	out[0] = KEEP(mq_open(name, O_RDWR | O_CREAT, 0600, NULL));
	if (out[0] >= 0)
		mq_unlink(name);
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_landlock(int out[2])
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE};

	/* asking for the version gives no descriptor */
	syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	out[0] =
	    KEEP(syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0));
	return out[0] < 0 ? -1 : 1;
}

/* The filter lets everything pass. */
OPENER static int open_seccomp_listener(int out[2])
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &allow};

	if (geteuid() != 0)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	out[0] = KEEP(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_pipe(int out[2])
{
	return KEEP(syscall(SYS_pipe, out)) < 0 ? -1 : 2;
}

OPENER static int open_pipe2(int out[2])
{
	return KEEP(pipe2(out, O_CLOEXEC)) < 0 ? -1 : 2;
}

OPENER static int open_socketpair(int out[2])
{
	return KEEP(socketpair(AF_UNIX, SOCK_STREAM, 0, out)) < 0 ? -1 : 2;
}

OPENER static int open_pidfd_getfd(int out[2])
{
	int self = KEEP(syscall(SYS_pidfd_open, getpid(), 0));

	if (self < 0)
		return -1;
	out[0] = KEEP(syscall(SYS_pidfd_getfd, self, base_file, 0));
	int error = errno;

	close(self);
	errno = error;
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_clone_pidfd(int out[2])
{
	int pidfd = -1;
	long child = KEEP(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0));

	if (child == 0)
		_exit(0);
	if (child < 0)
		return -1;
	waitpid((pid_t)child, NULL, 0);
	out[0] = pidfd;
	return 1;
}

OPENER static int open_clone3_pidfd(int out[2])
{
	int pidfd = -1;
	struct clone_args args = {
	    .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
	long child = KEEP(syscall(SYS_clone3, &args, sizeof(args)));

	if (child == 0)
		_exit(0);
	if (child < 0)
		return -1;
	waitpid((pid_t)child, NULL, 0);
	out[0] = pidfd;
	return 1;
}

/* Sends two copies of base_file to ourselves, in one message. */
static void send_two(void)
{
	if (send_numbers(base_socket[0], (int[]){base_file, base_file}, 2) != 1)
		exit(97);
}

OPENER static int open_recvmsg(int out[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))];
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};

	send_two();
	if (KEEP(recvmsg(base_socket[1], &message, MSG_CMSG_CLOEXEC)) != 1)
		return -1;
	memcpy(out, CMSG_DATA(CMSG_FIRSTHDR(&message)), 2 * sizeof(int));
	return 2;
}

OPENER static int open_recvmmsg(int out[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))];
	char byte;
	struct iovec data = {&byte, 1};
	struct mmsghdr vector = {.msg_hdr = {.msg_iov = &data,
					     .msg_iovlen = 1,
					     .msg_control = control,
					     .msg_controllen = sizeof(control)}};

	send_two();
	if (KEEP(recvmmsg(base_socket[1], &vector, 1, 0, NULL)) != 1)
		return -1;
	memcpy(out, CMSG_DATA(CMSG_FIRSTHDR(&vector.msg_hdr)), 2 * sizeof(int));
	return 2;
}

OPENER static int open_scm_pidfd(int out[2])
{
	char control[CMSG_SPACE(sizeof(int))];
	char byte = 'x';
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int on = 1, off = 0;

	if (setsockopt(base_socket[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) != 0)
		return -1;
	send(base_socket[0], &byte, 1, 0);
	int got = KEEP(recvmsg(base_socket[1], &message, 0));

	setsockopt(base_socket[1], SOL_SOCKET, SO_PASSPIDFD, &off, sizeof(off));
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (got != 1 || header == NULL || header->cmsg_type != SCM_PIDFD)
		return -1;
	memcpy(out, CMSG_DATA(header), sizeof(int));
	return out[0] < 0 ? -1 : 1;
}

OPENER static int open_so_peerpidfd(int out[2])
{
	socklen_t size = sizeof(out[0]);

	if (KEEP(getsockopt(base_socket[0], SOL_SOCKET, SO_PEERPIDFD, &out[0], &size)) != 0)
		return -1;
	return 1;
}

static const struct {
	const char *name;
	int (*open)(int out[2]);
	const char *type;
} calls[] = {
#define CALL(name, type)                                                                           \
	{                                                                                          \
#name, name, type                                                                  \
	}
    CALL(open_open, "file"),
    CALL(open_creat, "file"),
    CALL(open_openat, "directory"),
    CALL(open_openat2, "device"),
    CALL(open_by_handle, "file"),
    CALL(open_open_tree, "directory"),
    CALL(open_open_tree_attr, "directory"),
    CALL(open_socket, "socket"),
    CALL(open_accept, "socket"),
    CALL(open_accept4, "socket"),
    CALL(open_dup, "file"),
    CALL(open_dupfd, "file"),
    CALL(open_dupfd_cloexec, "file"),
    CALL(open_dup2_free, "file"),
    CALL(open_dup3_free, "file"),
    CALL(open_eventfd, "eventfd"),
    CALL(open_eventfd2, "eventfd"),
    CALL(open_epoll_create, "epoll"),
    CALL(open_epoll_create1, "epoll"),
    CALL(open_timerfd_create, "timerfd"),
    CALL(open_signalfd, "signalfd"),
    CALL(open_signalfd4, "signalfd"),
    CALL(open_inotify_init, "inotify"),
    CALL(open_inotify_init1, "inotify"),
    CALL(open_fanotify_init, "fanotify"),
    CALL(open_memfd_create, "memfd"),
    CALL(open_memfd_secret, "memfd"),
    CALL(open_userfaultfd, "userfaultfd"),
    CALL(open_perf_event, "perf_event"),
    CALL(open_bpf_map, "bpf"),
    CALL(open_io_uring_setup, "io_uring"),
    CALL(open_pidfd_open, "pidfd"),
    CALL(open_pidfd_getfd, "received"),
    CALL(open_fsopen, "fscontext"),
    CALL(open_fsmount, "mount"),
    CALL(open_fspick, "fscontext"),
    CALL(open_mq_open, "mqueue"),
    CALL(open_landlock, "landlock"),
    CALL(open_ioctl_tiocgptpeer, "tty"),
    CALL(open_ioctl_ns_get_userns, "namespace"),
    CALL(open_pipe, "pipe"),
    CALL(open_pipe2, "pipe"),
    CALL(open_socketpair, "socket"),
    CALL(open_clone_pidfd, "pidfd"),
    CALL(open_clone3_pidfd, "pidfd"),
    CALL(open_recvmsg, "received"),
    CALL(open_recvmmsg, "received"),
    CALL(open_scm_pidfd, "pidfd"),
    CALL(open_so_peerpidfd, "pidfd"),
    CALL(open_seccomp_listener, "seccomp"), /* last: its filter stays */
};

static void call_once(size_t index, bool leave_open)
{
	int out[2] = {-1, -1};
	int count = calls[index].open(out);

	if (count < 0) {
		truth_unsupported(calls[index].name, errno);
		return;
	}
	for (int i = 0; i < count; i++) {
		if (leave_open)
			truth_opened(out[i], calls[index].name, calls[index].type);
		else
			close(out[i]);
	}
}

int main(int argc, char **argv)
{
	bool leave_open = argc < 2 || strcmp(argv[1], "open") == 0;

	setup_files();
	setup_sockets();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (argc > 2 && strcmp(argv[2], calls[i].name) != 0)
			continue;
		call_once(i, leave_open);
		if (!leave_open && calls[i].open != open_seccomp_listener)
			call_once(i, false);
	}
	truth_print();
	truth_wait();
	return 0;
}
