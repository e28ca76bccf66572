/* The text of /proc/PID/fdinfo/FD: drivers and file systems write into it what they like. */
#include "os/fdinfo.h"
#include "report/detail_words.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct fdinfo *info)
{
	for (uint32_t i = 0; i < info->targets_n && i < FDINFO_TARGETS_MAX; i++)
		require(info->targets[i] >= 0);
	for (uint32_t i = 0; i < info->locks_n && i < FDINFO_LOCKS_MAX; i++)
		require(memchr(info->locks[i].kind, 0, sizeof(info->locks[i].kind)));
	require(memchr(info->bpf_kind, 0, sizeof(info->bpf_kind)));
	require(!info->targets_n || info->has & FDINFO_EPOLL);
}

/* Whatever it is, it can be told. */
static void tell(const struct fdinfo *info)
{
	struct detail detail = {.info = *info};
	struct words words = {0};

	detail_add_object(&words, &detail);
	detail_add_flags(&words, &detail);
	detail_add_flag_names(&words, info->flags);
	detail_add_locks(&words, &detail);
	detail_add_position(&words, &detail);
	words_fini(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size ? size : 1); /* no NUL behind it */
	struct fdinfo info;

	require(text != NULL);
	memcpy(text, bytes, size);
	fdinfo_parse(text, size, &info);
	check(&info);
	tell(&info);
	free(text);
	return 0;
}
