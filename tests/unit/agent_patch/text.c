/* The test's own C library and ld.so. */
#include "agent_patch/text.h"

#include "event/site_search.h"
#include "model/fd_syscalls.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct text texts[2];
uint32_t patch_reason;
static struct arena_file known[2];

static void text_find(struct text *text, const char *name)
{
	char line[512], permissions[8];
	FILE *stream = fopen("/proc/self/maps", "re");
	int fd;

	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream)) {
		if (strstr(line, name) &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %255s",
			   &text->start, &text->end, permissions, &text->offset, text->path) == 5 &&
		    !strcmp(permissions, "r-xp"))
			break;
	}
	fclose(stream);
	fd = open(text->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	text->file = malloc(text->end - text->start);
	memset(text->file, 0, text->end - text->start);
	assert_true(pread(fd, text->file, text->end - text->start, (off_t)text->offset) > 0);
	close(fd);
}

uint64_t bytes_changed(void)
{
	uint64_t changed = 0;

	for (int i = 0; i < 2; i++) {
		const uint8_t *bytes = (const uint8_t *)texts[i].start;

		for (uint64_t at = 0; at < texts[i].end - texts[i].start; at++)
			changed += bytes[at] != texts[i].file[at];
	}
	return changed;
}

int patch(void)
{
	int sum = 0;

	for (int i = 0; i < 2; i++) {
		int n =
		    probe_patch(texts[i].start, texts[i].end, texts[i].offset, NULL, &patch_reason);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

int patch_begin(void **state)
{
	int n = patch();

	assert_true(n > 60);
	probe_calls_n = 0;
	return 0;
}

int patch_end(void **state)
{
	probe_inside = NULL;
	assert_int_equal(probe_restore(), 0);
	assert_int_equal(bytes_changed(), 0);
	return 0;
}

uint32_t calls_of(uint32_t from, uint32_t number, bool after, struct probe_call *last)
{
	uint32_t n = 0;

	for (uint32_t i = from; i < probe_calls_n && i < PROBE_CALLS_MAX; i++) {
		if (probe_calls[i].number == number && probe_calls[i].after == after) {
			n++;
			*last = probe_calls[i];
		}
	}
	return n;
}

void expect_call(uint32_t from, uint32_t number, bool after, int64_t result, uint64_t arg0)
{
	struct probe_call call;

	assert_int_equal(calls_of(from, number, after, &call), 1);
	if (after)
		assert_int_equal(call.result, result);
	assert_int_equal(call.args[0], arg0);
	assert_true(call.site_ip >= texts[0].start && call.site_ip < texts[0].end);
	assert_memory_equal(texts[0].file + (call.site_ip - 2 - texts[0].start), "\x0f\x05", 2);
	assert_true(call.sp > (uint64_t)&call - (1 << 20) && call.sp < (uint64_t)&call + 4096);
}

static void sites_learn(void)
{
	for (int i = 0; i < 2; i++) {
		size_t from = 0;
		struct site site;

		known[i].sites_n = 0;
		while ((from = site_next((const uint8_t *)texts[i].start,
					 texts[i].end - texts[i].start, from, &probe_plan, &site)))
			known[i].sites[known[i].sites_n++] = (struct arena_site){
			    (uint32_t)(texts[i].offset + site.at), site.number, site.kind};
	}
}

int patch_known(void)
{
	int sum = 0;

	if (!known[0].sites_n)
		sites_learn();
	for (int i = 0; i < 2; i++) {
		int n = probe_patch(texts[i].start, texts[i].end, texts[i].offset, &known[i],
				    &patch_reason);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

void texts_init(void)
{
	text_find(&texts[0], "/libc.so");
	text_find(&texts[1], "/ld-linux");
	fd_syscalls_plan(&probe_plan, true);
}
