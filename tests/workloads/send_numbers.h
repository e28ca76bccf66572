/* Sends descriptors over a socket, and takes them. */
#ifndef SEND_NUMBERS_H
#define SEND_NUMBERS_H

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { SEND_NUMBERS_MAX = 8 };

/* What sendmsg(2) returns: 1, the byte that goes with them. */
static inline int send_numbers(int socket, const int *numbers, unsigned n)
{
	char control[CMSG_SPACE(SEND_NUMBERS_MAX * sizeof(int))] = {0};
	char byte = 'x';
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(header), numbers, n * sizeof(int));
	return (int)sendmsg(socket, &message, 0);
}

/* The one descriptor that comes next, close-on-exec; -1: none came. No frame of its own. */
static inline __attribute__((always_inline)) int receive_number(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(sizeof(struct cmsghdr))));
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int number = -1;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&number, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(number));
	return number;
}

#endif
