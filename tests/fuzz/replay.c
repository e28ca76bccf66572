/*
 * Drives a fuzz target without a fuzzer: every file of a corpus folder as it is, then mutants of
 * them from a seed that is printed (FUZZ_SEED=N repeats it, FUZZ_MUTANTS=N says how many). Knows
 * nothing of what the bytes mean. Each input lies in memory of exactly its size, so that ASan sees
 * the first byte that is read beyond it.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { INPUT_MAX = 256 * 1024, INPUTS_MAX = 4096, MUTANTS = 20000, SECONDS_MAX = 20 };

struct input {
	uint8_t *bytes;
	size_t size;
};

static uint64_t random_state;

static uint64_t random_next(void)
{
	uint64_t mixed = random_state += 0x9e3779b97f4a7c15; /* splitmix64 */

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

static size_t random_below(size_t limit)
{
	return limit ? random_next() % limit : 0;
}

static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int read_input(const char *path, struct input *out)
{
	FILE *stream = fopen(path, "rbe");

	if (!stream)
		return -1;
	out->bytes = malloc(INPUT_MAX);
	if (!out->bytes)
		abort();
	out->size = fread(out->bytes, 1, INPUT_MAX, stream);
	fclose(stream);
	return 0;
}

static size_t read_corpus(const char *folder, struct input *inputs)
{
	struct dirent **names;
	char path[4096];
	size_t inputs_n = 0;
	int names_n =
	    scandir(folder, &names, NULL, alphasort); /* the seed means the same anywhere */

	for (int i = 0; i < names_n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && inputs_n < INPUTS_MAX &&
		    !read_input(path, &inputs[inputs_n]))
			inputs_n++;
		free(names[i]);
	}
	if (names_n >= 0)
		free(names);
	return inputs_n;
}

/* One change of the kinds that find lies about lengths and offsets. */
static size_t mutate(uint8_t *bytes, size_t size)
{
	static const uint64_t values[] = {0,          1,          7,          8,
					  0x7fffffff, 0x80000000, 0xffffffff, 0xffff,
					  UINT64_MAX, INT64_MAX,  1ull << 63, 0xfffffff8};
	size_t at = random_below(size), width = 1u << random_below(4);
	uint64_t value;

	switch (random_below(5)) {
	case 0:
		return at; /* cut */
	case 1:
		if (size)
			bytes[at] ^= 1u << random_below(8);
		return size;
	case 2:
		value = values[random_below(sizeof(values) / sizeof(*values))];
		at -= at % width;
		if (at + width <= size)
			memcpy(bytes + at, &value, width);
		return size;
	case 3:
		width = random_below(size - at);
		memmove(bytes + random_below(size - width), bytes + at, width);
		return size;
	default:
		value = random_next();
		if (at + width <= size)
			memcpy(bytes + at, &value, width);
		return size;
	}
}

static size_t run_mutants(const struct input *inputs, size_t inputs_n, size_t wanted)
{
	uint8_t *bytes = malloc(INPUT_MAX);
	time_t begin = time(NULL);
	size_t done;

	if (!bytes)
		abort();
	for (done = 0; done < wanted && time(NULL) - begin < SECONDS_MAX; done++) {
		const struct input *input = &inputs[random_below(inputs_n)];
		size_t size = input->size;

		memcpy(bytes, input->bytes, size);
		for (size_t changes = 1 + random_below(6); changes; changes--)
			size = mutate(bytes, size);
		run(bytes, size);
	}
	free(bytes);
	return done;
}

int main(int argc, char **argv)
{
	static struct input inputs[INPUTS_MAX];
	const char *seed = getenv("FUZZ_SEED"), *wanted = getenv("FUZZ_MUTANTS");
	size_t inputs_n = argc > 1 ? read_corpus(argv[1], inputs) : 0, mutants;

	if (!inputs_n) {
		fprintf(stderr, "no corpus in %s\n", argc > 1 ? argv[1] : "(no folder given)");
		return 1;
	}
	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	printf("FUZZ_SEED=%" PRIu64 "\n", random_state);
	fflush(stdout); /* known even if an input ends us */
	for (size_t i = 0; i < inputs_n; i++)
		run(inputs[i].bytes, inputs[i].size);
	mutants = run_mutants(inputs, inputs_n, wanted ? strtoull(wanted, NULL, 0) : MUTANTS);
	printf("%zu inputs, %zu mutants\n", inputs_n, mutants);
	for (size_t i = 0; i < inputs_n; i++)
		free(inputs[i].bytes);
	return 0;
}
