/* An answer of sock_diag(7): its first byte says of which table. */
#include "os/sock_diag.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void take(void *context, const struct socket_info *info)
{
	char text[SOCKET_END_TEXT];

	require(info->table == *(const enum socket_table *)context);
	require(memchr(info->path, 0, sizeof(info->path)));
	socket_info_local(info, text);
	require(memchr(text, 0, sizeof(text)));
	socket_info_remote(info, text);
	require(memchr(text, 0, sizeof(text)));
	socket_info_state(info);
	socket_info_kind(info);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum socket_table table = size ? bytes[0] % SOCKET_TABLES_N : 0;
	uint8_t *copy;
	int result;

	if (!size)
		return 0;
	copy = malloc(size); /* its end is the end of what may be read */
	require(copy != NULL);
	memcpy(copy, bytes + 1, size - 1);
	result = sock_diag_parse(copy, size - 1, table, take, &table);
	require(result <= 1);
	free(copy);
	return 0;
}
