// Namespaces, templates, lambdas and the standard library's own: prints places as sym_c.c does, with
// the readable name in quotes; and much inlined code for the comparison with addr2line.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <variant>
#include <vector>

extern "C" const char __executable_start[];
#define HERE ((uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start)

__attribute__((noinline)) static int truth(const char *names, int line, int outer_line = 0)
{
	printf("%lx %d %d %s\n", (unsigned long)HERE, line, outer_line, names);
	return line;
}

namespace place
{
namespace
{
template <typename T, int N> struct holder {
	T value;
	__attribute__((noinline)) T grow(T by) const
	{
		T other = value + by + truth("place::(anonymous namespace)::holder<int, 3>::grow(int) const",
					     __LINE__ - 1);
		return other * N;
	}
	__attribute__((always_inline)) T inlined_grow(T by)
	{
		T other = truth("inlined_grow|"
				"place::outer(long)", __LINE__ - 1, 100);
		return other + by;
	}
};
} // namespace

__attribute__((noinline)) long outer(long x)
{
	holder<long, 4> held{x};
#line 100
	return held.inlined_grow(x) + 1;
}
} // namespace place

template <typename F> __attribute__((noinline)) int apply(F f)
{
	return f(3) + 1;
}

struct shape {
	virtual ~shape() = default;
	virtual double area() const = 0;
};
struct square : shape {
	double side = 2;
	double area() const override
	{
		return side * side;
	}
};

static std::variant<int, std::string, std::vector<double>> pick(int n)
{
	if (n % 3 == 0)
		return n;
	if (n % 3 == 1)
		return std::to_string(n);
	return std::vector<double>(n, 1.5);
}

int main(int argc, char **)
{
	std::map<std::string, std::unique_ptr<shape>> shapes;
	std::vector<std::string> words{"one", "two", "three"};
	std::function<int(int)> twice = [&](int n) { return n * 2 + argc; };
	std::regex pattern("(t[a-z]+)|(o.*e)");
	int sum = 0;

	place::holder<int, 3> held{argc};
	sum += held.grow(2) + place::outer(3);
	sum += apply([=](int n) __attribute__((noinline)) {
		int line = truth("main::{lambda(int)#2}::operator()(int) const", __LINE__);
		return n + line + argc;
	});
	for (const auto &word : words) {
		shapes[word] = std::make_unique<square>();
		sum += std::regex_match(word, pattern) + twice(word.size());
	}
	std::sort(words.begin(), words.end(), [](const auto &a, const auto &b) { return b < a; });
	for (int i = 0; i < 5; i++)
		std::visit([&](const auto &value) { sum += sizeof(value); }, pick(i + argc));
	for (const auto &[name, each] : shapes)
		sum += each->area() + name.size();
	return sum == 4711;
}
