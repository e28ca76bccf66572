"""Random openings and closings by 8 threads in each of 4 processes. CHAOS_SEEDS (20) and CHAOS_OPERATIONS
change how long it takes; a failure names its seed. Under ptrace, where a call costs ten times more, the
default is shorter."""
import os

import harness
from harness import check

SEEDS = int(os.environ.get("CHAOS_SEEDS", "20"))
FIRST_SEED = int(os.environ.get("CHAOS_FIRST_SEED", "1"))


def operations(lab):
    """One seed has the full 200,000 under bpf."""
    short = {"bpf": 20000, "ptrace": 4000}[lab.collector]
    return int(os.environ.get("CHAOS_OPERATIONS", short))


def chaos(lab, seed, count):
    name = "workload_chaos"
    result = lab.run([lab.workload(name), str(seed), str(count)], seconds=300)
    check(result.status == 0, lambda: f"seed {seed}: status {result.status}\n{result.errors[-3000:]}")
    try:
        harness.compare(result.report, result.truth, {name}, own=OWN)
    except harness.Failed as why:
        raise harness.Failed(f"seed {seed}, {count} operations: {why}") from None


# Opened by the process itself for certain, also in a child; the others may be inherited there.
OWN = {"chaos_in_child"}


def test_seeds(lab):
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        chaos(lab, seed, operations(lab))


def test_one_long_run(lab):
    count = {"bpf": 200000, "ptrace": 20000}[lab.collector]
    chaos(lab, FIRST_SEED + 1000, int(os.environ.get("CHAOS_OPERATIONS", count)))


def test_attached(lab):
    """Attached before it starts; at the end the open handles of every process are those of /proc."""
    import subprocess
    name = "workload_chaos"
    count = operations(lab)
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start([lab.workload(name), str(FIRST_SEED), str(count)], stdin=subprocess.PIPE,
                           stdout=output, stderr=output, env={"CHAOS_GATE": "1", "WORKLOAD_WAIT": "1"})
    harness.wait_for("chaos to reach its gate", lambda: "operations" in lab.read(out))
    attached = lab.attach(target.pid)
    target.stdin.write(b"g")
    target.stdin.flush()
    harness.wait_for("all processes to be quiet", lambda: lab.read(out).count('"waiting"') >= 4 or
                     target.poll() is not None, 240)
    result = attached.finish(120)
    check(target.poll() is None, lambda: f"chaos ended: {target.returncode}\n{lab.read(out)[-2000:]}")
    report = result.report
    truth = harness.Truth(lab.read(out))
    alive = [target.pid] + harness.proc_children(target.pid)
    check(len(alive) == 4, f"{len(alive)} processes are left")
    for pid in alive:
        harness.compare_with_proc(report, pid)
    harness.compare(report, truth, {name}, own=OWN)
    target.stdin.close()
    check(lab.wait(target) == 0, f"status {target.returncode}")


harness.main(globals())
