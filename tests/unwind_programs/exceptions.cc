// C++ frames with cleanups: an exception runs libgcc's own unwinder over them.
#include <csignal>
#include <stdexcept>
#include <string>

static volatile int sink;

struct guard {
	~guard() { sink = sink + 1; }
};

__attribute__((noinline)) static void thrower(int n)
{
	guard held;
	std::string text(n, 'x');

	if (n == 0)
		throw std::runtime_error(text);
	thrower(n - 1);
}

int main()
{
	raise(SIGURG); // from here on, every step is looked at
	try {
		thrower(3);
	} catch (const std::exception &error) {
		sink = sink + error.what()[0];
	}
	return 0;
}
