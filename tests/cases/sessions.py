"""What cases of sessions share: the commands about one target, the console, and a target that stands still."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import harness
from harness import check


class Session:
    """Commands about one target, in a folder of sessions that no other test uses."""

    def __init__(self, lab, pid):
        self.lab, self.pid = lab, pid
        self.env = {"HTRACE_SOCKET_DIR": os.path.join(lab.work, f"sessions-{pid}")}
        self.session_pid = None

    def call(self, *words, status=0, env=None, seconds=30):
        result = self.lab.call([self.lab.htrace, *words], seconds, {**self.env, **(env or {})})
        check(status is None or result.status == status,
              lambda: f"htrace {' '.join(words)}: status {result.status} instead of {status}\n"
              f"{result.output[-1500:]}\n{result.errors[-1500:]}")
        return result

    def ask(self, verb, *words, **options):
        return self.call(verb, "-p", str(self.pid), *words, **options)

    def json(self, verb, *words):
        return json.loads(self.ask(verb, "--format=json", *words).output)

    def enable(self, *words):
        result = self.call("enable", f"--collector={self.lab.collector}", "-p", str(self.pid), *words)
        check(result.output.startswith("Handle tracing enabled.\n"), result.output)
        self.session_pid = self.status()["session_pid"]
        return result

    def status(self):
        sessions = self.json("status")["sessions"]
        check(len(sessions) == 1, lambda: f"{len(sessions)} sessions")
        return sessions[0]

    def disable(self):
        result = self.ask("disable")
        check(result.output == "Handle tracing disabled.\n", result.output)
        harness.wait_for("the session to end", lambda: not alive(self.session_pid))


def alive(pid):
    state = harness.proc_status(pid, "State")
    return state is not None and state[0] not in "ZX"


def start_leaky(lab, rounds="1000000", pause_ms="5"):
    program = lab.workload("leakyhandles")
    target = lab.start([program, rounds, pause_ms], stdout=subprocess.DEVNULL)
    harness.wait_for("the target to open handles", lambda: len(harness.proc_fds(target.pid)) > 4)
    return target


def start_shell(lab, command):
    """A shell that waits for a line, then does `command`; `{}` is the sample program at work."""
    command = command.format(f"{lab.workload('leakyhandles')} 1000000 5")
    shell = lab.start(["/bin/sh", "-c", f"read line; {command}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    # Loaded, and at its read(2) of standard input.
    harness.wait_for("the shell", lambda: harness.proc_status(shell.pid, "Name") in ("sh", "dash", "bash") and
                     waits_in_read(shell.pid))
    return shell


def waits_in_read(pid):
    try:
        with open(f"/proc/{pid}/syscall") as file:
            return file.read().startswith("0 0x0 ")
    except OSError:
        return False


def go(shell):
    shell.stdin.write(b"go\n")
    shell.stdin.close()


def work(target, rounds=20):
    """The target leaks so many handles more."""
    before = len(harness.proc_fds(target.pid))
    harness.wait_for("the target to go on", lambda: len(harness.proc_fds(target.pid)) >= before + rounds)


def identity(pid, number, link):
    """What a number stands for: fun3's, which it closes soon, and fun4's are told apart."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}") as info:
            return (link, re.search(r"eventfd-id:\s*(\d+)", info.read()).group(1))
    except (OSError, AttributeError):
        return (link, None)


def program_counter(pid):
    """Where it waits in the kernel, or has been stopped; None: it runs, or may not be looked at."""
    try:
        with open(f"/proc/{pid}/syscall") as file:
            return int(file.read().split()[-1], 16)
    except (OSError, ValueError, IndexError):
        return None


def stop(target):
    """Stands still in its sleep, so that what is open can be compared: {number: what it stands for}."""
    asleep = harness.wait_for("the target to sleep", lambda: harness.proc_status(target.pid, "State")[0] == "S" and
                              program_counter(target.pid))

    def look():
        target.send_signal(signal.SIGSTOP)
        fds = harness.proc_fds(target.pid)
        time.sleep(0.1)  # a tracer's own stops are short
        # The call is made again when it goes on: two bytes before.
        if harness.proc_status(target.pid, "State")[0] in "Tt" and fds == harness.proc_fds(target.pid) and \
                (program_counter(target.pid) or 0) in (asleep, asleep - 2):
            return fds
        target.send_signal(signal.SIGCONT)
        return None

    fds = harness.wait_for("the target to stop", look)
    return {number: identity(target.pid, number, link) for number, link in fds.items()}


def since(now, before):
    """The numbers of what is open now and was not before."""
    return {number for number, what in now.items() if before.get(number) != what}


def check_opened(got, now, before, what):
    """The handles of a diff are those opened since."""
    wanted = since(now, before)
    check(got == wanted, lambda: f"{what}: {sorted(got - wanted)} too many, {sorted(wanted - got)} missing")


def leaks(report, pid):
    process = next(one for one in report["processes"] if one["pid"] == pid)
    groups = process["groups"]
    check(len(groups) == 1, lambda: f"{len(groups)} groups")
    return groups[0]


def numbers(group):
    return {handle["handle"] for handle in group["handles"]}


class Console:
    """htrace attach on a terminal of its own."""

    def __init__(self, lab, pid, env, options=()):
        self.text, (self.master, slave) = "", pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = lab.start([lab.htrace, "attach", f"--collector={lab.collector}", "-p", str(pid), *options],
                                 {**env, "TERM": "dumb"}, stdin=slave, stdout=slave, stderr=slave,
                                 start_new_session=True)
        os.close(slave)
        self.expect(f"({pid})> ")

    def expect(self, words, seconds=20):
        """All that was printed up to `words`."""
        end = time.monotonic() + seconds
        while words not in self.text:
            ready = select.select([self.master], [], [], max(0, end - time.monotonic()))[0]
            check(ready, lambda: f"no {words!r} within {seconds} s, but:\n{self.text}")
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace").replace("\r", "")
            except OSError:  # the other end is closed
                check(words in self.text, lambda: f"no {words!r} before the end, but:\n{self.text}")
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, line):
        os.write(self.master, line.encode() + b"\n")
        return self.expect("> ")


class Tmux:
    """A window of 80 columns on a server of its own."""

    def __init__(self, lab, command, env):
        if not shutil.which("tmux"):
            raise harness.Skipped("tmux is not installed")
        self.lab, self.env = lab, {**env, "TMUX_TMPDIR": lab.work, "TERM": "xterm", "SHELL": "/bin/sh"}
        self.call("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "4000", command)

    def call(self, *words):
        return self.lab.call(["tmux", "-L", "htrace", *words], 20, self.env).output

    def expect(self, condition, what):
        """The screen, once it is as it should be."""
        screens = []

        def look():
            screens.append(self.call("capture-pane", "-p").rstrip())
            return condition(screens[-1])
        try:
            harness.wait_for(what, look)
        except harness.Failed as why:
            raise harness.Failed(f"{why}:\n{screens[-1]}") from None
        return screens[-1]

    def type(self, line):
        """What is printed between the line and the next prompt."""
        self.call("clear-history")
        self.call("send-keys", "C-l")
        self.call("send-keys", "-l", line)
        self.call("send-keys", "Enter")
        return self.expect(lambda screen: line in screen and screen.endswith(">") and
                           screen.count(")>") > 1, f"the answer to {line!r}").rsplit(line, 1)[1]

    def close(self):
        self.call("kill-server")
