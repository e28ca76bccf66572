/* Owns the choice of stream, colour and width, and the way back when a file cannot be written. */
#include "cli/output.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct report_style style_of(FILE *stream)
{
	struct report_style style = {0};
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
	struct winsize size;

	if (!isatty(fileno(stream)))
		return style;
	style.colour = !(no_colour && *no_colour) && term && strcmp(term, "dumb");
	if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0)
		style.columns = size.ws_col;
	return style;
}

struct report_style output_style(const struct options *options, FILE *stream)
{
	return options->output ? (struct report_style){0} : style_of(stream);
}

/* ---- progress ---- */

static bool progress_shown;

void output_say_progress(const char *text)
{
	const char *term = getenv("TERM");

	if (text && isatty(STDERR_FILENO) && term && strcmp(term, "dumb")) {
		fprintf(stderr, "\r\033[Khtrace: %.70s", text); /* no row is left behind */
		progress_shown = true;
	} else if (!text && progress_shown) {
		fputs("\r\033[K", stderr);
		progress_shown = false;
	}
}

void output_progress(void *context, const char *module_path)
{
	char text[96];

	(void)context;
	snprintf(text, sizeof(text), "reading the names of %.60s", module_path);
	output_say_progress(text);
}

/* ---- the report ---- */

void output_choose(const struct options *options, struct report *report)
{
	report->cloexec = options->cloexec;
	report->sort = options->sort;
	report_filter(report, options->filter);
	report_detail(report, options->format);
	report_keep_top(report);
}

/* What is written: a report, or bytes that are there already. */
struct content {
	const struct options *options;
	const struct report *report; /* NULL: bytes */
	const char *bytes;
	size_t bytes_n;
};

static int write_stream(const struct content *content, FILE *stream)
{
	struct report_style style = style_of(stream);
	int result = 0;

	if (content->report)
		result = content->options->format->write(content->report, &style, stream);
	else if (fwrite(content->bytes, 1, content->bytes_n, stream) != content->bytes_n)
		result = errno ? -errno : -EIO;
	if (!result && fflush(stream))
		result = -errno;
	return result;
}

static int write_file(const struct content *content)
{
	FILE *file = fopen(content->options->output, "we");
	int result;

	if (!file)
		return -errno;
	result = write_stream(content, file);
	if (fclose(file) && !result)
		result = -errno;
	return result;
}

static int write_content(const struct content *content, FILE *stream)
{
	int result;

	if (content->options->output) {
		result = write_file(content);
		if (!result)
			return 0;
		fprintf(stderr, "htrace: cannot write %s: %s; the report follows here\n",
			content->options->output, strerror(-result));
	}
	result = write_stream(content, stream);
	if (result && stream != stderr) {
		fprintf(stderr, "htrace: cannot write the report: %s; it follows here\n",
			strerror(-result));
		result = write_stream(content, stderr);
	}
	return result;
}

int output_report(const struct options *options, const struct report *report, FILE *stream)
{
	struct content content = {.options = options, .report = report};

	report_name(report);
	output_say_progress(NULL);
	return write_content(&content, stream);
}

int output_bytes(const struct options *options, const char *bytes, size_t bytes_n, FILE *stream)
{
	struct content content = {.options = options, .bytes = bytes, .bytes_n = bytes_n};

	return write_content(&content, stream);
}

void output_check(const struct options *options)
{
	int fd;

	if (!options->output)
		return;
	fd = open(options->output, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	if (fd < 0)
		fprintf(stderr, "htrace: cannot write %s: %s; the report will go to the terminal\n",
			options->output, strerror(errno));
	else
		close(fd);
}

void output_say_complaint(const char *complaint)
{
	if (complaint)
		fprintf(stderr, "htrace: %s\n", complaint);
}

void output_say_fallback(const char *collector, const char *reason)
{
	if (reason)
		fprintf(stderr, "htrace: collecting with %s: %s\n", collector, reason);
}
