"""htrace's resident size while events and children come and go: it must not follow them. MEMORY_EVENTS (2 million
with bpf) and MEMORY_CHILDREN (10000) change how long it takes; ptrace, which is slower, does at most 200,000."""
import os
import subprocess
import time

import harness
from harness import check

EVENTS = int(os.environ.get("MEMORY_EVENTS", "2000000"))
CHILDREN = int(os.environ.get("MEMORY_CHILDREN", "10000"))
PTRACE_MOST = 200000
THREADS = 2
SLACK_KB = 4 << 10  # rings that fill, blocks that the allocator keeps
# Under ASan, what is freed stays for a while; that is not htrace's.
AT_ONCE = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}
SETTLED = 0.4  # of the work: by then the ring of events has been full, and the history


def resident_kb(pid):
    size = harness.proc_status(pid, "VmRSS")
    return int(size.split()[0]) if size else None


class Samples:
    """Resident sizes over the work done, a number from 0 to 1."""

    def __init__(self, pid):
        self.pid, self.taken = pid, []

    def take(self, done):
        size = resident_kb(self.pid)
        if size:
            self.taken.append((done, size))

    def check_flat(self, what):
        settled = [size for done, size in self.taken if done >= SETTLED]
        check(len(settled) >= 2, f"only {len(settled)} samples in the second part of {what}")
        every = self.taken[::max(1, len(self.taken) // 12)] + self.taken[-1:]
        print(f"    {what}: " + ", ".join(f"{done:.0%} {size} kB" for done, size in every))
        growth = max(settled) - settled[0]
        check(growth <= SLACK_KB, f"{what}: {growth} kB more than after {SETTLED:.0%} of it, {settled[0]} kB")


def pairs_done(text):
    lines = [line for line in text.splitlines() if '"progress"' in line and line.endswith("}")]
    return int(lines[-1].rsplit(":", 1)[1].rstrip("}")) if lines else 0


def test_events(lab):
    """Two threads that open and close as fast as they can."""
    wanted = min(EVENTS, PTRACE_MOST) if lab.collector == "ptrace" else EVENTS
    report, out = lab.path(".json"), lab.path(".out")
    with open(out, "w") as output, open(lab.path(".err"), "w") as errors:
        htrace = lab.start(lab.command("run", (), report) + ["--", lab.workload("workload_busy"), str(THREADS), "600",
                                                             "0"],
                           AT_ONCE, stdin=subprocess.PIPE, stdout=output, stderr=errors)
    samples, events = Samples(htrace.pid), 0
    end = time.monotonic() + 300
    while events < wanted:
        check(htrace.poll() is None, lambda: f"htrace ended with {htrace.returncode}\n{lab.read(errors.name)[-2000:]}")
        check(time.monotonic() < end, f"{events} of {wanted} events in 300 s")
        time.sleep(0.1)
        events = 2 * pairs_done(lab.read(out)[-4000:])
        samples.take(min(events / wanted, 1))
    htrace.stdin.close()
    check(lab.wait(htrace, 120) == 0, lambda: f"status {htrace.returncode}\n{lab.read(errors.name)[-2000:]}")
    seen = harness.Report(lab.read(report))
    recorded = sum(process["events"] for process in seen.json["processes"])
    print(f"    {recorded} events recorded, {seen.lost()} lost")
    check(recorded + seen.lost() >= events, f"{events} events, but only {recorded} recorded")
    samples.check_flat(f"{events} events")


def test_children(lab):
    """Programs that a shell runs one after the other, each with its libraries elsewhere."""
    wanted = CHILDREN
    out = lab.path(".out")
    script = f"i=0; while [ $i -lt {wanted} ]; do /bin/true; i=$((i+1)); echo $i; done"
    report = lab.path(".json")
    with open(out, "w") as output, open(lab.path(".err"), "w") as errors:
        htrace = lab.start(lab.command("run", (), report) + ["--", "/bin/sh", "-c", script], AT_ONCE,
                           stdout=output, stderr=errors)
    samples = Samples(htrace.pid)
    end = time.monotonic() + 300
    while htrace.poll() is None:
        check(time.monotonic() < end, "not done in 300 s")
        lines = lab.read(out)[-100:].split()
        samples.take(int(lines[-1]) / wanted if lines else 0)
        time.sleep(0.1)
    check(htrace.returncode == 0, lambda: f"status {htrace.returncode}\n{lab.read(errors.name)[-2000:]}")
    forgotten = harness.Report(lab.read(report)).json["forgotten"]
    print(f"    {wanted} children, {forgotten['processes']} of them forgotten")
    check(forgotten["processes"] > wanted * 0.9, f"only {forgotten} are forgotten")
    samples.check_flat(f"{wanted} children")


harness.main(globals())
