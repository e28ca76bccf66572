"""Measures how long it takes to name 10,000 addresses of a large library, with htrace's symbolizer
and with its peers: the same addresses, interleaved rounds, each time a new process that opens the
files anew. Knows htrace only by the program bench_naming. Also chooses addresses for
scripts/naming_differential.py.
"""

import glob
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

ADDRESSES = 10000
ROUNDS = 3
SECONDS_MAX = 120  # of one run; then it has failed

# Libraries that are large and whose debug information a Debian package has, best first.
LIBRARIES = ["/usr/lib/jvm/*/lib/server/libjvm.so", "/usr/lib/*-linux-gnu/libLLVM-*.so.1",
             "/lib/*-linux-gnu/libc.so.6"]
PACKAGE = "openjdk-17-dbg"


class Way:
    """One tool: its command, and what was measured of it."""

    def __init__(self, key, title, command):
        self.key, self.title, self.command = key, title, command
        self.elapsed, self.cpu, self.rss_kib, self.frames = [], [], [], 0


def sections(path):
    """name: (address, bytes) of each section."""
    text = subprocess.run(["readelf", "-SW", path], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False).stdout
    found = re.findall(r"\] (\S+) +\S+ +([0-9a-f]{16}) [0-9a-f]+ ([0-9a-f]+)", text)
    return {name: (int(address, 16), int(size, 16)) for name, address, size in found}


def file_with_dwarf(path):
    """The file itself, or its debug file by build ID; None: there is none on this machine."""
    if {".debug_info", ".zdebug_info"} & set(sections(path)):
        return path
    notes = subprocess.run(["readelf", "-n", path], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False).stdout
    build_id = re.search(r"Build ID: ([0-9a-f]+)", notes)
    if not build_id:
        return None
    debug = f"/usr/lib/debug/.build-id/{build_id.group(1)[:2]}/{build_id.group(1)[2:]}.debug"
    return debug if os.access(debug, os.R_OK) and ".debug_info" in sections(debug) else None


def find_library():
    """(library, file with its DWARF), or None."""
    for pattern in LIBRARIES:
        for path in sorted(glob.glob(pattern)):
            debug = file_with_dwarf(path)
            if debug:
                return os.path.realpath(path), debug
    return None


def choose_addresses(path, seed, count=ADDRESSES):
    """Random places in the code of `path`."""
    start, size = sections(path)[".text"]
    chance = random.Random(seed)
    return [start + chance.randrange(size) for _ in range(count)]


def llvm_symbolizer():
    return shutil.which("llvm-symbolizer-14") or shutil.which("llvm-symbolizer")


def ways(build, library, debug):
    """Those whose program is here; each is run as a user would."""
    rows = [("ours", "htrace", os.path.join(build, "bench", "bench_naming"), [library]),
            ("llvm_symbolizer", "llvm-symbolizer -i -f", llvm_symbolizer(),
             ["-i", "-f", "--obj=" + library]),
            ("addr2line", "addr2line -f -i", shutil.which("addr2line"), ["-f", "-i", "-e", debug])]
    found = []
    for key, title, program, arguments in rows:
        if program and os.access(program, os.X_OK):
            found.append(Way(key, title, [program] + arguments))
        else:
            print(f"bench: naming: {title} left out: it is not installed", file=sys.stderr)
    return found


def run_once(way, text, output):
    """One process: its time and memory, as the kernel counted them."""
    with open(text, encoding="utf-8") as source, open(output, "w+", encoding="utf-8") as out, \
            open(output + ".err", "w+", encoding="utf-8", errors="replace") as words:
        begin = time.monotonic()
        process = subprocess.Popen(way.command, stdin=source, stdout=out, stderr=words)
        timer = threading.Timer(SECONDS_MAX, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - begin
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            words.seek(0)
            raise OSError(f"{way.title}: exit status {process.returncode}: "
                          f"{words.read().strip()[-300:]}")
        out.seek(0)
        way.frames = sum(1 for line in out if re.search(r":(\d+|\?)(:\d+)?( \(.*\))?$", line))
    way.elapsed.append(elapsed)
    way.cpu.append(usage.ru_utime + usage.ru_stime)
    way.rss_kib.append(usage.ru_maxrss)


def table(found, library, seed):
    lines = [f"| {ADDRESSES:,} addresses of {os.path.basename(library)} (seed {seed}) | s | "
             "CPU s | lowest - highest | MiB | places |", "|---|--:|--:|--:|--:|--:|"]
    for way in found:
        lines.append(f"| {way.title} | {statistics.median(way.elapsed):.2f} | "
                     f"{statistics.median(way.cpu):.2f} | "
                     f"{min(way.elapsed):.2f} - {max(way.elapsed):.2f} | "
                     f"{max(way.rss_kib) / 1024:,.0f} | {way.frames:,} |")
    return "\n".join(lines) + "\n"


def results(found):
    """For bench.json: ours, and the time of each peer over ours."""
    by_key = {way.key: way for way in found}
    ours = statistics.median(by_key["ours"].elapsed)
    out = [{"name": "naming.ns_per_address", "value": round(ours * 1e9 / ADDRESSES, 1),
            "unit": "ns"},
           {"name": "naming.rss_mib", "value": round(max(by_key["ours"].rss_kib) / 1024, 1),
            "unit": "MiB"}]
    for key in ("llvm_symbolizer", "addr2line"):
        if key in by_key:
            ratio = statistics.median(by_key[key].elapsed) / ours
            out.append({"name": f"naming.vs_{key}", "value": round(ratio, 4), "unit": "times"})
    return out


def measure(build, scratch, seed=None):
    """(table as Markdown, rows for bench.json). Raises OSError where a tool fails."""
    library = find_library()
    if library is None or ".text" not in sections(library[0]):
        reason = f"no large library with debug information (Debian: apt-get install {PACKAGE})"
        print(f"bench: naming skipped: {reason}", file=sys.stderr)
        return f"naming: skipped: {reason}\n", []
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 32)
    text, output = os.path.join(scratch, "addresses"), os.path.join(scratch, "names")
    with open(text, "w", encoding="utf-8") as stream:
        stream.writelines(f"{address:#x}\n" for address in choose_addresses(library[0], seed))
    found = ways(build, *library)
    if not found or found[0].key != "ours":
        raise OSError("bench_naming is missing: run make first")
    with open(library[1], "rb") as stream:  # nobody pays for the disk
        while stream.read(1 << 20):
            pass
    for number in range(ROUNDS):
        for way in found:
            run_once(way, text, output)
        print(f"bench: naming: round {number + 1} of {ROUNDS}", file=sys.stderr)
    return table(found, library[0], seed), results(found)
