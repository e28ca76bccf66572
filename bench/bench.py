#!/usr/bin/env python3
"""Measures what tracing costs, with htrace and with its peers, in one interleaved run.

Prints the README's table (medians, ratios to untraced) and writes BUILD/bench.json, a list of
{"name", "value", "unit"}. Knows htrace only by its command line and its JSON report.
The tables of workloads and of ways to trace stand first; a new one is a new row.
"""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import attach
import naming
import unwind
from place import Place

# The calls that open or close: strace gets the same diet as htrace.
CALLS = ("open,openat,creat,socket,accept,accept4,pipe,pipe2,dup,dup2,dup3,eventfd2,epoll_create1,"
         "timerfd_create,signalfd4,inotify_init1,memfd_create,close,close_range")
STRACE = ["strace", "-k", "--seccomp-bpf", "-f", "-e", "trace=" + CALLS, "-o", "/dev/null"]
HTRACE = ["{htrace}", "run", "--collector={collector}", "--format=json", "-o", "{report}", "--"]
VALGRIND = ["valgrind", "-q", "--track-fds=yes", "--log-file=/dev/null"]

# key: (how the table names it, the program it needs, the command that goes before the target)
WAYS = {
    "untraced": ("untraced", None, []),
    "bpf": ("htrace, bpf", "htrace", HTRACE),
    "agent": ("htrace, agent", "htrace", HTRACE),  # as an ordinary user
    "ptrace": ("htrace, ptrace", "htrace", HTRACE),
    "strace_k": ("strace -k --seccomp-bpf -f", "strace", STRACE),
    "valgrind": ("valgrind --track-fds=yes", "valgrind", VALGRIND),
}

# key: (title, unit of one measurement, rounds, how much work by way); a way that is missing is left out
WORKLOADS = {
    "pair": ("eventfd+close, 16 frames deep", "ns", 5,
             {"untraced": 1000000, "bpf": 1000000, "agent": 1000000, "ptrace": 10000, "strace_k": 200,
              "valgrind": 50000}),
    # Both cores are busy, and the collector wants its share; about ten seconds under bpf.
    "pair_2threads": ("eventfd+close in 2 threads, each 16 frames deep", "ns", 3,
                      {"untraced": 1500000, "bpf": 3500000, "agent": 3500000, "ptrace": 10000}),
    # Many short rounds: a percent is less than what the machine does to a long one.
    "cpu": ("CPU-bound program", "ns", 25,
            {"untraced": 200, "bpf": 200, "agent": 200, "ptrace": 200, "strace_k": 200, "valgrind": 10}),
    "nginx": ("nginx, a new connection for each request", "requests/s", 3,
              {"untraced": 2, "bpf": 2, "agent": 2, "ptrace": 2, "strace_k": 3, "valgrind": 2}),
    # A percent counts, so there are many rounds. strace -k takes more than a minute for one.
    "make": ("make -j2 of a C project of 40 files, the report included", "s", 7,
             {"untraced": 40, "bpf": 40, "agent": 40, "ptrace": 40}),
}

# The programs of ours, where they are not called as their workload, and what they are told.
PROGRAMS = {"pair_2threads": ["pair", "{amount}", "2"]}

# Their names in bench.json, where that is not WORKLOAD.WAY.
RESULT_NAMES = {"pair_2threads": "pair.{way}_2threads"}

# What is measured without those workloads; each a module with measure(build, scratch), which gives a table
# and rows for bench.json: key: (module, the program of ours that it runs).
PARTS = {"attach": (attach, "bench/bench_standing"), "naming": (naming, "bench/bench_naming"),
         "unwind": (unwind, "bench/bench_unwind")}

# Ratios between two ways that the project holds itself to: name, workload, way, divided by way.
EXTRA_RATIOS = [("pair.strace_k_per_ptrace", "pair", "strace_k", "ptrace")]

C_PROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/workloads/c_project.py")
COMMAND_SECONDS_MAX = 60
BENCH_SECONDS_MAX = 400  # no new round is begun after that
NGINX_CLIENTS = 8


class BenchError(Exception):
    """Something that makes a measurement worthless; its text says what."""


class Bench:
    """One run: which ways there are, and what was measured."""

    def __init__(self, build, ways, scratch):
        self.build, self.ways, self.scratch = build, ways, scratch
        self.places = {way: Place(build, scratch, "nobody" if way == "agent" else "own") for way in ways}
        self.begin = time.monotonic()
        self.samples = {}  # (workload, way) -> [number]
        self.events = {}  # (workload, way) -> [(events, lost)]
        self.tracer_cpu = {}  # (workload, way) -> [ns of htrace's own CPU time a unit]
        self.all_cpu = {}  # (workload, way) -> [seconds of CPU time of all processes, htrace's included]
        self.failures = []

    def command(self, way, report):
        names = {"htrace": self.places[way].htrace, "collector": way, "report": report}
        return [part.format(**names) for part in WAYS[way][2]]

    def add(self, workload, way, value):
        self.samples.setdefault((workload, way), []).append(value)

    def add_report(self, workload, way, path):
        """htrace says itself how much of it was lost: a fast run that lost much is no fast run."""
        if WAYS[way][1] != "htrace":
            return
        try:
            with open(path, encoding="utf-8") as stream:
                processes = json.load(stream)["processes"]
            # A loss belongs to nobody, so each process may tell the same one.
            lost = max((p["lost_events"] for p in processes), default=0)
            self.events.setdefault((workload, way), []).append(
                (sum(p["events"] for p in processes), lost))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(f"no usable report of htrace: {error!r}") from error

    def program(self, workload, way, amount):
        """One run of a program of ours that times its own loop."""
        place = self.places[way]
        report = place.fresh("report.json")
        program = [part.format(amount=amount) for part in PROGRAMS.get(workload, [workload, "{amount}"])]
        command = self.command(way, report) + [place.program("bench/" + program[0])] + program[1:]
        before = children_cpu()
        done = self.run(command, place)
        found = re.search(r"^([0-9.]+) ns/unit(?:, ([0-9]+) units, ([0-9.]+) s CPU)?$", done.stdout, re.M)
        if done.returncode != 0 or not found:
            raise BenchError(f"exit status {done.returncode}: {done.stderr.strip()[-300:]}")
        self.add_report(workload, way, report)
        self.add(workload, way, float(found.group(1)))
        if WAYS[way][1] == "htrace" and found.group(2):
            cpu = children_cpu() - before - float(found.group(3))
            self.tracer_cpu.setdefault((workload, way), []).append(cpu * 1e9 / int(found.group(2)))

    def run(self, command, place):
        try:
            return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=COMMAND_SECONDS_MAX, check=False, cwd=place.folder, **place.user)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"not done within {COMMAND_SECONDS_MAX} s") from error

    def make(self, workload, way, files):
        """A build from nothing; what it builds is always the same."""
        place = self.places[way]
        project, report = place.fresh("project"), place.fresh("report.json")
        os.mkdir(project)
        subprocess.run([sys.executable, C_PROJECT, project, str(files)], check=True)
        place.give(project)
        begin, cpu = time.monotonic(), children_cpu()
        done = self.run(self.command(way, report) + ["make", "-s", "-j2", "-C", project], place)
        seconds, cpu = time.monotonic() - begin, children_cpu() - cpu
        if done.returncode != 0:
            raise BenchError(f"exit status {done.returncode}: {done.stderr.strip()[-300:]}")
        if not os.access(os.path.join(project, "program"), os.X_OK):
            raise BenchError("nothing was built")
        self.add_report(workload, way, report)
        self.add(workload, way, seconds)
        self.all_cpu.setdefault((workload, way), []).append(cpu)

    def nginx(self, workload, way, seconds):
        with NginxServer(self, way) as server:
            server.wait_ready()
            server.attach()
            rate = server.load(seconds)
            server.detach()
            self.add_report(workload, way, server.report)
        self.add(workload, way, rate)

    def measure(self, workload):
        rounds, amounts = WORKLOADS[workload][2:]
        failed = set()
        run = {"nginx": self.nginx, "make": self.make}.get(workload, self.program)
        for number in range(rounds):
            for way in self.ways:
                if way in failed or way not in amounts:
                    continue
                if number and time.monotonic() - self.begin > BENCH_SECONDS_MAX:
                    print(f"bench: {workload}: only {number} rounds, time is up", file=sys.stderr)
                    return
                try:
                    run(workload, way, amounts[way])
                except BenchError as error:
                    failed.add(way)
                    self.failures.append(f"{workload}.{way}: {error}")
                    print(f"bench: {workload}.{way} failed: {error}", file=sys.stderr)
            print(f"bench: {workload}: round {number + 1} of {rounds}", file=sys.stderr)

    def median(self, workload, way):
        samples = self.samples.get((workload, way))
        return statistics.median(samples) if samples else None

    def ratio(self, workload, way):
        """How many times as much as untraced; of a rate: which share of it is left."""
        own, base = self.median(workload, way), self.median(workload, "untraced")
        return own / base if own is not None and base else None


def children_cpu():
    """Seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class NginxServer:
    """nginx as one process on a free port of the loopback, traced in one of the ways: htrace
    attaches to it while it runs, the others start it."""

    def __init__(self, bench, way):
        self.bench, self.way, self.place = bench, way, bench.places[way]
        self.folder = tempfile.mkdtemp(dir=self.place.folder)
        os.chmod(self.folder, 0o755)
        self.report = os.path.join(self.folder, "report.json")
        self.tracer = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.pid_file = os.path.join(self.folder, "pid")
        config = os.path.join(self.folder, "nginx.conf")
        with open(config, "w", encoding="utf-8") as stream:
            stream.write(self.config())
        self.place.give(self.folder)
        before = [] if WAYS[way][1] == "htrace" else bench.command(way, self.report)
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(before + ["nginx", "-p", self.folder, "-c", config],
                                        stdout=self.log, stderr=self.log, start_new_session=True,
                                        **self.place.user)

    def config(self):
        html = os.path.join(self.folder, "html")
        os.mkdir(html)
        with open(os.path.join(html, "index.html"), "w", encoding="utf-8") as stream:
            stream.write("<p>It works.</p>\n" * 32)
        # A file is opened for each request: a socket and a file come and go.
        user = "user root;\n" if os.geteuid() == 0 and not self.place.user else ""
        temps = "".join(f"{name}_temp_path {self.folder}/{name};" for name in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return (f"{user}daemon off; master_process off; worker_processes 1;\n"
                f"pid {self.pid_file}; error_log stderr crit;\n"
                "events { worker_connections 512; }\n"
                f"http {{ access_log off; keepalive_timeout 0; {temps}\n"
                f"server {{ listen 127.0.0.1:{self.port} backlog=512; root {html}; }} }}\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.tracer, self.process):
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.process.poll() is not None and self.pid() is not None:
            try:  # a tracer that was killed may have left it behind
                os.kill(self.pid(), signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self):
        try:
            with open(self.pid_file, encoding="utf-8") as stream:
                return int(stream.read())
        except (OSError, ValueError):
            return None

    def wait_ready(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if self.pid() is not None:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.log.seek(0)
        raise BenchError("nginx does not answer: " + self.log.read().strip()[-300:])

    def attach(self):
        if WAYS[self.way][1] != "htrace":
            return
        command = [self.place.htrace, "attach", f"--collector={self.way}", "--format=json",
                   "-o", self.report, "-p", str(self.pid())]
        self.tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                       stderr=self.log, start_new_session=True, **self.place.user)
        # It says nothing when it is ready; events that are missing afterwards tell.
        time.sleep(1.5)
        if self.tracer.poll() is not None:
            self.log.seek(0)
            raise BenchError("htrace attach ended: " + self.log.read().strip()[-300:])

    def detach(self):
        if self.tracer is None:
            return
        self.tracer.send_signal(signal.SIGINT)
        try:
            self.tracer.wait(COMMAND_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise BenchError("htrace attach does not end") from error

    def load(self, seconds):
        """Requests a second, each over a connection of its own."""
        command = ["ab", "-q", "-t", str(seconds), "-n", "1000000", "-c", str(NGINX_CLIENTS),
                   f"http://127.0.0.1:{self.port}/index.html"]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=COMMAND_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired as error:
            raise BenchError("ab does not end") from error
        rate = re.search(r"Requests per second:\s+([0-9.]+)", done.stdout)
        failed = re.search(r"Failed requests:\s+([0-9]+)", done.stdout)
        if done.returncode != 0 or not rate or not failed:
            raise BenchError(f"ab: {done.stderr.strip()[-300:]}")
        if int(failed.group(1)):
            raise BenchError(f"{failed.group(1)} requests failed")
        return float(rate.group(1))


def is_time(workload):
    """Less is better; else it is a rate."""
    return WORKLOADS[workload][1] in ("ns", "s")


def number_text(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio_text(workload, ratio):
    if is_time(workload):
        return f"{ratio:.3f}" if ratio < 1.2 else f"{ratio:,.2f}" if ratio < 100 else f"{ratio:,.0f}"
    return f"{ratio * 100:.1f} %"


def table(bench):
    """Markdown, as the README shows it."""
    lines = []
    for workload, (title, unit, _, _) in WORKLOADS.items():
        ways = [way for way in bench.ways if bench.median(workload, way) is not None]
        if not ways:
            continue
        share = "times untraced" if is_time(workload) else "of untraced"
        lines += [f"| {title} | {unit} | {share} | lowest - highest | events lost | htrace's CPU |",
                  "|---|--:|--:|--:|--:|--:|"]
        for way in ways:
            samples = bench.samples[workload, way]
            ratio = bench.ratio(workload, way)
            events = bench.events.get((workload, way), [])
            lost = (f"{sum(e[1] for e in events):,} of {sum(e[0] + e[1] for e in events):,}"
                    if events else "")
            cpu = bench.tracer_cpu.get((workload, way))
            cpu = f"{number_text(statistics.median(cpu))} ns" if cpu else ""
            lines.append(f"| {WAYS[way][0]} | {number_text(statistics.median(samples))} | "
                         f"{ratio_text(workload, ratio) if ratio is not None else ''} | "
                         f"{number_text(min(samples))} - {number_text(max(samples))} | {lost} | {cpu} |")
        lines.append("")
    return "\n".join(lines)


def results(bench):
    """The list for bench.json."""
    out = []
    for workload, (_, unit, _, _) in WORKLOADS.items():
        for way in bench.ways:
            median = bench.median(workload, way)
            if median is None:
                continue
            name = RESULT_NAMES.get(workload, "{workload}.{way}").format(workload=workload, way=way)
            if way == "untraced":
                out.append((name, median, unit))
            elif bench.ratio(workload, way) is not None:
                out.append((name, bench.ratio(workload, way),
                            "times untraced" if is_time(workload) else "share of untraced requests/s"))
            events = bench.events.get((workload, way))
            if events:
                out.append((f"{name}_events", sum(e[0] for e in events), "events"))
                out.append((f"{name}_lost", sum(e[1] for e in events), "events"))
            cpu = bench.tracer_cpu.get((workload, way))
            if cpu:
                out.append((f"{name}_cpu", statistics.median(cpu), "ns of htrace's CPU time a unit"))
            cpu, untraced = (bench.all_cpu.get((workload, one)) for one in (way, "untraced"))
            if cpu and untraced and way != "untraced":
                out.append((f"{name}_all_cpu", statistics.median(cpu) / statistics.median(untraced),
                            "times untraced, CPU time of all processes"))
    for name, workload, way, divided_by in EXTRA_RATIOS:
        own, base = bench.median(workload, way), bench.median(workload, divided_by)
        if own is not None and base:
            out.append((name, own / base, "times"))
    return [{"name": name, "value": round(value, 4), "unit": unit} for name, value, unit in out]


def has_agent(htrace):
    """Whether the word is known. What it cannot do after that is a failure."""
    done = subprocess.run([htrace, "run", "--collector=agent", "--", "/bin/true"], capture_output=True, check=False)
    return done.returncode != 2


def usable_ways(htrace, wanted):
    """Those whose program is here; why the others are left out is said."""
    ways = []
    for way in wanted:
        program = WAYS[way][1]
        if program == "htrace":
            if not os.access(htrace, os.X_OK):
                raise BenchError(f"{htrace} is missing: run make first (--peers measures only "
                                 "the other tools)")
            if way == "bpf" and os.geteuid() != 0:
                print("bench: bpf left out: it needs root", file=sys.stderr)
                continue
            if way == "agent" and not has_agent(htrace):
                print("bench: agent left out: this htrace has none", file=sys.stderr)
                continue
        elif program and not shutil.which(program):
            print(f"bench: {way} left out: no {program}", file=sys.stderr)
            continue
        ways.append(way)
    return ways


def build_programs(build):
    """The targets, as a distribution builds its programs: optimised, no frame pointers."""
    folder, source = os.path.join(build, "bench"), os.path.dirname(os.path.abspath(__file__))
    os.makedirs(folder, exist_ok=True)
    for name in ("pair", "cpu"):
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-g", "-fno-optimize-sibling-calls", "-o",
                        os.path.join(folder, name), os.path.join(source, name + ".c"), "-pthread"],
                       check=True)


def measure_part(bench, name):
    module, program = PARTS[name]
    try:
        subprocess.run(["ninja", "-C", bench.build, program], stdout=subprocess.DEVNULL, check=True)
        return module.measure(bench.build, bench.scratch)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        bench.failures.append(f"{name}: {error}")
        print(f"bench: {name} failed: {error}", file=sys.stderr)
        return "", []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--peers", action="store_true", help="measure the other tools only")
    known = list(WORKLOADS) + list(PARTS)
    parser.add_argument("--only", default=",".join(known), help="workloads, comma-separated")
    options = parser.parse_args()
    # A shell starts what runs in the background with SIGINT ignored; htrace would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    htrace = os.path.join(options.build, "htrace")
    wanted = options.only.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"unknown workload: {unknown[0]} (known: {', '.join(known)})")
    workloads = [name for name in wanted if name in WORKLOADS]
    parts = [name for name in wanted if name in PARTS and not options.peers]
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # nginx lives there
    try:
        ways = usable_ways(htrace, [way for way, row in WAYS.items()
                                    if not (options.peers and row[1] == "htrace")])
        if "attach" in parts and "agent" not in ways:
            parts.remove("attach")
        if "nginx" in workloads and not (shutil.which("nginx") and shutil.which("ab")):
            print("bench: nginx left out: nginx or ab is missing", file=sys.stderr)
            workloads.remove("nginx")
        build_programs(options.build)
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1

    with tempfile.TemporaryDirectory(prefix="htrace-bench-") as scratch:
        os.chmod(scratch, 0o755)
        bench = Bench(options.build, ways, scratch)
        for workload in workloads:
            bench.measure(workload)
        tables, rows = [table(bench)], results(bench)
        for name in parts:
            part_table, part_rows = measure_part(bench, name)
            tables.append(part_table)
            rows += part_rows
    print("\n".join(tables))
    path = os.path.join(options.build, "bench.json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(rows, stream, indent=1)
        stream.write("\n")
    print(f"bench: {path} written, {time.monotonic() - bench.begin:.0f} s", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
