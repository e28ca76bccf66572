/*
 * The two lines of a session's socket: whoever may connect sends what it likes. What is accepted
 * keeps the limits, and is written and read back equal.
 */
#include "session/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* One line, and it ends. */
static size_t line_bytes(const char *line, size_t bytes)
{
	require(bytes && memchr(line, '\n', bytes) == line + bytes - 1);
	return bytes - 1;
}

static void require_sentence(const struct error *error)
{
	require(error->code == -EINVAL && error->message[0]);
	for (const char *at = error->message; *at; at++)
		require(*at >= ' ' && *at <= '~');
}

static void one_request(const char *line, size_t size)
{
	struct error error = {0};
	struct request request, back;
	size_t bytes;
	char *written;

	if (request_parse(line, size, &request, &error)) {
		require_sentence(&error);
		require(!request.words && !request.words_n);
		return;
	}
	require(request.words_n && request.words_n <= REQUEST_WORDS_MAX);
	require(request.columns <= REQUEST_COLUMNS_MAX && !request.words[request.words_n]);
	written = request_write(&request, &bytes);
	bytes = line_bytes(written, bytes);
	if (bytes < REQUEST_BYTES_MAX) { /* an escape may need more bytes than the character */
		require(!request_parse(written, bytes, &back, &error));
		require(back.words_n == request.words_n && back.columns == request.columns);
		require(back.colour == request.colour);
		for (uint32_t i = 0; i < request.words_n; i++)
			require(equal(back.words[i], request.words[i]));
		request_fini(&back);
	}
	free(written);
	request_fini(&request);
}

static void one_answer(const char *line, size_t size)
{
	struct error error = {0};
	struct answer answer, back;
	size_t bytes;
	char *written;

	if (answer_parse(line, size, &answer, &error)) {
		require_sentence(&error);
		require(!answer.output && !answer.message && !answer.progress && !answer.event);
		return;
	}
	require(!!answer.output + !!answer.progress + !!answer.event == 1);
	require(answer.status >= 0 && answer.status <= 255);
	written = answer_write(&answer, &bytes);
	require(!answer_parse(written, line_bytes(written, bytes), &back, &error));
	require(back.status == answer.status && back.output_n == answer.output_n);
	require(!!back.output == !!answer.output);
	require(!answer.output || !memcmp(back.output, answer.output, answer.output_n + 1));
	require(equal(back.message, answer.message) && equal(back.progress, answer.progress));
	require(equal(back.event, answer.event));
	free(written);
	answer_fini(&back);
	answer_fini(&answer);
}

/* Any bytes can be an answer's output. */
static void any_output(const char *bytes, size_t size)
{
	struct answer answer = {.output = (char *)bytes, .output_n = size}, back;
	size_t written_n;
	char *written = answer_write(&answer, &written_n);

	require(!answer_parse(written, line_bytes(written, written_n), &back, NULL));
	require(back.output_n >= size);
	free(written);
	answer_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	one_request((const char *)bytes, size);
	one_answer((const char *)bytes, size);
	any_output((const char *)bytes, size);
	return 0;
}
