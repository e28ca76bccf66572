"""Double close, use after close and numbers never opened, each with its three stacks; numbers that are open although a
call said EBADF; and closes of numbers that have been given out again."""
import json
import os

import harness
from comparison import is_opened_by
from harness import check

CALLS_LEAST = 100  # that this kernel answers with EBADF


def test_bad_references(lab):
    result = lab.run_truth([lab.workload("workload_bad_references")])
    found = list(result.report.processes.values())[0]["bad_references"]
    asked = [entry for entry in found if entry["harmless"]]
    check([entry["operation"] for entry in asked] == ["poll"], f"harmless are {asked}")


def test_calls(lab):
    """Each call that takes a descriptor, in each of its arguments."""
    result = lab.run_truth([lab.workload("workload_bad_calls")])
    told = len(result.truth.bad)
    print(f"  {told} calls said EBADF; another fault first: {', '.join(result.truth.unsupported) or 'none'}")
    check(told >= CALLS_LEAST, f"only {told} calls said EBADF here")


def test_valid_numbers(lab):
    """EBADF of a number that is open says something else."""
    result = lab.run([lab.workload("workload_valid_numbers")])
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-1000:]}")
    check(len(result.truth.unsupported) < 4, f"not EBADF here: {result.truth.unsupported}")
    for process in result.report.processes.values():
        check(not process["bad_references"], lambda: f"invented: {process['bad_references']}")


def test_fuse(lab):
    """A file system may answer EBADF to what is done with its files, and POLLNVAL."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        raise harness.Skipped("only root may mount a FUSE file system here, if this kernel has any")
    program = [lab.workload("workload_fuse_ebadf"), lab.new_folder("mnt")]
    result = lab.run(program, privileged=True, seconds=30)
    if result.status == 77:
        raise harness.Skipped("a FUSE file system cannot be mounted here")
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-1000:]}")
    check(not result.truth.unsupported, f"not EBADF here: {result.truth.unsupported}")
    harness.compare(result.report, result.truth, {os.path.basename(program[0])})
    for process in result.report.processes.values():
        check(not process["bad_references"], lambda: f"invented: {process['bad_references']}")


# --- stale closes -------------------------------------------------------------------------------

SCENARIOS = ["one_thread", "two_threads", "error_then_free", "log", "polled", "same_kind_next", "other_kind_next",
             "other_kind_between", "late", "watched"]
# Not one of these has a stale close, whatever is said to it.
DECOYS = ["seldom", "twice", "error_twice", "any", "used_late", "sloppy"]


class StaleTruth:
    """What the workload said: scenarios by pid, and the stale close of each that has one."""

    def __init__(self, output):
        lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"truth"')]
        self.names = {line["pid"]: line["name"] for line in lines if line["truth"] == "scenario"}
        self.closes = {line["pid"]: line for line in lines if line["truth"] == "stale"}


def is_stale_of(entry, wanted, modules):
    return wanted and entry["handle"] == wanted["handle"] and all(
        is_opened_by(entry[stack], wanted[function], modules)
        for stack, function in (("stack", "now"), ("opened_stack", "opened"), ("earlier_stack", "earlier")))


def check_shape(entry):
    check(entry["inferred"] is True and entry["operation"] == "close" and entry["closed_by"] == "call",
          f"not told as inferred: {entry}")
    check(entry["closed_stack"] and entry["noticed_stack"] and entry["noticed_operation"], f"not all stacks: {entry}")
    check(entry["earlier_ns"] < entry["closed_ns"] < entry["opened_ns"] < entry["time_ns"] < entry["noticed_ns"],
          f"not in order: {entry}")


def run_stale(lab, bug):
    """(found and right, found and wrong, missed)"""
    workload = lab.workload("workload_stale_close")
    result = lab.run([workload, "all"] + (["bug"] if bug else []))
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-1000:]}")
    modules = {os.path.basename(workload)}
    truth, right, wrong = StaleTruth(result.output), 0, 0
    check(sorted(truth.names.values()) == sorted(SCENARIOS + DECOYS), f"ran {truth.names}")
    check(sorted(truth.names[pid] for pid in truth.closes) == (sorted(SCENARIOS) if bug else []),
          f"stale closes in {[truth.names[pid] for pid in truth.closes]}")
    for process in result.report.processes.values():
        for entry in process["bad_references"]:
            if entry["kind"] != "stale-close":
                continue
            if is_stale_of(entry, truth.closes.get(process["pid"]), modules):
                check_shape(entry)
                right += 1
                del truth.closes[process["pid"]]
            else:
                wrong += 1
                print(f"  {truth.names.get(process['pid'])}: wrongly told: handle {entry['handle']}\n" +
                      harness.show_stack(entry["stack"]))
    for pid in truth.closes:
        print(f"  {truth.names[pid]}: missed")
    return right, wrong, len(truth.closes)


def test_stale_close(lab):
    """Precision and recall over ten programs with the bug and without, and some that only look like it."""
    right, wrong, missed = run_stale(lab, True)
    _, false, _ = run_stale(lab, False)
    print(f"  stale closes: {right} found, {missed} missed, {wrong} wrongly told in {len(SCENARIOS)} programs with the "
          f"bug, {false} in {len(SCENARIOS + DECOYS)} without: precision {right / max(1, right + wrong + false):.2f}, "
          f"recall {right / max(1, right + missed):.2f}")
    check(not false and not wrong, "something was wrongly told")
    check(not missed, "something was missed")


harness.main(globals())
