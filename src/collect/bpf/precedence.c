/* Owns the scheduling of the thread that empties the ring. */
#include "collect/bpf/precedence.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

void precedence_take(struct precedence *precedence)
{
	struct sched_param before = {0}, first = {.sched_priority = 1};

	if (precedence->taken)
		return;
	errno = 0;
	precedence->nice = getpriority(PRIO_PROCESS, 0);
	precedence->policy = sched_getscheduler(0);
	if (errno || precedence->policy < 0 || sched_getparam(0, &before) < 0)
		return;
	precedence->priority = before.sched_priority;
	precedence->taken = true;
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) < 0)
		setpriority(PRIO_PROCESS, 0, -20);
}

void precedence_drop(struct precedence *precedence)
{
	if (!precedence->taken)
		return;
	precedence->taken = false;
	sched_setscheduler(0, precedence->policy,
			   &(struct sched_param){.sched_priority = precedence->priority});
	setpriority(PRIO_PROCESS, 0, precedence->nice);
}
