#!/usr/bin/env python3
"""Sums up a run of `meson test`: the reason of every skipped test, the output of every failed one, and as
the last line `N passed, N failed, N skipped`. Ends with 1 when a test failed or none ran.

    summary.py BUILD_FOLDER
"""
import json
import os
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
OUTPUT_LINES = 60


def reasons(test):
    return [line for line in (test.get("stdout") or "").splitlines() if line.startswith("skipped: ")]


def load(folder):
    """One test a line; a test that was repeated counts with its last result."""
    tests = {}
    with open(os.path.join(folder, "meson-logs", "testlog.json")) as lines:
        for line in lines:
            if line.strip():
                test = json.loads(line)
                tests[test["name"]] = test
    return tests


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: summary.py BUILD_FOLDER")
    try:
        tests = load(sys.argv[1])
    except (OSError, ValueError) as why:
        print(f"no test log: {why}")
        print("0 passed, 0 failed, 0 skipped")
        sys.exit(1)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, test in tests.items():
        if test["result"] == "SKIP":
            counts["skipped"] += 1
            for reason in reasons(test) or ["skipped: it does not say why"]:
                print(f"{name}: {reason}")
        elif test["result"] in PASSED:
            counts["passed"] += 1
            for reason in reasons(test):
                print(f"{name}, in part: {reason}")
        else:
            counts["failed"] += 1
            print(f"{name}: FAILED ({test['result']})")
            output = (test.get("stdout") or "") + (test.get("stderr") or "")
            for line in output.splitlines()[-OUTPUT_LINES:]:
                print(f"    {line}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
