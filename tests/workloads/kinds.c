/*
 * Opens one handle of each kind that this kernel and this user can, says on standard output what
 * each is (a line of JSON: its number, its type, and what has to be told of it), and of each that
 * it cannot open why. A child holds the other ends. It begins when it gets a line, and ends with
 * its standard input.
 */
#include "workload.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum { MEGABYTE = 1 << 20 };

static char block[MEGABYTE];
static char folder[200];
static int child;

/* `details` is the inside of a JSON object: what "details" of the handle has to hold. */
static void __attribute__((format(printf, 4, 5)))
tell(const char *kind, int fd, const char *type, const char *details, ...)
{
	char line[1500], text[1000];
	va_list arguments;
	int size;

	va_start(arguments, details);
	vsnprintf(text, sizeof(text), details, arguments);
	va_end(arguments);
	if (fd < 0)
		size = snprintf(line, sizeof(line), "{\"cannot\":\"%s\",\"why\":\"%s\"}\n", kind,
				strerror(errno));
	else
		size = snprintf(line, sizeof(line),
				"{\"kind\":\"%s\",\"fd\":%d,\"type\":\"%s\",\"details\":{%s}}\n",
				kind, fd, type, text);
	truth_write(line, size);
}

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* ---- files ---- */

OPENER static int open_path(const char *path, int flags)
{
	return KEEP(open(path, flags | O_CLOEXEC, 0600));
}

static void files(void)
{
	int file = open_path("/etc/passwd", O_RDONLY);

	lseek(file, 7, SEEK_SET);
	tell("file", file, "file", "\"offset\":7,\"deleted\":false,\"cost_bytes\":null");
	tell("directory", open_path("/etc", O_RDONLY), "directory", "\"offset\":0");
	tell("wanted directory", open_path("/tmp", O_RDONLY | O_DIRECTORY), "directory", " ");
	tell("device", open_path("/dev/zero", O_RDWR), "device", " ");
	tell("tty", open_path("/dev/ptmx", O_RDWR | O_NOCTTY), "tty", " ");
	tell("symlink", open_path("/proc/self/exe", O_PATH | O_NOFOLLOW), "symlink", " ");
	tell("namespace", open_path("/proc/self/ns/net", O_RDONLY), "namespace", " ");
	file = open_path(path_of("deleted"), O_RDWR | O_CREAT);
	unlink(path_of("deleted"));
	if (write(file, block, MEGABYTE) != MEGABYTE || flock(file, LOCK_EX))
		exit(97);
	tell("deleted", file, "file",
	     "\"deleted\":true,\"cost\":\"disk\",\"cost_bytes\":[%d,%d],\"offset\":%d,\"locks\":[{"
	     "\"kind\":\"FLOCK\",\"mode\":\"write\",\"pid\":%d,\"first\":0,\"last\":null}]",
	     MEGABYTE, 2 * MEGABYTE, MEGABYTE, getpid());
	mkfifo(path_of("fifo"), 0600);
	file = open_path(path_of("fifo"), O_RDWR);
	if (write(file, block, 33) != 33)
		exit(97);
	tell("fifo", file, "fifo", "\"pipe\":{\"end\":\"both\",\"bytes\":33},\"cost_bytes\":33");
	file = memfd_create("kinds", MFD_CLOEXEC);
	if (file >= 0 && write(file, block, MEGABYTE) != MEGABYTE)
		exit(97);
	tell("memfd", file, "memfd", "\"cost\":\"memory\",\"cost_bytes\":[%d,%d],\"size_bytes\":%d",
	     MEGABYTE, 4 * MEGABYTE, MEGABYTE);
	file = mq_open("/htrace-kinds", O_RDWR | O_CREAT, 0600, NULL);
	mq_unlink("/htrace-kinds");
	tell("mqueue", file, "mqueue", " ");
}

/* ---- with a child at the other end ---- */

static void pairs(void)
{
	int pipes[2], sockets[2], event = eventfd(7, EFD_CLOEXEC);

	if (pipe2(pipes, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		exit(97);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "other end");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipes[1]);
		close(sockets[0]);
		for (;;)
			pause();
	}
	close(pipes[0]);
	close(sockets[1]);
	if (write(pipes[1], block, 100) != 100 || write(sockets[0], block, 10) != 10)
		exit(97);
	tell("pipe", pipes[1], "pipe",
	     "\"pipe\":{\"end\":\"write\",\"bytes\":100,\"capacity\":65536},\"peers_total\":1,"
	     "\"peers\":[{\"pid\":%d,\"process\":\"other end\",\"handle\":%d}],\"cost_bytes\":100",
	     child, pipes[0]);
	tell("unix pair", sockets[0], "unix",
	     "\"socket\":{\"state\":\"ESTABLISHED\",\"kind\":\"stream\"},\"peers_total\":1,"
	     "\"peers\":[{\"pid\":%d,\"handle\":%d}],\"cost_bytes\":[10,100000]",
	     child, sockets[1]);
	tell("eventfd", event, "eventfd",
	     "\"eventfd\":{\"counter\":7,\"semaphore\":false},\"shared_with_total\":1,"
	     "\"shared_with\":[{\"pid\":%d,\"process\":\"other end\",\"handle\":%d}]",
	     child, event);
}

/* ---- sockets ---- */

OPENER static int open_socket(int domain, int type, int protocol)
{
	return KEEP(socket(domain, type | SOCK_CLOEXEC, protocol));
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t bytes = sizeof(address);

	return getsockname(fd, (struct sockaddr *)&address, &bytes) ? 0 : ntohs(address.sin_port);
}

static void connections(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = open_socket(AF_INET, SOCK_STREAM, 0), ends[2], accepted;
	socklen_t bytes = sizeof(address);

	if (bind(listener, (struct sockaddr *)&address, bytes) || listen(listener, 9) ||
	    getsockname(listener, (struct sockaddr *)&address, &bytes))
		exit(97);
	for (int i = 0; i < 2; i++) {
		ends[i] = open_socket(AF_INET, SOCK_STREAM, 0);
		if (connect(ends[i], (struct sockaddr *)&address, bytes))
			exit(97);
		accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (write(accepted, block, 5) != 5)
			exit(97);
		if (i)
			tell("accepted tcp", accepted, "tcp",
			     "\"socket\":{\"state\":\"ESTABLISHED\",\"local\":\"127.0.0.1:%u\","
			     "\"remote\":\"127.0.0.1:%u\",\"receive_bytes\":0}",
			     port_of(accepted), port_of(ends[1]));
		else
			close(accepted);
	}
	tell("tcp listener", listener, "tcp",
	     "\"socket\":{\"state\":\"LISTEN\",\"local\":\"127.0.0.1:%u\",\"remote\":null,"
	     "\"waiting\":0,\"backlog\":9}",
	     port_of(listener));
	tell("forsaken tcp", ends[0], "tcp",
	     "\"socket\":{\"state\":\"CLOSE_WAIT\",\"local\":\"127.0.0.1:%u\","
	     "\"remote\":\"127.0.0.1:%u\",\"receive_bytes\":[5,6]},\"cost\":\"memory\"",
	     port_of(ends[0]), port_of(listener));
	tell("tcp", ends[1], "tcp",
	     "\"socket\":{\"state\":\"ESTABLISHED\",\"receive_bytes\":5,\"send_bytes\":0},"
	     "\"peers_total\":1,\"peers\":[{\"pid\":%d,\"handle\":%d}]",
	     getpid(), accepted);
	tell("unbound tcp", open_socket(AF_INET6, SOCK_STREAM, 0), "tcp", "\"unconnected\":true");
}

static void datagrams(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_vm vm = {
	    .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct sockaddr_nl netlink = {.nl_family = AF_NETLINK};
	int fd = open_socket(AF_INET, SOCK_DGRAM, 0);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		exit(97);
	tell("udp", fd, "udp", "\"socket\":{\"local\":\"127.0.0.1:%u\",\"state\":null}",
	     port_of(fd));
	fd = open_socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", path_of("socket"));
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)))
		exit(97);
	tell("unix datagrams", fd, "unix", "\"socket\":{\"local\":\"%s\",\"kind\":\"dgram\"}",
	     name.sun_path);
	fd = open_socket(AF_NETLINK, SOCK_RAW, 0);
	if (fd >= 0)
		bind(fd, (struct sockaddr *)&netlink, sizeof(netlink));
	tell("netlink", fd, "netlink", "\"socket\":{\"protocol\":0}");
	fd = open_socket(AF_PACKET, SOCK_DGRAM, htons(0x88cc));
	tell("packet", fd, "packet", "\"socket\":{\"protocol\":35020,\"kind\":\"dgram\"}");
	fd = open_socket(AF_INET, SOCK_RAW, 254);
	tell("raw", fd, "raw", "\"socket\":{\"state\":null}");
	fd = open_socket(AF_VSOCK, SOCK_STREAM, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&vm, sizeof(vm)))
		fprintf(stderr, "vsock: not bound: %s\n", strerror(errno));
	tell("vsock", fd, "vsock", " ");
	tell("ping", open_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), "ping", " ");
	tell("alg", open_socket(38, SOCK_SEQPACKET, 0), "alg", " ");
}

/* ---- objects of the kernel ---- */

static void watchers(void)
{
	struct itimerspec setting = {.it_value = {5000, 0}, .it_interval = {3, 0}};
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd, watched[2];
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t signals;

	if (pipe2(watched, O_CLOEXEC) || epoll_ctl(epoll, EPOLL_CTL_ADD, watched[0], &event))
		exit(97);
	tell("epoll", epoll, "epoll", "\"epoll\":{\"targets_total\":1,\"targets\":[%d]}",
	     watched[0]);
	tell("own pipe", watched[0], "pipe",
	     "\"pipe\":{\"end\":\"read\",\"bytes\":0},\"peers\":[{\"pid\":%d,\"handle\":%d}]",
	     getpid(), watched[1]);
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(fd, 0, &setting, NULL);
	tell("timerfd", fd, "timerfd",
	     "\"timerfd\":{\"clock\":\"CLOCK_MONOTONIC\",\"ticks\":0,\"interval_ns\":3000000000,"
	     "\"value_ns\":[4900000000000,5000000000000]}");
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR2);
	tell("signalfd", signalfd(-1, &signals, SFD_CLOEXEC), "signalfd",
	     "\"signalfd\":{\"signals\":[%d]}", SIGUSR2);
	fd = inotify_init1(IN_CLOEXEC);
	inotify_add_watch(fd, "/etc", IN_CREATE);
	inotify_add_watch(fd, folder, IN_CREATE);
	tell("inotify", fd, "inotify", "\"inotify\":{\"watches\":2}");
	fd = fanotify_init(FAN_CLOEXEC, 0);
	if (fd >= 0)
		fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, folder);
	tell("fanotify", fd, "fanotify", "\"fanotify\":{\"marks\":1}");
	tell("pidfd", syscall(SYS_pidfd_open, child, 0), "pidfd",
	     "\"pidfd\":{\"pid\":%d,\"process\":\"other end\",\"ended\":false}", child);
}

static void rings(void)
{
	union bpf_attr map = {
	    .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4096, .max_entries = 16};
	struct perf_event_attr perf = {.type = PERF_TYPE_SOFTWARE,
				       .size = sizeof(perf),
				       .config = PERF_COUNT_SW_TASK_CLOCK,
				       .exclude_kernel = 1};
	char parameters[120] = {0};

	tell("io_uring", syscall(SYS_io_uring_setup, 4, parameters), "io_uring",
	     "\"io_uring\":{\"files\":0,\"buffers\":0}");
	tell("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map)), "bpf",
	     "\"bpf\":{\"kind\":\"map\",\"type\":%d},\"cost\":\"memory\",\"cost_bytes\":[65536,"
	     "200000]",
	     BPF_MAP_TYPE_ARRAY);
	tell("perf", syscall(SYS_perf_event_open, &perf, 0, -1, -1, PERF_FLAG_FD_CLOEXEC), "perf",
	     " ");
	tell("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC | 1), "userfaultfd",
	     "\"userfaultfd\":{\"pending\":0}");
}

int main(int argc, char **argv)
{
	char line[16];

	snprintf(folder, sizeof(folder), "%s/kinds-%d", argc > 1 ? argv[1] : "/tmp", getpid());
	memset(block, 'x', sizeof(block));
	truth_write("ready\n", 6);
	if (read(0, line, sizeof(line)) <= 0)
		return 1;
	mkdir(folder, 0700);
	pairs();
	files();
	connections();
	datagrams();
	watchers();
	rings();
	truth_write("done\n", 5);
	while (read(0, line, sizeof(line)) > 0)
		;
	unlink(path_of("fifo"));
	unlink(path_of("socket"));
	rmdir(folder);
	kill(child, SIGKILL);
	return 0;
}
