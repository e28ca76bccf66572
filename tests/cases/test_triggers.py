"""What htrace tells and writes by itself: a program is out of handles (EMFILE), a trigger's condition holds, and what was
open over time. The workload says how often its calls failed; nginx and python are told of with the place that holds
the handles."""
import glob
import json
import os
import re
import socket
import subprocess
import time

import harness
import sessions
from harness import check
from servers import answers, find, free_port, nginx_configuration

LIMIT = "64"


def last_truth(output, what="exhausted"):
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"truth"')]
    return [line for line in lines if line["truth"] == what][-1]


def functions(stack):
    return [frame["function"] for frame in stack]


def check_exhausted(process, truth, opener, full=True):
    """The JSON says what the program says: how often, how full, by whom."""
    told = process["exhausted"]
    check(told, "the report does not tell that the program was out of handles")
    check(told["count"] == truth["failed"], lambda: f"{told['count']} failures instead of {truth['failed']}")
    check(told["error"] == "EMFILE" and told["limit"] == int(LIMIT), lambda: str(told)[:300])
    check(told["open"] == int(LIMIT) or not full, lambda: f"{told['open']} open instead of {LIMIT}")
    first = told["held_by"][0]
    check(opener in functions(first["stack"]), lambda: f"held by {functions(first['stack'])}")
    check(sum(place["count"] for place in told["failed_in"]) == told["count"], "the places do not make the sum")
    check(told["other_limit"] is None, lambda: told["other_limit"])
    return told


class Worker:
    """The workload, which obeys lines."""

    def __init__(self, lab):
        self.out = lab.path(".out")
        self.lab = lab
        with open(self.out, "w") as out:
            self.target = lab.start([lab.workload("workload_exhausted"), LIMIT], stdin=subprocess.PIPE, stdout=out,
                                    stderr=out)
        self.pid = self.target.pid
        self.said = 0
        self.wait("ready")

    def wait(self, what="done", seconds=30):
        self.said += 1
        harness.wait_for(f"the workload ({what})", lambda: self.lab.read(self.out).count('{"truth":"ready"') +
                         self.lab.read(self.out).count('{"truth":"done"') >= self.said, seconds)

    def do(self, *commands):
        for command in commands:
            self.target.stdin.write(command.encode() + b"\n")
            self.target.stdin.flush()
            self.wait()
        return last_truth(self.lab.read(self.out), "done")

    def finish(self):
        self.target.stdin.close()
        check(self.lab.wait(self.target) == 0, lambda: f"the workload ended with {self.target.returncode}")
        return last_truth(self.lab.read(self.out))


def run(lab, commands, options=(), **more):
    result = lab.run([lab.workload("workload_exhausted"), LIMIT, *commands], options, **more)
    check(result.status == 0, lambda: f"status {result.status}\n{result.errors[-2000:]}")
    return result


def message(errors):
    """What was told at once: one line, with its numbers."""
    lines = [line for line in errors.splitlines() if line.startswith("htrace: OUT OF HANDLES: ")]
    check(len(lines) == 1, lambda: f"{len(lines)} messages instead of one:\n{errors[-2000:]}")
    return lines[0]


# --- out of handles -----------------------------------------------------------------------------

def test_run(lab):
    """At the first failure, with the place that holds most; and all of it in the report."""
    result = run(lab, ["log 5", "open 0", "fail 211"])
    truth = last_truth(result.output)
    check(truth["failed"] == 212, str(truth))
    told = check_exhausted(result.report.process(truth["pid"]), truth, "open_conn")
    check(told["held_by"][0]["open"] == truth["opened"] - 5, lambda: str(told["held_by"][0]))
    check(told["held_by"][1]["open"] == 5 and "open_log" in functions(told["held_by"][1]["stack"]),
          lambda: str(told["held_by"][1])[:300])
    check(any("fail_here" in functions(place["stack"]) and place["count"] == 211 for place in told["failed_in"]),
          lambda: str([functions(place["stack"]) for place in told["failed_in"]]))
    line = message(result.errors)
    for words in (f"(pid {truth['pid']}): eventfd2 failed with EMFILE, with {LIMIT} of {LIMIT} open; most by: "
                  f"{truth['opened'] - 5} eventfd in open_conn ", "5 device in open_log ", "exhausted.c:"):
        check(words in line, lambda: f"no '{words}' in: {line}")


def test_text(lab):
    """The text report tells it before the groups."""
    result = lab.call(lab.command("run", ["--format=text", "--"]) +
                      [lab.workload("workload_exhausted"), LIMIT, "open 0", "fail 9"])
    found = re.search(r"\n   OUT OF HANDLES: eventfd2 and other calls failed with EMFILE 10 times, first .* ago .*"
                      rf"with {LIMIT} of {LIMIT} open; most by: \d+ eventfd in open_conn .*exhausted\.c:", result.errors)
    check(found, lambda: result.errors[:2000])
    check("failed    dup (EMFILE) 9 times in fail_here" in result.errors, lambda: result.errors[:2000])
    check(result.errors.index("OUT OF HANDLES: event") < result.errors.index("#1 "), "it comes behind the groups")


def test_other_limits(lab):
    """EMFILE of inotify_init1 can mean another limit: the numbers are not all in use."""
    program = ("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
               "while libc.inotify_init1(0) >= 0: pass\nprint(ctypes.get_errno())")
    with open("/proc/sys/fs/inotify/max_user_instances") as file:
        most = int(file.read())
    python = find(lab, "python3")
    limit = lab.call(["/bin/sh", "-c", "ulimit -n"]).output.strip()
    if most > 1000 or (limit != "unlimited" and int(limit) <= most + 50):
        raise harness.Skipped(f"{most} inotify instances are permitted, and {limit} handles")
    result = lab.run([python, "-c", program])
    told = result.report.json["processes"][0]["exhausted"]
    check(result.output == "24\n" and told, lambda: f"{result.output} {result.errors[-500:]}")
    check(told["operation"] == "inotify_init1" and told["other_limit"] == "fs.inotify.max_user_instances",
          lambda: str(told)[:500])
    check("fs.inotify.max_user_instances may be meant" in message(result.errors), lambda: result.errors[-500:])


def test_death(lab):
    """A program that dies of it at once is told of all the same; its child too."""
    result = run(lab, ["child", "open 0"])
    child = last_truth(result.output)["pid"]
    process = result.report.process(child)
    check_exhausted(process, {"failed": 1}, "open_conn")
    check(f"(pid {child}): eventfd2 failed" in message(result.errors), lambda: result.errors[-1000:])


def test_many(lab):
    """Many programs that fail alike are told by their number, and the report has them all."""
    workload = lab.workload("workload_exhausted")
    script = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do {workload} {LIMIT} 'open 0' || exit; done"
    result = lab.run(["/bin/sh", "-c", script])
    check(result.status == 0, lambda: result.errors[-1000:])
    told = [line for line in result.errors.splitlines() if line.startswith("htrace: OUT OF HANDLES: ")]
    check(len(told) == 9 and "4 times more" in told[-1], lambda: "\n".join(told))
    reported = [process for process in result.report.json["processes"] if process["exhausted"]]
    check(len(reported) == 12, lambda: f"{len(reported)} processes")


def test_attach(lab):
    worker = Worker(lab)
    worker.do("log 20")
    attached = lab.attach(worker.pid)
    worker.do("open 0", "fail 3")
    harness.wait_for("the message", lambda: "OUT OF HANDLES" in lab.read(attached.errors_path), 10)
    check(attached.process.poll() is None, "htrace ended")
    truth = worker.do("close 10", "open 5")
    result = attached.finish()
    told = check_exhausted(result.report.process(worker.pid), truth, "open_conn")
    before = sum(holder["open"] for holder in told["held_by"] if holder["origin"] == "before-tracing")
    check(before >= 20, lambda: f"{before} handles of before tracing")
    message(result.errors)
    harness.compare_with_proc(result.report, worker.pid)
    worker.finish()


def check_count(report, told, truth):
    """Each failure is counted, or told as lost."""
    lost = report.json["lost_events"]
    check(told["count"] <= truth["failed"] <= told["count"] + lost,
          lambda: f"{told['count']} counted, {lost} lost of {truth['failed']}")


def without_losses(report):
    """A machine that is busy loses some of so many: but only of those that change nothing."""
    for part in [report.json, *report.json["processes"]]:
        part["lost_events"] = 0


def test_spin(lab):
    """Calls that fail at full speed: all are counted or told as lost, and what comes after is traced."""
    result = run(lab, ["open 0", "spin 500", "close 7", "open 3"])
    truth = last_truth(result.output)
    report = result.report
    told = report.process(truth["pid"])["exhausted"]
    check_count(report, told, truth)
    check(not report.process(truth["pid"])["incomplete"], "an opening or a close was lost")
    without_losses(report)
    harness.compare(report, result.truth, {"workload_exhausted"})
    message(result.errors)


def test_spin_with_losses(lab):
    """The same where there is no room: what is lost is told, and the tables are right."""
    if not lab.fast:
        raise harness.Skipped("ptrace loses nothing")
    worker = Worker(lab)
    attached = lab.attach(worker.pid, env={"HTRACE_RING_BYTES": "4096"})
    truth = worker.do("open 0", "spin 400", "close 7", "open 3")
    time.sleep(0.3)
    result = attached.finish()
    told = result.report.process(worker.pid)["exhausted"]
    check_count(result.report, told, truth)
    found = harness.differences_of_set(result.report, worker.pid, set(harness.proc_fds(worker.pid)))
    check(not found, lambda: str(found))
    worker.finish()


def test_nginx(lab):
    """Real connections to a server with few handles: told while they are refused, with the place."""
    server = find(lab, "nginx")
    port = free_port()
    folder, configuration = nginx_configuration(lab, port)
    target = lab.start(["/bin/sh", "-c", f"ulimit -n 40; exec {server} -p {folder} -c {configuration} "
                        f"-e {folder}/error.log"])
    harness.wait_for("nginx", lambda: answers(port))
    attached = lab.attach(target.pid)
    clients = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(60)]
    try:
        errors = harness.wait_for("the message", lambda: "OUT OF HANDLES" in lab.read(attached.errors_path) and
                                  lab.read(attached.errors_path), 10)
        line = message(errors)
        check(re.search(r"nginx \(pid \d+\): accept4 failed with EMFILE, with 40 of 40 open; most by: \d+ (tcp|socket) in "
                        r"ngx_event_accept", line), lambda: line)
    finally:
        for client in clients:
            client.close()
    report = attached.finish().report
    check(report.process(target.pid)["exhausted"]["operation"] == "accept4", "not told in the report")


def test_python(lab):
    """A program without debug information of its own: the message has a place all the same."""
    program = ("import resource, socket\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\nkept = []\n"
               "try:\n    while True: kept.append(socket.socket())\nexcept OSError as error: print(error.errno)")
    result = lab.run([find(lab, "python3"), "-c", program])
    check(result.output == "24\n", lambda: f"{result.output} {result.errors[-500:]}")
    check(re.search(rf": socket failed with EMFILE, with {LIMIT} of {LIMIT} open; most by: \d\d (tcp|socket) in \S+",
                    message(result.errors)), lambda: result.errors[-1000:])


# --- triggers -----------------------------------------------------------------------------------

def reports(folder, pattern="*.json"):
    return sorted(glob.glob(os.path.join(glob.escape(folder), pattern)),
                  key=lambda path: int(re.search(r"-(\d+)\.json", path).group(1)))


def read_report(path):
    with open(path) as file:
        return json.load(file)


def test_trigger_run(lab):
    """Each once, at the very handle that is one too many, though it is closed at once."""
    folder = lab.new_folder("reports")
    result = run(lab, ["open 20", "close 0", "open 21", "close 0", "open 0", "fail 50"],
                 ["--trigger=open>25", "--trigger=emfile", f"--trigger-output={folder}/r-%p-%n.json"])
    pid = last_truth(result.output)["pid"]
    check([os.path.basename(path) for path in reports(folder)] == [f"r-{pid}-1.json", f"r-{pid}-2.json"],
          lambda: f"{os.listdir(folder)}\n{result.errors[-1000:]}")
    first, second = (read_report(path) for path in reports(folder))
    check(first["occasion"].startswith(f"Written by --trigger=open>25: process {pid} has 26 handles open"),
          lambda: first["occasion"])
    check([process["pid"] for process in first["processes"]] == [pid], "other processes than the one")
    process = first["processes"][0]
    check(process["open_handles"] == 26 and not process["exited"], lambda: str(process)[:200])
    check("open_conn" in functions(process["groups"][0]["stack"]), lambda: str(process["groups"])[:300])
    check(second["processes"][0]["open_handles"] == 64 and second["processes"][0]["exhausted"]["count"] == 1,
          lambda: str(second["processes"][0]["exhausted"])[:300])
    for path, trigger in zip(reports(folder), ("open>25", "emfile")):
        check(f"htrace: {trigger}: a report is in {path}\n" in result.errors, lambda: result.errors[-1000:])


def test_trigger_again(lab):
    """Again after the quiet time, and only then; under attach."""
    folder = lab.new_folder("reports")
    worker = Worker(lab)
    attached = lab.attach(worker.pid, ["--trigger=emfile", "--trigger=open>40", "--trigger-quiet=2s",
                                       f"--trigger-output={folder}/%n.json"])
    worker.do("open 0", "fail 5", "sleep 300", "fail 5", "close 0", "sleep 200", "open 0", "close 0")
    harness.wait_for("two reports", lambda: len(os.listdir(folder)) >= 2)
    worker.do("sleep 2300", "open 0", "fail 3", "close 0", "open 10")
    result = attached.finish()
    occasions = sorted(re.search("trigger=(\\S+):", read_report(os.path.join(folder, name))["occasion"]).group(1)
                       for name in os.listdir(folder))
    check(occasions == ["emfile", "emfile", "open>40", "open>40"], lambda: f"{occasions} {result.errors[-1000:]}")
    check(result.report.process(worker.pid)["exhausted"]["episodes"] == 2, "not two episodes")
    worker.finish()


def test_trigger_growth(lab):
    """More within a second than before, not what comes and goes."""
    folder = lab.new_folder("reports")
    worker = Worker(lab)
    attached = lab.attach(worker.pid, ["--trigger=growth>15/s", f"--trigger-output={folder}/%n.json"])
    for _ in range(8):
        worker.do("open 3", "sleep 300", "log 3", "close 3")
    time.sleep(0.3)
    check(not os.listdir(folder), lambda: f"written too early: {os.listdir(folder)}")
    worker.do("open 16")
    harness.wait_for("the report", lambda: os.listdir(folder))
    worker.do("sleep 400")
    result = attached.finish()
    check(os.listdir(folder) == ["1.json"], lambda: str(os.listdir(folder)))
    check("growth>15/s: a report is in" in result.errors, lambda: result.errors[-500:])
    worker.finish()


def test_trigger_child(lab):
    """A child that has too many is the one that is written of."""
    folder = lab.new_folder("reports")
    result = run(lab, ["open 10", "child", "open 30"], ["--trigger=open>35", f"--trigger-output={folder}/%p-%n.json"])
    child = last_truth(result.output)["pid"]
    check(os.listdir(folder) == [f"{child}-1.json"], lambda: str(os.listdir(folder)))
    process = read_report(os.path.join(folder, f"{child}-1.json"))["processes"][0]
    check(process["open_handles"] == 36 and process["inherited"] >= 10, lambda: str(process)[:300])


def test_trigger_files(lab):
    """No file is overwritten; what cannot be written is told, and tracing goes on."""
    folder = lab.new_folder("reports")
    old = os.path.join(folder, "same")
    with open(old, "w") as file:
        file.write("mine\n")
    options = ["--trigger=open>20", "--trigger=open>30", f"--trigger-output={old}"]
    result = run(lab, ["open 0"], options)
    check(lab.read(old) == "mine\n", "an old file was overwritten")
    check(sorted(os.listdir(folder)) == ["same", "same.2", "same.3"], lambda: str(os.listdir(folder)))
    check(f"a report is in {old}.2\n" in result.errors, lambda: result.errors[-500:])
    result = run(lab, ["open 0"], ["--trigger=open>20", "--trigger-output=/nowhere/%n"])
    check("htrace: open>20 came to hold, but its report was not written: /nowhere/1: No such file or directory\n"
          in result.errors, lambda: result.errors[-500:])
    harness.compare(result.report, result.truth, {"workload_exhausted"})
    for wrong in ("--trigger=open>x", "--trigger-output=%q", "--trigger-quiet=soon", "--every=1ms"):
        check(lab.call(lab.command("run", [wrong, "--", "true"])).status == 2, wrong)


def test_session(lab):
    """A session writes where it was enabled, says how often and where, and goes on."""
    worker = Worker(lab)
    session = sessions.Session(lab, worker.pid)
    session.enable("--trigger=emfile", "--trigger=open>40", "--trigger=open>1000", "--trigger-quiet=1s", "--format=json",
                   "--every=200ms")
    check([trigger["fired"] for trigger in session.status()["triggers"]] == [0, 0, 0], lambda: str(session.status()))
    worker.do("open 0", "fail 4", "sleep 100", "fail 4", "close 0", "sleep 1300", "open 0", "sleep 300")
    harness.wait_for("the reports", lambda: [one["written"] for one in session.status()["triggers"]] == [2, 2, 0], 10)
    status = session.status()
    check([one["fired"] for one in status["triggers"]] == [2, 2, 0] and status["exhausted"] == 10,
          lambda: str(status))
    written = sorted(os.path.join(lab.work, name) for name in os.listdir(lab.work)
                     if re.fullmatch(rf"htrace-{worker.pid}-[1-4]\.json", name))
    check(len(written) == 4 and status["triggers"][0]["file"] in written, lambda: f"{written} {status['triggers']}")
    text = session.ask("status").output
    check(re.search(r"OUT OF\s+HANDLES 10 times", text) and re.search(r"emfile 2 times,\s+last\s+in", text), lambda: text)
    report = session.json("diff")
    process = report["processes"][0]
    check_exhausted(process, {"failed": 10}, "open_conn")
    check(process["exhausted"]["episodes"] == 2, lambda: str(process["exhausted"])[:200])
    check("OUT OF HANDLES: eventfd2 and other calls failed with EMFILE 10 times" in session.ask("diff").output,
          lambda: session.ask("diff").output[:1500])
    check(session.json("processes")["processes"][0]["exhausted"] == 10 and
          "OUT OF HANDLES 10 times; " in " ".join(session.ask("processes").output.split()), "processes does not tell it")
    check("calls failed for want of a handle (EMFILE)" in session.ask("diff", "--format=windbg").output, "windbg")
    taken = session.ask("diff", "every-1", "every-2", "--format=json")
    check(json.loads(taken.output)["processes"], "the snapshots have no names")
    session.disable()
    worker.finish()


def test_session_failures(lab):
    """A session that cannot write says so when it is asked, and goes on."""
    worker = Worker(lab)
    session = sessions.Session(lab, worker.pid)
    session.enable("--trigger=open>20", "--trigger-output=/nowhere/x")
    worker.do("open 30")
    harness.wait_for("the failure", lambda: session.status()["triggers"][0]["failed"] == 1, 10)
    trigger = session.status()["triggers"][0]
    check(trigger["failure"] == "/nowhere/x: No such file or directory" and trigger["file"] is None, lambda: str(trigger))
    check("1 report not written" in " ".join(session.ask("status").output.split()), "status does not say so")
    check(session.json("diff")["processes"][0]["groups"][0]["open"] == 30, "tracing did not go on")
    session.disable()
    worker.finish()


def test_console(lab):
    """Somebody who sits at the console is told at once."""
    worker = Worker(lab)
    session = sessions.Session(lab, worker.pid)
    console = sessions.Console(lab, worker.pid, session.env, ["--trigger=open>50", "--trigger-output=r-%n"])
    worker.do("open 0")
    said = console.expect(f"open>50: a report is in {lab.work}/r-1")
    said += console.expect("\n")
    check(f"process {worker.pid} is out of handles, with {LIMIT} open: diff says where they were opened" in said,
          lambda: said)
    os.write(console.master, b"status\n")
    console.expect(" MiB")
    text = console.expect(f"({worker.pid})> ")
    check("open>50 1 time, last in" in " ".join(text.split()), lambda: f"status does not tell it: {text}")
    os.write(console.master, b"diff\n")
    console.expect("OUT OF HANDLES: eventfd2 failed with EMFILE 1 time")
    os.write(console.master, b"quit\n")
    check(lab.wait(console.process) == 0, "the console failed")
    worker.finish()


# --- over time ----------------------------------------------------------------------------------

def test_every(lab):
    """What was open at each snapshot: a leak rises, what was there at once does not."""
    steps = [word for _ in range(5) for word in ("open 4", "sleep 250")]
    result = run(lab, ["log 7", "sleep 200"] + steps, ["--every=100ms"])
    process = result.report.process(last_truth(result.output)["pid"])
    series = {}
    for group in process["groups"]:
        growth = group["growth"]
        check(len(growth["open"]) == len(growth["times_ns"]) <= 64 and growth["every_ns"] == 100000000,
              lambda: str(growth))
        check(all(50e6 < b - a < 400e6 for a, b in zip(growth["times_ns"], growth["times_ns"][1:])), lambda: str(growth))
        series[group["type"]] = growth["open"]
    check(len(series["eventfd"]) >= 8, lambda: str(series))
    check(series["eventfd"] == sorted(series["eventfd"]) and series["eventfd"][-1] == 20, lambda: str(series))
    check(set(series["eventfd"]) & {4, 8} and set(series["eventfd"]) & {12, 16}, lambda: str(series))
    check(set(series["device"][2:]) == {7}, lambda: str(series))
    text = lab.call(lab.command("run", ["--every=100ms", "--"]) + [lab.workload("workload_exhausted"), LIMIT, "open 4",
                                                                   "sleep 300", "open 4", "sleep 250"]).errors
    check(re.search(r"open\s+over time: (0, )*4, 4.*, 8.* \(every 100 ms\)", text), lambda: text[:1500])
    plain = run(lab, ["open 4"])
    process = plain.report.process(last_truth(plain.output)["pid"])
    check(process["growth"] is None and process["groups"][0]["growth"] is None, "told without --every")


harness.main(globals())
