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

/* ---- progress ---- */

static bool progress_shown;

void output_progress(void *context, const char *module_path)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[Khtrace: reading the names of %.60s", module_path);
	progress_shown = true;
}

static void output_progress_end(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
}

/* ---- the report ---- */

static int write_stream(const struct options *options, const struct report *report, FILE *stream)
{
	struct report_style style = style_of(stream);
	int result = options->format->write(report, &style, stream);

	if (!result && fflush(stream))
		result = -errno;
	return result;
}

static int write_file(const struct options *options, const struct report *report)
{
	FILE *file = fopen(options->output, "we");
	int result;

	if (!file)
		return -errno;
	result = write_stream(options, report, file);
	if (fclose(file) && !result)
		result = -errno;
	return result;
}

int output_report(const struct options *options, const struct report *report, FILE *stream)
{
	int result;

	report_name(report);
	output_progress_end();
	if (options->output) {
		result = write_file(options, report);
		if (!result)
			return 0;
		fprintf(stderr, "htrace: cannot write %s: %s; the report follows here\n",
			options->output, strerror(-result));
	}
	result = write_stream(options, report, stream);
	if (result && stream != stderr) {
		fprintf(stderr, "htrace: cannot write the report: %s; it follows here\n",
			strerror(-result));
		result = write_stream(options, report, stderr);
	}
	return result;
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
