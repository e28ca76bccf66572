/* Owns the walk over cmsg headers that a target made; trusts no length. */
#include "model/control_message.h"

#include <string.h>

enum {
	LEVEL_SOCKET = 1,
	TYPE_RIGHTS = 1,
	TYPE_PIDFD = 4,
};

/* struct cmsghdr of x86-64 */
struct control_header {
	uint64_t size; /* header included */
	int32_t level;
	int32_t type;
};

bool control_message_each(const uint8_t *bytes, size_t size,
			  void (*each)(void *context, int32_t number, bool pidfd), void *context)
{
	struct control_header header;
	size_t at = 0;

	while (size - at >= sizeof(header)) {
		memcpy(&header, bytes + at, sizeof(header));
		if (header.size < sizeof(header) || header.size > size - at)
			return false;
		if (header.level == LEVEL_SOCKET &&
		    (header.type == TYPE_RIGHTS || header.type == TYPE_PIDFD))
			for (size_t i = sizeof(header); i + 4 <= header.size; i += 4) {
				int32_t number;

				memcpy(&number, bytes + at + i, sizeof(number));
				if (number >= 0)
					each(context, number, header.type == TYPE_PIDFD);
			}
		header.size = (header.size + 7) & ~(uint64_t)7; /* CMSG_ALIGN */
		if (header.size >= size - at)
			return true; /* the last one needs no padding */
		at += header.size;
	}
	return size == at;
}
