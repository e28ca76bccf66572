"""Programs that nobody here wrote, attached to while they work: nothing crashes, no event is lost, and at
the end the open handles are those of /proc/PID/fd. From their start on their output and status are as without htrace.
A program that is missing is skipped."""
import os
import signal
import socket
import subprocess
import sys

import harness
from harness import check
from servers import answers, find, free_port, nginx_configuration


def amount(lab, count):
    """ptrace is slower by far."""
    return str(count if lab.fast else max(count // 10, 50))


def stable(pid):
    """The number of open handles, once it has not changed for a while."""
    looks = []

    def unchanged():
        looks.append(sorted(harness.proc_fds(pid)))
        return len(looks) > 15 and all(look == looks[-1] for look in looks[-15:])
    harness.wait_for(f"{pid} to be quiet", unchanged, 30)


def finish(attached, target, program):
    """Quiet, the report, and the comparison with /proc."""
    stable(target.pid)
    result = attached.finish()
    check(target.poll() is None, f"{program} ended: {target.returncode}")
    report = result.report
    harness.compare_with_proc(report, target.pid)
    check(report.process(target.pid)["events"] > 0, "no event was seen")
    bad = report.process(target.pid)["bad_references"]
    check(not [entry for entry in bad if entry["kind"] == "double-close"],
          lambda: f"{program} is said to close twice: {bad}")
    return report


def test_redis(lab):
    server, bench = find(lab, "redis-server"), find(lab, "redis-benchmark")
    port = free_port()
    target = lab.start([server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"],
                       stdout=subprocess.DEVNULL)
    harness.wait_for("redis-server", lambda: answers(port))
    load = [bench, "-p", str(port), "-c", "20", "-t", "ping,set,get", "-k", "0", "-q", "-n", amount(lab, 3000)]
    background = lab.start(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    attached = lab.attach(target.pid)
    check(lab.wait(background, 120) == 0, "redis-benchmark failed")
    check(lab.call(load, 120).status == 0, "redis-benchmark failed while traced")
    report = finish(attached, target, "redis-server")
    names = {frame["function"] for group in report.process(target.pid)["groups"] for frame in group["stack"]}
    print(f"  events {report.process(target.pid)['events']}, truncated "
          f"{report.process(target.pid)['truncated_stacks']}, functions {sorted(filter(None, names))[:6]}")


def test_nginx(lab):
    server, bench = find(lab, "nginx"), find(lab, "ab")
    port = free_port()
    folder, configuration = nginx_configuration(lab, port)
    target = lab.start([server, "-p", folder, "-c", configuration, "-e", os.path.join(folder, "error.log")])
    harness.wait_for("nginx", lambda: answers(port))
    load = [bench, "-q", "-c", "8", "-n", amount(lab, 5000), f"http://127.0.0.1:{port}/"]
    background = lab.start(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    attached = lab.attach(target.pid)
    check(lab.wait(background, 120) == 0, "ab failed")
    result = lab.call(load, 120)
    check(result.status == 0, lambda: f"ab failed while traced: {result.errors}")
    check("Failed requests:        0" in result.output, lambda: result.output)
    report = finish(attached, target, "nginx")
    minimum = int(amount(lab, 5000))
    check(report.process(target.pid)["events"] >= minimum, "too few events were seen")


def interactive(lab, argv, begin, done, seconds=60):
    """A program that works when a line arrives and says when it is done."""
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start(argv, stdin=subprocess.PIPE, stdout=output, stderr=output)

    def say(line):
        target.stdin.write(line.encode() + b"\n")
        target.stdin.flush()
    harness.wait_for(f"{argv[0]} to be ready", lambda: "ready" in lab.read(out), 30)
    say(begin)  # it works already when htrace comes
    attached = lab.attach(target.pid)
    harness.wait_for(f"{argv[0]} to do its work", lambda: lab.read(out).count(done) >= 1, seconds)
    say(begin)
    harness.wait_for(f"{argv[0]} to do its work again", lambda: lab.read(out).count(done) >= 2, seconds)
    report = finish(attached, target, argv[0])
    target.stdin.close()
    check(lab.wait(target) == 0, f"{argv[0]} ended with {target.returncode}")
    return report


PYTHON = """
import os, socket, subprocess, sys, tempfile, threading
print("ready", flush=True)
kept = []
def work():
    for _ in range(40):
        open("/dev/null").close()
        a, b = socket.socketpair(); a.close(); b.close()
        with tempfile.TemporaryFile() as file: file.write(b"x")
    kept.append(open("/dev/null"))
for line in sys.stdin:
    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for _ in range(5): subprocess.run(["true"])
    subprocess.run([sys.executable, "-c", "import os; os.open('/dev/null', 0); os._exit(0)"])
    print("done", flush=True)
"""


def test_python(lab):
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else find(lab, "python3")
    report = interactive(lab, [python, "-c", PYTHON], "work", "done")
    check(len(report.processes) > 1, "the child of python that leaks is not in the report")


def test_git(lab):
    """A shell that runs git again and again; git's processes are children that come and go."""
    git = find(lab, "git")
    script = (f"cd {lab.work} && {git} init -q repo && cd repo && "
              f"{git} config user.email a@b && {git} config user.name n && echo ready; "
              "while read line; do for i in 1 2 3 4 5; do "
              f"echo $i$line >> file && {git} add file && {git} commit -q -m m$i && {git} status -s && "
              f"{git} log --oneline > log; done; {git} fsck --no-progress && echo done; done")
    report = interactive(lab, ["/bin/sh", "-c", script], "work", "done", 120)
    failed = [process for process in report.json["processes"] if process["exited"] and process["exit_status"] != 0]
    check(not failed, f"ended badly: {failed}")


def test_gdb(lab):
    gdb = find(lab, "gdb")
    program = lab.workload("workload_busy")
    report = interactive(lab, [gdb, "-nx", "-q", "-ex", "set confirm off", "-ex", "set pagination off",
                               "-ex", "echo ready\\n"],
                         f"file {program}\ninfo line main\ninfo functions open\nlist main\necho done\\n", "done")
    check(report, "no report")


NODE = """
const fs = require("fs"), net = require("net"), children = require("child_process");
console.log("ready");
const kept = [];
async function work() {
  for (let i = 0; i < 40; i++) {
    fs.closeSync(fs.openSync("/dev/null"));
    const file = await fs.promises.open("/dev/null"); await file.close();
  }
  kept.push(fs.openSync("/dev/null"));
  await new Promise(done => { const server = net.createServer(c => c.end());
    server.listen(0, "127.0.0.1", () => { const c = net.connect(server.address().port, "127.0.0.1");
      c.resume(); c.on("close", () => server.close(done)); }); });
  children.execFileSync("true");
  console.log("done");
}
require("readline").createInterface({input: process.stdin}).on("line", work);
"""


def test_node(lab):
    node = find(lab, "node")
    report = interactive(lab, [node, "-e", NODE], "work", "done", 90)
    check(report, "no report")


# --- from their start ---------------------------------------------------------------------------

def no_double_close(report):
    bad = [entry for process in report.json["processes"] for entry in process["bad_references"]
           if entry["kind"] == "double-close"]
    check(not bad, lambda: f"said to close twice: {bad[:3]}")


def same(lab, argv, seconds=120, closes_twice=False):
    """Output and status are the program's own, and the report has no hole."""
    plain, traced = lab.same(argv, seconds=seconds)
    report = traced.report
    check(report.lost() == 0, lambda: f"{report.lost()} lost events")
    check(all(process["exited"] for process in report.json["processes"]), "an end is not told")
    if not closes_twice:
        no_double_close(report)
    return plain


class Running:
    """A program that htrace started, until it is killed: then the report must have what /proc had."""

    def __init__(self, lab, argv):
        self.lab, self.argv, self.out, self.path = lab, argv, lab.path(".out"), lab.path(".json")
        self.errors = lab.path(".err")
        with open(self.out, "w") as output, open(self.errors, "w") as errors:
            self.htrace = lab.start(lab.command("run", (), self.path) + ["--"] + argv, stdin=subprocess.PIPE,
                                    stdout=output, stderr=errors)

    def say(self, line):
        self.htrace.stdin.write(line.encode() + b"\n")
        self.htrace.stdin.flush()

    def wait_for(self, what, condition, seconds=60):
        def met():
            check(self.htrace.poll() is None, lambda: f"htrace ended with {self.htrace.returncode}: "
                  f"{self.lab.read(self.errors)[-2000:]}")
            return condition()
        harness.wait_for(f"{self.argv[0]} {what}", met, seconds)

    def target(self):
        return next(pid for pid in harness.proc_children(self.htrace.pid)
                    if os.readlink(f"/proc/{pid}/exe") != self.lab.htrace)

    def kill(self):
        pid = self.target()
        stable(pid)
        numbers = set(harness.proc_fds(pid))
        os.kill(pid, signal.SIGKILL)
        status = self.lab.wait(self.htrace)
        check(status == -signal.SIGKILL, f"status {status}")
        report = harness.Report(self.lab.read(self.path))
        found = harness.differences_of_set(report, pid, numbers)
        check(not found and report.lost() == 0, lambda: f"{report.lost()} lost; " + "\n".join(found))
        no_double_close(report)
        return report.process(pid)


def run_interactive(lab, argv):
    running = Running(lab, argv)
    running.wait_for("to be ready", lambda: "ready" in lab.read(running.out))
    for times in (1, 2):
        running.say("work")
        running.wait_for("to do its work", lambda: lab.read(running.out).count("done") >= times, 90)
    return running.kill()


def test_run_python(lab):
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else find(lab, "python3")
    run_interactive(lab, [python, "-c", PYTHON])
    same(lab, [python, "-c", "import os, json, socket, subprocess, tempfile, threading\n"
               "t = [threading.Thread(target=lambda: [open('/dev/null') for _ in range(99)]) for _ in range(9)]\n"
               "[one.start() for one in t]; [one.join() for one in t]\n"
               "print(subprocess.run('echo $0; exit 3', shell=True, capture_output=True))\n"
               "print(len(tempfile.mkdtemp()), sorted(os.listdir('/proc/self/fd'))); raise SystemExit(7)"])


def test_run_node(lab):
    node = find(lab, "node")
    run_interactive(lab, [node, "-e", NODE])
    same(lab, [node, "-e", "const fs = require('fs'); console.log(fs.readdirSync('/etc').length);"
               "console.log(require('child_process').execSync('echo child; true').toString()); process.exitCode = 9"])


def test_run_redis(lab):
    server, bench = find(lab, "redis-server"), find(lab, "redis-benchmark")
    port = free_port()
    running = Running(lab, [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
    running.wait_for("to answer", lambda: answers(port))
    load = [bench, "-p", str(port), "-c", "20", "-t", "ping,set,get", "-k", "0", "-q", "-n", amount(lab, 3000)]
    check(lab.call(load, 120).status == 0, "redis-benchmark failed")
    check(running.kill()["events"] > 2 * int(amount(lab, 3000)), "too few events were seen")


def test_run_nginx(lab):
    server, bench = find(lab, "nginx"), find(lab, "ab")
    port = free_port()
    folder, configuration = nginx_configuration(lab, port)
    running = Running(lab, [server, "-p", folder, "-c", configuration, "-e", os.path.join(folder, "error.log")])
    running.wait_for("to answer", lambda: answers(port))
    result = lab.call([bench, "-q", "-c", "8", "-n", amount(lab, 5000), f"http://127.0.0.1:{port}/"], 120)
    check(result.status == 0 and "Failed requests:        0" in result.output, lambda: result.output + result.errors)
    check(running.kill()["events"] > 2 * int(amount(lab, 5000)), "too few events were seen")


def test_run_make(lab):
    """gcc, as, ld and cc1 by the dozen, two at a time."""
    make, _ = find(lab, "make"), find(lab, "gcc")
    project = lab.new_folder("project")
    writer = os.path.join(harness.ROOT, "tests", "workloads", "c_project.py")
    subprocess.run([sys.executable, writer, project, "10"], check=True)
    script = (f"cd {project} && {make} -s -j2 CC=gcc && ./program && cat *.o program | md5sum && {make} -s clean; "
              f"{make} -s -j2 none 2>/dev/null; exit $?")
    check(same(lab, ["/bin/sh", "-c", script]).status == 2, "make none")


SCRIPT = """
set -o pipefail
names=(alpha beta gamma)
for name in "${names[@]}"; do echo "$name" >"$name"; done
cat alpha beta gamma | sort -r | tee all | wc -l
diff <(echo one) <(echo two); echo "diff $?"
while read -r line; do printf '%s,' "$line"; done < <(cat all); echo
exec 7<all; read -r first <&7; exec 7<&-; echo "$first"
coproc { read -r word; echo "co $word"; }
echo process >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; echo "$answer"; wait
trap 'echo caught' USR1; kill -USR1 $$
(exit 4); echo $?; false | true; echo $?
for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait
tar cf - alpha beta | tar tf -; cat <<<here; echo *a
sleep 10 & kill -TERM $!; wait $!; echo "killed $?"
rm alpha beta gamma all; exit 6
"""


def test_run_bash(lab):
    """bash does close the end of a process substitution twice."""
    check(same(lab, [find(lab, "bash"), "-c", SCRIPT], closes_twice=True).status == 6, "the script itself")


def test_run_git(lab):
    git = find(lab, "git")
    identity = "GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=e GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=e "
    dates = "GIT_AUTHOR_DATE=@1700000000 GIT_COMMITTER_DATE=@1700000000"
    check(same(lab, ["/bin/sh", "-c", f"rm -rf fresh && {git} init -q fresh && cd fresh && export {identity} {dates} && "
                     f"for i in 1 2 3; do echo $i >f$i; {git} add .; {git} commit -q -m m$i; done; {git} log --stat; "
                     f"{git} gc -q; {git} fsck; {git} grep 2; {git} no-such-verb"]).status == 1, "the script itself")


def test_git_from_the_start(lab):
    """htrace run on a program that forks and executes a lot: its output and status are git's own."""
    git = find(lab, "git")
    setup = f"cd {lab.work} && {git} init -q r && cd r && echo x > f && {git} add f"
    check(lab.call(["/bin/sh", "-c", setup]).status == 0, "git init failed")
    argv = [git, "-C", os.path.join(lab.work, "r"), "status", "--porcelain=v2"]
    plain = lab.call(argv)
    traced = lab.run(argv)
    check((traced.status, traced.output) == (plain.status, plain.output),
          lambda: f"{traced.status} {traced.output!r} instead of {plain.status} {plain.output!r}")
    check(traced.report.lost() == 0, "lost events")


harness.main(globals())
