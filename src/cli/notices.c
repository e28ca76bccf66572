/* Owns the reports that are written by themselves: their names, their writing, their counts. */
#include "cli/notices.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/output.h"
#include "report/filter.h"
#include "report/words.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	NAMES_TRIED_MAX = 1000,
	END_SECONDS = 30,
	UNSAID_MAX = 16,
	MESSAGES_MAX = 8,
	MESSAGE = TRIGGERS_MAX
};

/* ---- names of files ---- */

char *notices_file_dup(const char *pattern, pid_t pid, uint64_t sequence, time_t now)
{
	_cleanup_(words_fini) struct words name = {0};
	char time_text[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(time_text, sizeof(time_text), "%Y%m%dT%H%M%SZ", &tm);
	for (; *pattern; pattern++) {
		if (*pattern != '%') {
			words_addf(&name, "%c", *pattern);
			continue;
		}
		switch (*++pattern) {
		case 'p':
			words_addf(&name, "%d", pid);
			break;
		case 'n':
			words_addf(&name, "%" PRIu64, sequence);
			break;
		case 't':
			words_add(&name, time_text);
			break;
		case '%':
			words_add(&name, "%");
			break;
		default:
			return NULL;
		}
	}
	return xstrdup(words_text(&name));
}

static const char *default_pattern(const struct options *options)
{
	return options->format == &report_json ? "htrace-%p-%n.json" : "htrace-%p-%n.txt";
}

char *notices_pattern_dup(const struct options *options)
{
	const char *pattern = options->trigger_output ?: default_pattern(options);
	_cleanup_(free) char *folder = *pattern == '/' ? NULL : getcwd(NULL, 0);
	_cleanup_(words_fini) struct words whole = {0};

	if (!options->triggers_n)
		return NULL;
	for (const char *c = folder; c && *c; c++)
		words_addf(&whole, *c == '%' ? "%%%%" : "%c", *c);
	if (folder)
		words_add(&whole, "/");
	words_add(&whole, pattern);
	return xstrdup(words_text(&whole));
}

/* Never an old file, never a link: another name, "NAME.2" and so on, where there is one. */
static int open_new(char **name)
{
	_cleanup_(free) char *wanted = xstrdup(*name);

	for (unsigned i = 2;; i++) {
		int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);

		if (fd >= 0)
			return fd;
		if (errno != EEXIST || i > NAMES_TRIED_MAX)
			return -errno;
		free(*name);
		*name = xasprintf("%s.%u", wanted, i);
	}
}

/* ---- in the copy ---- */

struct work {
	struct notices *notices;
	const struct process *process;
	uint64_t sequence;
	size_t trigger;
};

static void ignore_progress(void *context, const char *module_path)
{
	(void)context, (void)module_path;
}

static void fail(struct errand_result *result, const char *doing, int code)
{
	result->done = false;
	snprintf(result->text, sizeof(result->text), "%s: %s", doing, strerror(-code));
}

static char *occasion_dup(const struct work *work)
{
	const struct process *process = work->process;
	const struct trigger *trigger = &work->notices->options->triggers[work->trigger];
	struct session *session = work->notices->session;

	return xasprintf("Written by --trigger=%s: process %d has %" PRIu64
			 " handles open, traced with %s.",
			 trigger->text, process->pid, session_open_count(session, process),
			 session_collector(session));
}

static int write_report(const struct work *work, FILE *file)
{
	const struct options *options = work->notices->options;
	const struct snapshot since_tracing = {0};
	const struct report_style plain = {0};
	_cleanup_(free) char *occasion = occasion_dup(work);
	struct report report;
	int result;

	session_report(work->notices->session, &since_tracing, &report, ignore_progress, NULL);
	report_keep(&report, work->process->pid);
	report.occasion = occasion;
	output_choose(options, &report);
	report_name(&report);
	result = options->format->write(&report, &plain, file);
	report_fini(&report);
	return result;
}

static void enter_copy(const struct notices *notices)
{
	if (notices->in_copy)
		notices->in_copy(notices->context);
}

static void write_file(void *context, struct errand_result *result)
{
	const struct work *work = context;
	const struct options *options = work->notices->options;
	_cleanup_(free) char *name =
	    notices_file_dup(options->trigger_output ?: default_pattern(options),
			     work->process->pid, work->sequence, time(NULL));
	int fd, written, closed;
	FILE *file;

	enter_copy(work->notices);
	fd = name ? open_new(&name) : -EINVAL;
	if (fd < 0) {
		fail(result, name ?: "the name of the file", fd);
		return;
	}
	file = fdopen(fd, "w");
	written = write_report(work, file);
	closed = fclose(file) ? -errno : 0;
	if (written || closed) {
		fail(result, name, written ?: closed);
		return;
	}
	result->done = true;
	snprintf(result->text, sizeof(result->text), "%s", name);
}

/* One write, so that it stays together among what the program writes. */
static void write_message(void *context, struct errand_result *result)
{
	const struct work *work = context;
	const struct report_style style = output_style(&(const struct options){0}, stderr);
	const struct snapshot since_tracing = {0};
	_cleanup_(free) char *text = NULL;
	struct report report;
	size_t bytes = 0;
	FILE *stream;

	enter_copy(work->notices);
	session_report(work->notices->session, &since_tracing, &report, ignore_progress, NULL);
	stream = open_memstream(&text, &bytes);
	report_exhausted_now(&report, work->process, &style, stream);
	fclose(stream);
	result->done = write(STDERR_FILENO, text, bytes) == (ssize_t)bytes;
	report_fini(&report);
}

/* ---- here ---- */

static void note_failure(struct notices *notices, size_t trigger, const char *why)
{
	struct notice *notice = &notices->of[trigger];

	notice->failed++;
	free(notice->failure);
	notice->failure = xstrdup(why);
	if (notices->speaks)
		fprintf(stderr, "htrace: %s came to hold, but its report was not written: %s\n",
			notices->options->triggers[trigger].text, why);
}

static void triggered(void *context, const struct process *process, size_t trigger)
{
	struct notices *notices = context;
	struct work work = {.notices = notices, .process = process, .trigger = trigger};
	int result;

	notices->of[trigger].fired++;
	notices->of[trigger].fired_ns = clock_now_ns();
	if (notices->begun >= NOTICES_FILES_MAX) {
		note_failure(notices, trigger, "there are 1000 of them already");
		return;
	}
	work.sequence = ++notices->begun;
	result = errands_begin(&notices->errands, trigger, write_file, &work);
	if (result)
		note_failure(notices, trigger,
			     result == -EBUSY ? "too many are being written at once"
					      : strerror(-result));
}

static void say_untold(struct notices *notices)
{
	if (notices->untold)
		fprintf(stderr,
			"htrace: OUT OF HANDLES: %" PRIu64
			" times more, in these or other processes; the report says where\n",
			notices->untold);
	notices->untold = 0;
}

/* A script may start a thousand programs that fail alike: not each of them is told by itself. */
static bool may_speak(struct notices *notices)
{
	uint64_t now_ns = clock_now_ns();

	if (!notices->speaking_ns || now_ns - notices->speaking_ns >= EXHAUSTED_QUIET_NS) {
		say_untold(notices);
		notices->speaking_ns = now_ns;
		notices->messages = 0;
	}
	if (notices->messages < MESSAGES_MAX)
		return ++notices->messages;
	notices->untold++;
	return false;
}

static void exhausted(void *context, const struct process *process)
{
	struct notices *notices = context;
	struct work work = {.notices = notices, .process = process};

	if (notices->speaks && !may_speak(notices))
		return;
	if (!notices->speaks) {
		/* In the middle of an event nobody is talked to. */
		if (notices->say && notices->unsaid.count < UNSAID_MAX)
			array_push(&notices->unsaid,
				   xasprintf("process %d is out of handles, with %" PRIu64
					     " open: diff says where they were opened",
					     process->pid, process->exhausted->open));
	} else if (errands_begin(&notices->errands, MESSAGE, write_message, &work)) {
		fprintf(stderr,
			"htrace: OUT OF HANDLES: process %d, with %" PRIu64 " open; the report "
			"says where they were opened\n",
			process->pid, process->exhausted->open);
	}
}

static void ended(void *context, uint64_t id, const struct errand_result *result)
{
	struct notices *notices = context;
	struct notice *notice = &notices->of[id];
	const char *trigger;

	if (id == MESSAGE)
		return;
	trigger = notices->options->triggers[id].text;
	if (!result->done) {
		note_failure(notices, id, result->text);
		return;
	}
	notice->written++;
	free(notice->file);
	notice->file = xstrdup(result->text);
	if (notices->speaks)
		fprintf(stderr, "htrace: %s: a report is in %s\n", trigger, result->text);
	if (notices->say) {
		_cleanup_(free) char *text =
		    xasprintf("%s: a report is in %s", trigger, result->text);

		notices->say(notices->context, text);
	}
}

void notices_begin(struct notices *notices, const struct options *options, struct session *session)
{
	const struct session_watch watch = {
	    .triggers = options->triggers,
	    .triggers_n = options->triggers_n,
	    .quiet_ns = options->trigger_quiet_ns,
	    .exhausted = exhausted,
	    .triggered = triggered,
	    .context = notices,
	};

	notices->options = options;
	notices->session = session;
	session_set_watch(session, &watch);
}

void notices_step(struct notices *notices)
{
	array_each (text, &notices->unsaid) {
		notices->say(notices->context, *text);
		free(*text);
	}
	notices->unsaid.count = 0;
	if (notices->errands.running.count)
		errands_step(&notices->errands, ended, notices);
}

void notices_end(struct notices *notices)
{
	errands_end(&notices->errands, END_SECONDS, ended, notices);
	say_untold(notices);
}

void notices_fini(struct notices *notices)
{
	for (size_t i = 0; i < TRIGGERS_MAX; i++) {
		free(notices->of[i].file);
		free(notices->of[i].failure);
	}
	array_each (text, &notices->unsaid)
		free(*text);
	array_fini(&notices->unsaid);
}
