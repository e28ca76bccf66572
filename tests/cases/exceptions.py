"""What a collector cannot see, by design, as data: the cases expect it, and fail where a row is not needed any more.
docs/COVERAGE.md is written from it.

    exceptions.py > docs/COVERAGE.md
"""
import os
import re
import sys

# Calls of tests/workloads/libc_coverage.h that are not told exactly: {collector: {call: why}}.
COVERAGE = {
    "agent": {},
}

# Functions of workloads whose handles have no stack: {collector: {CASE.TEST: {function: why}}}.
UNSEEN = {
    "agent": {
        "stacks.ends": {"open_no_copy": "a `syscall` instruction of the program's own, which is not in libc"},
    },
}

# Tests whose program the collector refuses to start, and what it says: {collector: {CASE.TEST: words}}.
REFUSED = {
    "agent": {
        "stacks.musl": "statically linked, and not with glibc",
        "stacks.go": "Go program",
        "agent_hosts.shared_address_sanitizer": "AddressSanitizer's library (libasan) must be its first one",
    },
}

HEAD = """# What each collector sees of libc

{count} functions of libc that touch descriptors are called by `tests/workloads/libc_coverage*.c`, each in a process of
its own. A call is told *exactly* when, at the end, the open handles are those of the process, each handle that is left
was opened by the function that did it, each opening and closing was counted once, no bad reference was made up, and a
child has what it was given. `tests/cases/test_libc_coverage.py` measures it and fails where this page is wrong.

Which uses of numbers that are not open each collector sees: [BAD_REFERENCES.md](BAD_REFERENCES.md).

| collector | exact | not exact |
|---|--:|---|
"""


def calls():
    """The names in the workload's table."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "workloads", "libc_coverage.h"), encoding="utf-8") as header:
        text = header.read()
    return re.findall(r"STEP\((\w+), \w+, \d+\)", text)


def document():
    names = calls()
    lines = [HEAD.format(count=len(names))]
    for collector in ("bpf", "agent", "ptrace"):
        missing = COVERAGE.get(collector, {})
        lines.append(f"| {collector} | {len(names) - len(missing)} of {len(names)} | "
                     f"{', '.join(f'`{name}`' for name in names if name in missing)} |\n")
    for collector, missing in COVERAGE.items():
        if missing:
            lines.append(f"\n## Not exact with {collector}\n\n")
            lines += [f"- `{name}`: {missing[name]}\n" for name in names if name in missing]
    for collector, cases in UNSEEN.items():
        reasons = {function: why for functions in cases.values() for function, why in functions.items()}
        if reasons:
            lines.append(f"\n## Found without a stack with {collector}\n\nThe functions of `tests/workloads`.\n\n")
            lines += [f"- `{function}`: {why}\n" for function, why in sorted(reasons.items())]
    for collector, tests in REFUSED.items():
        lines.append(f"\n## Refused by {collector}\n\nWith the reason, and exit status 125; `auto` takes another collector.\n\n")
        lines += [f"- `{test}`: {words}\n" for test, words in tests.items()]
    lines.append("\nThe calls: " + ", ".join(f"`{name}`" for name in names) + ".\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(document())
