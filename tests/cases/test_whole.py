"""One session over all processes of the machine, or of one cgroup: the open handles of those that come and go are
those of /proc, each opened by the function that opened it. bpf only. Processes that end while they are compared are
told apart from differences."""
import json
import os
import random
import select
import shutil
import signal
import subprocess
import time

import harness
from harness import Report, Skipped, check

SAMPLE = 50
FUNCTIONS = {"eventfd": {"crowd_event"}, "file": {"crowd_file", "crowd_copy"}, "device": {"crowd_file", "crowd_copy"},
             "unix": {"crowd_socket", "crowd_copy"}, "pipe": {"crowd_pipe", "crowd_copy"}}


class Session:
    """whole_session at work."""

    def __init__(self, lab, cgroup="", ring="", collector=""):
        self.lab = lab
        program = lab.program(os.environ.get("WHOLE_SESSION", os.path.join(harness.ROOT, "build/tests/cases/whole_session")))
        self.errors = open(lab.path(".err"), "w+")
        self.process = lab.start([program, collector, cgroup] + ([str(ring)] if ring else []), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=self.errors, bufsize=0)
        self.pending = b""
        self.writers = set()  # its children, which write reports
        self.begun = self.answer(30)
        print(f"  {self.begun}")

    def answer(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.pending:
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
            check(ready, f"whole_session said nothing for {seconds} s")
            piece = os.read(self.process.stdout.fileno(), 65536)
            check(piece, lambda: f"whole_session ended: {self.lab.read(self.errors.name)}")
            self.pending += piece
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def ask(self, line, seconds=60):
        self.process.stdin.write(line.encode() + b"\n")
        return self.answer(seconds)

    def figures(self):
        return json.loads(self.ask("figures"))

    def report(self):
        path = self.lab.path(".json")
        said = self.ask(f"report {path}")
        self.writers.add(int(said.rsplit(" by ", 1)[1].split(":")[0]))
        print("  " + said)
        return Report(self.lab.read(path))

    def processes(self):
        """The list of processes by what they left open, by pid and in order."""
        path = self.lab.path(".json")
        self.ask(f"processes {path}")
        listed = json.loads(self.lab.read(path))
        check(listed["schema"] == "htrace.processes/1", listed["schema"])
        keys = [(row["exited"], -row["left"], -row["leaks"], row["pid"]) for row in listed["processes"]]
        check(keys == sorted(keys), "the list of processes is not sorted")
        return {row["pid"]: row for row in listed["processes"]}

    def quit(self):
        self.process.stdin.write(b"quit\n")
        status = self.lab.wait(self.process, 30)
        check(status == 0, lambda: f"whole_session: status {status}: {self.lab.read(self.errors.name)}")


def crowd_start(lab, seconds, processes=300, pause_ms=150, **options):
    seed = random.SystemRandom().randrange(1, 1 << 31)
    print(f"  crowd {seed} {seconds} {processes} {pause_ms}")
    return lab.start([lab.workload("workload_crowd"), str(seed), str(seconds), str(processes), str(pause_ms)],
                     stdout=subprocess.DEVNULL, start_new_session=True, **options)


def members(crowd):
    """All descendants of the first process that live now."""
    found, ahead = [], [crowd.pid]
    while ahead:
        children = harness.proc_children(ahead.pop())
        found += children
        ahead += children
    return found


def is_stopped(pid):
    """None: it has ended."""
    state = harness.proc_status(pid, "State")
    return None if state is None or state[0] in "ZX" else state[0] == "T"


def hold(pids):
    """Stops processes; those that stand still."""
    held = []
    for pid in pids:
        try:
            os.kill(pid, signal.SIGSTOP)
            held.append(pid)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 10
    while any(is_stopped(pid) is False for pid in held) and time.monotonic() < end:
        time.sleep(0.01)
    return [pid for pid in held if is_stopped(pid)]


def let_go(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def wrong_openers(report, pid):
    """Handles that the process opened itself, whose stack names a function that opens something else."""
    found, seen = [], 0
    for number, (group, handle) in report.listed(pid).items():
        if handle["origin"] != "opened" or handle["pid"] != pid:
            continue
        names = {harness.bare(frame.get("function")) for frame in group["stack"]}
        if not names & {"live", "main", "__libc_start_main"}:
            continue  # opened by the dynamic linker, which has a _start too, before main()
        seen += 1
        if not names & FUNCTIONS.get(handle["type"], set()):
            found.append(f"pid {pid}: handle {number}, a {handle['type']}, opened by\n"
                         + harness.show_stack(group["stack"]))
    return found, seen


def compare_sample(session, crowd, wanted=SAMPLE, stacks=True):
    """The open sets of a sample against /proc, while it stands still. Returns the report and its differences."""
    living = members(crowd)
    check(len(living) >= wanted // 2, lambda: f"only {len(living)} members of the crowd live")
    sample = random.sample(living, min(wanted, len(living)))
    held = hold(sample)
    found, openers, handles, compared = [], 0, 0, 0
    try:
        report = session.report()
        for pid in held:
            try:
                numbers = set(harness.proc_fds(pid))
            except OSError:
                continue
            if not is_stopped(pid):  # killed from outside
                continue
            if pid not in report.processes:
                found.append(f"process {pid} is not in the report")
                continue
            compared += 1
            handles += len(numbers)
            found += harness.differences_of_set(report, pid, numbers)
            if stacks:
                wrong, seen = wrong_openers(report, pid)
                found, openers = found + wrong, openers + seen
    finally:
        let_go(held)
    if not report.lost():
        # What events told was the truth already: comparing had nothing to mend.
        found += [f"pid {process['pid']}: {process['reconciled']} handles were mended without a loss (exited "
                  f"{process['exited']}, events {process['events']}, parent {process['parent']})"
                  for process in report.json["processes"]
                  if process["reconciled"] and (process["exe"] or "").endswith("workload_crowd")]
    print(f"  {len(living)} live, {len(sample)} sampled, {len(sample) - len(held)} ended meanwhile, {compared} compared: "
          f"{handles} handles, {openers} with their function, {len(found)} differences")
    check(compared >= min(wanted, len(living)) // 3, "most of the sample had ended: nothing was compared")
    return report, found


def tell(figures):
    print("  " + ", ".join(f"{key} {value}" for key, value in figures.items()))


def expect_none(found):
    check(not found, lambda: f"{len(found)} differences:\n    " + "\n    ".join(found[:10]))


def crowd_end(lab, crowd):
    os.killpg(crowd.pid, signal.SIGKILL)
    lab.wait(crowd, 20)


def test_machine(lab):
    """300 processes that come and go; half of the time they are there before the session."""
    crowd = crowd_start(lab, 40)
    time.sleep(1.5)
    session = Session(lab)
    for _ in range(3):
        time.sleep(2)
        _, found = compare_sample(session, crowd)
        expect_none(found)
    figures = session.figures()
    tell(figures)
    check(figures["living"] > 250, "the crowd is not in the session")
    check(figures["forgotten"] > 0, "nobody was forgotten")
    crowd_end(lab, crowd)
    time.sleep(0.5)
    report = session.report()
    left = session.figures()
    check(left["living"] < figures["living"] - 200, lambda: f"the dead live on: {left}")
    check(not (session.writers | {session.process.pid}) & set(report.processes), "the session traces itself")
    session.quit()


def test_storm(lab):
    """The session begins in the middle of processes that fork, execute and end without rest."""
    crowd = crowd_start(lab, 90, processes=16, pause_ms=3)
    time.sleep(0.5)
    session = Session(lab)
    _, found = compare_sample(session, crowd, 16, stacks=False)
    expect_none(found)
    time.sleep(2)
    _, found = compare_sample(session, crowd, 16)
    expect_none(found)
    figures = session.figures()
    tell(figures)
    crowd_end(lab, crowd)
    session.quit()


def test_losses(lab):
    """A ring of 64 KiB and a consumer that looks away: what is lost is counted, and the tables are mended."""
    crowd = crowd_start(lab, 90, processes=100, pause_ms=20)
    time.sleep(0.5)
    session = Session(lab, ring=64 * 1024)
    for _ in range(3):
        session.ask("stop 700")
        time.sleep(0.5)
    figures = session.figures()
    tell(figures)
    check(figures["lost"] > 0, "nothing was lost: the case shows nothing")
    report, found = compare_sample(session, crowd, stacks=False)
    expect_none(found)
    check(report.json["lost_events"] >= figures["lost"], "the report does not tell the losses")
    check(session.figures()["reconciled"] > 0, "nothing was mended")
    crowd_end(lab, crowd)
    time.sleep(0.5)
    session.report()
    left = session.figures()
    tell(left)
    check(left["living"] < figures["living"] - 80, "processes whose end was lost live on")
    session.quit()


def cgroup_mount():
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    raise Skipped("no cgroups of version 2 are mounted here")


class Cgroup:
    def __init__(self, name):
        self.path = os.path.join(cgroup_mount(), name)
        try:
            os.mkdir(self.path)
        except OSError as why:
            raise Skipped(f"no cgroup can be made here: {why}") from None

    def enter(self):
        with open(os.path.join(self.path, "cgroup.procs"), "w") as procs:
            procs.write("0")

    def move(self, pid):
        with open(os.path.join(self.path, "cgroup.procs"), "w") as procs:
            procs.write(str(pid))

    def close(self):
        # After a failure its processes live on: those in it are ours.
        with open(os.path.join(self.path, "cgroup.procs")) as procs:
            for pid in procs.read().split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for _ in range(50):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


def test_cgroup(lab):
    """Only what is in the cgroup, comes into it, or is forked there."""
    cgroup = Cgroup(f"htrace-case-{os.getpid()}")
    try:
        inside = crowd_start(lab, 90, processes=40, preexec_fn=cgroup.enter)
        outside = crowd_start(lab, 90, processes=20)
        later = lab.start([lab.workload("leakyhandles"), "1000", "50"], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        session = Session(lab, cgroup=cgroup.path)
        cgroup.move(later.pid)
        time.sleep(2)
        report, found = compare_sample(session, inside, 30)
        expect_none(found)
        check(later.pid in report.processes, "a process that was moved into the cgroup is not traced")
        check(any("fun4" in str(group["stack"]) for group in report.process(later.pid)["groups"]),
              "what it leaks has no stack")
        row = session.processes()[later.pid]
        check(row["left"] > 10 and row["leaks"] == 1 and row["worst"]["place"]["function"] == "fun4", str(row))
        strangers = set(report.processes) & set(members(outside) + [outside.pid, os.getpid(), 1])
        check(not strangers, f"outside of the cgroup: {strangers}")
        tell(session.figures())
        lab.end(later)
        crowd_end(lab, inside)
        crowd_end(lab, outside)
        session.quit()
    finally:
        cgroup.close()


def test_not_a_cgroup(lab):
    for path, words in ("/proc", "is not a cgroup of version 2"), ("/no/such/cgroup", "there is no cgroup"):
        program = os.environ.get("WHOLE_SESSION", os.path.join(harness.ROOT, "build/tests/cases/whole_session"))
        result = lab.call([lab.program(program), "", path])
        check(result.status == 125 and words in result.errors, f"{path}: {result.status} {result.errors}")


def test_other_collectors(lab):
    program = os.environ.get("WHOLE_SESSION", os.path.join(harness.ROOT, "build/tests/cases/whole_session"))
    for collector in "agent", "ptrace":
        result = lab.call([lab.program(program), collector])
        check(result.status == 125 and "--collector=bpf" in result.errors, f"{collector}: {result.errors}")


def test_container(lab):
    """A program with a pid namespace, mounts and a root folder of its own: pids are the machine's, its files are
    found below its root."""
    if not shutil.which("unshare") or not shutil.which("chroot"):
        raise Skipped("unshare and chroot are missing")
    root = lab.new_folder("root")
    program = lab.workload("leakyhandles")
    shutil.copy(program, os.path.join(root, "hidden-name"))
    libraries = [word for word in subprocess.check_output(["ldd", program], text=True).split() if word[0] == "/"]
    for library in libraries:
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(library, root + library)
    before = lab.start(["unshare", "--pid", "--mount", "--fork", "chroot", root, "/hidden-name", "1000", "50"],
                       stdout=subprocess.DEVNULL)
    child = lambda start: next(iter(members(start)), None)
    harness.wait_for("the container", lambda: child(before))
    session = Session(lab)
    after = lab.start(["unshare", "--pid", "--mount", "--fork", "chroot", root, "/hidden-name", "1000", "50"],
                      stdout=subprocess.DEVNULL)
    time.sleep(2)
    report = session.report()
    for start in before, after:
        pid = child(start)
        process = report.process(pid)
        # What the kernel resolved is a path inside of the root; /proc shows it from outside.
        check(process["exe"].endswith("/hidden-name"), f"exe is {process['exe']}")
        groups = [group for group in process["groups"] if group["type"] == "eventfd"]
        check(groups and groups[0]["open"] > 5, f"pid {pid}: no leak seen")
        frames = {harness.bare(frame["function"]): frame for frame in groups[0]["stack"]}
        check("fun4" in frames and frames["fun4"]["file"], lambda: harness.show_stack(groups[0]["stack"]))
        check("fun3" not in frames, "fun3 closes what it opens")
        check(groups[0]["stack_complete"], lambda: harness.show_stack(groups[0]["stack"]))
        os.kill(pid, signal.SIGKILL)
    session.quit()


def test_foreign(lab):
    """32-bit programs are counted: one that was there, one that came."""
    tiny = lab.workload("workload_tiny32", "no 32-bit assembler here")
    before = lab.start([tiny], stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    there = before.poll() is None
    session = Session(lab)
    after = lab.start([tiny], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    figures = session.figures()
    check(figures["foreign"] == 1 + there, lambda: f"{figures} (the first one lived: {there})")
    for process in before, after:
        lab.end(process)
    session.quit()


if __name__ == "__main__":
    harness.main(globals(), collector="bpf")
