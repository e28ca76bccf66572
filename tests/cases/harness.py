"""What every case shares: it runs htrace over a workload, as root with bpf or as an ordinary user with the
agent or ptrace, and compares the JSON report with the truth that the workload printed.

A case file has functions test_*(lab) and ends with harness.main(globals()). Every wait is bounded, and
what a case started is ended by its process id. Exit status: 0 passed, 1 failed, 77 all skipped.

    test_x.py --collector=bpf|agent|ptrace [--only=NAME]     HTRACE, WORKLOADS, HTRACE_AGENT_LIB: what is tested
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import comparison
import exceptions
# Cases say harness.X for all of it.
from comparison import (Failed, Report, Truth, bare, check, compare, differences_of_functions,
                        differences_of_set, is_function, is_opened_by, project_frames, show_stack)

NOBODY = 65534
SKIPPED_STATUS = 77
AGENT_NAME = "libhtrace-agent.so"
COLLECTORS = ("bpf", "agent", "ptrace")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Skipped(Exception):
    """The case cannot run here; the text says why."""


def wait_for(what, condition, seconds=20.0):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


# --- the process file system ------------------------------------------------------------------

def proc_fds(pid):
    """{number: link} of /proc/PID/fd."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            pass
    return found


def proc_status(pid, field):
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def cpu_ticks(pid):
    """What all threads of a process have used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def proc_memory(pid):
    """The inodes of the memory files (memfd) that a process has open."""
    return {os.stat(f"/proc/{pid}/fd/{number}").st_ino for number, link in proc_fds(pid).items()
            if link.startswith("/memfd:")}


def proc_mapped(pid):
    """The inodes of the files that a process has mapped."""
    with open(f"/proc/{pid}/maps") as maps:
        return {int(line.split()[4]) for line in maps}


def proc_children(pid):
    children = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as names:
                children += [int(name) for name in names.read().split()]
    except OSError:
        pass
    return children


# --- running htrace ---------------------------------------------------------------------------

class Result:
    def __init__(self, status, output, errors, report_text):
        self.status, self.output, self.errors, self.report_text = status, output, errors, report_text

    @property
    def report(self):
        check(self.report_text, lambda: f"htrace wrote no report (status {self.status}):\n{self.errors[-2000:]}")
        return Report(self.report_text)

    @property
    def truth(self):
        return Truth(self.output)


class Attached:
    """An htrace that is attached and at work."""

    def __init__(self, lab, process, report_path, errors_path):
        self.lab, self.process = lab, process
        self.report_path, self.errors_path = report_path, errors_path

    def finish(self, seconds=60):
        """SIGINT, then its report."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait(seconds)

    def wait(self, seconds=60):
        status = self.lab.wait(self.process, seconds)
        with open(self.errors_path) as errors:
            return Result(status, "", errors.read(), self.lab.read(self.report_path))


class Lab:
    """Where a case works: a folder with copies of the programs, that the chosen user may read."""

    def __init__(self, collector):
        self.collector = collector
        self.as_nobody = collector in ("agent", "ptrace") and os.geteuid() == 0
        # Two say it in nanoseconds; ptrace needs two switches of process for each call.
        self.fast = collector in ("bpf", "agent")
        self.folder = tempfile.mkdtemp(prefix="htrace-case-")
        os.chmod(self.folder, 0o755)
        self.bin = os.path.join(self.folder, "bin")
        os.mkdir(self.bin, 0o755)
        self.work = self.new_folder("work")
        self.started = []
        self.serial = 0

    @property
    def htrace(self):
        path = self.program(os.environ.get("HTRACE", os.path.join(ROOT, "build", "htrace")))
        if self.collector == "agent":
            self.agent()
        return path

    def agent(self):
        """htrace finds the agent beside itself."""
        folder = os.path.join(self.bin, "agent")
        if not os.path.exists(folder):
            os.mkdir(folder, 0o755)
        return self.program(os.environ.get("HTRACE_AGENT_LIB", os.path.join(ROOT, "build", "agent", AGENT_NAME)),
                            "agent")

    def new_folder(self, name):
        path = os.path.join(self.folder, name)
        os.mkdir(path, 0o755)
        if self.as_nobody:
            os.chown(path, NOBODY, NOBODY)
        return path

    def program(self, path, folder=""):
        """A copy that the user may run."""
        if not os.path.exists(path):
            raise Failed(f"{path} does not exist: it was not built")
        copy = os.path.join(self.bin, folder, os.path.basename(path))
        if not os.path.exists(copy):
            shutil.copy(path, copy)
            os.chmod(copy, 0o755)
        return copy

    def workload(self, name, why=None):
        """A workload by name; with `why`, one that may be missing on this machine."""
        folder = os.environ.get("WORKLOADS", os.path.join(ROOT, "build", "tests", "workloads"))
        path = os.path.join(folder, name)
        if why and not os.path.exists(path):
            raise Skipped(why)
        return self.program(path)

    def environment(self, extra=None):
        kept = {key: value for key, value in os.environ.items() if re.match("(ASAN|UBSAN|LSAN)_OPTIONS", key)}
        kept.update({"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.work,
                     "LC_ALL": "C.UTF-8", "TMPDIR": self.work})
        kept.update(extra or {})
        return kept

    def start(self, argv, env=None, privileged=False, **options):
        """Starts a program as the case's user; it is ended at the end of the case at the latest."""
        if self.as_nobody and not privileged:
            options.update(user=NOBODY, group=NOBODY, extra_groups=[])
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("cwd", self.work)
        process = subprocess.Popen(argv, env=self.environment(env), **options)
        self.started.append(process)
        return process

    def wait(self, process, seconds=60):
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            states = {pid: proc_status(pid, "State") for pid in [process.pid] + proc_children(process.pid)}
            self.end(process)
            raise Failed(f"{process.args[0]} did not end within {seconds} s; states {states}") from None

    def end(self, process):
        """With its children: an htrace that hangs must not leave its target behind."""
        if process.poll() is not None:
            return
        children = proc_children(process.pid)
        process.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        process.wait(10)

    def path(self, suffix):
        self.serial += 1
        return os.path.join(self.work, f"file-{self.serial}{suffix}")

    def read(self, path):
        try:
            with open(path, errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def command(self, verb, options=(), report=None):
        argv = [self.htrace, verb, f"--collector={self.collector}"]
        if report:
            argv += ["--format=json", "-o", report]
        return argv + list(options)

    def call(self, argv, seconds=60, env=None, **options):
        """Runs any command to its end."""
        with open(self.path(".out"), "w+") as out, open(self.path(".err"), "w+") as err:
            process = self.start(argv, env, stdout=out, stderr=err, **options)
            status = self.wait(process, seconds)
            return Result(status, self.read(out.name), self.read(err.name), "")

    def run(self, program, options=(), seconds=60, env=None, **more):
        """htrace run, with the JSON report."""
        report = self.path(".json")
        result = self.call(self.command("run", options, report) + ["--"] + list(program), seconds, env, **more)
        result.report_text = self.read(report)
        return result

    def same(self, argv, env=None, **more):
        """Status and output of a program, byte for byte as they are without htrace. Returns both results."""
        plain, traced = self.call(argv, env=env, **more), self.run(argv, env=env, **more)
        check(traced.status == plain.status, lambda: f"{argv}: status {traced.status} instead of {plain.status}: "
              f"{traced.errors[-2000:]}")
        if traced.output != plain.output:
            pairs = zip(plain.output.splitlines() + ["(end)"], traced.output.splitlines() + ["(end)"])
            first = next((pair for pair in pairs if pair[0] != pair[1]), None)
            raise Failed(f"{argv}: the output differs; plain and traced:\n    {first}")
        return plain, traced

    def run_truth(self, program, options=(), seconds=60, env=None, modules=(), **comparison):
        """htrace run of a workload whose report must be its truth."""
        result = self.run(program, options, seconds, env)
        check(result.status == 0, lambda: f"status {result.status}\n{result.errors[-3000:]}")
        names = {os.path.basename(program[0])} | set(modules)
        truth = result.truth
        if comparison.pop("static", False):
            comparison["functions"] = truth.functions()
        compare(result.report, truth, names, **comparison)
        return result

    def attach(self, pid, options=(), env=None, settle=0.3):
        """htrace attach, as soon as it traces."""
        report, errors = self.path(".json"), self.path(".err")
        with open(errors, "w") as err:
            process = self.start(self.command("attach", ["-p", str(pid)] + list(options), report), env,
                                 stdout=err, stderr=err)
        attached = Attached(self, process, report, errors)
        wait_for(f"htrace to attach to {pid}", lambda: self.is_attached(attached, pid))
        time.sleep(settle)
        return attached

    def is_attached(self, attached, pid):
        """Under ptrace every thread has a tracer; under bpf a link of a program is open; under the agent
        the target maps htrace's shared memory, and no thread has a tracer any more."""
        check(attached.process.poll() is None,
              lambda: f"htrace ended with {attached.process.returncode}:\n{self.read(attached.errors_path)}")
        tracers = {proc_status(f"{pid}/task/{task}", "TracerPid") for task in os.listdir(f"/proc/{pid}/task")}
        if self.collector == "ptrace":
            return tracers == {str(attached.process.pid)}
        if self.collector == "agent":
            return tracers == {"0"} and proc_memory(attached.process.pid) & proc_mapped(pid)
        links = [link for link in proc_fds(attached.process.pid).values()
                 if re.search("bpf.?link|raw-tracepoint|perf_event", link)]
        seen = getattr(attached, "links", 0)
        attached.links = len(links)
        return links and seen == len(links)  # no more of them since the last look

    def end_left(self):
        """Sessions stay behind their targets for a while: what runs from this case's own folder is ended."""
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.readlink(f"/proc/{name}/exe").startswith(self.bin + "/"):
                    os.kill(int(name), signal.SIGKILL)
            except OSError:
                pass  # it has ended, or is none of ours

    def close(self):
        for process in self.started:
            self.end(process)
        self.end_left()
        shutil.rmtree(self.folder, ignore_errors=True)


def compare_with_proc(report, pid):
    """The open handles of a quiet process are those of /proc/PID/fd, and nothing was lost."""
    found = differences_of_set(report, pid, set(proc_fds(pid)))
    if report.lost():
        found.append(f"{report.lost()} lost events")
    check(not found, lambda: "differences from /proc:\n    " + "\n    ".join(found[:20]))


# --- the frame of a case file -----------------------------------------------------------------

def availability(collector):
    if collector == "bpf" and os.geteuid() != 0:
        return "bpf needs root here"
    if collector == "bpf" and not os.path.exists("/sys/kernel/btf/vmlinux"):
        return "this kernel has no BTF (/sys/kernel/btf/vmlinux)"
    return None


def run_or_refuse(lab, function, words):
    """With `words`, htrace must refuse the test's program and say so."""
    try:
        function(lab)
    except Failed as why:
        if words and "status 125" in str(why) and words in str(why):
            print(f"  refused, as it should be: {words}")
            return
        raise
    check(not words, lambda: f"not refused, though exceptions.py says so: {words}")


def run_case(name, function, collector):
    """`name`: CASE.TEST. Returns "passed", "failed" or "skipped"."""
    start = time.monotonic()
    lab = None
    comparison.except_from(exceptions.UNSEEN.get(collector, {}).get(name, {}))
    try:
        lab = Lab(collector)
        if collector:
            check(os.access(lab.htrace, os.X_OK), "htrace cannot be executed")
        run_or_refuse(lab, function, exceptions.REFUSED.get(collector, {}).get(name))
        comparison.check_exceptions()
        outcome, text = "passed", ""
    except Skipped as why:
        outcome, text = "skipped", str(why)
    except Failed as why:
        outcome, text = "failed", str(why)
    except Exception:  # a broken case is a failed one
        outcome, text = "failed", traceback.format_exc()
    finally:
        if lab:
            lab.close()
    if outcome == "skipped":
        print(f"skipped: {name}: {text}", flush=True)
    else:
        print(f"{outcome}: {name} ({time.monotonic() - start:.1f} s)" + (f"\n  {text}" if text else ""),
              flush=True)
    return outcome


def main(names, collector="ptrace"):
    """Runs the test_* functions of a case file. `collector` None: they need no htrace."""
    only = None
    for argument in sys.argv[1:]:
        key, _, value = argument.partition("=")
        if key == "--collector" and value in COLLECTORS:
            collector = value
        elif key == "--only":
            only = value
        else:
            sys.exit(f"unknown argument {argument}")
    why = availability(collector)
    if why is not None:
        print(f"skipped: {why}")
        sys.exit(SKIPPED_STATUS)
    case = os.path.basename(sys.argv[0])[5:-3]  # test_CASE.py
    outcomes = [run_case(f"{case}.{name[5:]}", function, collector) for name, function in list(names.items())
                if name.startswith("test_") and (only is None or only in name)]
    print(", ".join(f"{outcomes.count(what)} {what}" for what in ("passed", "failed", "skipped")))
    if "failed" in outcomes or not outcomes:
        sys.exit(1)
    sys.exit(0 if "passed" in outcomes else SKIPPED_STATUS)
