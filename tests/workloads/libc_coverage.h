/*
 * The 60 functions of libc whose calls the coverage is counted by. Each is one step, in a process
 * of its own: name, how many opening and closing calls it makes (UNTOLD: that is the machine's
 * affair), and how many descriptors a child that it starts has at its end (0: it starts none).
 */
#ifndef LIBC_COVERAGE_H
#define LIBC_COVERAGE_H

enum { UNTOLD = -1, STEPS_N = 60 };

/* clang-format off */
#define COVERAGE_STEPS(STEP)                                                                       \
	STEP(open, 1, 0) STEP(open64, 1, 0) STEP(openat, 1, 0) STEP(creat, 1, 0)                   \
	STEP(fopen, 1, 0) STEP(fclose, 2, 0) STEP(freopen, 4, 0) STEP(fdopen, 2, 0)                \
	STEP(opendir, 1, 0) STEP(closedir, 2, 0) STEP(fdopendir, 3, 0) STEP(scandir, 2, 0)         \
	STEP(nftw, UNTOLD, 0) STEP(fts_read, UNTOLD, 0)                                            \
	STEP(mkstemp, 1, 0) STEP(mkostemp, 1, 0) STEP(tmpfile, 1, 0)                               \
	STEP(dup, 2, 0) STEP(dup2, 2, 0) STEP(dup3, 2, 0)                                          \
	STEP(fcntl_dupfd, 2, 0) STEP(fcntl_dupfd_cloexec, 2, 0)                                    \
	STEP(pipe, 2, 0) STEP(pipe2, 2, 0)                                                         \
	STEP(socket, 1, 0) STEP(socketpair, 2, 0) STEP(accept, 5, 0) STEP(accept4, 5, 0)           \
	STEP(eventfd, 1, 0) STEP(epoll_create, 1, 0) STEP(epoll_create1, 1, 0)                     \
	STEP(timerfd_create, 1, 0) STEP(signalfd, 1, 0)                                            \
	STEP(inotify_init, 1, 0) STEP(inotify_init1, 1, 0) STEP(fanotify_init, 1, 0)               \
	STEP(memfd_create, 1, 0) STEP(shm_open, 1, 0) STEP(sem_open, 2, 0)                    \
	STEP(mq_open, 1, 0) STEP(pidfd_open, 1, 0)                                                 \
	STEP(posix_openpt, 1, 0) STEP(openpty, 2, 0) STEP(forkpty, 4, 3)                      \
	STEP(popen, 5, 3) STEP(pclose, 6, 3) STEP(posix_spawn, 1, 4)                \
	STEP(system, 1, 3)                                                                    \
	STEP(getaddrinfo, UNTOLD, 0) STEP(getifaddrs, 2, 0) STEP(getpwnam, UNTOLD, 0)              \
	STEP(syslog, UNTOLD, 0) STEP(setlocale, UNTOLD, 0) STEP(iconv_open, UNTOLD, 0)             \
	STEP(dlopen, 4, 0) STEP(recvmsg, 5, 0)                                           \
	STEP(close, 2, 0) STEP(close_range, UNTOLD, 0) STEP(closefrom, UNTOLD, 0)                  \
	STEP(syscall, 1, 0)
/* clang-format on */

#define STEP_DECLARE(name, calls, child) void call_##name(void);
COVERAGE_STEPS(STEP_DECLARE)
#undef STEP_DECLARE

/* `function` opened `number` and leaves it open. */
void step_left(int number, const char *function, const char *type);
/* This kernel, or this user, cannot make the call; ends the process. */
void step_unsupported(const char *call);
/* Ends the process badly if a call failed that every kernel and user can do. */
int step_must(int number, const char *what);

#endif
