"""Random openings and closings by 8 threads in each of 4 processes. CHAOS_SEEDS (20) and CHAOS_OPERATIONS
change how long it takes; a failure names its seed."""
import os
import subprocess

import harness
from harness import check

NAME = "workload_chaos"
SEEDS = int(os.environ.get("CHAOS_SEEDS", "20"))
FIRST_SEED = int(os.environ.get("CHAOS_FIRST_SEED", "1"))
OPERATIONS = int(os.environ.get("CHAOS_OPERATIONS", "200000"))

# What is tried here is order and truth, not how long the ring lasts while the consumer has to wait for a CPU.
ROOMY = {"HTRACE_RING_BYTES": str(64 << 20)}

# Opened by the process itself for certain, also in a child; the others may be inherited there.
OWN = {"chaos_in_child"}


def test_seeds(lab):
    """As fast as 32 threads do them, and nothing may be lost."""
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        result = lab.run([lab.workload(NAME), str(seed), str(OPERATIONS)], seconds=300, env=ROOMY)
        check(result.status == 0, lambda: f"seed {seed}: status {result.status}\n{result.errors[-3000:]}")
        try:
            harness.compare(result.report, result.truth, {NAME}, own=OWN)
        except harness.Failed as why:
            raise harness.Failed(f"seed {seed}, {OPERATIONS} operations: {why}") from None


def attached_chaos(lab, count, env):
    """Attached before it starts. Returns the report and the truth of four processes that are quiet, whose
    open handles are those of /proc/PID/fd."""
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start([lab.workload(NAME), str(FIRST_SEED), str(count)], stdin=subprocess.PIPE, stdout=output,
                           stderr=output, env={"CHAOS_GATE": "1", "WORKLOAD_WAIT": "1"})
    harness.wait_for("chaos to reach its gate", lambda: "operations" in lab.read(out))
    attached = lab.attach(target.pid, env=env)
    target.stdin.write(b"g")
    target.stdin.flush()
    harness.wait_for("all processes to be quiet", lambda: lab.read(out).count('"waiting"') >= 4 or
                     target.poll() is not None, 240)
    result = attached.finish(120)
    check(target.poll() is None, lambda: f"chaos ended: {target.returncode}\n{lab.read(out)[-2000:]}")
    report, truth = result.report, harness.Truth(lab.read(out))
    alive = [target.pid] + harness.proc_children(target.pid)
    check(len(alive) == 4, f"{len(alive)} processes are left")
    found = [line for pid in alive for line in harness.differences_of_set(report, pid, set(harness.proc_fds(pid)))]
    check(not found, lambda: f"{report.lost()} lost events; differences from /proc:\n    " + "\n    ".join(found[:20]))
    target.stdin.close()
    check(lab.wait(target) == 0, f"status {target.returncode}")
    return report, truth


def test_attached(lab):
    report, truth = attached_chaos(lab, OPERATIONS, ROOMY)
    harness.compare(report, truth, {NAME}, own=OWN)


def test_faster_than_the_ring(lab):
    """Where events are lost it is said, and the open handles are the true ones all the same."""
    report, _ = attached_chaos(lab, OPERATIONS, {"HTRACE_RING_BYTES": "65536"})
    if lab.collector == "bpf":  # the agent waits a little where its ring is full
        check(report.lost() > 0, "nothing was lost, so nothing was shown")


harness.main(globals())
