/*
 * A file system in user space that answers EBADF to whatever is done with its one file, flushing it
 * included, and POLLNVAL to a poll: its descriptors are valid. The truth has no bad reference.
 *
 *     workload_fuse_ebadf FOLDER
 *
 * The kernel's protocol: include/uapi/linux/fuse.h. The mount is seen by nobody else. Exit status
 * 77: FUSE cannot be used here.
 */
#include "workload.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { REQUEST_BYTES = 256 * 1024, FILE_NODE = 2, FILE_BYTES = 100 };

static void answer(int device, uint64_t unique, int error, const void *body, size_t bytes)
{
	static char reply[4096];
	struct fuse_out_header head = {sizeof(head) + (uint32_t)bytes, error, unique};

	memcpy(reply, &head, sizeof(head));
	if (bytes)
		memcpy(reply + sizeof(head), body, bytes);
	if (write(device, reply, head.len) < 0)
		return; /* whoever asked has gone */
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){
	    .ino = node,
	    .size = FILE_BYTES,
	    .mode = node == FILE_NODE ? S_IFREG | 0666 : S_IFDIR | 0755,
	    .nlink = 1,
	};
}

static void serve_one(int device, const struct fuse_in_header *request)
{
	struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 4096};
	struct fuse_entry_out entry = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
	struct fuse_attr_out attr = {.attr = attributes(request->nodeid)};
	struct fuse_open_out opened = {.fh = 1, .open_flags = FOPEN_DIRECT_IO};
	struct fuse_poll_out polled = {.revents = POLLNVAL};

	switch (request->opcode) {
	case FUSE_INIT:
		answer(device, request->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer(device, request->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		answer(device, request->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(device, request->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_POLL:
		answer(device, request->unique, 0, &polled, sizeof(polled));
		break;
	case FUSE_RELEASE:
		answer(device, request->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
	case FUSE_SETATTR:
	case FUSE_FLUSH:
		answer(device, request->unique, -EBADF, NULL, 0);
		break;
	default:
		answer(device, request->unique, -ENOSYS, NULL, 0);
	}
}

static void serve(int device)
{
	static union {
		struct fuse_in_header head;
		char bytes[REQUEST_BYTES];
	} request;

	/* It answers until the other has closed its last file. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(20);
	while (read(device, &request, sizeof(request)) > 0)
		serve_one(device, &request.head);
	_exit(0);
}

static int mount_here(int device, const char *folder)
{
	char options[100];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	       mount("htrace-test", folder, "fuse", MS_NOSUID | MS_NODEV, options);
}

static void expect_ebadf(const char *call, long result)
{
	if (result != -1 || errno != EBADF)
		truth_unsupported(call, result == -1 ? errno : 0);
}

OPENER static int open_file(void)
{
	return KEEP(open("file", O_RDWR));
}

static void use(int file)
{
	struct pollfd polled = {file, POLLIN | POLLNVAL, 0};
	char bytes[10] = "";

	expect_ebadf("read", read(file, bytes, sizeof(bytes)));
	expect_ebadf("write", write(file, bytes, sizeof(bytes)));
	expect_ebadf("pwrite", pwrite(file, bytes, sizeof(bytes), 3));
	expect_ebadf("fsync", fsync(file));
	expect_ebadf("fchmod", fchmod(file, 0600));
	expect_ebadf("ftruncate", ftruncate(file, 1));
	if (poll(&polled, 1, 0) != 1 || !(polled.revents & POLLNVAL))
		truth_unsupported("poll", 0);
}

int main(int argc, char **argv)
{
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC), first, second;
	pid_t server;

	if (argc < 2 || device < 0 || mount_here(device, argv[1]))
		return 77;
	server = fork();
	if (server == 0)
		serve(device);
	close(device); /* so that all waiting for it ends when the server does */
	if (server < 0)
		return 98;
	first = chdir(argv[1]) ? -1 : open_file();
	second = first < 0 ? -1 : open_file();
	if (second < 0) {
		perror("open");
		kill(server, SIGKILL);
		return 97;
	}
	truth_opened(second, "open_file", "file");
	use(first);
	expect_ebadf("close", close(first)); /* the flush's answer: it is closed all the same */
	use(second);
	truth_print();
	return 0;
}
