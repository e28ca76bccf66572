"""Processes that live a few milliseconds: each is in the report, with its leak and its name."""
import harness
from harness import check


def check_children(lab, count):
    name = "workload_short_lived"
    result = lab.run([lab.workload(name), str(count)], seconds=120)
    check(result.status == 0, f"status {result.status}: {result.errors}")
    truth, report = result.truth, result.report
    check(len(truth.open) == max(count, 1), f"the truth has {len(truth.open)} processes")
    harness.compare(report, truth, {name}, own={"leak_and_end"})
    for pid in truth.open:
        process = report.process(pid)
        check(process["exited"] is True and process["exit_status"] == 0, f"pid {pid}: exit is not told")
        check((process["exe"] or "").endswith("/" + name), f"pid {pid}: exe is {process['exe']}")


def test_one_short_process(lab):
    check_children(lab, 0)


def test_two_hundred_children(lab):
    check_children(lab, 200)


def test_shell_children(lab):
    """A shell that starts one: the leak is told of the child, three levels down."""
    program = lab.workload("workload_short_lived")
    result = lab.run(["/bin/sh", "-c", f"sh -c '{program} 0; true'; true"])
    check(result.status == 0, f"status {result.status}: {result.errors}")
    harness.compare(result.report, result.truth, {"workload_short_lived"}, own={"leak_and_end"})


harness.main(globals())
