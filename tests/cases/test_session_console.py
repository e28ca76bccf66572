"""The console on a real session: the four steps of finding a leak, in a pty and in tmux, and all ways out."""
import os
import signal

import harness
from harness import check
from sessions import (Console, Session, Tmux, alive, check_opened, leaks, numbers, start_leaky, stop, work)


def check_steps(session, target, ask):
    """Snapshot, the scenario, diff: `ask` types a line. The shell beside it says the same."""
    before = stop(target)
    check("snapshot successfully taken" in ask("!htrace -snapshot"), "snapshot")
    target.send_signal(signal.SIGCONT)
    work(target)
    now = stop(target)
    beside = numbers(leaks(session.json("diff"), target.pid))
    check_opened(beside, now, before, "the shell beside it")
    text = ask("!htrace -diff")
    check(f"{len(beside)} eventfd" in text and "fun4" in text and "fun3" not in text, text)
    check("OPEN" in ask(f"!htrace 0x{max(now):x}"), "one handle")
    windbg = ask("diff --format=windbg")
    check(f"Displayed 0x{len(beside):x} stack traces for" in windbg, windbg[-400:])
    return text


def test_four_steps(lab):
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    console = Console(lab, target.pid, session.env)
    check_steps(session, target, console.type)
    session.session_pid = session.status()["session_pid"]
    target.send_signal(signal.SIGCONT)
    os.write(console.master, b"quit\n")
    check(lab.wait(console.process, 20) == 0, f"status {console.process.returncode}")
    harness.wait_for("the session to end with its console", lambda: not alive(session.session_pid))
    check(alive(target.pid), "the target runs on")


def test_four_steps_in_tmux(lab):
    """On a screen of 80 columns no line is longer."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    tmux = Tmux(lab, f"{lab.htrace} attach --collector={lab.collector} -p {target.pid}; sleep 60", session.env)
    try:
        tmux.expect(lambda screen: screen.endswith(f"({target.pid})>"), "the prompt")
        text = check_steps(session, target, tmux.type)
        check(all(len(line) <= 80 for line in text.splitlines()), text)
        session.session_pid = session.status()["session_pid"]
        tmux.call("send-keys", "quit", "Enter")
        harness.wait_for("the session to end with its console", lambda: not alive(session.session_pid))
    finally:
        tmux.close()
    target.send_signal(signal.SIGCONT)
    check(alive(target.pid), "the target runs on")


def test_console_killed(lab):
    """The session ends with it; the target runs on."""
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    console = Console(lab, target.pid, session.env)
    session.session_pid = session.status()["session_pid"]
    console.process.kill()
    harness.wait_for("the session to end", lambda: not alive(session.session_pid))
    work(target)


def test_target_ends_at_the_console(lab):
    target = start_leaky(lab)
    session = Session(lab, target.pid)
    console = Console(lab, target.pid, session.env)
    work(target)
    target.kill()
    target.wait()
    console.expect(f"process {target.pid} was killed by signal 9 (SIGKILL)")
    console.expect(f"({target.pid})> ")
    check("fun4" in console.type("diff"), "what was recorded")
    os.write(console.master, b"quit\n")
    check(lab.wait(console.process, 20) == 0, f"status {console.process.returncode}")


harness.main(globals())
