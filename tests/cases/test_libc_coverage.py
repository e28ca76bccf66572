"""The 60 functions of libc that touch descriptors: which of them are told exactly. What is not must be in
exceptions.py with the reason, and what is there must not be exact."""
import json
import os

import exceptions
import harness
from harness import check

NAME = "workload_libc_coverage"
LEAST = 51  # of 60, whatever is excepted


class Step:
    """One call: what the workload says of it, and the report of one run."""

    def __init__(self, lab, call, collector=None):
        report = lab.path(".json")
        options = [] if collector is None else ["--collector=" + collector]
        self.result = lab.call(lab.command("run", options, report) + ["--", lab.workload(NAME), call], 60)
        self.result.report_text = lab.read(report)
        check(self.result.status == 0, lambda: f"{call}: status {self.result.status}: {self.result.errors[-1000:]}")
        self.truth = self.result.truth
        self.pid = self.truth.order[-1]
        told = json.loads(self.result.output.splitlines()[0])
        self.calls, self.child = told["calls"], told["child"]

    def events(self):
        return self.result.report.process(self.pid)["events"]

    def differences(self):
        """From the truth, but for the number of events."""
        report, table = self.result.report, self.truth.open[self.pid]
        found = harness.differences_of_set(report, self.pid, set(table) | {0, 1, 2})
        found += harness.differences_of_functions(report, self.pid, table, {NAME})
        # Not of a child: posix_spawn closes, before it opens, a number that stands for nothing.
        found += [f"a made-up {bad['kind']} of {bad['handle']}" for bad in report.process(self.pid)["bad_references"]]
        for process in report.json["processes"]:
            if process["pid"] != self.pid:
                found += self.differences_of_child(process)
        children = len(report.processes) - 1 + report.json["forgotten"]["processes"]
        if (children > 0) != (self.child > 0):
            found.append(f"{children} children")
        if report.lost():
            found.append(f"{report.lost()} lost events")
        return found

    def differences_of_child(self, process):
        found = []
        if process["open_handles"] != self.child:
            found.append(f"the child ends with {process['open_handles']} handles instead of {self.child}")
        if not process["exited"] or process["exit_status"] != 0:
            found.append("the child's end is not told")
        return found


def differences_of_events(lab, step, nothing, call):
    """Each opening and closing was counted once. What only the machine knows, ptrace tells."""
    wanted = step.calls
    if wanted < 0:
        wanted = None if lab.collector == "ptrace" else \
            Step(lab, call, "ptrace").events() - Step(lab, "nothing", "ptrace").events()
    counted = step.events() - nothing.events()
    return [] if wanted in (None, counted) else [f"{counted} openings and closings instead of {wanted}"]


def measure(lab):
    """{call: [difference]}, and the calls that this kernel or user does not have."""
    nothing, found, unsupported = Step(lab, "nothing"), {}, {}
    check(not nothing.differences(), lambda: "doing nothing: " + "\n".join(nothing.differences()))
    for call in exceptions.calls():
        step = Step(lab, call)
        unsupported.update(step.truth.unsupported)
        if call not in step.truth.unsupported:
            found[call] = step.differences() + differences_of_events(lab, step, nothing, call)
    return found, unsupported


def test_coverage(lab):
    check(len(exceptions.calls()) == 60, f"{len(exceptions.calls())} calls")
    found, unsupported = measure(lab)
    known = exceptions.COVERAGE.get(lab.collector, {})
    wrong = {call for call, differences in found.items() if differences}
    for call in exceptions.calls():
        state = "not here: " + unsupported[call] if call in unsupported else \
            "\n        ".join(found[call]) if call in wrong else "exact"
        print(f"    {call:20} {state}")
    print(f"  {lab.collector}: {len(found) - len(wrong)} exact, {len(wrong)} not, {len(unsupported)} not here")
    check(not wrong - set(known), lambda: f"not exact: {sorted(wrong - set(known))}")
    exact = set(known) - wrong - set(unsupported)
    check(not exact, lambda: f"exact, though exceptions.py says they are not: {sorted(exact)}")
    check(len(found) - len(wrong) >= LEAST - len(unsupported), "too few are exact")


def test_document(lab):
    """docs/COVERAGE.md says the same as the data that this case holds true."""
    with open(os.path.join(harness.ROOT, "docs", "COVERAGE.md"), encoding="utf-8") as page:
        check(page.read() == exceptions.document(), "run tests/cases/exceptions.py > docs/COVERAGE.md")


harness.main(globals())
