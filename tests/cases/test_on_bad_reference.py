"""What --on-bad-reference does to a program: it stands still at the very call, where gdb finds it, or gets a
signal there; and it goes on as if nothing had been.
"""
import os
import re
import shutil
import signal
import subprocess

import harness
import sessions
from harness import check

STOP = "--on-bad-reference=stop"
STATUS = 7  # of the workload


class Target:
    """The workload, under htrace or not, with what it prints and what htrace says."""

    def __init__(self, lab, steps, options=None, program="workload_on_bad_reference"):
        self.lab, self.said, self.printed, self.report = lab, lab.path(".err"), lab.path(".out"), lab.path(".json")
        words = [lab.workload(program)] + steps
        if options is not None:
            words = lab.command("run", options, self.report) + ["--"] + words
        with open(self.said, "w") as err, open(self.printed, "w") as out:
            self.process = lab.start(words, stdin=subprocess.PIPE, stdout=out, stderr=err)
        self.is_run = options is not None
        self.known_pid = None

    @property
    def pid(self):
        if not self.is_run:
            return self.process.pid
        self.known_pid = self.known_pid or harness.wait_for("the program", lambda: program_of(self.process))
        return self.known_pid

    def output(self):
        return self.lab.read(self.printed)

    def messages(self):
        return [line for line in self.lab.read(self.said).splitlines() if line.startswith("htrace: process")]

    def wait_stopped(self):
        harness.wait_for("the program to stop", lambda: is_stopped(self.pid))

    def wait_output(self, words):
        harness.wait_for(f"{words!r} to be printed", lambda: words in self.output())

    def answer(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def end(self, status=STATUS):
        got = self.lab.wait(self.process, 30)
        check(got == status, lambda: f"status {got} instead of {status}:\n{self.lab.read(self.said)}\n{self.output()}")


def program_of(htrace):
    """The child of `htrace run` that became the program; others are of its own."""
    def exe(pid):
        try:
            return os.readlink(f"/proc/{pid}/exe")
        except OSError:
            return None
    return next((pid for pid in harness.proc_children(htrace.pid)
                 if exe(pid) not in (None, exe(htrace.pid))), 0)


def is_stopped(pid):
    state = harness.proc_status(pid, "State")
    check(state is not None and state[0] not in "ZX", f"process {pid} has ended")
    return state[0] == "T"


def gdb(lab, pid, tid=None):
    """The functions of the thread's stack as gdb tells them, innermost first."""
    if not shutil.which("gdb"):
        raise harness.Skipped("gdb is not installed")
    result = lab.call(["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "thread apply all bt"], 60)
    threads = re.split(r"^Thread \d+ ", result.output, flags=re.M)[1:]
    stack = next((text for text in threads if f"LWP {tid or pid}" in text), threads[0] if len(threads) == 1 else "")
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\S+) \(", stack, re.M), result.output + result.errors


def check_frame(lab, pid, call, function, tid=None):
    """gdb finds `function`, which made the call, right below libc."""
    found, text = gdb(lab, pid, tid)
    check(function in found, lambda: f"gdb does not show {function}:\n{text}")
    above = found[:found.index(function)]
    most = 3 if lab.collector == "agent" else 2  # its own, and an inlined one of libc's
    check(0 < len(above) <= most and call in above[-1], lambda: f"above {function} gdb shows {above}:\n{text}")
    check(is_stopped(pid), "gdb has let the program go on")


def check_message(target, message, call, function, tid=None):
    for words in [f"process {target.pid}, ", f"{call} of handle", f", in {function} ",
                  f"gdb -p {target.pid}", f"kill -CONT {target.pid}"] + ([f"thread {tid}, "] if tid else []):
        check(words in message, f"no {words!r} in {message!r}")


def wait_message(target, n=1):
    return harness.wait_for(f"message {n}", lambda: len(target.messages()) >= n and target.messages()[n - 1])


def test_run_stops(lab):
    """What is none does not stop; the double close does, with its own frame; and it goes on to its end."""
    target = Target(lab, ["valid", "wait", "twice"], [STOP])
    target.wait_output("waits")
    check(not is_stopped(target.pid) and not target.messages(), "stopped by what is no bad reference")
    target.answer()
    check_message(target, wait_message(target), "close", "close_again")
    target.wait_stopped()
    check_frame(lab, target.pid, "close", "close_again")
    target.go_on()
    target.end()
    check("valid: write 9, fcntl 9\n" in target.output() and "twice: -1 9\n" in target.output(), target.output())
    check_fate(target)


def check_fate(target):
    """ptrace has let it go, and knows no end of it; the others were there."""
    told = harness.Report(target.lab.read(target.report)).processes[target.pid]
    let_go = target.lab.collector == "ptrace"
    fate = (told["let_go"], told["exited"], told["exit_status"])
    check(fate == (let_go, not let_go, None if let_go else STATUS), f"(let go, exited, status) is {fate}")


def test_every_one_stops(lab):
    """Each bad reference, in the right thread; with ptrace, which has to let go, the first."""
    target = Target(lab, ["thread", "epoll", "never"], [STOP])
    target.wait_stopped()
    tid = int(re.search(r"tid (\d+)", target.output()).group(1))
    check_message(target, wait_message(target), "read", "read_closed", tid)
    check_frame(lab, target.pid, "read", "read_closed", tid)
    more = [(2, "epoll_ctl", "poll_closed"), (3, "write", "write_unknown")] if lab.collector != "ptrace" else []
    for n, call, function in more:
        target.go_on()
        check_message(target, wait_message(target, n), call, function)
        target.wait_stopped()
        check_frame(lab, target.pid, call, function)
    target.go_on()
    target.end()
    for words in "thread: -1 9", "epoll: -1 9", "never: -1 9":
        check(words in target.output(), target.output())
    check(len(target.messages()) == 1 + len(more), f"{target.messages()}")


def test_waiting_calls(lab):
    """poll() that finds a number not open, and select() that is given one."""
    target = Target(lab, ["poll", "select"], ["--on-bad-reference=signal:SIGWINCH"])
    target.end()
    check(target.output() == "poll: 0 1\nselect: 0 -1\n", target.output())
    check(len(target.messages()) == 2, f"{target.messages()}")
    for message, call, function in zip(target.messages(), ("poll", "p?select6?"), ("poll_unknown", "select_unknown")):
        check(re.search(rf", {call} of handle \d, which was closed before, in {function} .*; it was sent SIGWINCH", message),
              message)


def test_attach_stops(lab):
    """A running process, without any preparation; htrace may be killed then, and it stays stopped."""
    target = Target(lab, ["wait", "twice"])
    target.wait_output("waits")
    attached = lab.attach(target.pid, [STOP])
    target.answer()
    target.wait_stopped()
    harness.wait_for("the message", lambda: "gdb -p" in lab.read(attached.errors_path))
    check_message(target, lab.read(attached.errors_path), "close", "close_again")
    if attached.process.poll() is None:
        attached.process.kill()
    attached.process.wait(10)
    check(is_stopped(target.pid), "it went on when htrace was killed")
    check_frame(lab, target.pid, "close", "close_again")
    target.go_on()
    target.end()


def test_session_stops(lab):
    """status tells of it, also as JSON; the session can be ended while the program stands still."""
    target = Target(lab, ["wait", "twice"])
    target.wait_output("waits")
    session = sessions.Session(lab, target.pid)
    session.enable(STOP)
    check(session.status()["caught"] is None, "something was caught already")
    target.answer()
    target.wait_stopped()
    caught = harness.wait_for("the session to tell", lambda: session.status()["caught"])
    found = {key: caught[key] for key in ("pid", "tid", "operation", "kind", "signal", "stopped")}
    check(found == {"pid": target.pid, "tid": target.pid, "operation": "close", "kind": "double-close",
                    "signal": signal.SIGSTOP, "stopped": True}, f"{caught}")
    check_message(target, session.ask("status").output.replace("\n        ", " "), "close", "close_again")
    bad = [one for process in session.json("diff")["processes"] for one in process["bad_references"]
           if not one["harmless"]]
    check([one["operation"] for one in bad] == ["close"], f"{bad}")
    session.disable()
    check(is_stopped(target.pid), "it went on when the session ended")
    check_frame(lab, target.pid, "close", "close_again")
    target.go_on()
    target.end()


def test_console_tells(lab):
    target = Target(lab, ["wait", "twice"])
    target.wait_output("waits")
    session = sessions.Session(lab, target.pid)
    console = sessions.Console(lab, target.pid, session.env, [STOP])
    target.answer()
    console.expect("lets it go on")
    check(is_stopped(target.pid), "it is not stopped")
    target.go_on()
    target.end()


def test_signal_is_handled(lab):
    """The handler runs on top of the call, also of one that a handler made; then all is as it was."""
    target = Target(lab, ["handler", "valid", "twice", "vfork"], ["--on-bad-reference=signal:SIGUSR1"])
    target.end()
    at, nested = "signal 10: at the call\n", "signal 10: not at the call\n"
    check(target.output() == f"handler\nvalid: write 9, fcntl 9\n{at}{nested}twice: -1 9\n{at}vfork: 5\n",
          target.output())
    check(all(message.endswith("; it was sent SIGUSR1") for message in target.messages()), f"{target.messages()}")


def test_signal_ends_it(lab):
    target = Target(lab, ["twice"], ["--on-bad-reference=signal:ABRT"])
    target.end(-signal.SIGABRT)
    message = wait_message(target)
    check(", in close_again " in message and message.endswith("; it was sent SIGABRT"), message)


def test_static_program(lab):
    if lab.collector == "ptrace":
        raise harness.Skipped("ptrace treats all programs alike")
    target = Target(lab, ["thread", "twice"], [STOP], "workload_on_bad_reference_static")
    target.wait_stopped()
    tid = int(re.search(r"tid (\d+)", target.output()).group(1))
    check_message(target, wait_message(target), "read", "read_closed", tid)
    check_frame(lab, target.pid, "read", "read_closed", tid)
    target.go_on()
    wait_message(target, 2)
    target.wait_stopped()
    check_frame(lab, target.pid, "close", "close_again")
    target.go_on()
    target.end()


PYTHON = "/usr/bin/python3"


def test_python(lab):
    """A program that nobody here wrote stops at os.close(), and only there."""
    if not os.path.exists(PYTHON):
        raise harness.Skipped(f"there is no {PYTHON}")
    code = "import os, subprocess; n = os.dup(1); os.close(n); subprocess.run(['true'])\n" \
        "try: os.close(n)\nexcept OSError as why: print(why.errno)\nraise SystemExit(5)"
    said, printed = lab.path(".err"), lab.path(".out")
    with open(said, "w") as err, open(printed, "w") as out:
        htrace = lab.start(lab.command("run", [STOP]) + ["--", PYTHON, "-c", code], stdout=out, stderr=err)
    pid = harness.wait_for("python", lambda: program_of(htrace))
    harness.wait_for("it to stop", lambda: is_stopped(pid))
    message = harness.wait_for("the message", lambda: "gdb -p" in lab.read(said) and lab.read(said))
    check(f"htrace: process {pid}, close of handle" in message, message)
    os.kill(pid, signal.SIGCONT)
    check(lab.wait(htrace, 30) == 5 and lab.read(printed) == "9\n", lambda: lab.read(said) + lab.read(printed))
    check(lab.read(said).count("gdb -p") == 1, lab.read(said))


def test_what_is_refused(lab):
    for value, words in [("signal:SIGFOO", "signal's name"), ("signal:", "signal's name"), ("halt", "one of report"),
                         ("", "needs a value")]:
        result = lab.call(lab.command("run", [f"--on-bad-reference={value}", "true"]))
        check(result.status == 2 and words in result.errors, f"{value!r}: {result.status} {result.errors}")
    result = lab.call([lab.htrace, "enable", "-a", STOP])
    check(result.status == 2 and "any of them" in result.errors, f"{result.status} {result.errors}")


harness.main(globals())
