"""Handles that programs receive over exec: those that each child finds in its own /proc/self/fd, each named by
the function of the parent that opened it without close-on-exec."""
import collections
import json
import os
import signal

import harness
from harness import check
from sessions import Session, alive, go, start_shell

WAYS = ("fork", "vfork", "spawn", "system", "own")
CLOSED = ("open_closed", "open_then_set")


def lines(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def received(output):
    """{way: (pid, the numbers above standard error)}, as the children printed it."""
    found = {line["way"]: (line["pid"], sorted(fd for fd in line["fds"] if fd > 2)) for line in lines(output)
             if line["truth"] == "received"}
    check(set(found) == set(WAYS), lambda: f"children: {found}")
    return found


def opened(output):
    """{number: function} of the parent."""
    return {one["fd"]: one["function"] for line in lines(output) if line["truth"] == "open" for one in line["open"]}


def told(report):
    """{pid: {number: place}} of the examples."""
    found = collections.defaultdict(dict)
    for place in report["inherited_over_exec"]["places"]:
        for example in place["examples"]:
            found[example["pid"]][example["handle"]] = place
    return found


def has_function(place, name):
    return any(frame["function"] == name for frame in place["stack"])


def check_received(report, output, parent):
    truth, functions, places = received(output), opened(output), told(report)
    for way in WAYS:
        pid, numbers = truth[way]
        check(sorted(places[pid]) == numbers, lambda: f"{way}: told {sorted(places[pid])}, received {numbers}")
        for number in numbers:
            place = places[pid][number]
            name = functions.get(number, "by_fork_with_own")
            check(has_function(place, name), lambda: f"{way}, {number}: not by {name}:\n"
                  f"{harness.show_stack(place['stack'])}")
            own = name == "by_fork_with_own"
            check(place["opened_by_receiver"] is own, f"{way}, {number}: opened by the receiver")
            check(place["opener_pid"] == (pid if own else parent), f"{way}, {number}: opener {place['opener_pid']}")
    check(not any(has_function(place, name) for place in report["inherited_over_exec"]["places"] for name in CLOSED),
          "what is close-on-exec is not told")


def check_counts(report, children):
    """All five ways, the shell of system(), and the children that ended at once."""
    whole = report["inherited_over_exec"]
    execs = len(WAYS) + 1 + children
    check((whole["execs"], whole["receivers"], whole["handles_dropped"]) == (execs, execs, 0), lambda: f"{whole}"[:300])
    for name, handles in (("open_log", execs), ("open_pipe", 2 * execs), ("open_socket", execs),
                          ("duplicate", execs), ("open_then_clear", execs)):
        found = [place for place in whole["places"] if has_function(place, name)]
        check([place["handles"] for place in found] == [handles] * len(found) and found,
              lambda: f"{name}: {[place['handles'] for place in found]} instead of {handles}")
        check(all(place["programs"] == execs for place in found), f"{name}: programs")
        programs = {os.path.basename(one["exe"]): one["count"] for one in found[0]["programs_first"]}
        check(programs.get("workload_inherit") == execs - 1 and sum(programs.values()) == execs,
              lambda: f"{name}: {programs}")


def check_names(report):
    """Type, name and advice."""
    for name, type_, remedy in (("open_log", "file", "O_CLOEXEC"), ("open_pipe", "pipe", "pipe2"),
                                ("open_socket", "socket", "SOCK_CLOEXEC"), ("duplicate", "file", "F_DUPFD_CLOEXEC")):
        place = next(one for one in report["inherited_over_exec"]["places"] if has_function(one, name))
        check(remedy in place["remedy"], f"{name}: {place['remedy']}")
        check(place["type"] in (type_, "tcp" if type_ == "socket" else type_), f"{name}: {place['type']}")
        if type_ == "file":
            check(all(one["name"].endswith(".log") for one in place["examples"]), f"{name}: names")


def test_run(lab):
    children = 100 if lab.fast else 40
    result = lab.run([lab.workload("workload_inherit"), str(children)], ["--cloexec"])
    check(result.status == 0, lambda: f"status {result.status}: {result.errors}")
    report = result.report.json
    check(not result.report.lost(), "events were lost")
    check_received(report, result.output, report["processes"][0]["pid"])
    check_counts(report, children)
    check_names(report)


def test_standard(lab):
    """Numbers 0 to 2 are told where they are asked for, and nothing is where nothing is asked for."""
    program = ["/bin/sh", "-c", "/bin/true"]
    report = lab.run(["/bin/sh", "-c", "/bin/true 2>/dev/null; true"], ["--cloexec"]).report.json
    check(not report["inherited_over_exec"]["places"], lambda: f"{report['inherited_over_exec']}"[:1000])
    report = lab.run(["/bin/sh", "-c", "/bin/true 2>/dev/null; true"], ["--cloexec-all"]).report.json
    numbers = {number for place in report["inherited_over_exec"]["places"] for number in place["numbers"]}
    check(numbers == {0, 1, 2}, lambda: f"{numbers}")
    check("inherited_over_exec" not in lab.run(program).report.json, "without --cloexec")


def test_session(lab):
    """The target has ended, and so have its children; nothing has gone over exec since a snapshot."""
    output = os.path.join(lab.work, "output")
    shell = start_shell(lab, f"cd {lab.work}; exec {lab.workload('workload_inherit')} 5 > {output}")
    session = Session(lab, shell.pid)
    session.enable()
    go(shell)
    harness.wait_for("the target to end", lambda: not alive(shell.pid))
    harness.wait_for("the session to know it", lambda: session.status()["ended"])
    report = session.json("diff", "--cloexec")
    check_received(report, lab.read(output), shell.pid)
    few = session.json("diff", "--cloexec", "--stack=^open_pipe ")["inherited_over_exec"]
    check(len(few["places"]) == 1 and few["places"][0]["type"] == "pipe" and few["hidden"]["by"] == ["--stack"],
          lambda: f"{few}"[:1000])
    text = session.ask("diff", "--cloexec", "--type=pipe").output
    check("#1 INHERITED 22 pipe in 11 programs: opened without close-on-exec; add pipe2 with O_CLOEXEC" in text,
          lambda: text[-2000:])
    check("Missing = pipe2 with O_CLOEXEC" in session.ask("diff", "--cloexec", "--format=windbg").output, "windbg")
    session.ask("snapshot")
    check(not session.json("diff", "--cloexec")["inherited_over_exec"]["places"], "since the snapshot")


def test_attach(lab):
    """What was open before tracing is told by its number and name."""
    path = os.path.join(lab.work, "before")
    target = lab.start(["/bin/sh", "-c", f"exec 9>{path}; while sleep 0.05; do :; done"], start_new_session=True)
    harness.wait_for("the file", lambda: 9 in harness.proc_fds(target.pid))
    report = lab.attach(target.pid, ["--cloexec"], settle=0.6).finish().report.json
    os.killpg(target.pid, signal.SIGKILL)
    place = next(one for one in report["inherited_over_exec"]["places"] if one["numbers"] == [9])
    check(place["opener_pid"] is None and place["stack"] == [] and place["programs"] >= 3, lambda: f"{place}"[:600])
    check(place["examples"][0]["name"] == path and place["programs_first"][0]["exe"].endswith("/sleep"),
          lambda: f"{place}"[:600])


PYTHON = """
import os, subprocess
file = open("/etc/hosts")
os.set_inheritable(file.fileno(), True)
print(file.fileno(), flush=True)
subprocess.run(["/bin/ls", "/proc/self/fd"], close_fds=False)
subprocess.run(["/bin/true"])
"""


def test_programs_of_others(lab):
    """bash's `exec 9<file`, and python3's subprocess with close_fds=False."""
    result = lab.run(["/bin/bash", "-c", "exec 9</etc/hosts; /bin/ls /proc/self/fd; true"], ["--cloexec"])
    places = result.report.json["inherited_over_exec"]["places"]
    check("9\n" in result.output and [place["numbers"] for place in places] == [[9]], lambda: f"{places}"[:600])
    check(places[0]["examples"][0]["name"] == "/etc/hosts" and places[0]["stack"], lambda: f"{places}"[:600])
    result = lab.run(["/usr/bin/python3", "-c", PYTHON], ["--cloexec"])
    places = result.report.json["inherited_over_exec"]["places"]
    number = int(result.output.split("\n", 1)[0])
    check([place["numbers"] for place in places] == [[number]] and places[0]["programs"] == 1,
          lambda: f"{places}"[:600])
    check(os.path.basename(places[0]["programs_first"][0]["exe"]) == "ls" and places[0]["stack"], "which program")


harness.main(globals())
