/* Owns the formatting of error sentences; knows no reason for any of them. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void error_format(struct error *error, int code, const char *format, va_list args)
{
	if (!error)
		return;
	error->code = code;
	vsnprintf(error->message, sizeof(error->message), format, args);
}

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_format(error, code, format, args);
	va_end(args);
	return code;
}

int error_set_errno(struct error *error, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_format(error, code, format, args);
	va_end(args);
	if (error) {
		size_t length = strlen(error->message);

		snprintf(error->message + length, sizeof(error->message) - length, ": %s",
			 strerror(-code));
	}
	return code;
}
