"""Sessions: enable, snapshot, diff, show, handles, status, disable, on programs that run on meanwhile."""
import json
import os
import re
import resource
import signal
import subprocess
import time

import harness
from harness import check
from sessions import (Console, Session, alive, check_opened, go, leaks, numbers, start_leaky, start_shell, stop,
                      work)

PARALLEL = 100
ROUNDS = 100


def test_four_steps(lab):
    """Enable, snapshot, run the scenario, diff: the handles are those that /proc has more than before."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    work(target)
    before = stop(target)
    check(session.ask("snapshot").output == "Handle tracing information snapshot successfully taken.\n", "")
    target.send_signal(signal.SIGCONT)
    work(target)
    now = stop(target)
    group = leaks(session.json("diff"), target.pid)
    check_opened(numbers(group), now, before, "diff")
    check(group["stack"][0]["function"] == "eventfd" or group["stack"][1]["function"] == "fun4",
          lambda: harness.show_stack(group["stack"]))
    check("fun4" in {frame["function"] for frame in group["stack"]}, lambda: harness.show_stack(group["stack"]))
    check("fun3" not in session.ask("diff").output, "fun3 closes what it opens")
    windbg = session.ask("diff", "--format=windbg").output
    check(re.match(r"0x[0-9a-f]+ new stack traces since the previous snapshot\.\n"
                   r"Ignoring handles that were already closed\.\.\.\n"
                   r"Outstanding handles opened since the previous snapshot:\n-+\nHandle = 0x", windbg), windbg[:400])
    shown = re.search(r"^Displayed 0x([0-9a-f]+) stack traces for outstanding handles", windbg, re.M)
    check(shown and int(shown.group(1), 16) == len(group["handles"]), windbg[-400:])
    session.disable()
    check(set(harness.proc_fds(target.pid)) == set(now), "disable has changed what is open")


def test_other_users(lab):
    """A session answers its own user and root, nobody else."""
    if os.geteuid() != 0:
        raise harness.Skipped("only root can be two users")
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    folder = session.env["HTRACE_SOCKET_DIR"]
    path = os.path.join(folder, f"{target.pid}.sock")
    os.chmod(folder, 0o755)
    os.chmod(path, 0o666)
    code = ("import socket\n"
            "client = socket.socket(socket.AF_UNIX)\n"
            f"client.connect({path!r})\n"
            "client.sendall(b'{\"htrace\":1,\"words\":[\"disable\"]}\\n')\n"
            "print(client.recv(65536).decode())\n")
    other = subprocess.run(["/usr/bin/python3", "-c", code], user=65533, group=65533, extra_groups=[],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    os.chmod(folder, 0o700)
    check("disabled" not in other.stdout and ("user" in other.stdout or "Errno 13" in other.stdout), other.stdout)
    check(alive(session.session_pid) and "fun4" in session.ask("diff").output, "the session goes on")
    session.disable()


def test_named_snapshots(lab):
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    sets = []
    for name in ("first", "second"):
        sets.append(stop(target))
        session.ask("snapshot", name)
        target.send_signal(signal.SIGCONT)
        work(target)
    now = stop(target)
    still = {number: what for number, what in sets[1].items() if now.get(number) == what}
    for names, then, before in ((["first"], now, sets[0]), (["second"], now, sets[1]), ([], now, sets[1]),
                                (["first", "second"], still, sets[0])):
        got = numbers(leaks(session.json("diff", *names), target.pid))
        check_opened(got, then, before, f"diff {names}")
    check("no snapshot named 'third'" in session.ask("diff", "third", status=2).errors, "an unknown name")
    check("letters" in session.ask("snapshot", "a b", status=2).errors, "a bad name")


def test_debuggers_spelling(lab):
    """As it is typed at a debugger's prompt, with the process in the environment."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    here = {"HTRACE_PID": str(target.pid)}
    session.call("-enable", f"--collector={lab.collector}", "4096", env=here)
    check(session.status()["traces_max"] == 4096, "the number of traces")
    session.call("-snapshot", env=here)
    work(target)
    check("fun4" in session.call("-diff", env=here).output, "-diff")
    check("fun4" in session.call("-diff").output, "the only session there is")
    number = max(harness.proc_fds(target.pid))
    for spelled in (str(number), hex(number)):
        check("OPEN" in session.call(spelled, env=here).output, f"htrace {spelled}")
        check("OPEN" in session.call(spelled, str(target.pid), "8").output, f"htrace {spelled} PID 8")
    check("usage" in session.call("-?").output, "-?")
    session.call("-disable", env=here)


def traces_of(answer):
    return [trace for process in answer["processes"] for trace in process["traces"]]


def test_show(lab):
    """The number that fun3 uses again and again: its last close, then its opening, and so on."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    work(target, 40)
    now = stop(target)
    traces = traces_of(session.json("show"))
    check(len(traces) > 20, f"{len(traces)} traces")
    times = [trace["time_ns"] for trace in traces]
    check(times == sorted(times, reverse=True), "not newest first")
    newest = max(now)
    own = traces_of(session.json("show", str(newest)))
    check([trace["trace"] for trace in own[:3]] == ["open", "close", "open"],
          lambda: [trace["trace"] for trace in own[:5]])
    check({frame["function"] for frame in own[0]["stack"]} >= {"fun4"}, lambda: harness.show_stack(own[0]["stack"]))
    check({frame["function"] for frame in own[2]["stack"]} >= {"fun3"}, lambda: harness.show_stack(own[2]["stack"]))
    # Its last call is the close: where compilers make a jump of that, fun3 is not there any more.
    check({frame["function"] for frame in own[1]["stack"]} >= {"fun1"}, lambda: harness.show_stack(own[1]["stack"]))
    check(len(traces_of(session.json("show", str(newest), "2"))) == 2, "two traces")
    windbg = session.ask("show", "--format=windbg", hex(newest), "2").output
    check(re.search(r"^Handle 0x%X - OPEN:\n0x[0-9a-fA-F]+: \S+!\S+" % newest, windbg, re.M), windbg[:500])
    check(re.search(r"^Handle 0x%X - CLOSE:" % newest, windbg, re.M), windbg[:500])
    check(re.search(r"^Parsed 0x[0-9a-fA-F]+ stack traces\.\nDumped 0x2 stack traces\.", windbg, re.M), windbg[-300:])


def test_handles(lab):
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    work(target)
    now = stop(target)
    answer = session.json("handles")
    listed = [handle["handle"] for process in answer["processes"] for handle in process["handles"]]
    check(listed == sorted(now), lambda: f"{set(listed) ^ set(now)}")
    text = session.ask("handles").output
    check(all(re.search(rf"\b{number}\b", text) for number in now), text[:1000])
    check("fun4" in session.ask("handles", str(max(now))).output, "the whole stack of one")


def test_children(lab):
    """A session follows them; the words of one are asked for by its pid, at the console too."""
    parent = start_shell(lab, "{}; exit")
    session = Session(lab, parent.pid)
    console = Console(lab, parent.pid, session.env)
    go(parent)
    harness.wait_for("the child", lambda: harness.proc_children(parent.pid))
    child = harness.proc_children(parent.pid)[0]
    harness.wait_for("its leaks", lambda: len(harness.proc_fds(child)) > 20)
    check("fun4" in console.type(f"diff -p {child}"), "the child's leaks")
    check(f"pid {child}" in console.type(f"show -p {child} 0 1"), "the child's traces")
    check("not traced by this session" in console.type(f"handles -p {os.getpid()}"), "somebody else")
    os.kill(child, signal.SIGKILL)
    console.process.kill()


def test_refused_twice(lab):
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    again = session.call("enable", f"--collector={lab.collector}", "-p", str(target.pid), status=125)
    check(f"htrace disable -p {target.pid}" in again.errors, again.errors)
    check(len(again.errors.splitlines()) == 1, again.errors)
    session.disable()
    session.enable()
    session.disable()


def test_not_there(lab):
    session = Session(lab, 4194304)
    check("no session" in session.ask("diff", status=125).errors.lower(), "a session that is not there")
    check("no session" in session.call("diff", status=125).errors, "no session at all")
    check("4194304" in session.ask("enable", status=125).errors, "no such process")
    check("No session" in session.call("status").output, "status")
    check("did you mean" in session.call("snapshto", status=2).errors, "a typing error")


def test_session_killed(lab):
    """The target runs on, the next command says what happened, and another session begins."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    for _ in range(3):
        session.enable()
        os.kill(session.session_pid, signal.SIGKILL)
        harness.wait_for("the session to die", lambda: not alive(session.session_pid))
        work(target)
        errors = session.ask("diff", status=125).errors
        check("ended" in errors and f"htrace enable -p {target.pid}" in errors, errors)
        check("session" in session.ask("diff", status=125).errors, "and after that")
    session.enable()
    work(target)
    check("fun4" in session.ask("diff").output, "a new session")
    session.disable()


def test_target_killed(lab):
    """What was recorded can be read afterwards, until the time is over."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable("--linger=3s")
    work(target)
    opened = len(stop(target))
    target.kill()
    target.wait()
    harness.wait_for("the session to notice", lambda: session.status()["ended"])
    report = session.json("diff")
    check(report["processes"][0]["exited"], "exited")
    check(len(numbers(leaks(report, target.pid))) <= opened, "handles")
    text = session.ask("diff").output
    check("fun4" in text and "SIGKILL" in text, text)
    check("OPEN" in session.ask("show").output, "show")
    harness.wait_for("the session to end", lambda: not alive(session.session_pid), 10)
    check("no session" in session.ask("diff", status=125).errors.lower(), "after that")


def test_exec(lab):
    """The session follows its process into another program."""
    target = start_shell(lab, "exec {}")
    session = Session(lab, target.pid)
    session.enable()
    go(target)
    harness.wait_for("leaks", lambda: len(harness.proc_fds(target.pid)) > 20)
    now = stop(target)
    group = leaks(session.json("diff"), target.pid)
    check(numbers(group) <= set(now) and "fun4" in {frame["function"] for frame in group["stack"]}, "after exec")
    check(session.status()["exe"] == lab.workload("leakyhandles"), session.status()["exe"])


def test_many_clients(lab):
    """A hundred at once, of all kinds: each gets its own answer."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    session.enable()
    work(target)
    stop(target)
    asked = []
    for index in range(PARALLEL):
        words = [["diff", "--format=json"], ["handles", "--format=json"], ["status", "--format=json"],
                 ["show", "--format=json", str(index % 50)]][index % 4]
        out = lab.path(".out")
        with open(out, "w") as output:
            asked.append((words, out, lab.start([lab.htrace, words[0], "-p", str(target.pid), *words[1:]],
                                                session.env, stdout=output, stderr=output)))
    for words, out, process in asked:
        check(lab.wait(process, 120) == 0, lambda: f"{words}: {lab.read(out)[-500:]}")
        schema = json.loads(lab.read(out))["schema"]
        wanted = {"diff": "report", "handles": "handles", "status": "status", "show": "traces"}[words[0]]
        check(schema == f"htrace.{wanted}/1", f"{words}: {schema}")
    check(alive(session.session_pid), "the session")
    session.disable()


def test_again_and_again(lab):
    """Enable and disable under load: nothing stays behind in the target, and nothing grows."""
    out = lab.path(".out")
    with open(out, "w") as output:
        target = lab.start([lab.workload("workload_busy"), "4", "120", "500"], stdin=subprocess.PIPE, stdout=output)
    harness.wait_for("the workload to work", lambda: "progress" in lab.read(out))
    session = Session(lab, target.pid)
    seen = []
    for _ in range(ROUNDS if lab.fast else ROUNDS // 5):
        session.enable()
        session.disable()
        with open(f"/proc/{target.pid}/maps") as maps:
            seen.append((len(maps.readlines()), max(harness.proc_fds(target.pid))))
    check(seen[-1][0] <= seen[2][0] + 2, f"mappings grow: {seen[2][0]} to {seen[-1][0]}")
    check(harness.proc_status(target.pid, "TracerPid") == "0", "a tracer is left")
    target.stdin.close()
    check(lab.wait(target) == 0, f"the target's status is {target.returncode}")


def test_everything(lab):
    """One session over all processes: those that were there, and those that come."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    whole = ["enable", "-a", f"--collector={lab.collector}"]
    if lab.collector != "bpf":
        errors = session.call(*whole, status=125).errors
        check("bpf" in errors, errors)
        return
    session.call(*whole)
    later = start_leaky(lab)
    work(later)
    now, more = stop(target), stop(later)
    listed = {row["pid"]: row for row in json.loads(session.call("0", "0", "--format=json").output)["processes"]}
    for process, handles in ((target, now), (later, more)):
        check(listed[process.pid]["open_handles"] == len(handles), lambda: f"{listed[process.pid]}, {len(handles)} open")
        session.pid = process.pid
        group = leaks(session.json("diff"), process.pid)
        check("fun4" in {frame["function"] for frame in group["stack"]}, lambda: harness.show_stack(group["stack"]))
        known = {handle["handle"] for one in session.json("handles")["processes"] for handle in one["handles"]}
        check(known == set(handles), lambda: f"{known ^ set(handles)}")
    own = traces_of(json.loads(session.call(str(max(more)), str(later.pid), "2", "--format=json").output))
    check(len(own) == 2 and own[0]["trace"] == "open", lambda: f"{own}")
    check("leakyhandles" in session.call("processes").output, "the list as text")
    check("all processes are traced" in session.call(*whole, status=125).errors, "a second one")
    session.call("disable")
    check("no session" in session.call("processes", status=125).errors, "after that")


def test_large_table(lab):
    """100,000 open descriptors, or as many as are permitted; how long it takes is told, not judged: machines
    differ."""
    handles = min(100_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
    code = ("import os, resource, time\n"
            "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
            "fd = os.eventfd(0)\n"
            f"for _ in range({handles}): os.dup(fd)\n"
            "print('ready', flush=True)\n"
            "time.sleep(600)\n")
    target = lab.start(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE)
    target.stdout.readline()
    session = Session(lab, target.pid)
    begin = time.monotonic()
    session.enable()
    enabled = time.monotonic()
    report = session.json("diff")
    compared = time.monotonic()
    print(f"  {handles} handles: enable {enabled - begin:.2f} s, diff {compared - enabled:.2f} s")
    check(report["processes"][0]["open_handles"] >= handles, report["processes"][0]["open_handles"])
    session.disable()


harness.main(globals())
