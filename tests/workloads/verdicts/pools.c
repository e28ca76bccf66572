/* Scenes that leak nothing: what is kept is used to the end, what is replaced is closed. */
#include "scenes.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum { CAPACITY = 16, TTL_MAX = 64, BATCH = 20, GROWN = 40 };

PLACE(pool_member);
OPENER static int pool_member(void)
{
	return opened(&pool_member_place, KEEP(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
}

static void pool_at_start(void)
{
	for (int i = 0; i < 8; i++)
		pool_member();
}

PLACE(arena_block);
OPENER static int arena_block(void)
{
	return opened(&arena_block_place, KEEP(memfd_create("arena", MFD_CLOEXEC)));
}

/* An arena that grows with its use, for the first three to four seconds. */
static void arena(void)
{
	double gap = between(0.3, 0.4);

	for (int i = 0; i < 10; i++) {
		arena_block();
		pause_about_s(gap);
	}
}

PLACE(late_member);
OPENER static int late_member(void)
{
	return opened(&late_member_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

static void pool_of_late_start(void)
{
	pause_s(between(2, 3.5));
	for (int i = 0; i < 12; i++)
		late_member();
}

PLACE(turnover_member);
OPENER static int turnover_member(void)
{
	return opened(&turnover_member_place, KEEP(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
}

/* Connections are renewed now and then. */
static void pool_with_turnover(void)
{
	int members[8] = {0};

	for (int i = 0;; i++) {
		int *member = &members[i < 8 ? (uint32_t)i : below(8)];

		if (*member)
			close(*member);
		*member = turnover_member();
		if (i >= 8)
			pause_about_s(0.4);
	}
}

PLACE(lru_entry);
OPENER static int lru_entry(void)
{
	return opened(&lru_entry_place, KEEP(open("/etc/passwd", O_RDONLY | O_CLOEXEC)));
}

/* Half of the entries are asked for again and again and stay; the oldest of the others go. */
static void lru_cache(void)
{
	int entries[CAPACITY], kept = CAPACITY / 2;

	for (int i = 0; i < CAPACITY; i++) {
		entries[i] = lru_entry();
		pause_about_s(0.12);
	}
	for (int i = 0;; i = (i + 1) % (CAPACITY - kept)) {
		close(entries[kept + i]);
		entries[kept + i] = lru_entry();
		pause_about_s(0.12);
	}
}

PLACE(ttl_entry);
OPENER static int ttl_entry(void)
{
	return opened(&ttl_entry_place, KEEP(open("/etc/group", O_RDONLY | O_CLOEXEC)));
}

static void ttl_cache(void)
{
	struct {
		int number;
		double until_s;
	} entries[TTL_MAX];
	uint32_t first = 0, end = 0;

	for (;;) {
		while (first < end && entries[first % TTL_MAX].until_s <= now_s())
			close(entries[first++ % TTL_MAX].number);
		if (end - first < TTL_MAX) {
			entries[end % TTL_MAX].until_s = now_s() + 2;
			entries[end++ % TTL_MAX].number = ttl_entry();
		}
		pause_about_s(0.15);
	}
}

PLACE(timer_of_request);
OPENER static int timer_of_request(void)
{
	return opened(&timer_of_request_place, KEEP(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)));
}

static void timers(void)
{
	int running[4] = {0};

	for (uint32_t i = 0;; i = (i + 1) % 4) {
		if (running[i])
			close(running[i]);
		running[i] = timer_of_request();
		pause_about_s(0.08);
	}
}

PLACE(watch_all);
OPENER static int watch_all(void)
{
	return opened(&watch_all_place, KEEP(inotify_init1(IN_CLOEXEC)));
}

PLACE(main_loop);
OPENER static int main_loop(void)
{
	return opened(&main_loop_place, KEEP(epoll_create1(EPOLL_CLOEXEC)));
}

PLACE(signals_as_events);
OPENER static int signals_as_events(void)
{
	sigset_t none;

	sigemptyset(&none);
	return opened(&signals_as_events_place, KEEP(signalfd(-1, &none, SFD_CLOEXEC)));
}

PLACE(log_file);
OPENER static int log_file(void)
{
	return opened(&log_file_place, KEEP(open("/dev/null", O_WRONLY | O_CLOEXEC)));
}

static void one_of_each(void)
{
	watch_all();
	pause_s(0.3);
	main_loop();
	signals_as_events();
	pause_s(between(0.5, 4));
	log_file();
}

PLACE(log_generation);
OPENER static int log_generation(void)
{
	return opened(&log_generation_place, KEEP(open("/dev/null", O_WRONLY | O_CLOEXEC)));
}

static void log_rotation(void)
{
	for (int before = -1, now;; before = now) {
		now = log_generation();
		pause_s(0.05);
		if (before >= 0)
			close(before);
		pause_about_s(1.5);
	}
}

PLACE(file_of_service);
OPENER static int file_of_service(void)
{
	return opened(&file_of_service_place, KEEP(open("/etc/services", O_RDONLY | O_CLOEXEC)));
}

/* What it reads again and again it has open from its first second on; the rest it closes. */
static void warm_up(void)
{
	for (int i = 0;; i++) {
		int number = file_of_service();

		pause_about_s(0.1);
		if (i >= 12 || i % 3 == 2)
			close(number);
	}
}

PLACE(part_of_batch);
OPENER static int part_of_batch(void)
{
	return opened(&part_of_batch_place, KEEP(memfd_create("part", MFD_CLOEXEC)));
}

static void batches(void)
{
	int parts[BATCH];

	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			parts[i] = part_of_batch();
			pause_about_s(0.09);
		}
		for (int i = 0; i < BATCH; i++)
			close(parts[i]);
	}
}

PLACE(grown);
OPENER static int grown(void)
{
	return opened(&grown_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

/* More and more up to the middle, then fewer and fewer. */
static void grown_then_shrunk(void)
{
	int numbers[GROWN];

	for (int i = 0; i < GROWN; i++) {
		numbers[i] = grown();
		pause_s(part(0.5) / GROWN);
	}
	for (int i = 0; i < GROWN - 4; i++) {
		close(numbers[i]);
		pause_s(part(0.4) / GROWN);
	}
}

PLACE(walk);
OPENER static DIR *walk(const char *path)
{
	DIR *folder;

	opened(&walk_place, KEEP(dirfd(folder = opendir(path))));
	return folder;
}

/* Folders in folders. */
static void walks(void)
{
	for (;;) {
		DIR *outer = walk("/etc");

		for (int i = 0; i < 3; i++) {
			DIR *inner = walk("/etc/default");

			pause_about_s(0.1);
			closedir(inner);
		}
		closedir(outer);
	}
}

PLACE(in_burst);
OPENER static int in_burst(void)
{
	return opened(&in_burst_place, KEEP(open("/etc/hostname", O_RDONLY | O_CLOEXEC)));
}

static void bursts(void)
{
	int numbers[30];

	for (;;) {
		uint32_t count = 10 + below(20);

		for (uint32_t i = 0; i < count; i++)
			numbers[i] = in_burst();
		pause_about_s(0.3);
		for (uint32_t i = 0; i < count; i++)
			close(numbers[i]);
		pause_about_s(1);
	}
}

const struct scene pool_scenes[] = {
    {"pool at start", pool_at_start},
    {"arena", arena},
    {"pool of a late start", pool_of_late_start},
    {"pool with turnover", pool_with_turnover},
    {"LRU cache", lru_cache},
    {"TTL cache", ttl_cache},
    {"timers", timers},
    {"one of each", one_of_each},
    {"log rotation", log_rotation},
    {"warm-up", warm_up},
    {"batches", batches},
    {"grown, then shrunk", grown_then_shrunk},
    {"walks", walks},
    {"bursts", bursts},
    {0},
};
