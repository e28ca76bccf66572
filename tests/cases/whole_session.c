/*
 * A session over all processes without a face, for test_whole.py: it traces, and does what lines on
 * standard input say. Each answer is a line on standard output.
 *
 *     whole_session [COLLECTOR [CGROUP [RING_BYTES]]]      "": auto, the whole machine
 *     report FILE    compares with /proc and writes the JSON report
 *     processes FILE, list FILE, windbg FILE    likewise, the list of processes
 *     figures        what it has come to, in figures
 *     stop MS        looks at nothing for a while
 *     quit
 */
#include "base/clock.h"
#include "base/error.h"
#include "model/model.h"
#include "session/session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP_MS = 20 };

typedef int report_writer(const struct report *report, const struct report_style *style,
			  FILE *stream);

static double cpu_seconds(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static long resident_kib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file) {
		if (fscanf(file, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static int write_file(struct session *session, const char *path, report_writer *write)
{
	struct report_style style = {.columns = 100};
	/* The list of processes tells of all that was opened, the report of what was since. */
	static const struct snapshot beginning = {0};
	bool list = write != report_json.write;
	struct report report;
	FILE *file = fopen(path, "we");
	int result;

	session_report(session, list ? &beginning : NULL, &report, NULL, NULL);
	result = file ? write(&report, &style, file) : -1;
	report_fini(&report);
	if (file)
		fclose(file);
	return result;
}

/* As a session does that is asked over its socket: a child has a copy of everything, and writes;
 * here, events are handled. */
static void write_report(struct session *session, const char *path, report_writer *write)
{
	uint64_t begin_ns = clock_now_ns();
	struct error error;
	int status = 0;
	pid_t child;

	session_reconcile(session);
	printf("reconciled in %.1f ms, ", (double)(clock_now_ns() - begin_ns) / 1e6);
	fflush(stdout);
	begin_ns = clock_now_ns();
	child = fork();
	if (child == 0)
		_exit(write_file(session, path, write) ? 1 : 0);
	while (waitpid(child, &status, WNOHANG) == 0)
		session_step(session, STEP_MS, &error);
	printf("written in %.1f ms by %d: %d\n", (double)(clock_now_ns() - begin_ns) / 1e6, child,
	       status);
}

static void write_figures(struct session *session)
{
	struct report report;
	uint64_t living = 0, events = 0, reconciled = 0;

	session_report(session, NULL, &report, NULL, NULL);
	array_each (shown, &report.processes) {
		living += !shown->process->exited;
		events += shown->process->events;
		reconciled += shown->process->reconciled;
	}
	printf("{\"living\": %lu, \"kept\": %zu, \"forgotten\": %lu, \"events\": %lu, "
	       "\"lost\": %lu, \"reconciled\": %lu, \"foreign\": %lu, \"cpu_s\": %.3f, "
	       "\"resident_kib\": %ld}\n",
	       living, report.processes.count - living, model_forgotten(report.model),
	       events + model_forgotten_totals(report.model)->events, report.lost_events,
	       reconciled + model_forgotten_totals(report.model)->reconciled,
	       report.foreign_processes, cpu_seconds(), resident_kib());
	report_fini(&report);
}

static bool obey(struct session *session, const char *line)
{
	char word[16] = "", rest[1024] = "";

	sscanf(line, "%15s %1023s", word, rest);
	if (!strcmp(word, "report"))
		write_report(session, rest, report_json.write);
	else if (!strcmp(word, "processes"))
		write_report(session, rest, report_json.write_processes);
	else if (!strcmp(word, "list"))
		write_report(session, rest, report_text.write_processes);
	else if (!strcmp(word, "windbg"))
		write_report(session, rest, report_windbg.write_processes);
	else if (!strcmp(word, "figures"))
		write_figures(session);
	else if (!strcmp(word, "stop"))
		printf("stopped: %d\n", usleep(atoi(rest) * 1000));
	else
		return false;
	return true;
}

static int trace(struct session *session)
{
	struct pollfd input = {0, POLLIN, 0};
	struct error error = {0};
	char line[2048];

	while (session_step(session, STEP_MS, &error) >= 0) {
		if (poll(&input, 1, 0) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin) || !obey(session, line))
			return 0;
	}
	fprintf(stderr, "whole_session: %s\n", error.message);
	return 1;
}

int main(int argc, char **argv)
{
	struct session_options options = {
	    .collector = "auto", .traces_max = 4096, .everything = true};
	struct session *session;
	struct error error = {0};
	uint64_t begin_ns;
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (argc > 1 && *argv[1])
		options.collector = argv[1];
	if (argc > 2 && *argv[2])
		options.cgroup = argv[2];
	if (argc > 3)
		options.ring_bytes = atoi(argv[3]);
	if (session_new(&options, &session, &error) < 0) {
		fprintf(stderr, "whole_session: %s\n", error.message);
		return 125;
	}
	begin_ns = clock_now_ns();
	if (session_attach_all(session, &error) < 0) {
		fprintf(stderr, "whole_session: %s\n", error.message);
		return 125;
	}
	printf("tracing by %s, attached in %.1f ms\n", session_collector(session),
	       (double)(clock_now_ns() - begin_ns) / 1e6);
	status = trace(session);
	session_stop(session);
	session_free(session);
	return status;
}
