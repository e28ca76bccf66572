/*
 * Many client processes with random words, some of which do not wait for the answer, and a host
 * that answers in every way there is: at once, later, after progress, by another process. Each gets
 * its own answer, whole, and everybody who has gone is told of once.
 */
#include "control_harness.h"

#include <time.h>

enum {
	CLIENTS = 16,
	CALLS = 40,
	LATER_MAX = 64,
	REPEATS_MAX = 2000, /* of the words in an answer */
};

static uint64_t random_next(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15; /* splitmix64 */

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

static uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return random_next(state) % limit;
}

/* What the answer to a request is: its words, so many times; status and colour as they say. */
static void make_answer(const struct request *request, struct answer *out)
{
	uint32_t repeats = request->columns % REPEATS_MAX;
	size_t bytes = 0, length;
	char *joined;

	for (uint32_t i = 0; i < request->words_n; i++)
		bytes += strlen(request->words[i]) + 1;
	joined = xmalloc(bytes);
	join_words(request, joined);
	length = strlen(joined);
	*out = (struct answer){.status = request->columns % 256,
			       .output = xmalloc(length * repeats + 1),
			       .output_n = length * repeats,
			       .message = request->colour ? xstrdup(joined) : NULL};
	for (uint32_t i = 0; i < repeats; i++)
		memcpy(out->output + i * length, joined, length);
	out->output[out->output_n] = 0;
	free(joined);
}

/* Characters of every length in UTF-8, and those that JSON escapes. */
static char *random_word(uint64_t *state)
{
	static const char *const pieces[] = {"a",
					     "0x7cc",
					     " ",
					     "\"",
					     "\\",
					     "\n",
					     "\x01",
					     "\x7f",
					     "\xc3\xbc",
					     "\xe2\x82\xac",
					     "\xf0\x9f\x98\x80",
					     "{,[:]}"};
	char *word = xcalloc(1, 400);

	for (uint32_t left = random_below(state, 60); left; left--)
		strcat(word, pieces[random_below(state, sizeof(pieces) / sizeof(*pieces))]);
	return word;
}

static void random_request(uint64_t *state, int number, struct request *out)
{
	out->words_n = 1 + random_below(state, REQUEST_WORDS_MAX);
	out->words = xcalloc(out->words_n + 1, sizeof(*out->words));
	out->words[0] = xasprintf("client%d", number);
	for (uint32_t i = 1; i < out->words_n; i++)
		out->words[i] = random_word(state);
	out->columns = random_below(state, REQUEST_COLUMNS_MAX + 1);
	/* Long answers are rare, or it takes long. */
	if (random_below(state, 10))
		out->columns -= out->columns % REPEATS_MAX - random_below(state, 3);
	if (out->columns > REQUEST_COLUMNS_MAX)
		out->columns = 0;
	out->colour = random_below(state, 2);
}

static bool equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool is_right(const struct request *request, const struct answer *answer)
{
	struct answer wanted;
	bool same;

	make_answer(request, &wanted);
	same = answer->status == wanted.status && answer->output_n == wanted.output_n &&
	       !memcmp(answer->output, wanted.output, wanted.output_n) &&
	       equal(answer->message, wanted.message);
	answer_fini(&wanted);
	return same;
}

static void leave(int signal)
{
	(void)signal;
}

/* Sometimes the call is interrupted, and the connection closed: nobody waits for that answer. */
static int random_call(struct client **client, uint64_t *state, int number)
{
	struct request request;
	struct answer answer;
	struct error error;
	int result;

	if (!*client && client_open("4242", client, &error))
		return 1;
	random_request(state, number, &request);
	if (!random_below(state, 6))
		ualarm(1 + random_below(state, 3000), 1000);
	result = client_call(*client, &request, &answer, NULL, NULL, &error);
	ualarm(0, 0);
	if (!result)
		result = is_right(&request, &answer) ? 0 : 2;
	else if (result == -EINTR)
		result = 0;
	else
		fprintf(stderr, "client %d: %s\n", number, error.message);
	if (!answer.output || !random_below(state, 4)) {
		client_close(*client);
		*client = NULL;
	}
	answer_fini(&answer);
	request_fini(&request);
	return result;
}

static int run_client(uint64_t seed, int number)
{
	struct sigaction action = {.sa_handler = leave};
	struct client *client = NULL;
	int result = 0;

	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < CALLS && !result; i++)
		result = random_call(&client, &seed, number);
	client_close(client);
	return result;
}

/* A request that is not answered yet. */
struct later {
	struct control_client *client;
	struct answer answer;
	pid_t writer; /* that answers it; 0: we do */
};

struct busy_host {
	struct host host;
	uint64_t random;
	struct later later[LATER_MAX];
	uint32_t ways[4];
};

static void hand_over(struct busy_host *busy, struct later *later)
{
	int fd = control_hand_over(later->client);

	if (fd < 0)
		return;
	later->writer = fork();
	if (later->writer)
		return;
	control_close_others(busy->host.control, later->client);
	control_send(fd, &(struct answer){.progress = "in another process"});
	_exit(control_send(fd, &later->answer) ? 1 : 0);
}

static struct later *later_of(struct busy_host *busy, const struct control_client *client)
{
	for (int i = 0; i < LATER_MAX; i++)
		if (busy->later[i].client == client)
			return &busy->later[i];
	return NULL;
}

static void later_end(struct later *later)
{
	if (later->writer) {
		kill(later->writer, SIGKILL);
		wait_for(later->writer);
	}
	answer_fini(&later->answer);
	*later = (struct later){0};
}

static void busy_request(void *context, struct control_client *client,
			 const struct request *request)
{
	struct busy_host *busy = context;
	struct later *later = later_of(busy, NULL);
	uint32_t way = random_below(&busy->random, 4);

	busy->host.requests++;
	if (later_of(busy, client))
		fail_msg("two requests of one client");
	later->client = client;
	make_answer(request, &later->answer);
	busy->ways[way]++;
	if (way == 0) {
		control_answer(client, &later->answer);
		later_end(later);
	} else if (way == 1) {
		control_answer(client, &(struct answer){.progress = "soon"});
		control_answer(client, &(struct answer){.event = "look"});
	} else if (way == 2) {
		hand_over(busy, later);
	}
	*control_client_data(client) = busy;
}

static void busy_gone(void *context, struct control_client *client)
{
	struct busy_host *busy = context;
	struct later *later = later_of(busy, client);

	busy->host.gone++;
	if (*control_client_data(client) != busy)
		fail_msg("of whom nothing is known");
	if (later)
		later_end(later);
}

/* Ends some of what is owed. */
static void busy_work(struct busy_host *busy)
{
	for (int i = 0; i < LATER_MAX; i++) {
		struct later *later = &busy->later[i];
		int status;

		if (!later->client)
			continue;
		if (!later->writer && random_below(&busy->random, 3) == 0) {
			control_answer(later->client, &later->answer);
			later_end(later);
		} else if (later->writer && waitpid(later->writer, &status, WNOHANG) > 0) {
			later->writer = 0;
			if (status)
				control_cut_off(later->client);
			else
				control_take_back(later->client);
			later_end(later);
		}
	}
}

static void busy_begin(struct busy_host *busy, uint64_t seed)
{
	struct control_ops ops = {busy_request, busy_gone, busy};
	int fd = socket_dir_listen("4242", NULL);

	assert_true(fd >= 0);
	*busy = (struct busy_host){.random = seed};
	busy->host.control = control_new(fd, &ops);
}

static void test_random(void **state)
{
	const char *given = getenv("TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	static struct busy_host busy;
	pid_t pids[CLIENTS];
	int running = CLIENTS;

	print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
	busy_begin(&busy, seed);
	for (int i = 0; i < CLIENTS; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(run_client(seed * 1000003 + i, i));
	}
	while (running) {
		control_step(busy.host.control);
		busy_work(&busy);
		control_wait(busy.host.control, 1);
		for (int i = 0, status; i < CLIENTS; i++) {
			if (!pids[i] || waitpid(pids[i], &status, WNOHANG) <= 0)
				continue;
			pids[i] = 0;
			running--;
			if (status)
				fail_msg("client %d: status 0x%x", i, status);
		}
	}
	host_until(&busy.host, control_step(busy.host.control) == 0);
	print_message("%u requests (at once %u, later %u + %u, handed over %u), %u clients\n",
		      busy.host.requests, busy.ways[0], busy.ways[1], busy.ways[3], busy.ways[2],
		      busy.host.gone);
	for (int i = 0; i < LATER_MAX; i++)
		assert_null(busy.later[i].client);
	for (int i = 0; i < 4; i++)
		assert_true(busy.ways[i] > CLIENTS);
	host_end(&busy.host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {in_folder(test_random)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
