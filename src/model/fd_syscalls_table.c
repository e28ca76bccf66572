/*
 * The data behind fd_syscalls.c: one row a system call of x86-64. Sources: the kernel's
 * syscall_64.tbl and the flags that each call hands to get_unused_fd_flags(). Numbers and requests
 * stand as literals, so that old kernel headers build the whole table.
 */
#include "model/fd_syscalls_table.h"

enum {
	NO = PLAN_NO_ARG,
	O_CLOEXEC_BIT = 02000000, /* also SOCK_, EFD_, TFD_, SFD_, IN_, EPOLL_, OPEN_TREE_CLOEXEC */
	MSG_CMSG_CLOEXEC_BIT = 0x40000000,
	CLONE_PIDFD_BIT = 0x1000,
	CLONE_FILES_BIT = 0x400,
	SECCOMP_NEW_LISTENER_BIT = 8,
	SO_PEERPIDFD_NAME = 77,
};

/* A call that only takes descriptors: in one argument, or in two. */
#define TAKES(number_, name_, fd_)                                                                 \
	{                                                                                          \
		.number = number_, .name = name_, .fd_arg = fd_, .fd_arg2 = NO                     \
	}
#define TAKES2(number_, name_, fd_, fd2_)                                                          \
	{                                                                                          \
		.number = number_, .name = name_, .fd_arg = fd_, .fd_arg2 = fd2_                   \
	}
/* The second one is a descriptor only where args[ARG] is one of VALUES, a set of bits. */
#define SECOND(arg, values) .fd2_guard_arg = arg, .fd2_values = values
/* A call that does something; FLAG(2, bit): close-on-exec is that bit of args[2]. */
#define CALL(number_, name_, does_, type_, fd_, ...)                                               \
	{                                                                                          \
		.number = number_, .name = name_, .does = does_, .type = type_, .fd_arg = fd_,     \
		.fd_arg2 = NO, __VA_ARGS__                                                         \
	}
#define ALIKE          .alike = true
#define NEVER          .cloexec = CLOEXEC_NEVER
#define ALWAYS         .cloexec = CLOEXEC_ALWAYS
#define FLAG(arg, bit) .cloexec = CLOEXEC_ARG, .cloexec_arg = arg, .cloexec_mask = bit
/* Failing for want of a handle can mean another limit: mq_open(3), inotify_init(2), pipe(7). */
#define QUEUES         .emfile = "RLIMIT_MSGQUEUE"
#define INOTIFIES      .emfile = "fs.inotify.max_user_instances"
#define FANOTIFIES     .emfile = "fs.fanotify.max_user_groups"
#define PIPE_PAGES     .enfile = "fs.pipe-user-pages-hard"
#define LOWEST         .emfile = "the lowest number that F_DUPFD was asked for"
#define PATH(arg)      .data = PLAN_DATA_PATH, .data_arg = arg
#define OUT(kind, arg) .out = PLAN_OUT_##kind, .out_arg = arg
#define ONLY(kind, arg, value)                                                                     \
	.guard = PLAN_GUARD_##kind, .guard_arg = arg, .guard_value = (uint32_t)(value)
/* poll() of no descriptors is a way to sleep. */
#define POLLED .data = PLAN_DATA_POLLED, .data_arg = 0, ONLY(MASK, 1, UINT32_MAX)
#define SETS   .data = PLAN_DATA_SETS, .data_arg = 1

const struct fd_syscall fd_syscalls_table[] = {
    /* Files and trees. openat2's flags are the first word of its struct open_how. */
    CALL(2, "open", FD_OPEN, "file", NO, FLAG(1, O_CLOEXEC_BIT), PATH(0)),
    CALL(85, "creat", FD_OPEN, "file", NO, NEVER, PATH(0)),
    CALL(257, "openat", FD_OPEN, "file", 0, FLAG(2, O_CLOEXEC_BIT), PATH(1)),
    CALL(437, "openat2", FD_OPEN, "file", 0, OUT(INT, 2), PATH(1), .cloexec = CLOEXEC_OUT,
	 .cloexec_arg = 0, .cloexec_mask = O_CLOEXEC_BIT),
    CALL(304, "open_by_handle_at", FD_OPEN, "file", 0, FLAG(2, O_CLOEXEC_BIT)),
    CALL(428, "open_tree", FD_OPEN, "file", 0, FLAG(2, O_CLOEXEC_BIT), PATH(1)),
    CALL(467, "open_tree_attr", FD_OPEN, "file", 0, FLAG(2, O_CLOEXEC_BIT), PATH(1)),
    CALL(430, "fsopen", FD_OPEN, "fscontext", NO, FLAG(1, 1), PATH(0)),
    CALL(432, "fsmount", FD_OPEN, "file", 0, FLAG(1, 1)),
    CALL(433, "fspick", FD_OPEN, "fscontext", 0, FLAG(2, 1), PATH(1)),
    CALL(240, "mq_open", FD_OPEN, "mqueue", NO, ALWAYS, PATH(0), QUEUES),
    CALL(319, "memfd_create", FD_OPEN, "memfd", NO, FLAG(1, 1), PATH(0)),
    CALL(447, "memfd_secret", FD_OPEN, "memfd", NO, FLAG(0, O_CLOEXEC_BIT)),

    /* Sockets and pipes. */
    CALL(41, "socket", FD_OPEN, "socket", NO, FLAG(1, O_CLOEXEC_BIT)),
    CALL(43, "accept", FD_OPEN, "socket", 0, NEVER, ALIKE),
    CALL(288, "accept4", FD_OPEN, "socket", 0, FLAG(3, O_CLOEXEC_BIT), ALIKE),
    CALL(53, "socketpair", FD_OPEN_PAIR, "socket", NO, FLAG(1, O_CLOEXEC_BIT), OUT(INT_PAIR, 3)),
    CALL(22, "pipe", FD_OPEN_PAIR, "pipe", NO, NEVER, OUT(INT_PAIR, 0), PIPE_PAGES),
    CALL(293, "pipe2", FD_OPEN_PAIR, "pipe", NO, FLAG(1, O_CLOEXEC_BIT), OUT(INT_PAIR, 0),
	 PIPE_PAGES),
    CALL(47, "recvmsg", FD_RECEIVE, NULL, 0, FLAG(2, MSG_CMSG_CLOEXEC_BIT),
	 .data = PLAN_DATA_CONTROL, .data_arg = 1),
    CALL(299, "recvmmsg", FD_RECEIVE, NULL, 0, FLAG(3, MSG_CMSG_CLOEXEC_BIT),
	 .data = PLAN_DATA_CONTROL_VECTOR, .data_arg = 1),
    CALL(55, "getsockopt", FD_OPEN_OUT, "pidfd", 0, ALWAYS, OUT(INT, 3),
	 ONLY(EQUAL, 2, SO_PEERPIDFD_NAME)),

    /* Kernel objects with a descriptor. */
    CALL(284, "eventfd", FD_OPEN, "eventfd", NO, NEVER),
    CALL(290, "eventfd2", FD_OPEN, "eventfd", NO, FLAG(1, O_CLOEXEC_BIT)),
    CALL(213, "epoll_create", FD_OPEN, "epoll", NO, NEVER),
    CALL(291, "epoll_create1", FD_OPEN, "epoll", NO, FLAG(0, O_CLOEXEC_BIT)),
    CALL(283, "timerfd_create", FD_OPEN, "timerfd", NO, FLAG(1, O_CLOEXEC_BIT)),
    CALL(282, "signalfd", FD_OPEN_IF_NEW, "signalfd", 0, NEVER, ONLY(EQUAL, 0, -1)),
    CALL(289, "signalfd4", FD_OPEN_IF_NEW, "signalfd", 0, FLAG(3, O_CLOEXEC_BIT),
	 ONLY(EQUAL, 0, -1)),
    CALL(253, "inotify_init", FD_OPEN, "inotify", NO, NEVER, INOTIFIES),
    CALL(294, "inotify_init1", FD_OPEN, "inotify", NO, FLAG(0, O_CLOEXEC_BIT), INOTIFIES),
    CALL(300, "fanotify_init", FD_OPEN, "fanotify", NO, FLAG(0, 1), FANOTIFIES),
    CALL(323, "userfaultfd", FD_OPEN, "userfaultfd", NO, FLAG(0, O_CLOEXEC_BIT)),
    /* Its pid is a cgroup's descriptor with PERF_FLAG_PID_CGROUP. */
    {.number = 298,
     .name = "perf_event_open",
     .does = FD_OPEN,
     .type = "perf",
     .fd_arg = 3,
     .fd_arg2 = 1,
     SECOND(4, 0xf0f0),
     FLAG(4, 8)},
    CALL(321, "bpf", FD_OPEN_IF_NEW, "bpf", NO, ALWAYS, ONLY(SET, 0, 0)),
    CALL(425, "io_uring_setup", FD_OPEN, "io_uring", NO, ALWAYS),
    CALL(444, "landlock_create_ruleset", FD_OPEN_IF_NEW, "landlock", NO, ALWAYS,
	 ONLY(EQUAL, 2, 0)), /* with flags it returns a version */
    CALL(317, "seccomp", FD_OPEN_IF_NEW, "seccomp", NO, ALWAYS,
	 ONLY(MASK, 1, SECCOMP_NEW_LISTENER_BIT)),
    CALL(434, "pidfd_open", FD_OPEN, "pidfd", NO, ALWAYS),
    CALL(438, "pidfd_getfd", FD_OPEN, NULL, 0, ALWAYS),
    CALL(56, "clone", FD_OPEN_CLONE, "pidfd", NO, ALWAYS, OUT(INT, 2),
	 ONLY(MASK, 0, CLONE_PIDFD_BIT)),
    CALL(435, "clone3", FD_OPEN_CLONE3, "pidfd", NO, ALWAYS, OUT(CLONE3, 0)),

    /* Copies, closes, tables, flags. ioctl's structs for KVM and DRM have what is needed of them
     * in the words at 4 and 8. */
    CALL(32, "dup", FD_DUP, NULL, 0, NEVER),
    CALL(33, "dup2", FD_DUP_ONTO, NULL, 0, NEVER),
    CALL(292, "dup3", FD_DUP_ONTO, NULL, 0, FLAG(2, O_CLOEXEC_BIT)),
    CALL(3, "close", FD_CLOSE, NULL, 0, NEVER),
    CALL(436, "close_range", FD_CLOSE_RANGE, NULL, NO, NEVER),
    CALL(272, "unshare", FD_UNSHARE, NULL, NO, NEVER, ONLY(MASK, 0, CLONE_FILES_BIT)),
    CALL(72, "fcntl", FD_FCNTL, NULL, 0, LOWEST, ONLY(SET, 1, 0)),
    CALL(16, "ioctl", FD_IOCTL, NULL, 0, OUT(INT_PAIR, 2), .out_offset = 4, ONLY(SET, 1, 0)),

    /* Calls that wait for many descriptors: the ones that are not open are in memory. */
    CALL(7, "poll", FD_POLL, NULL, NO, POLLED),
    CALL(271, "ppoll", FD_POLL, NULL, NO, POLLED),
    CALL(23, "select", FD_SELECT, NULL, NO, SETS),
    CALL(270, "pselect6", FD_SELECT, NULL, NO, SETS),

    /* Calls that only take descriptors. */
    TAKES(0, "read", 0),
    TAKES(1, "write", 0),
    TAKES(5, "fstat", 0),
    TAKES(8, "lseek", 0),
    TAKES(9, "mmap", 4),
    TAKES(17, "pread64", 0),
    TAKES(18, "pwrite64", 0),
    TAKES(19, "readv", 0),
    TAKES(20, "writev", 0),
    TAKES2(40, "sendfile", 0, 1),
    TAKES(42, "connect", 0),
    TAKES(44, "sendto", 0),
    TAKES(45, "recvfrom", 0),
    TAKES(46, "sendmsg", 0),
    TAKES(48, "shutdown", 0),
    TAKES(49, "bind", 0),
    TAKES(50, "listen", 0),
    TAKES(51, "getsockname", 0),
    TAKES(52, "getpeername", 0),
    TAKES(54, "setsockopt", 0),
    TAKES(73, "flock", 0),
    TAKES(74, "fsync", 0),
    TAKES(75, "fdatasync", 0),
    TAKES(77, "ftruncate", 0),
    TAKES(78, "getdents", 0),
    TAKES(81, "fchdir", 0),
    TAKES(91, "fchmod", 0),
    TAKES(93, "fchown", 0),
    TAKES(138, "fstatfs", 0),
    TAKES(187, "readahead", 0),
    TAKES(190, "fsetxattr", 0),
    TAKES(193, "fgetxattr", 0),
    TAKES(196, "flistxattr", 0),
    TAKES(199, "fremovexattr", 0),
    TAKES(217, "getdents64", 0),
    TAKES(221, "fadvise64", 0),
    TAKES(232, "epoll_wait", 0),
    TAKES2(233, "epoll_ctl", 0, 2),
    TAKES(242, "mq_timedsend", 0),
    TAKES(243, "mq_timedreceive", 0),
    TAKES(244, "mq_notify", 0),
    TAKES(245, "mq_getsetattr", 0),
    TAKES(247, "waitid", 1), /* EBADF of it is about a pidfd */
    TAKES(254, "inotify_add_watch", 0),
    TAKES(255, "inotify_rm_watch", 0),
    TAKES(258, "mkdirat", 0),
    TAKES(259, "mknodat", 0),
    TAKES(260, "fchownat", 0),
    TAKES(261, "futimesat", 0),
    TAKES(262, "newfstatat", 0),
    TAKES(263, "unlinkat", 0),
    TAKES2(264, "renameat", 0, 2),
    TAKES2(265, "linkat", 0, 2),
    TAKES(266, "symlinkat", 1),
    TAKES(267, "readlinkat", 0),
    TAKES(268, "fchmodat", 0),
    TAKES(269, "faccessat", 0),
    TAKES2(275, "splice", 0, 2),
    TAKES2(276, "tee", 0, 1),
    TAKES(277, "sync_file_range", 0),
    TAKES(278, "vmsplice", 0),
    TAKES(280, "utimensat", 0),
    TAKES(281, "epoll_pwait", 0),
    TAKES(285, "fallocate", 0),
    TAKES(286, "timerfd_settime", 0),
    TAKES(287, "timerfd_gettime", 0),
    TAKES(295, "preadv", 0),
    TAKES(296, "pwritev", 0),
    TAKES2(301, "fanotify_mark", 0, 3),
    TAKES(303, "name_to_handle_at", 0),
    TAKES(306, "syncfs", 0),
    TAKES(307, "sendmmsg", 0),
    TAKES(308, "setns", 0),
    TAKES(313, "finit_module", 0),
    TAKES2(316, "renameat2", 0, 2),
    TAKES2(320, "kexec_file_load", 0, 1),
    TAKES(322, "execveat", 0),
    TAKES2(326, "copy_file_range", 0, 2),
    TAKES(327, "preadv2", 0),
    TAKES(328, "pwritev2", 0),
    TAKES(332, "statx", 0),
    TAKES(424, "pidfd_send_signal", 0),
    TAKES(426, "io_uring_enter", 0),
    TAKES(427, "io_uring_register", 0),
    TAKES2(429, "move_mount", 0, 2),
    /* `aux` is one with FSCONFIG_SET_PATH, _SET_PATH_EMPTY and _SET_FD. */
    {.number = 431, .name = "fsconfig", .fd_arg = 0, .fd_arg2 = 4, SECOND(1, 0x38)},
    TAKES(439, "faccessat2", 0),
    TAKES(440, "process_madvise", 0),
    TAKES(441, "epoll_pwait2", 0),
    TAKES(442, "mount_setattr", 0),
    TAKES(443, "quotactl_fd", 0),
    TAKES(445, "landlock_add_rule", 0),
    TAKES(446, "landlock_restrict_self", 0),
    TAKES(448, "process_mrelease", 0),
    TAKES(451, "cachestat", 0),
    TAKES(452, "fchmodat2", 0),
    TAKES(463, "setxattrat", 0),
    TAKES(464, "getxattrat", 0),
    TAKES(465, "listxattrat", 0),
    TAKES(466, "removexattrat", 0),
    TAKES(468, "file_getattr", 0),
    TAKES(469, "file_setattr", 0),
};

const size_t fd_syscalls_table_n = sizeof(fd_syscalls_table) / sizeof(*fd_syscalls_table);

#define FCNTL(command, does_, ...)                                                                 \
	{                                                                                          \
		.number = 72, .value = command, .does = does_, __VA_ARGS__                         \
	}
#define IOCTL(request, does_, type_, ...)                                                          \
	{                                                                                          \
		.number = 16, .value = request, .does = does_, .type = type_, __VA_ARGS__          \
	}
#define BPF(command)                                                                               \
	{                                                                                          \
		.number = 321, .value = command, .does = REQUEST_OPEN, .type = "bpf", ALWAYS       \
	}
#define NAMESPACE(request) IOCTL(request, REQUEST_OPEN, "namespace", ALWAYS)

const struct fd_request fd_requests_table[] = {
    FCNTL(0, REQUEST_DUP, NEVER),     /* F_DUPFD */
    FCNTL(1030, REQUEST_DUP, ALWAYS), /* F_DUPFD_CLOEXEC */
    FCNTL(2, REQUEST_SET_FD),         /* F_SETFD */

    IOCTL(0x5451, REQUEST_SET_CLOEXEC, NULL),                      /* FIOCLEX */
    IOCTL(0x5450, REQUEST_CLEAR_CLOEXEC, NULL),                    /* FIONCLEX */
    IOCTL(0x5441, REQUEST_OPEN, "device", FLAG(2, O_CLOEXEC_BIT)), /* TIOCGPTPEER */
    NAMESPACE(0xb701),                                             /* NS_GET_USERNS */
    NAMESPACE(0xb702),                                             /* NS_GET_PARENT */
    NAMESPACE(0x8010b70b),                                         /* NS_MNT_GET_NEXT */
    NAMESPACE(0x8010b70c),                                         /* NS_MNT_GET_PREV */
    NAMESPACE(0xff01),                                             /* PIDFD_GET_CGROUP_NAMESPACE */
    NAMESPACE(0xff02),                                             /* PIDFD_GET_IPC_NAMESPACE */
    NAMESPACE(0xff03),                                             /* PIDFD_GET_MNT_NAMESPACE */
    NAMESPACE(0xff04),                                             /* PIDFD_GET_NET_NAMESPACE */
    NAMESPACE(0xff05),                                             /* PIDFD_GET_PID_NAMESPACE */
    NAMESPACE(0xff06),                          /* PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE */
    NAMESPACE(0xff07),                          /* PIDFD_GET_TIME_NAMESPACE */
    NAMESPACE(0xff08),                          /* PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE */
    NAMESPACE(0xff09),                          /* PIDFD_GET_USER_NAMESPACE */
    NAMESPACE(0xff0a),                          /* PIDFD_GET_UTS_NAMESPACE */
    IOCTL(0xae01, REQUEST_OPEN, "kvm", ALWAYS), /* KVM_CREATE_VM */
    IOCTL(0xae41, REQUEST_OPEN, "kvm", ALWAYS), /* KVM_CREATE_VCPU */
    IOCTL(0xaece, REQUEST_OPEN, "kvm", ALWAYS), /* KVM_GET_STATS_FD */
    /* KVM_CREATE_DEVICE: struct {u32 type, fd, flags}; flag KVM_CREATE_DEVICE_TEST opens none */
    IOCTL(0xc00caee0, REQUEST_OPEN_OUT, "kvm", ALWAYS, .out_index = 0, .none_mask = 1),
    /* DRM_IOCTL_PRIME_HANDLE_TO_FD: struct {u32 handle, flags; s32 fd} */
    IOCTL(0xc00c642d, REQUEST_OPEN_OUT, "dmabuf", .out_index = 1, .cloexec = CLOEXEC_OUT,
	  .cloexec_arg = 0, .cloexec_mask = O_CLOEXEC_BIT),
    IOCTL(0x40182103, REQUEST_ELSEWHERE, NULL), /* SECCOMP_IOCTL_NOTIF_ADDFD */
    IOCTL(0x40049409, REQUEST_TAKES, NULL),     /* FICLONE */
    IOCTL(0x4c00, REQUEST_TAKES, NULL),         /* LOOP_SET_FD */
    IOCTL(0x4c06, REQUEST_TAKES, NULL),         /* LOOP_CHANGE_FD */
    IOCTL(0x2405, REQUEST_TAKES, NULL),         /* PERF_EVENT_IOC_SET_OUTPUT */
    IOCTL(0x40042408, REQUEST_TAKES, NULL),     /* PERF_EVENT_IOC_SET_BPF */

    BPF(0),  /* BPF_MAP_CREATE */
    BPF(5),  /* BPF_PROG_LOAD */
    BPF(7),  /* BPF_OBJ_GET */
    BPF(13), /* BPF_PROG_GET_FD_BY_ID */
    BPF(14), /* BPF_MAP_GET_FD_BY_ID */
    BPF(17), /* BPF_RAW_TRACEPOINT_OPEN */
    BPF(18), /* BPF_BTF_LOAD */
    BPF(19), /* BPF_BTF_GET_FD_BY_ID */
    BPF(28), /* BPF_LINK_CREATE */
    BPF(30), /* BPF_LINK_GET_FD_BY_ID */
    BPF(32), /* BPF_ENABLE_STATS */
    BPF(33), /* BPF_ITER_CREATE */
    BPF(36), /* BPF_TOKEN_CREATE */
};

const size_t fd_requests_table_n = sizeof(fd_requests_table) / sizeof(*fd_requests_table);

/* Shells ask by saving what a redirection may cover, which is below 10. */
const struct plan_question fd_questions_table[] = {
    {72, 1, 0},     /* fcntl F_GETFD */
    {72, 3, 0},     /* F_GETFL */
    {72, 0, 10},    /* F_DUPFD */
    {72, 1030, 10}, /* F_DUPFD_CLOEXEC */
};

const size_t fd_questions_table_n = sizeof(fd_questions_table) / sizeof(*fd_questions_table);
