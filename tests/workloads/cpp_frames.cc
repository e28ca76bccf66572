// C++ frames: templates, a lambda, a namespace, an operator, and functions that are inlined into
// each other. "inlined" tells the chain that a report must show, innermost first.
#include "workload.h"

#include <sys/eventfd.h>

#include <string>
#include <vector>

namespace shop
{

template <typename T, int N> class counter
{
      public:
	OPENER int open_for(T value)
	{
		int number = KEEP(eventfd(static_cast<unsigned>(N + sizeof(value)), 0));
		return number;
	}
	OPENER int operator()(const std::string &name)
	{
		int number = KEEP(eventfd(static_cast<unsigned>(name.size()), 0));
		return number;
	}
};

} // namespace shop

static inline __attribute__((always_inline)) int inner_inlined()
{
	int number = KEEP(eventfd(1, 0));
	return number;
}

static inline __attribute__((always_inline)) int middle_inlined()
{
	return inner_inlined() + 0;
}

OPENER static int outer_function()
{
	return KEEP(middle_inlined());
}

int main()
{
	shop::counter<std::vector<int>, 7> counter;

	truth_opened(counter.open_for({1, 2}),
		     "shop::counter<std::vector<int, std::allocator<int> >, 7>::open_for",
		     "eventfd");
	truth_opened(counter("name"),
		     "shop::counter<std::vector<int, std::allocator<int> >, 7>::operator()",
		     "eventfd");
	truth_opened(outer_function(), "inner_inlined|middle_inlined|outer_function", "eventfd");
	truth_print();
	truth_wait();
	return 0;
}
