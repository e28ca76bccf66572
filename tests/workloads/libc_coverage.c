/*
 * Makes one of the calls of libc_coverage.h and prints the truth: what is open, how many calls that
 * takes, what a child ends with. "nothing" does none of them; without an argument: their names.
 */
#include "libc_coverage.h"

#include "workload.h"

struct step {
	const char *name;
	void (*run)(void);
	int calls;
	int child;
};

static void call_nothing(void)
{
}

#define STEP_ROW(name, calls, child) {#name, call_##name, calls, child},
static const struct step steps[] = {COVERAGE_STEPS(STEP_ROW){"nothing", call_nothing, 0, 0}};

_Static_assert(sizeof(steps) / sizeof(steps[0]) == STEPS_N + 1, "60 calls, and none");

void step_left(int number, const char *function, const char *type)
{
	truth_opened(number, function, type);
}

int step_must(int number, const char *what)
{
	if (number < 0) {
		perror(what);
		exit(97);
	}
	return number;
}

void step_unsupported(const char *call)
{
	truth_unsupported(call, errno);
	truth_print();
	truth_wait();
	exit(0);
}

static void step_print(const struct step *step)
{
	char line[200];
	int used = snprintf(line, sizeof(line),
			    "{\"truth\":\"step\",\"call\":\"%s\",\"calls\":%d,\"child\":%d}\n",
			    step->name, step->calls, step->child);

	truth_write(line, (size_t)used);
}

int main(int argc, char **argv)
{
	for (unsigned i = 0; i <= STEPS_N; i++) {
		if (argc == 1)
			puts(steps[i].name);
		else if (strcmp(argv[1], steps[i].name) == 0) {
			step_print(&steps[i]);
			steps[i].run();
			truth_print();
			truth_wait();
			return 0;
		}
	}
	return argc == 1 ? 0 : 2;
}
