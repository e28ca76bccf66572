/* Scenes that forget handles: all of them, or some, among those that are closed. */
#include "scenes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum { ERROR_EVERY = 10000, PARTS = 8, CAPACITY = 12, SESSIONS = 8 };

/* What the closers are for: the report tells where the others of a place were closed. */
OPENER static void request_free(int number)
{
	KEEP(close(number));
}

PLACE_CLOSED(rapid_request, request_free);
OPENER static int rapid_request(void)
{
	return opened(&rapid_request_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

/* Thousands a second; the path for one error in 10,000 forgets. */
static void one_in_ten_thousand(void)
{
	uint32_t burst = rapid() * 1000 / 100, requests = below(ERROR_EVERY / 2);
	double next_s = now_s();

	for (;; next_s += 0.01) {
		for (uint32_t i = 0; i < burst; i++) {
			int number = rapid_request();

			if (++requests % (ERROR_EVERY * rapid() / 4) == 0)
				forgotten(&rapid_request_place);
			else
				request_free(number);
		}
		pause_s(next_s - now_s());
	}
}

OPENER static void query_done(int number)
{
	KEEP(close(number));
}

PLACE_CLOSED(query, query_done);
OPENER static int query(void)
{
	return opened(&query_place, KEEP(open("/etc/passwd", O_RDONLY | O_CLOEXEC)));
}

static void one_in_a_hundred(void)
{
	for (int i = 1;; i++) {
		int number = query();

		pause_about_s(0.01);
		if (i % 100 == 50)
			forgotten(&query_place);
		else
			query_done(number);
	}
}

PLACE(folder_list);
OPENER static int folder_list(void)
{
	DIR *folder;
	int number = opened(&folder_list_place, KEEP(dirfd(folder = opendir("/etc/default"))));

	while (readdir(folder))
		;
	return number;
}

/* Never closedir(). */
static void folders(void)
{
	for (;;) {
		folder_list();
		forgotten(&folder_list_place);
		pause_about_s(0.8);
	}
}

PLACE(slow_timer);
OPENER static int slow_timer(void)
{
	return opened(&slow_timer_place, KEEP(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)));
}

/* One in two seconds, and nothing else there. */
static void slow_leak(void)
{
	for (;;) {
		slow_timer();
		forgotten(&slow_timer_place);
		pause_about_s(2);
	}
}

OPENER static void page_done(int number)
{
	KEEP(close(number));
}

PLACE_CLOSED(page, page_done);
OPENER static int page(void)
{
	return opened(&page_place, KEEP(open("/etc/hosts", O_RDONLY | O_CLOEXEC)));
}

/* One a second or so among traffic. */
static void slow_among_traffic(void)
{
	double next_s = between(0.2, 1);

	for (;;) {
		int number = page();

		pause_about_s(0.02);
		if (now_s() >= next_s) {
			forgotten(&page_place);
			next_s += between(0.7, 1.3);
		} else {
			page_done(number);
		}
	}
}

PLACE(until_repaired);
OPENER static int until_repaired(void)
{
	return opened(&until_repaired_place, KEEP(open("/etc/group", O_RDONLY | O_CLOEXEC)));
}

/* Whatever made it forget is over after a while. */
static void stops(void)
{
	for (int i = 0;; i++) {
		int number = until_repaired();

		pause_about_s(0.03);
		if (i % 12 == 5 && now_s() < part(0.6))
			forgotten(&until_repaired_place);
		else
			close(number);
	}
}

PLACE(since_broken);
OPENER static int since_broken(void)
{
	return opened(&since_broken_place, KEEP(open("/etc/profile", O_RDONLY | O_CLOEXEC)));
}

static void begins_late(void)
{
	for (int i = 0;; i++) {
		int number = since_broken();

		pause_about_s(0.03);
		if (i % 6 == 5 && now_s() > part(0.7))
			forgotten(&since_broken_place);
		else
			close(number);
	}
}

PLACE(first_used_late);
OPENER static int first_used_late(void)
{
	return opened(&first_used_late_place, KEEP(inotify_init1(IN_CLOEXEC)));
}

static void first_late(void)
{
	pause_s(part(0.7));
	for (;;) {
		first_used_late();
		forgotten(&first_used_late_place);
		pause_about_s(0.4);
	}
}

PLACE(part_of_many);
OPENER static int part_of_many(void)
{
	return opened(&part_of_many_place, KEEP(memfd_create("part", MFD_CLOEXEC)));
}

/* The first of each batch is not in the list that is closed. */
static void batch_but_one(void)
{
	int parts[PARTS];

	for (;;) {
		for (int i = 0; i < PARTS; i++) {
			parts[i] = part_of_many();
			pause_about_s(0.1);
		}
		for (int i = 1; i < PARTS; i++)
			close(parts[i]);
		forgotten(&part_of_many_place);
	}
}

PLACE(loop_of_job);
OPENER static int loop_of_job(void)
{
	return opened(&loop_of_job_place, KEEP(epoll_create1(EPOLL_CLOEXEC)));
}

static void one_in_ten(void)
{
	for (int i = 1;; i++) {
		int number = loop_of_job();

		pause_about_s(0.06);
		if (i % 10 == 5)
			forgotten(&loop_of_job_place);
		else
			close(number);
	}
}

PLACE(session);
OPENER static int session(void)
{
	return opened(&session_place, KEEP(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
}

/* Sessions that live for about a second; of those that end, each fifth stays. */
static void sessions(void)
{
	struct {
		int number;
		double until_s;
	} open_ones[SESSIONS] = {0};

	for (uint32_t ended = 0;; pause_s(0.02))
		for (int i = 0; i < SESSIONS; i++) {
			if (now_s() < open_ones[i].until_s)
				continue;
			if (open_ones[i].number && ended++ % 5 == 2)
				forgotten(&session_place);
			else if (open_ones[i].number)
				close(open_ones[i].number);
			open_ones[i].number = session();
			open_ones[i].until_s = now_s() + between(0.5, 1.5);
		}
}

PLACE(cached);
OPENER static int cached(void)
{
	return opened(&cached_place, KEEP(open("/etc/services", O_RDONLY | O_CLOEXEC)));
}

/* A cache of so many entries; what it throws out it closes, but each tenth. */
static void cache_that_forgets(void)
{
	int entries[CAPACITY];

	for (uint32_t i = 0;; i++) {
		if (i >= CAPACITY && i % 10 == 3)
			forgotten(&cached_place);
		else if (i >= CAPACITY)
			close(entries[i % CAPACITY]);
		entries[i % CAPACITY] = cached();
		pause_about_s(0.07);
	}
}

PLACE(replaced_member);
OPENER static int replaced_member(void)
{
	return opened(&replaced_member_place, KEEP(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
}

/* A pool whose broken members are replaced, and not closed. */
static void pool_that_loses(void)
{
	for (int i = 0; i < 8; i++)
		replaced_member();
	for (;;) {
		pause_about_s(1.2);
		replaced_member();
		forgotten(&replaced_member_place);
	}
}

PLACE(burst_part);
OPENER static int burst_part(void)
{
	return opened(&burst_part_place, KEEP(eventfd(0, EFD_CLOEXEC)));
}

static void bursts(void)
{
	int numbers[24];

	for (;;) {
		uint32_t count = 8 + below(16);

		for (uint32_t i = 0; i < count; i++)
			numbers[i] = burst_part();
		pause_about_s(0.2);
		for (uint32_t i = 1; i < count; i++)
			close(numbers[i]);
		forgotten(&burst_part_place);
		pause_about_s(0.9);
	}
}

const struct scene leak_scenes[] = {
    {"1 in 10,000", one_in_ten_thousand},
    {"1 in 100", one_in_a_hundred},
    {"folders", folders},
    {"slow leak", slow_leak},
    {"slow among traffic", slow_among_traffic},
    {"stops", stops},
    {"begins late", begins_late},
    {"first late", first_late},
    {"batch but one", batch_but_one},
    {"1 in 10", one_in_ten},
    {"sessions", sessions},
    {"cache that forgets", cache_that_forgets},
    {"pool that loses", pool_that_loses},
    {"bursts", bursts},
    {0},
};
