/*
 * Owns the answers that forked children write: a copy of the session as it was, which reads names
 * while the session goes on. The child is a grandchild, so that nobody here has to wait for it
 * (ptrace waits for all children): a pipe tells its end.
 */
#include "cli/host_private.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { READERS_AT_ONCE = 4 };

static struct request request_dup(const struct request *request)
{
	struct request copy = *request;

	copy.words = xcalloc(request->words_n + 1, sizeof(*copy.words));
	for (uint32_t i = 0; i < request->words_n; i++)
		copy.words[i] = xstrdup(request->words[i]);
	return copy;
}

/* ---- in the child ---- */

static void send_progress(void *context, const char *module_path)
{
	char text[128];
	struct answer answer = {.output = (char *)"", .progress = text};

	snprintf(text, sizeof(text), "reading the names of %.90s", module_path);
	control_send(*(int *)context, &answer);
}

static void __attribute__((noreturn))
answer_and_end(struct host *host, const struct reader *reader, int fd, int done)
{
	pid_t pid = getpid();
	struct answer answer;

	if (write(done, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	control_close_others(host->control, reader->client);
	host_serve(host, &reader->request, &answer, send_progress, &fd);
	_exit(write(done, "b", 1) != 1 || control_send(fd, &answer) || write(done, "a", 1) != 1);
}

/* ---- in the session ---- */

/* The grandchild's pid comes through the pipe, then a byte when an answer is
 * begun and another one when it was given, then its end. */
static bool begin(struct host *host, struct reader *reader)
{
	int fd = control_hand_over(reader->client), pipes[2];
	pid_t child;

	if (fd < 0 || pipe2(pipes, O_CLOEXEC) < 0)
		return false;
	child = fork();
	if (child == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			close(pipes[0]);
			answer_and_end(host, reader, fd, pipes[1]);
		}
		_exit(pid < 0);
	}
	close(pipes[1]);
	if (child > 0)
		waitpid(child, NULL, 0);
	if (child < 0 || read(pipes[0], &reader->pid, sizeof(pid_t)) != sizeof(pid_t)) {
		close(pipes[0]);
		reader->pid = 0;
		return false;
	}
	reader->alive = pipes[0];
	fcntl(reader->alive, F_SETFL, O_NONBLOCK);
	return true;
}

/* To the client of a child that could not be started, or that ended before its answer. */
static void apologise(struct control_client *client)
{
	struct answer answer = {
	    .status = EXIT_HTRACE_FAILED,
	    .output = (char *)"",
	    .message = (char *)"the session could not answer: it has no memory for another "
			       "process, or that died",
	};

	control_answer(client, &answer);
}

enum progress { AT_WORK, BEGUN, ANSWERED, DIED };

static enum progress progress_of(const struct reader *reader)
{
	char byte = 0;
	ssize_t got = read(reader->alive, &byte, 1);

	if (got <= 0)
		return got ? AT_WORK : DIED;
	return byte == 'b' ? BEGUN : ANSWERED;
}

/* What it has come to is done with; also: it died, or could not be started. */
static void finish(struct reader *reader, bool answered)
{
	if (!reader->client)
		return;
	if (answered)
		control_take_back(reader->client);
	else if (reader->begun)
		control_cut_off(reader->client);
	else
		apologise(reader->client);
	reader->client = NULL;
}

static void remove_reader(struct host *host, size_t index)
{
	struct reader *reader = &host->readers.data[index];

	if (reader->pid)
		close(reader->alive);
	request_fini(&reader->request);
	memmove(reader, reader + 1, (host->readers.count - index - 1) * sizeof(*reader));
	host->readers.count--;
}

void readers_add(struct host *host, struct control_client *client, const struct request *request)
{
	struct reader reader = {.client = client, .request = request_dup(request)};

	array_push(&host->readers, reader);
}

/* Whether it is done with. */
static bool step_reader(struct host *host, struct reader *reader, unsigned *running)
{
	enum progress progress = AT_WORK;

	if (!reader->pid && !reader->client)
		return true;
	if (!reader->pid && *running < READERS_AT_ONCE) {
		host_compare(host);
		if (!begin(host, reader)) {
			finish(reader, false);
			return true;
		}
	}
	if (!reader->pid)
		return false;
	++*running;
	progress = progress_of(reader);
	reader->begun |= progress == BEGUN;
	if (progress != ANSWERED && progress != DIED)
		return false;
	finish(reader, progress == ANSWERED);
	return true;
}

void readers_step(struct host *host)
{
	unsigned running = 0;

	for (size_t i = 0; i < host->readers.count;) {
		if (step_reader(host, &host->readers.data[i], &running))
			remove_reader(host, i);
		else
			i++;
	}
}

/* Its number is another's as soon as it has ended. */
static void end_child(const struct reader *reader)
{
	enum progress progress = reader->pid ? progress_of(reader) : DIED;

	if (progress == AT_WORK || progress == BEGUN)
		kill(reader->pid, SIGKILL);
}

bool readers_gone(struct host *host, const struct control_client *client)
{
	array_each (reader, &host->readers) {
		if (reader->client != client)
			continue;
		reader->client = NULL;
		end_child(reader);
		return true;
	}
	return false;
}

void readers_end(struct host *host)
{
	array_each (reader, &host->readers)
		end_child(reader);
	while (host->readers.count)
		remove_reader(host, 0);
	array_fini(&host->readers);
}
