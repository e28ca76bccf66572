"""Options and formats: exit codes, colour, the windbg shape, help, durations."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import harness
from harness import check

ESCAPE = "\x1b["


def leaky(lab, rounds="5"):
    return [lab.workload("leakyhandles"), rounds, "1"]


def clean(lab):
    return [lab.workload("leakyhandles"), "0"]


def test_error_exitcode(lab):
    cases = ((leaky(lab), ["--error-exitcode=7"], 7), (clean(lab), ["--error-exitcode=7"], 0), (leaky(lab), [], 0),
             ([lab.workload("workload_endings"), "exit", "4"], ["--error-exitcode=7"], 4))
    for program, options, wanted in cases:
        result = lab.run(program, options)
        check(result.status == wanted, f"{program[1:]} {options}: status {result.status}, not {wanted}")


def on_terminal(lab, argv, env=None):
    """What a program whose three streams are a terminal writes to it."""
    master, slave = pty.openpty()
    process = lab.start(argv, env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    text, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            text += piece
            if not piece:
                break
    os.close(master)
    check(lab.wait(process, 10) == 0, f"status {process.returncode}")
    return text.decode(errors="replace")


def test_progress_is_over_before_the_report(lab):
    argv = lab.command("run", ()) + ["--", lab.workload("leakyhandles"), "3", "1"]
    text = on_terminal(lab, argv, {"TERM": "xterm", "NO_COLOR": "1"})
    before, _, report = text.partition("== ")
    check("reading the names" in before, lambda: f"no progress on a terminal: {text!r}")
    check(before.endswith("\r\x1b[K"), lambda: f"the progress is not wiped out: {before!r}")
    check("reading the names" not in report and "\x1b" not in report, lambda: f"progress in the report: {report!r}")


def test_colour(lab):
    argv = lab.command("run") + ["--"] + leaky(lab)
    check(ESCAPE in on_terminal(lab, argv, {"TERM": "xterm-256color"}), "no colour on a terminal")
    plain = on_terminal(lab, argv, {"TERM": "xterm-256color", "NO_COLOR": "1"})
    check("fun4" in plain, plain)
    check(not re.search("\x1b\\[[0-9;]*m", plain), lambda: f"colour in spite of NO_COLOR: {plain!r}")
    check(ESCAPE not in lab.call(argv).errors, "colour in a file")
    path = lab.path(".txt")
    on_terminal(lab, lab.command("run", ["-o", path]) + ["--"] + leaky(lab), {"TERM": "xterm-256color"})
    check("fun4" in lab.read(path) and ESCAPE not in lab.read(path), "colour in a file that -o names")


def test_windbg(lab):
    result = lab.call(lab.command("run", ["--format=windbg"]) + ["--"] + leaky(lab))
    lines = [line.rstrip() for line in result.errors.splitlines()]
    check("Outstanding handles opened since the previous snapshot:" in lines, result.errors)
    dashes = "-" * 38
    opens = [index for index, line in enumerate(lines) if re.fullmatch(r"Handle = 0x[0-9a-f]{8} - OPEN", line)]
    check(len(opens) == 5, lambda: f"{len(opens)} handles:\n{result.errors}")
    for index in opens:
        check(lines[index - 1] == dashes, lambda: f"no line of dashes before:\n{result.errors}")
        check(re.fullmatch(r"Thread ID = 0x[0-9a-f]{8}, Process ID = 0x[0-9a-f]{8}", lines[index + 1]), lines[index + 1])
        check(lines[index + 2] == "", lines[index + 2])
    frames = [line for line in lines if re.fullmatch(r"0x[0-9a-f]{8,16}: leakyhandles!fun4\+0x[0-9a-f]+.*", line)]
    check(len(frames) == 5, lambda: f"{len(frames)} frames of fun4:\n{result.errors}")
    check(any(re.fullmatch(r"Displayed 0x5 stack traces for outstanding handles opened since the previous snapshot\.",
                           line) for line in lines), result.errors)
    result = lab.call(lab.command("run", ["--format=windbg"]) + ["--"] + clean(lab))
    check("No outstanding handles opened since the previous snapshot were detected." in result.errors, result.errors)


def test_max_traces(lab):
    """An open handle's trace never falls out."""
    result = lab.run(leaky(lab, "50"), ["--max-traces=4"])
    process = result.report.json["processes"][0]
    leaks = [group for group in process["groups"] if group["open"] == 50]
    check(len(leaks) == 1 and len(leaks[0]["handles"]) == 50, lambda: result.report_text[:2000])
    check(harness.is_opened_by(leaks[0]["stack"], "fun4", {"leakyhandles"}), harness.show_stack(leaks[0]["stack"]))


def test_json_fields(lab):
    """Every field that is promised, with its type."""
    result = lab.run(leaky(lab))
    process = result.report.json["processes"][0]
    for name, kind in (("pid", int), ("exe", str), ("exited", bool), ("exit_status", int), ("open_handles", int),
                       ("before_tracing", int), ("events", int), ("lost_events", int), ("truncated_stacks", int),
                       ("groups", list), ("bad_references", list)):
        check(type(process.get(name)) is kind, f"process.{name} is {process.get(name)!r}")
    group = max(process["groups"], key=lambda group: group["open"])
    for name, kind in (("type", str), ("open", int), ("opened", int), ("closed", int), ("verdict", str),
                       ("reason", str), ("stack_complete", bool), ("stack", list), ("handles", list)):
        check(type(group.get(name)) is kind, f"group.{name} is {group.get(name)!r}")
    check(group["stack_complete"], "the stack is not complete")
    handle = group["handles"][0]
    for name, kind in (("handle", int), ("type", str), ("tid", int), ("opened_ns", int),
                       ("age_ns", int), ("cloexec", bool), ("origin", str)):
        check(type(handle.get(name)) is kind, f"handle.{name} is {handle.get(name)!r}")
    check(handle["cloexec"] is True and handle["origin"] == "opened", f"{handle}")
    check(handle["tid"] == process["pid"], f"tid {handle['tid']}")
    check("name" in handle, "no name, not even null: it ended before anybody could look")
    opened = [handle["opened_ns"] for handle in group["handles"]]
    check(opened == sorted(opened) and 0 < opened[0] < time.monotonic_ns(), f"times {opened}")
    frame = group["stack"][0]
    check(re.fullmatch("0x[0-9a-f]+", frame["address"]), f"{frame}")
    check(type(frame["offset"]) is int and type(frame["inlined"]) is bool and type(frame["module"]) is str, f"{frame}")


def test_attach_duration(lab):
    target = lab.start([lab.workload("workload_busy"), "1", "60", "1000"], stdin=subprocess.PIPE,
                       stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    start = time.monotonic()
    attached = lab.attach(target.pid, ["--duration=2s"])
    target.stdin.write(b"gg")
    target.stdin.flush()
    result = attached.wait(30)
    check(result.status == 0, f"status {result.status}: {result.errors}")
    check(1.8 < time.monotonic() - start < 15, f"it took {time.monotonic() - start:.1f} s")
    groups = [group for group in result.report.process(target.pid)["groups"] if group["open"] == 2]
    check(len(groups) == 1, lambda: result.report_text[:2000])
    check(harness.is_opened_by(groups[0]["stack"], "open_forgotten", {"workload_busy"}),
          harness.show_stack(groups[0]["stack"]))
    check(result.report.process(target.pid)["exited"] is False, "exited")
    check(all(handle["name"] == "anon_inode:[eventfd]" for handle in groups[0]["handles"]),
          lambda: f"names {groups[0]['handles']}")
    check(result.report.process(target.pid)["before_tracing"] == 3, "before_tracing is not 3")
    target.stdin.close()
    check(lab.wait(target) == 0, "the target was harmed")


def test_attach_reports_to_standard_output(lab):
    target = lab.start([lab.workload("workload_busy"), "1", "60", "1000"], stdin=subprocess.PIPE,
                       stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    result = lab.call(lab.command("attach", ["-p", str(target.pid), "--duration=500ms"]))
    check(result.status == 0, f"status {result.status}: {result.errors}")
    check(str(target.pid) in result.output and "workload_busy" in result.output, result.output)
    target.stdin.close()
    lab.wait(target)


def test_daemon_is_left_running(lab):
    """A signal after the program's own end ends htrace, with a report of the daemon that runs on."""
    path = lab.path(".json")
    process = lab.start(lab.command("run", report=path) +
                        ["sh", "-c", "setsid sleep 60 </etc/passwd >/dev/null 2>&1 & echo $! >daemon; exit 3"])
    harness.wait_for("the daemon", lambda: lab.read(os.path.join(lab.work, "daemon")).strip())
    daemon = int(lab.read(os.path.join(lab.work, "daemon")))
    time.sleep(1)
    try:
        check(process.poll() is None, "htrace did not wait for the daemon")
        process.send_signal(signal.SIGTERM)
        harness.wait_for("the report", lambda: lab.read(path).endswith("]}\n"))
        report = harness.Report(lab.read(path))
        if lab.collector != "ptrace":  # which stays with what it started
            check(lab.wait(process) == 3, f"status {process.returncode}")
        check(report.process(daemon)["exited"] is False, "the daemon is said to have ended")
        harness.compare_with_proc(report, daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)
    check(lab.wait(process) == 3, f"status {process.returncode}")


def test_other_handles(lab):
    """The handles that are in no group are listed, with what they are."""
    with open("/etc/passwd") as given:
        result = lab.run(["sh", "-c", "exec 6<&0; true"], stdin=given)
    others = {handle["handle"]: handle for handle in result.report.json["processes"][0]["other_handles"]}
    check(others[0]["name"] == "/etc/passwd" and others[0]["type"] == "file", f"{others}")
    check(others[0]["origin"] == "before-tracing", f"{others}")


def test_before_tracing_is_told(lab):
    """Handles that were there before have no made-up stack."""
    target = lab.start([lab.workload("workload_fd_calls"), "open", "open_pipe"], stdin=subprocess.PIPE,
                       stdout=subprocess.DEVNULL, env={"WORKLOAD_WAIT": "1"})
    time.sleep(0.5)
    attached = lab.attach(target.pid)
    report = attached.finish().report
    harness.compare_with_proc(report, target.pid)
    check(report.process(target.pid)["before_tracing"] == len(harness.proc_fds(target.pid)),
          f"before_tracing {report.process(target.pid)['before_tracing']}")
    check(report.listed(target.pid) == {}, f"in groups: {report.listed(target.pid)}")
    target.stdin.close()
    lab.wait(target)


def test_help_and_version(lab):
    version = lab.call([lab.htrace, "--version"])
    check(version.status == 0 and re.match(r"htrace \d+\.\d+", version.output), f"{version.output!r}")
    text = lab.call([lab.htrace, "help"])
    check(text.status == 0 and "run" in text.output and "attach" in text.output, text.output)
    check(lab.call([lab.htrace, "--help"]).output == text.output, "--help is not help")
    for verb in ("run", "attach", "help"):
        about = lab.call([lab.htrace, "help", verb])
        check(about.status == 0 and verb in about.output, f"help {verb}: {about.output}")
        check(verb == "help" or lab.call([lab.htrace, verb, "--help"]).output == about.output, f"{verb} --help is not help {verb}")
    check("--collector" in lab.call([lab.htrace, "help", "run"]).output, "help run does not tell --collector")
    check(lab.call([lab.htrace, "help", "nonsense"]).status == 2, "help of an unknown verb")
    nothing = lab.call([lab.htrace])
    check(nothing.status == 2 and "run" in nothing.output + nothing.errors, "htrace alone")


def test_program_found_in_path(lab):
    """Without and with "--"; options after the program's name are the program's."""
    result = lab.call(lab.command("run") + ["sh", "-c", "echo $0 $1", "--format=json", "-o"])
    check(result.output == "--format=json -o\n", f"{result.output!r} {result.errors}")
    check(lab.call(lab.command("run") + ["--", "true"]).status == 0, "true")


harness.main(globals())
