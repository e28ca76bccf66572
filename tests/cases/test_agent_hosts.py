"""Programs that are hard to live in: the agent changes their text and runs on their threads, and they must not notice.
HOSTS_ROUNDS (100) is how often one of them is attached to, HOSTS_PAUSE_US (100) what some rest between two rounds;
a test with chance prints its seed."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import harness
from harness import check

ROUNDS = int(os.environ.get("HOSTS_ROUNDS", "100"))
SEED = int(os.environ.get("HOSTS_SEED", str(random.randrange(1 << 30))))
PAUSE_US = os.environ.get("HOSTS_PAUSE_US", "100")
KILLS = 20

# How long a ring lasts while htrace has to wait for a CPU is not what is tried here.
ROOMY = {"HTRACE_RING_BYTES": str(256 << 20)}


def scenario(program, name, **comparison):
    """A workload that checks itself: it ends well only if nothing of it was disturbed."""
    def run(lab):
        why = "no C++ compiler here" if program.endswith("_exceptions") else None
        lab.run_truth([lab.workload(program, why), name], seconds=90, env={"WORKLOAD_PAUSE_US": PAUSE_US} | ROOMY,
                      **comparison)
    globals()["test_" + f"{program[14:]}_{name}".replace("-", "_")] = run


for scenario_name in ("vfork", "vfork-exec", "exec-empty", "environment-overwritten",
                      "environment-cleared", "sandbox"):
    scenario("workload_host_processes", scenario_name)
scenario("workload_host_processes", "close-all", bad=False)
scenario("workload_host_processes", "children", own={"open_after"})
for scenario_name in ("cancel", "threads", "tiny-stacks", "reused-stacks", "coroutines", "signals",
                      "signals-on-alternate-stack"):
    scenario("workload_host_threads", scenario_name)
for scenario_name in ("callbacks", "handlers", "cancel"):
    scenario("workload_host_exceptions", scenario_name)


def test_not_dumpable(lab):
    """/proc/PID belongs to root from then on: what was recorded is told."""
    if lab.collector == "ptrace":
        raise harness.Skipped("the kernel lets nobody else read its stack")
    lab.run_truth([lab.workload("workload_host_processes"), "not-dumpable"])


# --- what the program sees of its environment ---------------------------------------------------

def test_environment_is_its_own(lab):
    env = "/usr/bin/env"
    lab.same([env])
    lab.same([env, "-i", env])
    lab.same([env, "-i", "/bin/sh", "-c", f"{env}; A=1 {env}; exec {env} -i B=2 {env}"])
    lab.same([env, "--", "/bin/sh", "-c", f"{env} | sort; {env} -u PATH {env}"],
             env={"LD_PRELOAD": "libm.so.6",  # also for htrace, which may have a sanitizer
                  "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})
    lab.same([env], env={"LD_PRELOAD": ""})
    python = "/usr/bin/python3"
    if os.path.exists(python):
        lab.same([python, "-c", "import os, subprocess; print(dict(os.environ)); os.environ.clear();"
                  f"subprocess.run(['{env}'], env={{}}); os.execve('{env}', ['{env}'], {{'A': '1'}})"])


def test_empty_environment_is_traced(lab):
    """From the start, and at every exec on the way."""
    program = lab.workload("workload_host_processes")
    lab.run_truth(["/usr/bin/env", "-i", "/bin/sh", "-c", f"exec /usr/bin/env -i {program} vfork"],
                  modules=["workload_host_processes"])


def test_set_user_id(lab):
    """The loader takes no agent into such a program: it is refused as the first one, and works as ever as a child."""
    program = shutil.which("su", path=lab.environment()["PATH"])
    if not program or not os.stat(program).st_mode & 0o4000:
        raise harness.Skipped("no su with the set-user-ID bit here")
    if lab.collector == "agent":
        refused = lab.call(lab.command("run") + ["--", program, "--version"])
        check(refused.status == 125 and "set-user-ID" in refused.errors, f"{refused.status}: {refused.errors}")
    plain, _ = lab.same(["/bin/sh", "-c", f"{program} --version; echo $?"])
    check(plain.output.startswith("su ") and plain.output.endswith("\n0\n"), plain.output)


def run_sanitized(lab, name):
    program = lab.workload(f"workload_sanitized_{name}", "the compiler has no such sanitizer")
    # The search for leaks traces the program itself.
    lab.run_truth([program, "100"], env={"ASAN_OPTIONS": "detect_leaks=0"} if lab.collector == "ptrace" else None)


def test_sanitizers(lab):
    """They keep much of the address space for themselves."""
    for name in ("address", "thread"):
        run_sanitized(lab, name)


def test_shared_address_sanitizer(lab):
    """Its library ends a program where another one was loaded before: the agent does not go there."""
    run_sanitized(lab, "address_shared")


def test_shared_address_sanitizer_as_child(lab):
    program = lab.workload("workload_sanitized_address_shared", "the compiler has no such sanitizer")
    child = lab.call(lab.command("run") + ["--", "/bin/sh", "-c", f"{program} 100 >&2; exit 3"])
    check(child.status == 3 and '"truth"' in child.errors, f"{child.status}: {child.errors}")


def test_preloaded_address_sanitizer(lab):
    """It has to be the first there, too."""
    library = next((line.split()[2] for line in lab.call(["/usr/bin/ldd", lab.workload(
        "workload_sanitized_address_shared", "the compiler has no such sanitizer")]).output.splitlines()
        if "libasan" in line), None)
    check(library, "ldd does not name libasan")
    preload = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"}
    if lab.collector == "agent":
        refused = lab.call(lab.command("run") + ["--", "/bin/echo", "1"], env=preload)
        check(refused.status == 125 and "LD_PRELOAD" in refused.errors, f"{refused.status}: {refused.errors}")
    lab.same(["/bin/sh", "-c", f"LD_PRELOAD={library} ASAN_OPTIONS=detect_leaks=0 /bin/echo 1; echo $?"])


def test_pid_namespace(lab):
    """Numbers of processes mean something else there: htrace takes nobody for another, and ends when its program does."""
    inside = ["/usr/bin/unshare", "-Urpf", "/bin/sh", "-c", "/bin/echo $$; (/bin/echo 2); exit 3"]
    if lab.call(inside).status != 3:
        raise harness.Skipped("no namespaces for users here")
    plain, result = lab.same(["/bin/sh", "-c", " ".join(inside[:-1]) + f" '{inside[-1]}'; /bin/echo $?; exit 4"], seconds=20)
    check(plain.output == "1\n2\n3\n" and plain.status == 4, f"the test itself: {plain.status} {plain.output!r}")
    check(lab.collector != "agent" or 1 not in result.report.processes, "process 1 of there was taken for ours")
    check(lab.collector != "agent" or result.report.json["unseen_processes"] == 1, "it is not told that it is not traced")


def test_core_dump(lab):
    """What is shared with htrace is not in it: that would be gigabytes, made for the purpose."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as pattern:
        if pattern.read().strip() != "core":
            raise harness.Skipped("core dumps go elsewhere here (core_pattern)")
    folder = lab.path(".cores")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    result = lab.call(lab.command("run") + ["--", "/bin/sh", "-c", f"cd {folder} && ulimit -c unlimited && kill -SEGV $$"])
    check(result.status == -signal.SIGSEGV, f"{result.status}: {result.errors}")
    cores = [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)]
    shutil.rmtree(folder)
    check(len(cores) == 1 and cores[0] < 64 << 20, f"core dumps of {cores} bytes")


def test_little_address_space(lab):
    """No room for shared memory: the agent is quiet, and the program runs."""
    for kilobytes in (6000, 12000, 30000, 100000):
        plain, _ = lab.same(["/bin/sh", "-c", f"ulimit -v {kilobytes}; ls / | head -3; /bin/echo $?; exit 4"])
        check(plain.status == 4 and "0" in plain.output, f"the test itself: {plain.status} {plain.output!r}")


def test_foreign_programs(lab):
    """No libc of glibc's in them: they run as ever, and the report does not pretend."""
    for name in ("workload_stacks_musl", "workload_go_leak", "workload_stacks_static", "workload_stacks_static_pie"):
        try:
            program = lab.workload(name, "not built here")
        except harness.Skipped as why:
            print(f"  {name}: {why}")
            continue
        plain = lab.call([program])
        result = lab.call(lab.command("run") + ["--", "/bin/sh", "-c", f"{program}; exit 3"])
        lines = [sorted(line for line in one.output.splitlines() if '"truth"' not in line) for one in (plain, result)]
        check(plain.status == 0 and result.status == 3, lambda: f"{name}: {result.status}: {result.errors[-2000:]}")
        check(lines[0] == lines[1], f"{name}: the output differs: {lines}")


# --- coming and going ---------------------------------------------------------------------------

class Malloc:
    """The program in which somebody always holds the allocator's lock."""

    def __init__(self, lab):
        self.lab, self.out = lab, lab.path(".out")
        with open(self.out, "w") as output:
            self.process = lab.start([lab.workload("workload_host_malloc")], stdin=subprocess.PIPE, stdout=output,
                                     stderr=output)
        harness.wait_for("the program to work", lambda: "working" in lab.read(self.out))
        self.pid = self.process.pid

    def rounds(self):
        """How far it is now; that it answers shows that it does not hang."""
        before = self.lab.read(self.out).count("\n")
        self.process.stdin.write(b"x")
        self.process.stdin.flush()
        harness.wait_for("the program to answer", lambda: self.process.poll() is not None or
                         self.lab.read(self.out).count("\n") > before, 10)
        check(self.process.poll() is None, lambda: f"it ended with {self.process.returncode}\n{self.lab.read(self.out)}")
        return int(self.lab.read(self.out).splitlines()[-1].rsplit(":", 1)[1].rstrip("}"))

    def check_works(self):
        """Both threads do: one alone would wait for a lock that the other has."""
        before = self.rounds()
        harness.wait_for("the program to go on", lambda: self.rounds() > before + 1000, 10)
        states = [harness.proc_status(f"{self.pid}/task/{task}", "State")[0]
                  for task in os.listdir(f"/proc/{self.pid}/task")]
        check(not set(states) & set("TtZ"), f"states {states}")

    def end(self):
        self.process.stdin.close()
        check(self.lab.wait(self.process) == 0, lambda: f"status {self.process.returncode}\n{self.lab.read(self.out)}")


def mappings(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return maps.read().splitlines()


def changed_text(pid):
    """Where the executable memory of a file is not the file: [(file, offset)]."""
    changed = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in mappings(pid):
            fields = line.split()
            if len(fields) < 6 or "x" not in fields[1] or not fields[5].startswith("/"):
                continue
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            offset = int(fields[2], 16)
            memory.seek(begin)
            have = memory.read(end - begin)
            with open(fields[5], "rb") as file:
                file.seek(offset)
                want = file.read(end - begin)
            if have[:len(want)] != want:
                first = next(i for i in range(len(want)) if have[i] != want[i])
                changed.append((fields[5], hex(offset + first)))
    return changed


def test_attached_again_and_again(lab):
    """No crash, no hang, its memory intact; nothing piles up, and its text is the file's in the end."""
    target, counts = Malloc(lab), []
    for number in range(ROUNDS):
        attached = lab.attach(target.pid, settle=0.02)
        target.rounds()
        if number == 0 and lab.collector == "agent":
            check(changed_text(target.pid), "no text was changed: this shows nothing")
        result = attached.finish(20)
        check(result.status == 0, lambda: f"round {number}: status {result.status}: {result.errors[-1000:]}")
        check(result.report.process(target.pid)["events"] > 0 or number, "no event was seen")
        counts.append(len(mappings(target.pid)))
        if number % 10 == 0:
            target.check_works()
    target.check_works()
    check(not changed_text(target.pid), lambda: f"its text is not the file's: {changed_text(target.pid)}")
    settled = ROUNDS // 10
    check(max(counts[settled:]) <= counts[settled] + 2, f"mappings pile up: {counts}")
    target.end()


def test_killed_while_attached(lab):
    """SIGKILL at any moment, while it comes and while it is there; the next htrace has nothing to fear."""
    chance = random.Random(SEED)
    print(f"  HOSTS_SEED={SEED}")
    target = Malloc(lab)
    for _ in range(KILLS):
        process = lab.start(lab.command("attach", ["-p", str(target.pid)]), stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        time.sleep(chance.choice((0.03, 0.3)) * chance.random())
        process.send_signal(signal.SIGKILL)
        lab.wait(process, 10)
        target.check_works()
    result = lab.attach(target.pid).finish()
    check(result.report.process(target.pid)["events"] > 0, "no event was seen afterwards")
    target.end()


SCRIPT = 'i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo $i; /bin/true; done; {program} threads >threads; echo $?; exit 5'


def test_killed_while_it_runs_a_program(lab):
    """What it started ends as it would have: the same output, the same status."""
    if lab.collector == "ptrace":
        raise harness.Skipped("a seccomp filter cannot outlive its tracer (documented)")
    chance = random.Random(SEED)
    print(f"  HOSTS_SEED={SEED}")
    script = SCRIPT.format(program=lab.workload("workload_host_threads"))
    wanted = "".join(f"{i}\n" for i in range(1, 121)) + "0\nstatus 5\n"
    for number in range(KILLS // 2):
        out = lab.path(".out")
        with open(out, "w") as output:
            process = lab.start(lab.command("run") + ["--", "/bin/sh", "-c", f"({script}); echo status $?"],
                                stdout=output, stderr=subprocess.DEVNULL)
        time.sleep(chance.random() * 0.6)
        process.send_signal(signal.SIGKILL)
        lab.wait(process, 10)
        if not lab.read(out):
            continue  # nothing was started yet
        harness.wait_for("the program to end", lambda: "status" in lab.read(out), 30)
        check(lab.read(out) == wanted, lambda: f"kill {number}: {lab.read(out)[-300:]!r}")


def test_full_ring(lab):
    """The smallest ring that is allowed: losses are told, and the open handles are the true ones."""
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start([lab.workload("workload_busy"), "4", "3", "0"], stdin=subprocess.PIPE, stdout=output,
                           env={"WORKLOAD_WAIT": "1"})
    harness.wait_for("the workload to work", lambda: "progress" in lab.read(out))
    attached = lab.attach(target.pid, env={"HTRACE_RING_BYTES": "4096"})
    harness.wait_for("the workload to be quiet", lambda: "waiting" in lab.read(out))
    result = attached.finish()
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-2000:]}")
    report = result.report
    check(report.lost() > 0 or lab.collector != "bpf", "a ring of 4 KiB did not overflow")  # the agent waits a little
    found = harness.differences_of_set(report, target.pid, {0, 1, 2})
    check(not found, lambda: f"{report.lost()} lost events; " + "\n".join(found))
    target.stdin.close()
    check(lab.wait(target) == 0, f"status {target.returncode}")


LIBRARIES = """
import ctypes, os, sys
libraries = [ctypes.CDLL(os.path.join(sys.argv[1], name)) for name in os.listdir(sys.argv[1])]
print("loaded", len(libraries), flush=True)
while sys.stdin.read(1):
    kept = os.open("/dev/null", os.O_RDONLY), os.close(os.dup(0))
    print("opened", flush=True)
"""


def test_many_libraries(lab):
    """The list of mappings is many times longer than what the agent holds of it, and its lines are long."""
    plugin, count = lab.workload("workload_plugin.so"), 150
    folder = os.path.join(lab.work, "x" * 200, "y" * 200)
    os.makedirs(folder)
    os.chmod(os.path.dirname(folder), 0o755)
    for number in range(count):
        shutil.copy(plugin, os.path.join(folder, f"{number}.so"))
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start(["/usr/bin/python3", "-c", LIBRARIES, folder], stdin=subprocess.PIPE, stdout=output,
                           stderr=output)
    harness.wait_for("the libraries", lambda: f"loaded {count}" in lab.read(out))
    for number in range(1, 4):
        attached = lab.attach(target.pid)
        target.stdin.write(b"x")
        target.stdin.flush()
        harness.wait_for("the program to answer", lambda: lab.read(out).count("opened") == number or
                         target.poll() is not None)
        check(target.poll() is None, lambda: f"it ended with {target.returncode}: {lab.read(out)[-1000:]}")
        result = attached.finish()
        check(result.status == 0, lambda: f"status {result.status}: {result.errors[-1000:]}")
        check(result.report.process(target.pid)["events"] > 0, "no event was seen")
        harness.compare_with_proc(result.report, target.pid)
    target.stdin.close()
    check(lab.wait(target) == 0, lambda: f"status {target.returncode}: {lab.read(out)[-1000:]}")


class Busy:
    """Four threads that open and close without a pause, and say how often they did."""

    def __init__(self, lab):
        self.lab, self.out = lab, lab.path(".out")
        with open(self.out, "w") as output:
            self.process = lab.start([lab.workload("workload_busy"), "4", "300", "0"], stdin=subprocess.PIPE,
                                     stdout=output, env={"WORKLOAD_WAIT": "1"})
        self.pid = self.process.pid
        self.go_on(1)

    def pairs(self):
        lines = [line for line in self.lab.read(self.out).splitlines() if line.endswith("}") and "progress" in line]
        return json.loads(lines[-1])["pairs"] if lines else 0

    def go_on(self, pairs):
        before = self.pairs()
        harness.wait_for(f"{pairs} more pairs", lambda: self.pairs() >= before + pairs)

    def leak(self):
        self.process.stdin.write(b"g")
        self.process.stdin.flush()
        self.go_on(1)

    def cost(self, pairs):
        """Clock ticks of CPU for so many pairs."""
        begin = self.pairs(), harness.cpu_ticks(self.pid)
        self.go_on(pairs)
        return (harness.cpu_ticks(self.pid) - begin[1]) / (self.pairs() - begin[0]) * pairs

    def quiet(self):
        """No thread works any more; its handles stay as they are until it is ended."""
        self.process.send_signal(signal.SIGTERM)
        harness.wait_for("the workload to be quiet", lambda: "waiting" in self.lab.read(self.out))

    def end(self):
        self.process.stdin.close()
        check(self.lab.wait(self.process) == 0, f"status {self.process.returncode}")


STOPPED_PAIRS = 100000  # would take minutes, if every call waited for room


def test_collector_stopped(lab):
    """Nobody reads for a while: the program goes on, what is lost is told, and the open handles are the true ones."""
    if lab.collector != "agent":
        raise harness.Skipped("under the others a stopped htrace stops its target, or the kernel counts")
    target = Busy(lab)
    attached = lab.attach(target.pid, env={"HTRACE_RING_BYTES": "4096"})
    attached.process.send_signal(signal.SIGSTOP)
    target.go_on(STOPPED_PAIRS)
    target.leak()
    attached.process.send_signal(signal.SIGCONT)
    target.go_on(1000)
    target.quiet()
    time.sleep(0.3)
    result = attached.finish()
    check(result.status == 0, lambda: f"status {result.status}: {result.errors[-2000:]}")
    check(result.report.lost() > 0, "nothing was lost: this shows nothing")
    found = harness.differences_of_set(result.report, target.pid, set(harness.proc_fds(target.pid)))
    check(not found, lambda: f"{result.report.lost()} lost events; " + "\n".join(found))
    target.end()


def test_collector_killed(lab):
    """What the agent does for nobody costs little, and does not keep the program waiting."""
    if lab.collector != "agent":
        raise harness.Skipped("the kernel takes away what the others have put there")
    target = Busy(lab)
    before = target.cost(STOPPED_PAIRS)
    attached = lab.attach(target.pid)
    attached.process.send_signal(signal.SIGKILL)
    lab.wait(attached.process, 10)
    target.go_on(STOPPED_PAIRS)  # the rings are full by then
    after = target.cost(STOPPED_PAIRS)
    print(f"  {before:.1f} ticks before, {after:.1f} afterwards")
    check(after < 10 * before + 20, f"{STOPPED_PAIRS} pairs: {before:.1f} ticks before, {after:.1f} afterwards")
    target.quiet()
    target.end()


harness.main(globals())
