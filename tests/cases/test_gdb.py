"""The command `htrace` inside gdb: batch and interactive, both spellings. bpf is enabled in the program that gdb
has stopped; the agent comes in with the program, for which `htrace -enable` is typed before `run`, or is let in by
gdb itself."""
import json
import os
import pty
import re
import select
import time

import debuggers
import harness
from debuggers import BEFORE, BETWEEN, ROUNDS, check_diff, enable_words
from harness import check

PROMPT = "(gdb) "
SLOW_HTRACE = """#!/bin/sh
[ "$1" = slow ] || exec {htrace} "$@"
echo begun > {mark}
exec sleep 60
"""


class Gdb(debuggers.Debugger):
    def __init__(self, lab, program=None):
        super().__init__(lab, "gdb", program)
        probe = self.call(["gdb", "-nx", "-batch", "-ex", "python print(6 * 7)"], None)
        if "42" not in probe.output:
            raise harness.Skipped("gdb was built without Python")

    def argv(self, *options):
        return ["gdb", "-nx", "-q", *options, "-ex", f"source {self.script('htrace.py')}"]

    def batch(self, commands, status=0, program=True):
        """What gdb says to each command; it ends at the first that fails."""
        words = [word for command in commands for word in ("-ex", command)]
        return self.call(self.argv("-batch") + words + ([self.program] if program else []), status)

    def failing(self, commands, **options):
        """The last one fails: what it says. (gdb -batch goes on behind a -ex that fails.)"""
        return self.batch(commands, None, **options).errors


def steps(lab, diff, dash="-"):
    """The four steps, as commands. Up to the snapshot there are BEFORE rounds."""
    enable = f"htrace {dash}enable {enable_words(lab)}"
    run = f"run {ROUNDS} 1"
    return ["set width 0", "break fun2"] + ([enable, run] if lab.collector == "agent" else [run, enable]) + [
        f"ignore 1 {BEFORE - 1}", "continue", f"htrace {dash}snapshot",
        f"ignore 1 {BETWEEN - 1}", "continue", f"htrace {dash}diff --format=json -o {diff}"]


def test_four_steps_batch(lab):
    gdb = Gdb(lab)
    for dash in ("-", ""):
        diff = lab.path(".json")
        output = gdb.batch(steps(lab, diff, dash) + [
            f"htrace {dash}diff", f"htrace {dash}diff --format=windbg", f"htrace {dash}disable", "kill"]).output
        check_diff(diff, BETWEEN, lab.collector)
        for words in ("Handle tracing information snapshot successfully taken.", "Handle tracing disabled.",
                      f"#1 LEAK {BETWEEN} eventfd", f"Displayed {BETWEEN:#x} stack traces for outstanding handles"):
            check(words in output, lambda: f"'{words}' is not in:\n{output}")
        check("fun3" not in output, output)
        gdb.check_no_session()


def test_bad_reference(lab):
    """gdb itself stops at the call that was a bad reference; `continue` goes on as if nothing had been."""
    gdb = Gdb(lab, lab.workload("workload_on_bad_reference"))
    enable = f"htrace -enable {enable_words(lab)} --on-bad-reference=signal:SIGINT"
    begin = [enable, "run valid twice"] if lab.collector == "agent" else \
        ["break main", "run valid twice", enable, "continue"]
    output = gdb.batch(["set width 0"] + begin + ["backtrace", "continue"]).output
    stack = output.split("received signal SIGINT", 1)[-1]
    for words in ("in close_again (", "in step_twice (", "twice: -1 9\n", "exited with code 07"):
        check(words in stack, lambda: f"'{words}' is not behind SIGINT in:\n{output}")
    check(output.count("received signal") == 1, output)


def test_without_a_shell_and_with_a_wrapper(lab):
    """However gdb starts the program; the user's own LD_PRELOAD stays as it is."""
    for setting in ("set startup-with-shell off", "set exec-wrapper env -u NOTHING", "set environment LD_PRELOAD libm.so.6",
                    "set environment LD_PRELOAD"):
        diff = lab.path(".json")
        gdb = Gdb(lab)
        output = gdb.batch([setting, "show environment LD_PRELOAD"] + steps(lab, diff) +
                           ["show environment LD_PRELOAD", "show environment HTRACE_AGENT", "htrace -disable",
                            "kill"]).output
        check_diff(diff, BETWEEN, lab.collector)
        shown = re.findall('^(?:Environment variable "LD_PRELOAD"|LD_PRELOAD = ).*', output, re.M)
        check(len(shown) == 2 and shown[0] == shown[1], lambda: f"{setting}: LD_PRELOAD has changed: {shown}")
        check('"HTRACE_AGENT" not defined' in output, output)


def test_after_the_end(lab):
    """What was recorded can be asked for when the program has ended; and it runs again, untraced or traced."""
    gdb = Gdb(lab)
    diffs = [lab.path(".json"), lab.path(".json")]
    again = [f"htrace -enable {enable_words(lab)}", "run", "continue"]
    if lab.collector == "bpf":
        again = ["tbreak main", "run", again[0], "continue"]
    gdb.batch(steps(lab, lab.path(".json")) + [
        "delete", "continue", f"htrace -diff --format=json -o {diffs[0]}", "htrace -disable",
        "run"] + again + [f"htrace -diff --format=json -o {diffs[1]}", "htrace -disable"])
    process = check_diff(diffs[0], ROUNDS - BEFORE, lab.collector)
    check(process["exited"] is True and process["exit_status"] == 0, f"the end is not told: {process['exit_status']}")
    check_diff(diffs[1], ROUNDS, lab.collector)
    gdb.check_no_session()


def test_let_in(lab):
    """gdb lets the agent into the program that it has stopped; out, in again, and the end."""
    if lab.collector != "agent":
        raise harness.Skipped("bpf needs not be let in")
    gdb = Gdb(lab)
    diffs = [lab.path(".json"), lab.path(".json"), lab.path(".json")]
    output = gdb.batch(["set width 0", "break fun2", f"run {ROUNDS} 1", "show scheduler-locking", "htrace -enable",
                        "show scheduler-locking", "info registers", "htrace -enable",
                        ] + steps(lab, diffs[0])[4:] + [
        "info proc mappings", "htrace -disable", "ignore 1 1", "continue", "htrace enable --collector=agent",
        f"ignore 1 {BETWEEN - 1}", "continue", f"htrace -diff --format=json -o {diffs[1]}", "delete", "continue",
        f"htrace -diff --format=json -o {diffs[2]}", "htrace -disable"], None)
    check("already" in output.errors and "Traceback" not in output.errors, output.errors)
    process = check_diff(diffs[0], BETWEEN, "agent")
    check(process["before_snapshot"] == BEFORE, f"{process['before_snapshot']} before the snapshot")
    check_diff(diffs[1], BETWEEN, "agent")
    check_diff(diffs[2], ROUNDS - BEFORE - BETWEEN - 2, "agent")
    modes = re.findall("^Mode for locking scheduler.*", output.output, re.M)
    check(len(modes) == 2 and modes[0] == modes[1], f"{modes}")
    gdb.check_no_session()


def test_let_in_while_calls_wait(lab):
    """The threads' calls go on as if nothing had been: a sleep is as long, a read gets what comes."""
    if lab.collector != "agent":
        raise harness.Skipped("bpf needs not be let in")
    gdb = Gdb(lab, lab.workload("workload_waiting_threads"))
    diff = lab.path(".json")
    interrupt = "import os; os.system(f'(sleep 0.7; kill -INT {gdb.selected_inferior().pid}) &')"
    output = gdb.batch(["set width 0", "handle SIGINT stop nopass", "break main", "run", f"python {interrupt}", "continue",
                        "info threads", "backtrace", "htrace -enable", "backtrace", "continue",
                        f"htrace -diff --format=json -o {diff}", "htrace -disable"]).output
    check("all calls went on" in output, output)
    stacks = re.findall(r"^#\d+ .*", output, re.M)
    check(len(stacks) >= 4 and stacks[:len(stacks) // 2] == stacks[len(stacks) // 2:], lambda: f"{stacks}")
    with open(diff, encoding="utf-8") as file:
        process = json.load(file)["processes"][0]
    check(process["exited"] is True and process["exit_status"] == 0, lambda: f"{process['exit_status']}\n{output}")
    check(sum(len(group["handles"]) for group in process["groups"]) == 3, lambda: f"{process['groups']}")
    gdb.check_no_session()


def test_list(lab):
    """The source of a frame; what cannot be listed says what to do."""
    gdb = Gdb(lab)
    done = steps(lab, lab.path(".json"))
    output = gdb.batch(done + ["htrace list", "echo ---\\n", "htrace -list 1", "htrace -disable", "kill"]).output
    table, source = output.split("---\n")[0], output.split("---\n")[1]
    check(re.search(r"^#1 leak eventfd.*open$", table, re.M), table)
    depths = {match.group(2): int(match.group(1)) for match in re.finditer(r"^ +(\d+) +(\w+) at ", table, re.M)}
    check(depths.get("fun4", 0) < depths.get("fun2", -1) < depths.get("main", -1), lambda: f"{depths}\n{table}")
    if os.path.exists(re.search(r"fun4 at (\S+):\d+", table).group(1)):
        check("int event = eventfd(0, EFD_CLOEXEC);" in source and "/* no tail call" not in source, source)
    main = depths["main"]
    output = gdb.batch(done + [f"htrace -list 1 {main}", "htrace -disable", "kill"]).output
    check(re.search(r"^main at .*leakyhandles.c:\d+$", output, re.M), output)
    for commands, words in ((["htrace -list"], "htrace -diff first"),
                            (done + ["htrace -list 2", "htrace -disable"], "from 1 to 1"),
                            (done + ["htrace -list 1 99", "htrace -disable"], "A frame"),
                            (done + ["htrace -list x", "htrace -disable"], "not 'x'"),
                            (done + ["ignore 1 0", "continue", "htrace -list 1", "htrace -disable"], "has run since")):
        errors = gdb.failing(commands)
        check(words in errors, lambda: f"{commands[-2:]}: '{words}' is not in:\n{errors}")


def test_show(lab):
    """One handle's life, in both spellings; `list` speaks of it then. A shell that became the program has none."""
    gdb = Gdb(lab)
    done = steps(lab, lab.path(".json"))
    if lab.collector == "agent":
        done = [f"htrace -enable {enable_words(lab)}", "break fun2", f"run {ROUNDS} 1", "continue"]
    output = gdb.batch(done + ["htrace -show 3", "echo ===\\n", "htrace -list", "echo ===\\n", "htrace 0x3 1 --format=windbg",
                               "htrace -disable", "kill"]).output
    shown, listed, windbg = output.split("===\n")
    check("#1 OPEN handle 3" in shown and "bash" not in shown, shown)
    check(listed.startswith("#1 open handle 3") and "fun4 at " in listed, listed)
    check("Handle 0x3 - OPEN:" in windbg and "Dumped 0x1 stack traces." in windbg, windbg)
    if lab.collector == "agent":
        check("3 traces of handle 3" in shown, shown)


def test_refused(lab):
    """One sentence that says what to do; nothing is left behind."""
    gdb = Gdb(lab)
    for commands, words in ((["htrace -diff"], "there is no session"),
                            (["htrace -difff"], "unknown verb"),
                            (["htrace diff --formt=json"], "did you mean --format"),
                            (["break main", "run", "htrace -enable --collector=ptrace"], "before `run`"),
                            (["htrace -enable --collector=ptrace"], "cannot wait for a program")):
        errors = gdb.failing(commands)
        check(words in errors and "Traceback" not in errors, lambda: f"{commands}: '{words}' is not in:\n{errors}")
    errors = gdb.failing(["htrace -enable"], program=False)
    check("file PROGRAM" in errors, errors)
    errors = gdb.failing(["htrace -enable", "htrace -enable", "htrace -disable"])
    check("waits for the next `run` already" in errors, errors)
    gdb.env["HTRACE"] = "/nowhere/htrace"
    errors = gdb.failing(["htrace -diff"])
    check("/nowhere/htrace" in errors and "Traceback" not in errors, errors)
    gdb.env["HTRACE"] = lab.htrace
    gdb.check_no_session()


def test_completion_and_help(lab):
    """From the table that htrace prints, not from a list of the script's own."""
    gdb = Gdb(lab)
    table = [line.split("\t") for line in gdb.htrace("help", "--table").output.splitlines()]
    verbs = {fields[1] for fields in table if fields[0] == "verb"} | {"list"}
    options = {fields[2] + "=" for fields in table
               if fields[0] == "option" and "diff" in fields[1].split(",") and fields[2].startswith("--") and fields[3]}

    def completed(text):
        return set(gdb.batch([f"complete htrace {text}"]).output.splitlines())
    check(completed("") == {f"htrace {verb}" for verb in verbs}, lambda: completed(""))
    check(completed("-") == {f"htrace -{verb}" for verb in verbs}, lambda: completed("-"))
    check({f"htrace diff {option}" for option in options} <= completed("diff --"), lambda: completed("diff --"))
    check(completed("-diff --format=j") == {"htrace -diff --format=json"}, lambda: completed("-diff --format=j"))
    check(completed("help en") == {"htrace help enable"}, lambda: completed("help en"))
    text = gdb.batch(["help htrace"]).output
    check(all(fields[2] in text and fields[3] in text for fields in table if fields[0] == "verb"), text)
    check("usage: htrace diff" in gdb.batch(["htrace help diff"]).output, "help diff")


def test_shell_escape(lab):
    """`!htrace -diff` needs no script: htrace finds the process that a debugger above it traces."""
    if lab.collector != "bpf":
        raise harness.Skipped("an agent cannot be let into a process that gdb holds")
    gdb = Gdb(lab)
    diff = lab.path(".json")
    words = [re.sub("^htrace", f"!{lab.htrace}", command) for command in steps(lab, diff)]
    gdb.batch(words + [f"!{lab.htrace} -disable", "kill"])
    check_diff(diff, BETWEEN, lab.collector)
    gdb.check_no_session()


# --- at the prompt --------------------------------------------------------------------------------

class Terminal:
    """gdb on a terminal of its own."""

    def __init__(self, gdb):
        self.gdb = gdb
        self.end, other = pty.openpty()
        os.set_blocking(self.end, False)
        self.process = gdb.lab.start(gdb.argv("-ex", "set width 80", "-ex", "set height 40") + [gdb.program],
                                     {**gdb.env, "TERM": "xterm"}, stdin=other, stdout=other, stderr=other,
                                     start_new_session=True, preexec_fn=self.take_terminal)
        os.close(other)
        self.text = ""
        self.wait_for_prompt()

    @staticmethod
    def take_terminal():
        import fcntl
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self):
        if select.select([self.end], [], [], 0.05)[0]:
            try:
                self.text += re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\x07|\r", "",
                                    os.read(self.end, 65536).decode(errors="replace"))
            except OSError:
                pass
        return self.text

    def wait_for_prompt(self, seconds=30):
        harness.wait_for("gdb's prompt", lambda: self.read().endswith(PROMPT), seconds)

    def type(self, text, prompt=True):
        """What is written until the next prompt."""
        self.text = ""
        os.write(self.end, text.encode())
        if prompt:
            harness.wait_for("the echo", lambda: "\n" in self.read())
            self.wait_for_prompt()
        return self.text

    def quit(self):
        os.write(self.end, b"kill\ny\nquit\ny\n")
        harness.wait_for("gdb to end", lambda: self.read() is not None and self.process.poll() is not None)
        os.close(self.end)


def test_four_steps_at_the_prompt(lab):
    gdb = Gdb(lab)
    diff = lab.path(".json")
    terminal = Terminal(gdb)
    for command in steps(lab, diff):
        terminal.type(command + "\n")
    check_diff(diff, BETWEEN, lab.collector)
    output = terminal.type("htrace -di\tf\n") + terminal.type("htrace -diff\n")
    check(f"#1 LEAK {BETWEEN} eventfd" in output, output)
    # An empty line repeats gdb's own commands, and would take a snapshot of what was to be found.
    terminal.type("htrace -status\n")
    check("traced for" not in terminal.type("\n"), terminal.text)
    check("fun4 at " in terminal.type("htrace -list 1\n"), terminal.text)
    check("disabled" in terminal.type("htrace -disable\n"), terminal.text)
    terminal.quit()
    gdb.check_no_session()


def test_pager(lab):
    """A long answer stops at gdb's pager, which can end it."""
    gdb = Gdb(lab)
    terminal = Terminal(gdb)
    terminal.type("set height 12\n")
    terminal.type("htrace help\n", prompt=False)
    harness.wait_for("the pager", lambda: "--Type <RET>" in terminal.read())
    os.write(terminal.end, b"q\n")
    terminal.wait_for_prompt()
    check("Traceback" not in terminal.text and "Error" not in terminal.text, terminal.text)
    terminal.quit()


def test_interrupt(lab):
    """Ctrl-C ends the command, not gdb and not the program."""
    gdb = Gdb(lab)
    mark, slow = lab.path(".mark"), os.path.join(lab.bin, "slow-htrace")
    with open(slow, "w", encoding="utf-8") as file:
        file.write(SLOW_HTRACE.format(htrace=lab.htrace, mark=mark))
    os.chmod(slow, 0o755)
    gdb.env["HTRACE"] = slow
    terminal = Terminal(gdb)
    terminal.type("break fun2\n")
    terminal.type("run\n")
    terminal.type("htrace slow\n", prompt=False)
    harness.wait_for("htrace to begin", lambda: terminal.read() and os.path.exists(mark))
    begin = time.monotonic()
    os.write(terminal.end, b"\x03")
    terminal.wait_for_prompt()
    check(time.monotonic() - begin < 5, "Ctrl-C took its time")
    check("Interrupted" in terminal.text and "Traceback" not in terminal.text, terminal.text)
    check("fun2" in terminal.type("backtrace\n"), terminal.text)
    terminal.quit()


harness.main(globals())
