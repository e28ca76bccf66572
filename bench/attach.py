"""Measures how long a program of 100 threads stands still while htrace's agent comes into it and leaves again, as the
program itself sees it: some of its threads look at the clock all the time. Knows htrace by its command line only."""

import os
import signal
import statistics
import subprocess
import time

from place import Place

THREADS, SAMPLERS, ATTACHES = 100, 8, 10
SECONDS_MAX = 20


def memory_files(pid):
    """Inodes of the memory that htrace shares."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{number}").startswith("/memfd:"):
                found.add(os.stat(f"/proc/{pid}/fd/{number}").st_ino)
        except OSError:
            pass
    return found


def is_there(htrace, target):
    """The target maps that memory, and none of its threads has a tracer any more."""
    with open(f"/proc/{target}/maps", encoding="utf-8") as maps:
        mapped = {int(line.split()[4]) for line in maps}
    if not memory_files(htrace) & mapped:
        return False
    for task in os.listdir(f"/proc/{target}/task"):
        with open(f"/proc/{target}/task/{task}/status", encoding="utf-8") as status:
            if "TracerPid:\t0\n" not in status.read():
                return False
    return True


class Target:
    """The program; largest_gap_ms() is what its samplers saw since the last time."""

    def __init__(self, place):
        self.process = subprocess.Popen([place.program("bench/bench_standing"), str(THREADS), str(SAMPLERS)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **place.user)
        self.process.stdout.readline()

    def largest_gap_ms(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        if self.process.wait(SECONDS_MAX) != 0:
            raise ValueError(f"the target ended with {self.process.returncode}")


def attach_once(place, target, found):
    target.largest_gap_ms()
    time.sleep(0.3)
    found["idle_ms"].append(target.largest_gap_ms())
    htrace = subprocess.Popen([place.htrace, "attach", "--collector=agent", "-o", os.devnull, "-p",
                               str(target.process.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, **place.user)
    end = time.monotonic() + SECONDS_MAX
    while htrace.poll() is None and not is_there(htrace.pid, target.process.pid):
        if time.monotonic() > end:
            htrace.kill()
            raise ValueError("htrace attach does not come")
        time.sleep(0.005)
    time.sleep(0.2)
    found["stop_ms"].append(target.largest_gap_ms())
    htrace.send_signal(signal.SIGINT)
    errors = htrace.communicate(timeout=SECONDS_MAX)[1]
    if htrace.returncode != 0:
        raise ValueError(f"htrace attach ended with {htrace.returncode}: {errors.strip()[-300:]}")
    found["leave_ms"].append(target.largest_gap_ms())


def measure(build, scratch):
    """A table, and rows for bench.json."""
    place = Place(build, scratch, "nobody")
    target, found = Target(place), {"stop_ms": [], "leave_ms": [], "idle_ms": []}
    try:
        for _ in range(ATTACHES):
            attach_once(place, target, found)
        target.end()
    finally:
        if target.process.poll() is None:
            target.process.kill()
            target.process.wait()
    titles = {"stop_ms": "htrace attach, agent", "leave_ms": "its end", "idle_ms": "nothing happens"}
    lines = [f"| longest standstill of a program of {THREADS} threads | ms | lowest - highest |", "|---|--:|--:|"]
    lines += [f"| {title} | {statistics.median(found[key]):.1f} | {min(found[key]):.1f} - {max(found[key]):.1f} |"
              for key, title in titles.items()]
    rows = [{"name": "attach." + key, "value": round(statistics.median(values), 3),
             "unit": f"ms, median of {len(values)}"} for key, values in found.items()]
    return "\n".join(lines) + "\n", rows
