/* The calls of libc_coverage.h that make pipes, sockets, terminals and other kernel objects. */
#include "libc_coverage.h"

#include "send_numbers.h"
#include "workload.h"

#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pty.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define LEFT(number, type) step_left(number, __func__, type)

static const char *own_name(void)
{
	static char name[64];

	snprintf(name, sizeof(name), "/htrace-coverage-%d", (int)getpid());
	return name;
}

OPENER void call_pipe(void)
{
	int ends[2];

	step_must(KEEP(pipe(ends)), "pipe");
	LEFT(ends[0], "pipe");
	LEFT(ends[1], "pipe");
}

OPENER void call_pipe2(void)
{
	int ends[2];

	step_must(KEEP(pipe2(ends, O_CLOEXEC)), "pipe2");
	LEFT(ends[0], "pipe");
	LEFT(ends[1], "pipe");
}

OPENER void call_socket(void)
{
	LEFT(KEEP(socket(AF_UNIX, SOCK_STREAM, 0)), "socket");
}

OPENER void call_socketpair(void)
{
	int ends[2];

	step_must(KEEP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)), "socketpair");
	LEFT(ends[0], "socket");
	LEFT(ends[1], "socket");
}

struct connection {
	int server, client;
};

static struct connection connect_to_self(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	struct connection made = {step_must(socket(AF_INET, SOCK_STREAM, 0), "socket"),
				  step_must(socket(AF_INET, SOCK_STREAM, 0), "socket")};

	step_must(bind(made.server, (struct sockaddr *)&address, size), "bind");
	step_must(listen(made.server, 1), "listen");
	step_must(getsockname(made.server, (struct sockaddr *)&address, &size), "getsockname");
	step_must(connect(made.client, (struct sockaddr *)&address, size), "connect");
	return made;
}

static void disconnect(const struct connection *connection)
{
	close(connection->server);
	close(connection->client);
}

OPENER void call_accept(void)
{
	struct connection connection = connect_to_self();

	LEFT(KEEP(accept(connection.server, NULL, NULL)), "socket");
	disconnect(&connection);
}

OPENER void call_accept4(void)
{
	struct connection connection = connect_to_self();

	LEFT(KEEP(accept4(connection.server, NULL, NULL, SOCK_CLOEXEC)), "socket");
	disconnect(&connection);
}

OPENER void call_eventfd(void)
{
	LEFT(KEEP(eventfd(0, 0)), "eventfd");
}

OPENER void call_epoll_create(void)
{
	LEFT(KEEP(epoll_create(1)), "epoll");
}

OPENER void call_epoll_create1(void)
{
	LEFT(KEEP(epoll_create1(EPOLL_CLOEXEC)), "epoll");
}

OPENER void call_timerfd_create(void)
{
	LEFT(KEEP(timerfd_create(CLOCK_MONOTONIC, 0)), "timerfd");
}

OPENER void call_signalfd(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	LEFT(KEEP(signalfd(-1, &signals, 0)), "signalfd");
}

OPENER void call_inotify_init(void)
{
	LEFT(KEEP(inotify_init()), "inotify");
}

OPENER void call_inotify_init1(void)
{
	LEFT(KEEP(inotify_init1(IN_CLOEXEC)), "inotify");
}

/* An ordinary user may since Linux 5.13, where the file's handle is all that is asked for. */
OPENER void call_fanotify_init(void)
{
	int number = KEEP(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY));

	if (number < 0)
		step_unsupported("fanotify_init");
	LEFT(number, "fanotify");
}

OPENER void call_memfd_create(void)
{
	LEFT(KEEP(memfd_create("coverage", 0)), "memfd");
}

OPENER void call_shm_open(void)
{
	LEFT(KEEP(shm_open(own_name(), O_CREAT | O_RDWR, 0600)), "file");
	shm_unlink(own_name());
}

/* Opens and closes inside. */
OPENER void call_sem_open(void)
{
	sem_t *semaphore = sem_open(own_name(), O_CREAT, 0600, 1);

	step_must(semaphore == SEM_FAILED ? -1 : 0, "sem_open");
	sem_unlink(own_name());
	sem_close(semaphore);
}

OPENER void call_mq_open(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 16};
	int number = KEEP(mq_open(own_name(), O_CREAT | O_RDWR, 0600, &attributes));

	if (number < 0)
		step_unsupported("mq_open");
	LEFT(number, "mqueue");
	mq_unlink(own_name());
}

OPENER void call_pidfd_open(void)
{
	LEFT(KEEP(pidfd_open(getpid(), 0)), "pidfd");
}

OPENER void call_posix_openpt(void)
{
	LEFT(KEEP(posix_openpt(O_RDWR | O_NOCTTY)), "device");
}

OPENER void call_openpty(void)
{
	int master = -1, slave = -1;

	step_must(KEEP(openpty(&master, &slave, NULL, NULL, NULL)), "openpty");
	LEFT(master, "device");
	LEFT(slave, "device");
}

OPENER void call_forkpty(void)
{
	int master = -1;
	int pid = KEEP(forkpty(&master, NULL, NULL, NULL));

	if (pid == 0)
		_exit(0);
	step_must(pid, "forkpty");
	LEFT(master, "device");
	waitpid(pid, NULL, 0);
}

OPENER void call_recvmsg(void)
{
	char control[CMSG_SPACE(sizeof(int))];
	char byte;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int ends[2], number;

	step_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
	step_must(send_numbers(ends[0], (int[]){0}, 1), "sendmsg");
	step_must(KEEP(recvmsg(ends[1], &message, 0)), "recvmsg");
	memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(number));
	LEFT(number, "any");
	close(ends[0]);
	close(ends[1]);
}

/* libc's function for any call: the number is not in its code. */
OPENER void call_syscall(void)
{
	LEFT(KEEP(syscall(SYS_eventfd2, 0, 0)), "eventfd");
}
