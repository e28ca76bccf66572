/*
 * C++ exceptions and destructors through functions of libc that open: thrown from callbacks, from a
 * signal handler, and by the cancellation of a thread that waits. One scenario a run.
 */
#include "workload.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int destroyed;

namespace
{
struct guard {
	int number;

	explicit guard(int given) : number(given)
	{
	}
	~guard()
	{
		close(number);
		destroyed++;
	}
};
} // namespace

static void must(bool condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(97);
	}
}

OPENER static void open_in_catch()
{
	int number = KEEP(eventfd(0, 0));

	truth_opened(number, "open_in_catch", "eventfd");
}

static int compare_and_throw(const void *left, const void *right)
{
	guard opened(eventfd(0, 0));

	throw 7;
}

static int choose_and_throw(const struct dirent *entry)
{
	guard opened(eventfd(0, 0));

	throw 8;
}

static void run_callbacks()
{
	int numbers[] = {3, 1, 2};
	struct dirent **names;
	int caught = 0;

	for (int i = 0; i < 100; i++) {
		try {
			qsort(numbers, 3, sizeof(numbers[0]), compare_and_throw);
		} catch (int thrown) {
			caught += thrown == 7;
		}
		try {
			scandir("/", &names, choose_and_throw, NULL);
		} catch (int thrown) {
			caught += thrown == 8;
		}
	}
	must(caught == 200 && destroyed == 200, "caught and destroyed");
	open_in_catch();
}

static void throw_in_handler(int signal_number)
{
	guard opened(eventfd(0, 0));

	throw signal_number;
}

static pthread_t main_thread;

static void *interrupt(void *argument)
{
	usleep(3000);
	pthread_kill(main_thread, SIGUSR1);
	return argument;
}

/* The signal comes while the call waits in the kernel. */
template <typename Call> static void interrupted(Call call)
{
	pthread_t thread;
	int before = destroyed;
	bool caught = false;
	sigset_t signals;

	pthread_create(&thread, NULL, interrupt, NULL);
	try {
		guard opened(eventfd(0, 0));
		call();
	} catch (int thrown) {
		caught = thrown == SIGUSR1;
	}
	pthread_join(thread, NULL);
	must(caught && destroyed == before + 2, "caught and destroyed");
	sigemptyset(
	    &signals); /* a handler that is left by an exception leaves its signal blocked */
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static int waiting_socket()
{
	struct sockaddr_un address = {};
	int number = socket(AF_UNIX, SOCK_STREAM, 0);

	address.sun_family = AF_UNIX;
	must(bind(number, reinterpret_cast<struct sockaddr *>(&address), sizeof(sa_family_t)) == 0,
	     "bind");
	must(listen(number, 1) == 0, "listen");
	return number;
}

static void run_handlers()
{
	struct sigaction action = {};

	action.sa_handler = throw_in_handler;
	sigaction(SIGUSR1, &action, NULL);
	main_thread = pthread_self();
	must(mkfifo("fifo", 0600) == 0, "mkfifo");
	for (int i = 0; i < 10; i++) {
		interrupted([] { open("fifo", O_RDONLY); });
		guard server(waiting_socket());
		interrupted([&] { accept(server.number, NULL, NULL); });
		guard empty(eventfd(0, 0));
		interrupted([&] {
			uint64_t value;
			must(read(empty.number, &value, sizeof(value)) < 0, "read");
		});
	}
	open_in_catch();
}

static void *wait_in_open(void *argument)
{
	guard opened(eventfd(0, 0));

	open("fifo", O_RDONLY);
	return argument;
}

static void *wait_in_accept(void *argument)
{
	guard opened(waiting_socket());

	accept(opened.number, NULL, NULL);
	return argument;
}

static void run_cancel()
{
	must(mkfifo("fifo", 0600) == 0, "mkfifo");
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		void *result;

		pthread_create(&thread, NULL, i % 2 ? wait_in_open : wait_in_accept, NULL);
		usleep(i % 4 < 2 ? 2000 : 0);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		must(result == PTHREAD_CANCELED && destroyed == i + 1, "destroyed");
	}
	open_in_catch();
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "callbacks") == 0)
		run_callbacks();
	else if (argc > 1 && strcmp(argv[1], "handlers") == 0)
		run_handlers();
	else if (argc > 1 && strcmp(argv[1], "cancel") == 0)
		run_cancel();
	else
		return 2;
	truth_print();
	truth_wait();
	return 0;
}
