/*
 * The error that a failing function hands to its caller: a negative errno and one sentence,
 * set once, where it failed. Nothing here prints.
 */
#ifndef HTRACE_BASE_ERROR_H
#define HTRACE_BASE_ERROR_H

enum { ERROR_MESSAGE_MAX = 512 };

struct error {
	int code; /* negative errno, 0 while nothing failed */
	char message[ERROR_MESSAGE_MAX];
};

/*
 * Sets the message and returns `code`, so that a caller can write `return error_set(...)`.
 * `code` is a negative errno. The errno's text is not added: the sentence says what matters.
 * `error` may be NULL: then only the code is returned.
 */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like error_set(), and appends ": " and the text of errno -code. */
int error_set_errno(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
