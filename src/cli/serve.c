/* Owns what each verb does in a session: arguments to calls of session and report. */
#include "cli/host.h"
#include "cli/options.h"
#include "cli/output.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPSHOT_NAME_MAX = 64, SNAPSHOTS_MAX = 1000 };

static int too_many(struct serving *serving, const char *verb, const char *most)
{
	error_set(serving->error, -EINVAL, "%s takes %s", verb, most);
	return EXIT_USAGE;
}

static int stream_status(struct serving *serving, int result)
{
	if (!result)
		return EXIT_SUCCESS;
	error_set_errno(serving->error, result, "cannot write the answer");
	return EXIT_HTRACE_FAILED;
}

/* ---- snapshot, diff ---- */

static bool name_is_fine(const char *name)
{
	size_t length = strlen(name);

	return length && length <= SNAPSHOT_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		   length;
}

int serve_snapshot(struct serving *serving, const struct options *options, int argc, char **argv)
{
	struct session_status status;

	if (argc > 1)
		return too_many(serving, "snapshot", "one name at most");
	session_status(serving->session, &status);
	if (argc && !name_is_fine(argv[0])) {
		error_set(serving->error, -EINVAL,
			  "a snapshot's name has up to %d letters, digits, '_', '.' and '-', not "
			  "'%s'",
			  SNAPSHOT_NAME_MAX, argv[0]);
		return EXIT_USAGE;
	}
	if (argc && status.snapshots >= SNAPSHOTS_MAX) {
		error_set(serving->error, -E2BIG, "there are %d snapshots with names already",
			  SNAPSHOTS_MAX);
		return EXIT_HTRACE_FAILED;
	}
	host_compare(serving->host);
	session_snapshot(serving->session, argc ? argv[0] : NULL);
	fputs("Handle tracing information snapshot successfully taken.\n", serving->out);
	return EXIT_SUCCESS;
}

static bool is_traced(struct serving *serving, pid_t pid)
{
	if (session_process(serving->session, pid))
		return true;
	error_set(serving->error, -ESRCH, "process %d is not traced by this session", pid);
	return false;
}

static bool find_snapshot(struct serving *serving, const char *name, struct snapshot *out)
{
	if (session_find_snapshot(serving->session, name, out))
		return true;
	error_set(serving->error, -ENOENT,
		  "there is no snapshot named '%s': htrace snapshot NAME takes one", name);
	return false;
}

int serve_diff(struct serving *serving, const struct options *options, int argc, char **argv)
{
	struct snapshot snapshot, second;
	struct report report;
	int result;

	if (argc > 2)
		return too_many(serving, "diff", "the names of two snapshots at most");
	if (options->pid && !is_traced(serving, options->pid))
		return EXIT_USAGE;
	if (!find_snapshot(serving, argc ? argv[0] : NULL, &snapshot))
		return EXIT_USAGE;
	if (argc > 1) {
		if (!find_snapshot(serving, argv[1], &second))
			return EXIT_USAGE;
		snapshot.until_ns = second.time_ns;
	}
	session_report(serving->session, &snapshot, &report, serving->progress,
		       serving->progress_context);
	report.snapshot_told = true;
	if (options->pid)
		report_keep(&report, options->pid);
	report.cloexec_since_ns = snapshot.time_ns;
	report.cloexec_pid = options->pid;
	output_choose(options, &report);
	report_name(&report);
	result = options->format->write(&report, &serving->style, serving->out);
	report_fini(&report);
	return stream_status(serving, result);
}

/* ---- show, handles ---- */

/* "0" and nothing: all. */
static bool parse_query(struct serving *serving, const struct options *options, int argc,
			char **argv, struct report_query *query)
{
	unsigned long long number;

	*query =
	    (struct report_query){.pid = options->pid ?: host_pid(serving->host), .number = -1};
	if (query->pid && !is_traced(serving, query->pid))
		return false;
	if (argc > 0) {
		if (!number_parse(argv[0], INT_MAX, &number)) {
			error_set(serving->error, -EINVAL,
				  "a handle is a number, decimal or 0x..., not '%s'", argv[0]);
			return false;
		}
		query->number = number ? (int32_t)number : -1;
	}
	if (argc > 1) {
		if (!number_parse(argv[1], UINT32_MAX, &number)) {
			error_set(serving->error, -EINVAL,
				  "the number of traces is a number, not '%s'", argv[1]);
			return false;
		}
		query->traces_max = number;
	}
	return true;
}

int serve_show(struct serving *serving, const struct options *options, int argc, char **argv)
{
	struct report_query query;
	struct report report;
	int result;

	if (argc > 2)
		return too_many(serving, "show", "a handle and a number of traces at most");
	if (!parse_query(serving, options, argc, argv, &query))
		return EXIT_USAGE;
	session_report(serving->session, NULL, &report, serving->progress,
		       serving->progress_context);
	report.filter = options->filter;
	if (query.number >= 0)
		report_detail_handles(&report, &query);
	report_name_traces(&report, &query);
	result = options->format->write_traces(&report, &query, &serving->style, serving->out);
	report_fini(&report);
	return stream_status(serving, result);
}

int serve_handles(struct serving *serving, const struct options *options, int argc, char **argv)
{
	struct report_query query;
	struct report report;
	int result;

	if (argc > 1)
		return too_many(serving, "handles", "one handle at most");
	if (!parse_query(serving, options, argc, argv, &query))
		return EXIT_USAGE;
	session_report(serving->session, NULL, &report, serving->progress,
		       serving->progress_context);
	report.filter = options->filter;
	report.sort = options->sort;
	report_detail_handles(&report, &query);
	report_name_handles(&report, &query);
	result = options->format->write_handles(&report, &query, &serving->style, serving->out);
	report_fini(&report);
	return stream_status(serving, result);
}

int serve_processes(struct serving *serving, const struct options *options, int argc, char **argv)
{
	const struct snapshot since_tracing = {0};
	struct report report;
	int result;

	if (argc > 0)
		return too_many(serving, "processes", "no words");
	session_report(serving->session, &since_tracing, &report, serving->progress,
		       serving->progress_context);
	report_filter(&report, options->filter);
	result = options->format->write_processes(&report, &serving->style, serving->out);
	report_fini(&report);
	return stream_status(serving, result);
}

/* ---- status, disable ---- */

int serve_status(struct serving *serving, const struct options *options, int argc, char **argv)
{
	if (argc > 0)
		return too_many(serving, "status", "no words");
	return stream_status(serving,
			     host_status(serving->host, options, &serving->style, serving->out));
}

int serve_disable(struct serving *serving, const struct options *options, int argc, char **argv)
{
	if (argc > 0)
		return too_many(serving, "disable", "no words");
	host_end(serving->host);
	fputs("Handle tracing disabled.\n", serving->out);
	return EXIT_SUCCESS;
}
