"""htrace is killed in the middle: the target goes on working, and ends as it would have ended."""
import json
import signal
import subprocess

import harness
from harness import check

TIMES = 10


def pairs(lab, out):
    """How far the workload is."""
    last = 0
    for line in lab.read(out).splitlines():
        if line.startswith('{"truth":"progress"') and line.endswith("}"):
            last = json.loads(line)["pairs"]
    return last


def states(pid):
    import os
    return [harness.proc_status(f"{pid}/task/{task}", "State") for task in os.listdir(f"/proc/{pid}/task")]


def start_busy(lab, *arguments):
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start([lab.workload("workload_busy"), *arguments], stdin=subprocess.PIPE, stdout=output)
    harness.wait_for("the workload to work", lambda: pairs(lab, out) > 0)
    return target, out


def check_works(lab, target, out):
    check(target.poll() is None, f"the target ended with {target.returncode}")
    harness.wait_for("the kernel to let go of the target",
                     lambda: harness.proc_status(target.pid, "TracerPid") == "0", 5)
    before = pairs(lab, out)
    harness.wait_for("the target to go on working", lambda: pairs(lab, out) > before + 20, 10)
    check(not [state for state in states(target.pid) if state[0] in "TtZ"], f"states {states(target.pid)}")


def end_busy(lab, target):
    target.stdin.close()
    check(lab.wait(target) == 0, f"the target's status is {target.returncode}")


def test_killed_while_attached(lab):
    """Ten times, at ten moments, on a target with four threads."""
    target, out = start_busy(lab, "4", "120", "500")
    for round_number in range(TIMES):
        attached = lab.attach(target.pid)
        if round_number % 2:
            harness.time.sleep(0.05 * round_number)
        attached.process.send_signal(signal.SIGKILL)
        lab.wait(attached.process, 10)
        check_works(lab, target, out)
    end_busy(lab, target)


def test_killed_while_attaching(lab):
    """Before it is done with attaching."""
    target, out = start_busy(lab, "8", "120", "500")
    for round_number in range(TIMES):
        process = lab.start(lab.command("attach", ["-p", str(target.pid)]), stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        harness.time.sleep(0.004 * (round_number + 1))
        process.send_signal(signal.SIGKILL)
        lab.wait(process, 10)
        check_works(lab, target, out)
    end_busy(lab, target)


def test_target_killed(lab):
    """The other way round: the target is killed, htrace reports and ends."""
    target, _ = start_busy(lab, "4", "120", "500")
    attached = lab.attach(target.pid)
    target.send_signal(signal.SIGKILL)
    result = attached.wait(20)
    check(result.status == 0, f"status {result.status}: {result.errors}")
    check(result.report.process(target.pid)["exited"] is True, "the end is not told")


def test_attach_again_and_again(lab):
    """Clean detaching leaves nothing behind either: ten reports, then the target's own end."""
    target, out = start_busy(lab, "4", "120", "500")
    for _ in range(5):
        attached = lab.attach(target.pid)
        target.stdin.write(b"g")
        target.stdin.flush()
        harness.time.sleep(0.5)
        report = attached.finish().report
        groups = [group for group in report.process(target.pid)["groups"]
                  if harness.is_opened_by(group["stack"], "open_forgotten", {"workload_busy"})]
        check(len(groups) == 1 and groups[0]["open"] == 1,
              lambda: f"groups {[harness.show_stack(g['stack']) for g in report.process(target.pid)['groups']]}")
        check_works(lab, target, out)
    end_busy(lab, target)


def test_run_killed(lab):
    """The program of `run` outlives a killed htrace. Not under ptrace: without its tracer the kernel fails
    the calls that the filter marks."""
    if lab.collector == "ptrace":
        raise harness.Skipped("a seccomp filter cannot outlive its tracer (documented)")
    out = lab.path(".out")
    with open(out, "w") as output:
        process = lab.start(lab.command("run") + ["--", lab.workload("workload_busy"), "2", "120", "500"],
                            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL)
    harness.wait_for("the workload to work", lambda: pairs(lab, out) > 0)
    children = harness.proc_children(process.pid)
    check(len(children) == 1, f"children {children}")
    process.send_signal(signal.SIGKILL)
    lab.wait(process, 10)
    before = pairs(lab, out)
    harness.wait_for("the target to go on working", lambda: pairs(lab, out) > before + 20, 10)
    process.stdin.close()
    harness.wait_for("the target to end", lambda: '"open"' in lab.read(out), 10)


harness.main(globals())
