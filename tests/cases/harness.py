"""What every case shares: it runs htrace over a workload, as root with bpf or as an ordinary user with
ptrace, and compares the JSON report with the truth that the workload printed.

A case file has functions test_*(lab) and ends with harness.main(globals()). Every wait is bounded, and
what a case started is ended by its process id. Exit status: 0 passed, 1 failed, 77 all skipped.

    test_x.py --collector=bpf|ptrace [--only=NAME]     HTRACE, WORKLOADS: where the programs are
    test_x.py --selfcheck                              (harness.py) is the workloads' truth true?
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

NOBODY = 65534
SKIPPED_STATUS = 77
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# Words for the same kind of handle: what a call promises and what /proc calls it may differ.
TYPE_ALIASES = {
    "file": {"file"},
    "received": {"file", "unknown"},  # only a look at the living process tells
    "directory": {"file", "directory"},
    "device": {"file", "device"},
    "tty": {"file", "device", "tty", "pty"},
    "memfd": {"memfd", "file"},
    "mount": {"file", "mount"},
    "mqueue": {"mqueue", "file"},
    "namespace": {"namespace", "file"},
    "perf_event": {"perf", "perf_event"},
    "bpf": {"bpf", "bpf-map"},
    "seccomp": {"seccomp", "anon_inode"},
    "landlock": {"landlock", "anon_inode"},
}


class Skipped(Exception):
    """The case cannot run here; the text says why."""


class Failed(Exception):
    """htrace did not do what it promises; the text says how."""


def check(condition, text):
    if not condition:
        raise Failed(text() if callable(text) else text)


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


def proc_children(pid):
    children = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as names:
                children += [int(name) for name in names.read().split()]
    except OSError:
        pass
    return children


# --- the truth --------------------------------------------------------------------------------

class Truth:
    """What the workload printed: open[pid][number] = (function, type), bad references, and what the
    kernel refused."""

    def __init__(self, output):
        self.open, self.bad, self.unsupported, self.order, self.base = {}, [], {}, [], set()
        for line in output.splitlines():
            if not line.startswith('{"truth"'):
                continue
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise Failed(f"the workload's truth is not JSON: {line[:200]}") from error
            if entry["truth"] == "open":
                table = self.open.setdefault(entry["pid"], {})
                if entry["pid"] not in self.order:
                    self.order.append(entry["pid"])
                for handle in entry["open"]:
                    table[handle["fd"]] = (handle["function"], handle["type"])
            elif entry["truth"] == "base":
                self.base.add(entry["pid"])
            elif entry["truth"] == "bad":
                self.bad.append(entry)
            elif entry["truth"] == "unsupported":
                self.unsupported[entry["call"]] = entry["why"]

    def functions(self):
        return {part for table in self.open.values() for function, _ in table.values()
                for part in function.split("|") if part}


# --- the report -------------------------------------------------------------------------------

def bare(function):
    """Without the suffix of a compiler's clone."""
    return re.sub(r"\.(constprop|isra|part|cold)\.?\d*.*$", "", function or "")


def is_function(shown, wanted):
    shown = bare(shown)
    return shown == wanted or shown.startswith(wanted + "(") or shown.startswith(wanted + "[")


def show_stack(stack):
    if not stack:
        return "        (no stack)"
    return "\n".join("        %s!%s+0x%x%s%s" % (
        frame.get("module"), frame.get("function"), frame.get("offset") or 0,
        " %s:%s" % (frame["file"], frame.get("line")) if frame.get("file") else "",
        " (inlined)" if frame.get("inlined") else "") for frame in stack[:24])


def project_frames(stack, modules, functions=None):
    """The frames from the innermost one that belongs to the program itself. In a static program
    libc belongs to it too, so there the functions of the workload tell."""
    for index, frame in enumerate(stack):
        if frame.get("module") not in modules or not frame.get("function"):
            continue
        if functions is None or any(is_function(frame["function"], name) for name in functions):
            return stack[index:]
    return []


def is_opened_by(stack, wanted, modules, functions=None):
    """`wanted` is a function, or "inner|middle|outer" where all but the last were inlined."""
    frames = project_frames(stack, modules, functions)
    chain = wanted.split("|")
    if len(frames) < len(chain):
        return False
    return all(is_function(frame["function"], name) and bool(frame.get("inlined")) == (name != chain[-1])
               for frame, name in zip(frames, chain))


class Report:
    """The JSON report, with its promises on shape checked."""

    def __init__(self, text):
        try:
            self.json = json.loads(text)
        except ValueError as error:
            raise Failed(f"the report is not JSON ({error}):\n{text[:2000]}") from error
        check(self.json.get("schema") == "htrace.report/1", f"schema is {self.json.get('schema')!r}")
        self.processes = {}
        for process in self.json["processes"]:
            self.processes[process["pid"]] = process

    def process(self, pid):
        check(pid in self.processes,
              lambda: f"process {pid} is not in the report, which has {sorted(self.processes)}")
        return self.processes[pid]

    def listed(self, pid):
        """{number: (group, handle)} of all groups."""
        found = {}
        for group in self.process(pid)["groups"]:
            for handle in group.get("handles", []):
                check(handle["handle"] not in found, f"handle {handle['handle']} is in two groups")
                found[handle["handle"]] = (group, handle)
        return found

    def others(self, pid):
        """{number: handle} of those that were there before or inherited; None: not told."""
        listed = self.process(pid).get("other_handles")
        return None if listed is None else {handle["handle"]: handle for handle in listed}

    def lost(self):
        return sum(process.get("lost_events", 0) for process in self.json["processes"]) + \
            self.json.get("lost_events", 0)


def differences_of_set(report, pid, numbers):
    """How the open handles of a process differ from `numbers`, as lines."""
    process, listed, others = report.process(pid), report.listed(pid), report.others(pid)
    found = []
    for number in sorted(set(listed) - numbers):
        found.append(f"pid {pid}: handle {number} is reported open, but is not; opened by\n" +
                     show_stack(listed[number][0]["stack"]))
    if others is not None:
        known = set(listed) | set(others)
        found += [f"pid {pid}: handle {n} is reported open, but is not" for n in sorted(set(others) - numbers)]
        found += [f"pid {pid}: handle {n} is open, but not reported" for n in sorted(numbers - known)]
    if process["open_handles"] != len(numbers):
        found.append(f"pid {pid}: open_handles is {process['open_handles']}, {len(numbers)} are open "
                     f"(in no group: {sorted(numbers - set(listed))}; before tracing: "
                     f"{process.get('before_tracing')}, inherited: {process.get('inherited')})")
    return found


def differences_of_functions(report, pid, table, modules, functions=None, own=None):
    """How the opening functions and types differ from the truth. `own` names the functions whose handles
    must be in a group; None: all. Others may be inherited."""
    listed = report.listed(pid)
    found = []
    for number, (function, kind) in sorted(table.items()):
        if function == "":
            continue
        if number not in listed:
            if own is None or function in own:
                found.append(f"pid {pid}: handle {number}, opened by {function}, is in no group")
            continue
        group, handle = listed[number]
        if not is_opened_by(group["stack"], function, modules, functions):
            found.append(f"pid {pid}: handle {number} was opened by {function}, reported is"
                         f" ({handle.get('origin')})\n" + show_stack(group["stack"]))
        shown = handle.get("type") or group.get("type")
        if kind != "any" and shown not in TYPE_ALIASES.get(kind, {kind}):
            found.append(f"pid {pid}: handle {number} ({function}) is a {kind}, reported is {shown}")
    return found


def differences_of_bad(report, truth, modules):
    found = []
    for pid in truth.open:
        left = list(report.process(pid).get("bad_references", [])) if pid in report.processes else []
        for wanted in (entry for entry in truth.bad if entry["pid"] == pid):
            match = None
            for entry in left:
                if (entry["handle"], entry["operation"], entry["kind"]) == \
                        (wanted["handle"], wanted["operation"], wanted["kind"]):
                    match = entry
            if match is None:
                found.append(f"pid {pid}: no {wanted['kind']} of {wanted['handle']} by {wanted['operation']}")
                continue
            left.remove(match)
            for key, stack in (("now", "stack"), ("closed", "closed_stack"), ("opened", "opened_stack")):
                if wanted[key] and not is_opened_by(match[stack] or [], wanted[key], modules):
                    found.append(f"{wanted['kind']} of {wanted['handle']}: {stack} should be by "
                                 f"{wanted[key]}, is\n" + show_stack(match[stack]))
                if not wanted[key] and match[stack]:
                    found.append(f"{wanted['kind']} of {wanted['handle']}: {stack} is made up:\n" +
                                 show_stack(match[stack]))
        found += [f"pid {pid}: an invented bad reference: {entry['kind']} of {entry['handle']} by "
                  f"{entry['operation']}\n" + show_stack(entry["stack"]) for entry in left]
    return found


def compare(report, truth, modules, inherited=(0, 1, 2), functions=None, own=()):
    """Fails with every difference between a report and the truth. The handles of the process that was
    traced from its start (whose truth came last, or that says so) must all be in groups; those of its
    children may be inherited, but what the functions `own` opened."""
    check(truth.open, "the workload printed no truth")
    base = truth.base or {truth.order[-1]}
    found = []
    for pid, table in truth.open.items():
        if pid not in report.processes:
            found.append(f"process {pid} is not in the report, which has {sorted(report.processes)}")
            continue
        found += differences_of_set(report, pid, set(table) | set(inherited))
        found += differences_of_functions(report, pid, table, modules, functions,
                                          None if pid in base else own)
    found += differences_of_bad(report, truth, modules)
    if report.lost():
        found.insert(0, f"{report.lost()} lost events")
    check(not found, lambda: f"{len(found)} differences from the truth:\n    " + "\n    ".join(found[:20]))


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
        self.as_nobody = collector == "ptrace" and os.geteuid() == 0
        self.folder = tempfile.mkdtemp(prefix="htrace-case-")
        os.chmod(self.folder, 0o755)
        self.bin = os.path.join(self.folder, "bin")
        os.mkdir(self.bin, 0o755)
        self.work = self.new_folder("work")
        self.started = []
        self.serial = 0

    @property
    def htrace(self):
        return self.program(os.environ.get("HTRACE", os.path.join(ROOT, "build", "htrace")))

    def new_folder(self, name):
        path = os.path.join(self.folder, name)
        os.mkdir(path, 0o755)
        if self.as_nobody:
            os.chown(path, NOBODY, NOBODY)
        return path

    def program(self, path):
        """A copy that the user may run."""
        if not os.path.exists(path):
            raise Failed(f"{path} does not exist: it was not built")
        copy = os.path.join(self.bin, os.path.basename(path))
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

    def attach(self, pid, options=(), env=None):
        """htrace attach, as soon as it traces."""
        report, errors = self.path(".json"), self.path(".err")
        with open(errors, "w") as err:
            process = self.start(self.command("attach", ["-p", str(pid)] + list(options), report), env,
                                 stdout=err, stderr=err)
        attached = Attached(self, process, report, errors)
        wait_for(f"htrace to attach to {pid}", lambda: self.is_attached(attached, pid))
        time.sleep(0.3)
        return attached

    def is_attached(self, attached, pid):
        """Under ptrace every thread has a tracer; under bpf a link of a program is open."""
        check(attached.process.poll() is None,
              lambda: f"htrace ended with {attached.process.returncode}:\n{self.read(attached.errors_path)}")
        if self.collector == "ptrace":
            tasks = os.listdir(f"/proc/{pid}/task")
            return all(proc_status(f"{pid}/task/{task}", "TracerPid") == str(attached.process.pid)
                       for task in tasks)
        links = [link for link in proc_fds(attached.process.pid).values()
                 if re.search("bpf.?link|raw-tracepoint|perf_event", link)]
        seen = getattr(attached, "links", 0)
        attached.links = len(links)
        return links and seen == len(links)  # no more of them since the last look

    def close(self):
        for process in self.started:
            self.end(process)
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


def run_case(name, function, collector):
    """Returns "passed", "failed" or "skipped"."""
    start = time.monotonic()
    lab = None
    try:
        lab = Lab(collector)
        if collector:
            check(os.access(lab.htrace, os.X_OK), "htrace cannot be executed")
        function(lab)
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
        if key == "--collector" and value in ("bpf", "ptrace"):
            collector = value
        elif key == "--only":
            only = value
        else:
            sys.exit(f"unknown argument {argument}")
    why = availability(collector)
    if why is not None:
        print(f"skipped: {why}")
        sys.exit(SKIPPED_STATUS)
    outcomes = [run_case(name[5:], function, collector) for name, function in list(names.items())
                if name.startswith("test_") and (only is None or only in name)]
    print(", ".join(f"{outcomes.count(what)} {what}" for what in ("passed", "failed", "skipped")))
    if "failed" in outcomes or not outcomes:
        sys.exit(1)
    sys.exit(0 if "passed" in outcomes else SKIPPED_STATUS)


# --- is the truth true? -----------------------------------------------------------------------

SELFCHECKS = [
    ["workload_fd_calls", "open"], ["workload_fd_calls", "close"], ["workload_libc_calls"],
    ["workload_stacks"], ["workload_stacks_nofp"], ["workload_stacks_static"],
    ["workload_stacks_static_pie"], ["workload_stacks_musl"], ["workload_bad_references"],
    ["workload_cpp_frames"], ["workload_chaos", "1", "20000", "8", "1"], ["workload_busy", "2", "0.3"],
] + [["workload_fd_tables", name] for name in (
    "dup2-free", "dup2-open", "dup2-equal", "dup3-free", "dup3-open", "dup3-equal", "close", "close-range",
    "close-range-unshare", "close-range-cloexec", "exec", "fioclex", "clone-files", "fork", "unshare-files",
    "thread", "thread-own-table", "threads-own-table", "io-uring")]


def selfcheck_one(folder, arguments, work):
    path = os.path.join(folder, arguments[0])
    if not os.path.exists(path):
        return "skipped: not built here"
    process = subprocess.Popen([path] + arguments[1:], cwd=work, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=dict(os.environ, WORKLOAD_WAIT="1"))
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith('{"truth":"waiting"'):
            break
    truth = Truth("".join(lines)).open.get(process.pid, {})
    found = set(proc_fds(process.pid)) - {0, 1, 2}
    process.stdin.close()
    process.stdout.close()
    status = process.wait(60)
    if status != 0:
        return f"failed: status {status}"
    if found != set(truth):
        return f"failed: only in the truth {sorted(set(truth) - found)}, only in /proc {sorted(found - set(truth))}"
    return "passed"


def selfcheck():
    """Every workload untraced: its truth is /proc/PID/fd."""
    folder = os.environ.get("WORKLOADS", os.path.join(ROOT, "build", "tests", "workloads"))
    outcomes = []
    for arguments in SELFCHECKS:
        with tempfile.TemporaryDirectory() as work:
            outcome = selfcheck_one(folder, arguments, work)
        outcomes.append(outcome)
        print(f"{outcome.split(':')[0]}: {' '.join(arguments)} {outcome.partition(': ')[2]}")
    sys.exit(1 if any(outcome.startswith("failed") for outcome in outcomes) else 0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--selfcheck"]:
        selfcheck()
    sys.exit("usage: harness.py --selfcheck")
