"""The target cannot tell: its exit status, its signals, its terminal, its children and its output are what
they are without htrace. Each program runs plain first, and must do the same when traced."""
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import harness
from harness import check


def same(lab, argv, env=None, prefix=""):
    """Status and output byte for byte. `prefix` is shell code that comes before an exec."""
    def wrapped(command):
        if not prefix:
            return command
        return ["/bin/sh", "-c", prefix + ' exec "$@"', "sh"] + command
    plain = lab.call(wrapped(argv), env=env)
    report = lab.path(".json")
    traced = lab.call(wrapped(lab.command("run", (), report) + ["--"] + argv), env=env)
    check(traced.status == plain.status, lambda: f"{argv}: status {traced.status} instead of {plain.status}: "
          f"{traced.errors}")
    if traced.output != plain.output:
        pairs = zip(plain.output.splitlines() + ["(end)"], traced.output.splitlines() + ["(end)"])
        first = next((pair for pair in pairs if pair[0] != pair[1]), None)
        raise harness.Failed(f"{argv}: the output differs; plain and traced:\n    {first}")
    harness.Report(lab.read(report))
    return plain


def test_exit_status(lab):
    for status in ("0", "1", "3", "42", "255"):
        plain = same(lab, [lab.workload("workload_endings"), "exit", status])
        check(plain.status == int(status), f"plain status {plain.status}")


def test_killed_by_signal(lab):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGSEGV, signal.SIGABRT,
                   signal.SIGINT, signal.SIGPIPE):
        plain = same(lab, [lab.workload("workload_endings"), "kill", str(int(number))], prefix="ulimit -c 0;")
        check(plain.status == -number, f"plain status {plain.status}")


def test_what_a_process_sees(lab):
    view = lab.workload("workload_view")
    same(lab, [view, "an argument", "", "*"], env={"VARIABLE": "with a space"})
    same(lab, [view], prefix="trap '' INT HUP USR1; umask 027; ulimit -n 300; renice -n 5 $$ >/dev/null;")
    same(lab, [view], prefix="exec 5</dev/null 7>/dev/null; ulimit -s 4096; ulimit -c 0;")


def test_signals_and_children(lab):
    endings = lab.workload("workload_endings")
    for name in ("children", "interrupted", "fork-exec", "alarm"):
        check(same(lab, [endings, name]).status == 0, name)


def test_output_of_programs(lab):
    for script in ("ls -la /etc /usr/bin", "seq 1 20000 | sort -r | md5sum; echo ${PIPESTATUS}", "env | sort",
                   "cat /proc/self/limits /proc/self/cgroup; exit 9", "echo out; echo err >&2; false",
                   "for i in 1 2 3 4 5; do (exit $i); echo $?; done", "trap 'echo caught' USR1; kill -USR1 $$; wait",
                   "sleep 0.1 & wait $!; echo $?", "tar cf - -C /etc . 2>/dev/null | wc -c", "echo $PPID >/dev/null"):
        same(lab, ["/bin/sh", "-c", script])
    python = "/usr/bin/python3"
    if os.path.exists(python):
        same(lab, [python, "-c", "import os,subprocess,socket; print(sorted(os.listdir('/proc/self/fd')));"
                   "print(subprocess.run(['false']).returncode); print(os.getpriority(0, 0))"])


def target_of(lab, process):
    return harness.wait_for("the target to start", lambda: [pid for pid in harness.proc_children(process.pid)
                            if "workload_" in (os.readlink(f"/proc/{pid}/exe"))])[0]


def start_ending(lab, name, traced, out):
    program = [lab.workload("workload_endings"), name]
    with open(out, "w") as output:
        process = lab.start(lab.command("run") + ["--"] + program if traced else program, stdout=output,
                            stderr=subprocess.DEVNULL)
    harness.wait_for("the target to be ready", lambda: lab.read(out) != "", 20)
    return process, target_of(lab, process) if traced else process.pid


def test_siginfo(lab):
    """The value, sender and code of a queued signal arrive, by sigwaitinfo and in a handler."""
    for name in ("siginfo", "handler-info"):
        out = lab.path(".out")
        process, pid = start_ending(lab, name, True, out)
        time.sleep(0.1)
        sender = lab.start(["/bin/kill", "-q", "4711", "-s", "RTMIN", str(pid)])
        check(lab.wait(sender) == 0, "kill -q failed")
        check(lab.wait(process) == 0, f"status {process.returncode}")
        uid = harness.NOBODY if lab.as_nobody else os.geteuid()
        wanted = f"ready\ncode -1 value 4711 uid {uid} pid {sender.pid}\n"
        check(lab.read(out) == wanted, lambda: f"{lab.read(out)!r} instead of {wanted!r}")


def test_stop_and_continue(lab):
    """A SIGSTOP holds, until SIGCONT comes from outside."""
    out = lab.path(".out")
    process, pid = start_ending(lab, "stop", True, out)
    harness.wait_for("the target to stop", lambda: (harness.proc_status(pid, "State") or "?")[0] in "Tt", 10)
    time.sleep(0.5)
    check(lab.read(out) == "stopping\n", lambda: f"it does not stay stopped: {lab.read(out)!r}")
    os.kill(pid, signal.SIGCONT)
    check(lab.wait(process, 20) == 3, f"status {process.returncode}")
    check(lab.read(out) == "stopping\ncontinued\n", lambda: lab.read(out))


def test_stop_while_attached(lab):
    """The parent of an attached process sees it stop, continue and end, as always."""
    target = lab.start([lab.workload("workload_busy"), "3", "60", "500"], stdin=subprocess.PIPE,
                       stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    attached = lab.attach(target.pid)

    def seen(options):
        pid, status = os.waitpid(target.pid, options | os.WNOHANG)
        return pid and [status]
    target.send_signal(signal.SIGSTOP)
    status = harness.wait_for("waitpid to tell the stop", lambda: seen(os.WUNTRACED))[0]
    check(os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP, f"status {status:x}")
    time.sleep(0.3)
    check(harness.proc_status(target.pid, "State")[0] in "Tt", "it does not stay stopped")
    target.send_signal(signal.SIGCONT)
    status = harness.wait_for("waitpid to tell the continuing", lambda: seen(os.WCONTINUED))[0]
    check(os.WIFCONTINUED(status), f"status {status:x}")
    target.stdin.close()
    status = harness.wait_for("waitpid to tell the end", lambda: seen(0))[0]
    target.returncode = os.waitstatus_to_exitcode(status)
    check(target.returncode == 0, f"status {status:x}")
    result = attached.wait(20)
    check(result.report.process(target.pid)["exited"], "the end is not told")


def test_detached_while_stopped(lab):
    """htrace leaves a stopped process stopped."""
    target = lab.start([lab.workload("workload_busy"), "2", "60", "500"], stdin=subprocess.PIPE,
                       stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    attached = lab.attach(target.pid)
    target.send_signal(signal.SIGSTOP)
    harness.wait_for("the target to stop", lambda: harness.proc_status(target.pid, "State")[0] in "Tt")
    attached.finish(20)
    time.sleep(0.3)
    check(harness.proc_status(target.pid, "State")[0] == "T", harness.proc_status(target.pid, "State"))
    target.send_signal(signal.SIGCONT)
    target.stdin.close()
    check(lab.wait(target, 20) == 0, f"status {target.returncode}")


# --- on a terminal ----------------------------------------------------------------------------

class Terminal:
    """A shell with job control on a pseudo terminal."""

    def __init__(self, lab):
        self.master, slave = pty.openpty()
        self.text = ""
        settings = termios.tcgetattr(slave)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        self.shell = lab.start(["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"], stdin=slave, stdout=slave,
                               stderr=slave, start_new_session=True, env={"PS1": "", "PS2": ""},
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def send(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, seconds=15):
        """Reads until the pattern comes, and takes all up to its end."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            if time.monotonic() > end:
                raise harness.Failed(f"waited {seconds} s for {pattern!r} on the terminal, have {self.text!r}")
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")

    def close(self):
        os.close(self.master)


def job_control(terminal, command):
    """^Z gives the shell back, fg continues, ^C ends with the program's own status."""
    terminal.send("echo shell $((20+22))\n")
    terminal.expect("shell 42")
    terminal.send(command + "\n")
    terminal.expect("ready")
    for _ in range(2):
        terminal.send("\x1a")
        terminal.expect("stopping" if _ == 0 else "Stopped")
        terminal.send("echo shell $((30+33))\n")
        terminal.expect("shell 63")
        terminal.send("fg\n")
        terminal.expect("continued")
        time.sleep(0.3)
    terminal.send("\x03")
    terminal.send("echo status=$?\n")
    terminal.expect("status=7")


def test_terminal(lab):
    if not os.path.exists("/bin/bash"):
        raise harness.Skipped("no bash here")
    endings = lab.workload("workload_endings")
    for command in (f"{endings} terminal",
                    " ".join(lab.command("run", (), lab.path(".json"))) + f" -- {endings} terminal"):
        terminal = Terminal(lab)
        try:
            job_control(terminal, command)
        except harness.Failed as why:
            raise harness.Failed(f"{'traced' if 'run' in command.split()[1:2] else 'plain'}: {why}") from None
        finally:
            terminal.send("exit\n")
            terminal.close()


def test_terminal_ignored_stop(lab):
    """A program that ignores ^Z goes on: the shell sees no stop, and gets no prompt."""
    if not os.path.exists("/bin/bash"):
        raise harness.Skipped("no bash here")
    script = "trap '' TSTP; echo ready; sleep 1; echo through; exit 3"
    terminal = Terminal(lab)
    try:
        terminal.send(" ".join(lab.command("run", (), lab.path(".json"))) + f' -- /bin/sh -c "{script}"; echo status=$?\n')
        terminal.expect("ready\r")
        terminal.send("\x1a")
        terminal.expect("through\r")
        check("Stopped" not in terminal.text, terminal.text)
        terminal.expect("status=3")
    finally:
        terminal.send("exit\n")
        terminal.close()


def test_continue_htrace_alone(lab):
    """SIGCONT for htrace, which stands where the program would, reaches the program."""
    if not os.path.exists("/bin/bash"):
        raise harness.Skipped("no bash here")
    terminal = Terminal(lab)
    try:
        terminal.send(" ".join(lab.command("run", (), lab.path(".json"))) +
                      f" -- {lab.workload('workload_endings')} terminal\n")
        terminal.expect("ready")
        terminal.send("\x1a")
        terminal.expect("Stopped")
        terminal.send("kill -CONT $(jobs -p)\n")
        terminal.expect("continued")
        terminal.send("kill -INT $(jobs -p); wait; echo status=$?\n")
        terminal.send("echo shell $((20+22))\n")
        terminal.expect("shell 42")
    finally:
        terminal.send("exit\n")
        terminal.close()


def test_terminal_bad_reference(lab):
    """Stopped by a bad reference, not by us: ^Z gives the shell, fg goes on up to the next one, which holds."""
    if not os.path.exists("/bin/bash"):
        raise harness.Skipped("no bash here")
    terminal = Terminal(lab)
    try:
        terminal.send(" ".join(lab.command("run", ["--on-bad-reference=stop"], lab.path(".json"))) +
                      f" -- {lab.workload('workload_on_bad_reference')} never twice\n")
        for printed in "never: -1 9", "twice: -1 9":
            pid = int(terminal.expect(r"kill -CONT (\d+)").group(1))
            time.sleep(0.8)
            check(harness.proc_status(pid, "State")[0] == "T", f"it did not stay at the one before {printed!r}")
            terminal.send("\x1a")
            terminal.expect("Stopped")
            terminal.send("echo shell $((30+33))\n")
            terminal.expect("shell 63")
            terminal.send("fg\n")
            terminal.expect(printed)
            if lab.collector == "ptrace":
                break  # it was let go
        terminal.send("echo status=$?\n")
        terminal.expect("status=7")
    finally:
        terminal.send("exit\n")
        terminal.close()


def test_interrupt_goes_to_the_program(lab):
    """SIGINT to the whole group, as ^C does: the program decides, htrace reports."""
    out = lab.path(".out")
    report = lab.path(".json")
    with open(out, "w") as output:
        process = lab.start(lab.command("run", (), report) + ["--", lab.workload("workload_endings"), "terminal"],
                            stdout=output, stderr=subprocess.DEVNULL, start_new_session=True)
    harness.wait_for("the target to be ready", lambda: "ready" in lab.read(out))
    os.killpg(process.pid, signal.SIGINT)
    check(lab.wait(process, 20) == 7, f"status {process.returncode}")
    harness.Report(lab.read(report))


harness.main(globals())
