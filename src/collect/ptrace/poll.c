/*
 * Waits for stops. The wait is a plain blocking waitpid(), so that a stop costs no call beside it;
 * a timer that is set once for a whole poll ends the wait when time is over. It repeats, because
 * its first signal may come just before the wait begins.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"

#include <string.h>
#include <sys/wait.h>

enum {
	STOPS_IN_ONE_POLL = 512,
	TIMER_REPEAT_NS = 5 * 1000 * 1000,
};

static int timer_signal(void)
{
	return SIGRTMAX - 3;
}

int64_t poll_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void on_timer(int signal)
{
	(void)signal; /* to interrupt is all that it does */
}

int poll_create_timer(struct collector *collector, struct error *error)
{
	struct sigaction action = {.sa_handler = on_timer};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = timer_signal()};
	sigset_t set;

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &collector->timer) < 0)
		return error_set_errno(error, -errno, "cannot create a timer");
	sigaction(timer_signal(), &action, &collector->timer_action);
	sigemptyset(&set);
	sigaddset(&set, timer_signal());
	pthread_sigmask(SIG_UNBLOCK, &set, &collector->mask);
	return 0;
}

void poll_delete_timer(struct collector *collector)
{
	sigset_t set;

	timer_delete(collector->timer);
	sigaction(timer_signal(), &collector->timer_action, NULL);
	sigemptyset(&set);
	sigaddset(&set, timer_signal());
	if (sigismember(&collector->mask, timer_signal()))
		pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void poll_restore_signals(const struct collector *collector)
{
	sigaction(timer_signal(), &collector->timer_action, NULL);
	pthread_sigmask(SIG_SETMASK, &collector->mask, NULL);
}

static void timer_set(const struct collector *collector, int64_t in_ns)
{
	struct itimerspec when = {0};

	if (in_ns) {
		when.it_value.tv_sec = in_ns / 1000000000;
		when.it_value.tv_nsec = in_ns % 1000000000;
		when.it_interval.tv_nsec = TIMER_REPEAT_NS;
	}
	timer_settime(collector->timer, 0, &when, NULL);
}

/* One stop. `deadline_ns`: 0: do not wait; negative: for ever. */
static int wait_and_handle(struct collector *collector, int64_t deadline_ns)
{
	int status;
	pid_t tid = waitpid(-1, &status, __WALL | (deadline_ns ? 0 : WNOHANG));

	if (tid == 0)
		return POLL_TIMED_OUT;
	if (tid < 0 && errno == EINTR)
		return deadline_ns > 0 && poll_now_ns() >= deadline_ns ? POLL_TIMED_OUT
								       : POLL_INTERRUPTED;
	if (tid < 0)
		return POLL_NO_TRACEE;
	affinity_stop_seen(&collector->affinity, tid);
	stops_handle(collector, tid, status);
	return POLL_HANDLED;
}

static uint64_t drain(struct collector *collector, const struct event_sink *sink)
{
	uint64_t count = outbox_drain(&collector->outbox, sink);

	collector->stats.events += count;
	return count;
}

int ptrace_poll(struct collector *collector, int timeout_ms, const struct event_sink *sink,
		struct error *error)
{
	int64_t deadline_ns = timeout_ms < 0 ? -1 : 0;
	int status = collector->spawned_exec_status, result = POLL_HANDLED;
	uint64_t count;

	(void)error;
	collector->spawned_exec_status = 0;
	if (status)
		stops_handle(collector, collector->spawned, status);
	count = drain(collector, sink);
	if (collector->tracees.count && timeout_ms > 0) {
		deadline_ns = poll_now_ns() + timeout_ms * 1000000ll;
		timer_set(collector, timeout_ms * 1000000ll);
	}
	for (int i = 0; i < STOPS_IN_ONE_POLL && result == POLL_HANDLED; i++) {
		if (!collector->tracees.count)
			result = POLL_NO_TRACEE;
		else
			result = wait_and_handle(collector, deadline_ns);
		count += drain(collector, sink);
	}
	if (deadline_ns > 0)
		timer_set(collector, 0);
	if (result == POLL_TIMED_OUT)
		stops_release_held(collector);
	if (result == POLL_INTERRUPTED)
		return -EINTR;
	return count || result != POLL_NO_TRACEE ? (int)count : -ECHILD;
}
