// Owns the frames through which an exception flies.
#include "truth.h"

#define NOINLINE __attribute__((noinline))

static truth_callback *callback;
static volatile int sink;

// Called while the stack is being unwound, from landing pads.
struct guard {
	NOINLINE ~guard()
	{
		callback();
		sink = sink + 1;
	}
};

NOINLINE static void thrower(int n)
{
	guard held;

	if (n == 0)
		throw n;
	thrower(n - 1);
	sink = sink + 1;
}

void truth_exceptions(truth_callback *back)
{
	callback = back;
	try {
		thrower(4);
	} catch (int) {
		callback();
		sink = sink + 1;
	}
}
