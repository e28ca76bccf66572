/* Owns the handshake between the parent and the child that is about to exec, and how it ends. */
#include "collect/start.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* In the child: waits for the word to go, then becomes the program or says why not. */
static void child_run(const struct spawn *spawn, int go, int answer)
{
	char word;
	int code;

	/* End of file: the parent gave up. */
	if (read(go, &word, 1) != 1)
		_exit(125);
	execve(spawn->path, spawn->argv, spawn->envp);
	code = -errno;
	if (write(answer, &code, sizeof(code)) != sizeof(code))
		_exit(125);
	_exit(127);
}

/* Close-on-exec ends the answer pipe: nothing to read means that the exec succeeded. */
static int read_answer(int answer)
{
	ssize_t bytes;
	int code = 0;

	do
		bytes = read(answer, &code, sizeof(code));
	while (bytes < 0 && errno == EINTR);
	return bytes == sizeof(code) ? code : 0;
}

int start_program(const struct spawn *spawn,
		  int (*ready)(void *context, pid_t pid, struct error *error), void *context,
		  pid_t *pid, struct error *error)
{
	int go_pipe[2], answer_pipe[2];
	pid_t child;
	int result;

	if (pipe2(go_pipe, O_CLOEXEC) < 0)
		return error_set_errno(error, -errno, "cannot create a pipe");
	_cleanup_(close_fd) int go_read = go_pipe[0], go_write = go_pipe[1];
	if (pipe2(answer_pipe, O_CLOEXEC) < 0)
		return error_set_errno(error, -errno, "cannot create a pipe");
	_cleanup_(close_fd) int answer_read = answer_pipe[0], answer_write = answer_pipe[1];

	child = fork();
	if (child < 0)
		return error_set_errno(error, -errno, "cannot fork");
	if (child == 0) {
		close(go_write);
		child_run(spawn, go_read, answer_write);
	}
	close(take_fd(&answer_write));
	result = ready(context, child, error);
	if (!result && write(go_write, "g", 1) != 1)
		result = error_set_errno(error, -errno, "cannot start the program");
	close(take_fd(&go_write));
	if (!result) {
		result = read_answer(answer_read);
		if (result)
			error_set_errno(error, result, "cannot run %s", spawn->path);
	}
	if (result)
		waitpid(child, NULL, 0);
	else
		*pid = child;
	return result;
}

void started_child_look(struct started_child *child)
{
	if (child->pid && !child->waited &&
	    waitpid(child->pid, &child->status, WNOHANG) == child->pid)
		child->waited = true;
}

bool started_child_ended(const struct started_child *child, int *wait_status)
{
	if (!child->waited)
		return false;
	*wait_status = child->status;
	return true;
}

bool started_child_stopped(const struct started_child *child)
{
	siginfo_t info = {0};

	return child->pid && !child->waited &&
	       waitid(P_PID, child->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}
