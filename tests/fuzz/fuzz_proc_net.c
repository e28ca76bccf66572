/* Lines of /proc/PID/net/...: the paths of unix sockets are chosen by targets. The first byte says
 * of which file. */
#include "os/proc_net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void parse(const char *line, enum socket_table table, uint8_t family)
{
	char text[SOCKET_END_TEXT];
	struct socket_info info;

	if (!proc_net_parse(line, table, family, &info))
		return;
	require(info.table == table);
	require(memchr(info.path, 0, sizeof(info.path)));
	socket_info_local(&info, text);
	require(memchr(text, 0, sizeof(text)));
	socket_info_remote(&info, text);
	require(memchr(text, 0, sizeof(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum socket_table table = size ? bytes[0] % SOCKET_TABLES_N : 0;
	char *line;

	if (!size)
		return 0;
	line = malloc(size);
	require(line != NULL);
	memcpy(line, bytes + 1, size - 1);
	line[size - 1] = '\0';
	parse(line, table, AF_INET);
	parse(line, table, AF_INET6);
	free(line);
	return 0;
}
