/* report/trace_list: which traces are listed, in which order, against a full log of random lives.
 */
#include "life_report.h"

#include "report/trace_list.h"

#include <time.h>

enum { SIM_NUMBERS = 12, SIM_PROCESSES = 3, SIM_STEPS = 400 };

struct simulation {
	struct life life;
	struct model_observer history;
	ARRAY(struct trace) log;
	size_t opened[SIM_PROCESSES][SIM_NUMBERS]; /* index in log + 1 of the OPEN; 0: not open */
	size_t last_close[SIM_PROCESSES][SIM_NUMBERS];
	size_t last_opened[SIM_PROCESSES][SIM_NUMBERS]; /* what that closed */
};

static void log_trace(void *context, const struct trace *trace)
{
	struct simulation *simulation = context;
	int process = trace->pid - PID, number = trace->number;

	array_push(&simulation->log, *trace);
	simulation->history.trace(simulation->history.context, trace);
	if (trace->kind == TRACE_OPEN) {
		simulation->opened[process][number] = simulation->log.count;
	} else if (trace->kind == TRACE_CLOSE) {
		simulation->last_close[process][number] = simulation->log.count;
		simulation->last_opened[process][number] = simulation->opened[process][number];
		simulation->opened[process][number] = 0;
	}
}

static void simulate(struct simulation *simulation, uint32_t traces_max, unsigned *seed)
{
	struct model_observer observer = {.trace = log_trace, .context = simulation};
	struct life *life = &simulation->life;
	int steps = rand_r(seed) % SIM_STEPS;

	*simulation = (struct simulation){0};
	life_init(life, traces_max);
	simulation->history = history_observer(life->history);
	model_free(life->model);
	life->model = model_new(&observer);
	life->report.model = life->model;
	for (int i = 0; i < SIM_PROCESSES; i++) {
		model_attach(life->model, PID + i, 1, 1);
		model_attached(life->model, PID + i);
	}
	for (int i = 0; i < steps; i++) {
		struct actor actor = {.time_ns = S + i * MS, .stack_id = life->use_stack};
		struct handle_op op = {.number = rand_r(seed) % SIM_NUMBERS, .type = "file"};
		static const enum handle_op_kind kinds[] = {HANDLE_OPEN, HANDLE_CLOSE,
							    HANDLE_DUPLICATE, HANDLE_BAD_REFERENCE,
							    HANDLE_CLOSE_RANGE};

		actor.pid = actor.tid = PID + rand_r(seed) % SIM_PROCESSES;
		op.kind = kinds[rand_r(seed) % 5];
		op.source = rand_r(seed) % SIM_NUMBERS;
		op.last = op.number + rand_r(seed) % 3;
		if (op.last >= SIM_NUMBERS)
			op.last = SIM_NUMBERS - 1;
		model_apply(life->model, &actor, &op);
	}
	life_report(life);
}

/* Marks what must be listed: the last `traces_max`, and what the model still knows. */
static size_t expect(const struct simulation *simulation, const struct report_query *query,
		     uint32_t traces_max, bool *wanted)
{
	size_t count = 0, total = simulation->log.count;

	for (size_t i = 0; i < total; i++)
		wanted[i] = total - i <= traces_max;
	for (int process = 0; process < SIM_PROCESSES; process++)
		for (int number = 0; number < SIM_NUMBERS; number++) {
			const size_t known[] = {simulation->opened[process][number],
						simulation->last_close[process][number],
						simulation->last_opened[process][number]};

			for (int i = 0; i < 3; i++)
				if (known[i])
					wanted[known[i] - 1] = true;
		}
	for (size_t i = 0; i < total; i++) {
		const struct trace *trace = &simulation->log.data[i];

		wanted[i] = wanted[i] && (!query->pid || trace->pid == query->pid) &&
			    (query->number < 0 || trace->number == query->number);
		count += wanted[i];
	}
	return count;
}

static size_t find_logged(const struct simulation *simulation, const struct trace *trace)
{
	for (size_t i = 0; i < simulation->log.count; i++) {
		const struct trace *logged = &simulation->log.data[i];

		if (logged->kind == trace->kind && logged->number == trace->number &&
		    logged->pid == trace->pid && logged->moment.time_ns == trace->moment.time_ns &&
		    logged->before_ns == trace->before_ns &&
		    logged->moment.stack_id == trace->moment.stack_id)
			return i;
	}
	fail_msg("listed, but never told: handle %d of process %d", trace->number, trace->pid);
	return 0;
}

static void check_section(const struct simulation *simulation, const struct trace_list *list,
			  const struct trace_section *section, bool *wanted)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct listed_trace *item = &list->traces.data[section->first + i];
		size_t at = find_logged(simulation, &item->trace);

		assert_int_equal(item->trace.pid, section->pid);
		assert_true(wanted[at]); /* and not listed before */
		wanted[at] = false;
		assert_int_equal(item->kept, simulation->log.count - at <= list->kept);
		if (i)
			assert_true(item[-1].trace.moment.time_ns >= item->trace.moment.time_ns);
		if (i && item[-1].trace.moment.time_ns == item->trace.moment.time_ns &&
		    item[-1].trace.number == item->trace.number)
			assert_int_equal(item->trace.kind, TRACE_CLOSE); /* dup2 */
	}
}

static void check_list(const struct simulation *simulation, const struct report_query *query,
		       uint32_t traces_max)
{
	_Static_assert(SIM_STEPS * 8 >= 3200, "a step tells a few traces");
	bool wanted[SIM_STEPS * 8] = {0};
	size_t count = expect(simulation, query, traces_max, wanted), shown = 0;
	uint64_t oldest_shown_ns = UINT64_MAX;
	struct trace_list list;

	trace_list_make(&list, &simulation->life.report, query);
	assert_int_equal(list.total, simulation->log.count);
	assert_int_equal(list.matched, count);
	assert_true(list.parsed >= list.matched);
	if (query->traces_max && count > query->traces_max)
		count = query->traces_max;
	assert_int_equal(list.traces.count, count);
	array_each (section, &list.sections) {
		shown += section->count;
		check_section(simulation, &list, section, wanted);
	}
	assert_int_equal(shown, count);
	array_each (item, &list.traces)
		if (item->trace.moment.time_ns < oldest_shown_ns)
			oldest_shown_ns = item->trace.moment.time_ns;
	for (size_t i = 0; i < simulation->log.count; i++) /* the limit takes the oldest away */
		if (wanted[i])
			assert_true(simulation->log.data[i].moment.time_ns <= oldest_shown_ns);
	trace_list_fini(&list);
}

static void test_random_lives(void **state)
{
	static const uint32_t limits[] = {0, 1, 5, 40, 100000};
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	for (int round = 0; round < 100; round++) {
		uint32_t traces_max = limits[round % 5];
		struct simulation simulation;

		simulate(&simulation, traces_max, &seed);
		for (int i = 0; i < 10; i++)
			check_list(&simulation,
				   &(struct report_query){
				       .pid = i % 2 ? PID + rand_r(&seed) % SIM_PROCESSES : 0,
				       .number = i % 3 ? rand_r(&seed) % SIM_NUMBERS : -1,
				       .traces_max = i % 4 ? 0 : rand_r(&seed) % 50},
				   traces_max);
		array_fini(&simulation.log);
		life_fini(&simulation.life);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
