/*
 * Every system call that takes a descriptor, each with a number that is not open and that no other
 * one uses; calls that take two are made with each of them. Its truth: those that the kernel
 * answered with EBADF. Calls that found another fault first, or that this kernel has not, are told
 * as unsupported.
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/syscall.h>

enum { FIRST_NUMBER = 1200 };

/*
 * The arguments, a letter each: f a number that is not open, d a folder, w AT_FDCWD, n -1, p a
 * path, r the root's path, b a buffer of zeros, 0 to 9 a number, P a page, E an epoll instance, B
 * what perf_event_open() wants, X and H the sizes 16 and 24.
 */
static const struct call {
	int number;
	const char *name, *args;
} calls[] = {
    {0, "read", "fb1"},
    {1, "write", "fb1"},
    {5, "fstat", "fb"},
    {8, "lseek", "f00"},
    {9, "mmap", "0P12f0"},
    {16, "ioctl", "f0b"},
    {17, "pread64", "fb10"},
    {18, "pwrite64", "fb10"},
    {19, "readv", "fb0"},
    {20, "writev", "fb0"},
    {32, "dup", "f"},
    {33, "dup2", "f9"},
    {40, "sendfile", "fd01"},
    {40, "sendfile", "df01"},
    {42, "connect", "fb2"},
    {43, "accept", "f00"},
    {44, "sendto", "fb10b2"},
    {45, "recvfrom", "fb1000"},
    {46, "sendmsg", "fb0"},
    {47, "recvmsg", "fb0"},
    {48, "shutdown", "f0"},
    {49, "bind", "fb2"},
    {50, "listen", "f1"},
    {51, "getsockname", "fbb"},
    {52, "getpeername", "fbb"},
    {54, "setsockopt", "f00b4"},
    {55, "getsockopt", "f00bb"},
    {72, "fcntl", "f20"},
    {73, "flock", "f1"},
    {74, "fsync", "f"},
    {75, "fdatasync", "f"},
    {77, "ftruncate", "f0"},
    {78, "getdents", "fbP"},
    {81, "fchdir", "f"},
    {91, "fchmod", "f0"},
    {93, "fchown", "f00"},
    {138, "fstatfs", "fb"},
    {187, "readahead", "f01"},
    {190, "fsetxattr", "fpb10"},
    {193, "fgetxattr", "fpb1"},
    {196, "flistxattr", "fb1"},
    {199, "fremovexattr", "fp"},
    {217, "getdents64", "fbP"},
    {221, "fadvise64", "f010"},
    {232, "epoll_wait", "fb10"},
    {233, "epoll_ctl", "f1Eb"},
    {233, "epoll_ctl", "E1fb"},
    {242, "mq_timedsend", "fb100"},
    {243, "mq_timedreceive", "fbP00"},
    {244, "mq_notify", "f0"},
    {245, "mq_getsetattr", "f0b"},
    {247, "waitid", "3fb40"},
    {254, "inotify_add_watch", "fp1"},
    {255, "inotify_rm_watch", "f1"},
    {257, "openat", "fp00"},
    {258, "mkdirat", "fp0"},
    {259, "mknodat", "fp00"},
    {260, "fchownat", "fp000"},
    {261, "futimesat", "fpb"},
    {262, "newfstatat", "fpb0"},
    {263, "unlinkat", "fp0"},
    {264, "renameat", "fpwp"},
    {264, "renameat", "wpfp"},
    {265, "linkat", "fpwp0"},
    {265, "linkat", "wrfp0"},
    {266, "symlinkat", "pfp"},
    {267, "readlinkat", "fpb9"},
    {268, "fchmodat", "fp0"},
    {269, "faccessat", "fp0"},
    {275, "splice", "f0d010"},
    {275, "splice", "d0f010"},
    {276, "tee", "fd10"},
    {276, "tee", "df10"},
    {277, "sync_file_range", "f010"},
    {278, "vmsplice", "fb10"},
    {280, "utimensat", "fp00"},
    {281, "epoll_pwait", "fb1008"},
    {282, "signalfd", "fb8"},
    {285, "fallocate", "f001"},
    {286, "timerfd_settime", "f0b0"},
    {287, "timerfd_gettime", "fb"},
    {288, "accept4", "f000"},
    {289, "signalfd4", "fb80"},
    {292, "dup3", "f90"},
    {295, "preadv", "fb000"},
    {296, "pwritev", "fb000"},
    {298, "perf_event_open", "B0nf0"},
    {299, "recvmmsg", "fb100"},
    {301, "fanotify_mark", "f12dp"},
    {303, "name_to_handle_at", "fpbb0"},
    {304, "open_by_handle_at", "fb0"},
    {306, "syncfs", "f"},
    {307, "sendmmsg", "fb10"},
    {308, "setns", "f0"},
    {313, "finit_module", "fp0"},
    {316, "renameat2", "fpwp0"},
    {316, "renameat2", "wpfp0"},
    {322, "execveat", "fp000"},
    {326, "copy_file_range", "f0d010"},
    {326, "copy_file_range", "d0f010"},
    {327, "preadv2", "fb0000"},
    {328, "pwritev2", "fb0000"},
    {332, "statx", "fp00b"},
    {424, "pidfd_send_signal", "f000"},
    {426, "io_uring_enter", "f1000"},
    {427, "io_uring_register", "f1b0"},
    {428, "open_tree", "fp0"},
    {429, "move_mount", "fpwr0"},
    {429, "move_mount", "wpfp0"},
    {431, "fsconfig", "f0p00"},
    {432, "fsmount", "f00"},
    {433, "fspick", "fp0"},
    {437, "openat2", "fpbH"},
    {438, "pidfd_getfd", "f00"},
    {439, "faccessat2", "fp00"},
    {440, "process_madvise", "fb040"},
    {441, "epoll_pwait2", "fb1000"},
    {442, "mount_setattr", "fp0b9"},
    {443, "quotactl_fd", "f000"},
    {445, "landlock_add_rule", "f1b0"},
    {446, "landlock_restrict_self", "f0"},
    {448, "process_mrelease", "f0"},
    {451, "cachestat", "fbb0"},
    {452, "fchmodat2", "fp00"},
    {463, "setxattrat", "fp0pbX"},
    {464, "getxattrat", "fp0pbX"},
    {465, "listxattrat", "fp0b9"},
    {466, "removexattrat", "fp0p"},
    {467, "open_tree_attr", "fp0b9"},
    {468, "file_getattr", "fpbP0"},
    {469, "file_setattr", "fpbP0"},
};

static char buffer[4096];
static int folder, epoll;

/* struct perf_event_attr of PERF_ATTR_SIZE_VER0: a software event, the CPU's clock. */
static unsigned perf_event[16] = {1, 64};

static long argument(char letter, int number)
{
	switch (letter) {
	case 'f':
		return number;
	case 'd':
		return folder;
	case 'E':
		return epoll;
	case 'w':
		return AT_FDCWD;
	case 'n':
		return -1;
	case 'p':
		return (long)"no such file";
	case 'r':
		return (long)"/";
	case 'b':
		return (long)buffer;
	case 'B':
		return (long)perf_event;
	case 'P':
		return sizeof(buffer);
	case 'X':
		return 16;
	case 'H':
		return 24;
	default:
		return letter - '0';
	}
}

OPENER static void call_bad(const struct call *call, int number)
{
	long args[6] = {0};

	for (int i = 0; i < 6 && call->args[i]; i++)
		args[i] = argument(call->args[i], number);
	memset(buffer, 0, sizeof(buffer));
	errno = 0;
	KEEP(syscall(call->number, args[0], args[1], args[2], args[3], args[4], args[5]));
}

OPENER static void setup(void)
{
	folder = KEEP(open("/", O_RDONLY | O_DIRECTORY));
	epoll = KEEP(syscall(SYS_epoll_create1, 0));
	truth_opened(folder, "setup", "directory");
	truth_opened(epoll, "setup", "epoll");
}

int main(void)
{
	int number = FIRST_NUMBER;

	setup();
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++, number++) {
		char line[300];
		int used;

		call_bad(&calls[i], number);
		if (errno != EBADF) {
			used = snprintf(line, sizeof(line), "%s(%s)", calls[i].name, calls[i].args);
			truth_unsupported(line, errno);
			continue;
		}
		used = snprintf(line, sizeof(line),
				"{\"truth\":\"bad\",\"pid\":%d,\"handle\":%d,\"operation\":\"%s\","
				"\"kind\":\"never-opened\",\"now\":\"call_bad\",\"closed\":\"\","
				"\"opened\":\"\"}\n",
				getpid(), number, calls[i].name);
		truth_write(line, (size_t)used);
	}
	truth_print();
	return 0;
}
