"""The console alone, at a session that is played here: in a pty and in tmux, 80 columns wide."""
import os
import signal
import subprocess
import time

import harness
from fake_session import FakeSession
from harness import check
from terminals import PtyTerminal, TmuxTerminal

TARGET = "leakyhandles(4242)"
PROMPT = TARGET + ">"  # and a blank, which a screen does not tell from nothing
END = "process 4242 exited with status 0"


class Place:
    """A session, a terminal with a shell, and the console in it."""

    def __init__(self, lab, terminal, name="4242", start=True, **environment):
        self.lab = lab
        self.folder = lab.new_folder(f"s{lab.serial}")
        lab.serial += 1
        self.session = FakeSession(self.folder, name)
        self.environment = {**lab.environment(), "TERM": "xterm", "PS1": "$ ", "HTRACE_SOCKET_DIR": self.folder,
                            "CONSOLE": lab.program(os.environ["CONSOLE_ALONE"]), "SESSION": name, "TARGET": TARGET,
                            **environment}
        self.environment = {key: value for key, value in self.environment.items() if value is not None}
        self.terminal = terminal(lab, self.environment)
        self.terminal.expect("$")
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.terminal.close()
        self.session.kill()

    def start(self, more=""):
        self.terminal.enter('clear; "$CONSOLE" $SESSION "$TARGET"' + more)
        self.terminal.expect(PROMPT)
        self.session.wait_held(1)

    def status(self, status, *lines):
        """The console has ended, the shell is back."""
        self.terminal.expect(*lines, "$")
        self.terminal.enter("echo status=$?")
        self.terminal.expect(f"status={status}", "$")

    def words(self):
        return [request["words"] for request in self.session.asked]

    def history(self):
        return self.lab.read(os.path.join(self.lab.work, ".local/state/htrace/history")).splitlines()


def answers(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.enter("diff --format=json")
        shown.expect(f"{PROMPT} diff --format=json", "answer to diff --format=json", PROMPT)
        check(place.session.asked == [{"htrace": 1, "words": ["diff", "--format=json"], "columns": 80, "colour": True}],
              lambda: place.session.asked)
        for line in ["!htrace -diff", "htrace 0x7cc 4242 8", "!htrace", "show '0x 7' \"a'b\"", "-snapshot", "show dé"]:
            shown.enter(line)
            shown.wait(line, lambda: shown.line(-3).endswith(line) and shown.line(-1) == PROMPT)
        check(place.words()[1:] == [["diff"], ["show", "0x7cc", "8"], ["show"], ["show", "0x 7", "a'b"],
                                    ["snapshot"], ["show", "dé"]], lambda: place.words())
        for line in ["", "   ", ""]:  # nothing
            shown.enter(line)
        shown.enter("show long")
        shown.expect("line 2998", "line 2999", PROMPT)
        check(len(place.words()) == 8, lambda: place.words())
        shown.enter("show colour")
        shown.expect("bright", PROMPT)
        shown.enter("show colour -o 'a file'")
        shown.expect(f"{PROMPT} show colour -o 'a file'", PROMPT)
        check(lab.read(os.path.join(lab.work, "a file")) == "plain\n", "the file")


def errors(lab, terminal):
    with Place(lab, terminal, start=False) as place:
        place.start(" 2>errors")
        shown = place.terminal
        shown.enter("show wrong")
        shown.expect(f"{PROMPT} show wrong", PROMPT)
        for line in ["dif", "run ls", "diff 'a"]:
            shown.enter(line)
            shown.expect(f"{PROMPT} {line}", PROMPT)
        shown.enter("diff" + " a" * 64)
        harness.wait_for("five errors", lambda: place.lab.read(os.path.join(lab.work, "errors")) ==
                         "htrace: that is wrong\n"
                         "htrace: no session answers 'dif': did you mean diff?\n"
                         "htrace: no session answers 'run': help lists what it does\nhtrace: a quote is not closed: '\n"
                         "htrace: there are more than 64 words\n")
        check(place.words() == [["show", "wrong"]], lambda: place.words())


def helps(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.enter("!htrace -?")
        shown.wait("help", lambda: shown.line(-1) == PROMPT and "  quit" in "\n".join(shown.lines()))
        text = "\n".join(shown.lines())
        for verb in ["snapshot", "diff", "show", "handles", "status", "disable", "help VERB"]:
            check(f"\n  {verb} " in text, lambda: f"no {verb} in:\n{text}")
        check("\n  run " not in text and "\n  enable " not in text, text)
        shown.enter("help -diff")
        shown.wait("help of diff", lambda: shown.line(-1) == PROMPT and
                   any("--format=text|windbg|json" in line for line in shown.lines()))
        shown.enter("help me")
        shown.expect("htrace: unknown verb 'me': help lists them", PROMPT)
        check(not place.words(), lambda: place.words())


def events(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.type("diff --form")
        shown.expect(f"{PROMPT} diff --form")
        place.session.tell(END)
        shown.expect(END, f"{PROMPT} diff --form")
        check(sum("diff" in line for line in shown.lines()) == 1, lambda: shown.lines())
        shown.enter("at=json")
        shown.expect(END, f"{PROMPT} diff --format=json", "answer to diff --format=json", PROMPT)
        # A line of several rows, and the cursor in its first one.
        shown.type("z" * 170)
        shown.wait("170 z", lambda: "\n".join(shown.lines()).count("z") == 170)
        # The cursor is in its last row.
        rows = [f"{PROMPT} " + "z" * (80 - len(PROMPT) - 1), "z" * 80, "z" * (170 - 80 - (80 - len(PROMPT) - 1))]
        place.session.tell("process 4242 is here")
        shown.expect("answer to diff --format=json", "process 4242 is here", *rows)
        shown.key("Home")
        shown.type("show ")
        shown.wait("show", lambda: any("show" in line for line in shown.lines()))
        place.session.tell("process 4243 has started")
        place.session.tell("process 4244 has started")
        first = f"{PROMPT} show "
        rows = [first + "z" * (80 - len(first))]
        rows += ["z" * 80, "z" * (170 - 80 - (80 - len(first)))]
        shown.expect("process 4243 has started", "process 4244 has started", *rows)
        check("\n".join(shown.lines()).count("z") == 170, lambda: shown.lines())
        shown.type("0 ")
        shown.key("Enter")
        harness.wait_for("the request", lambda: place.words()[-1] == ["show", "0", "z" * 170])
        # While a command runs: after it.
        shown.enter("show pause 1")
        harness.wait_for("the request", lambda: place.words()[-1] == ["show", "pause", "1"])
        place.session.tell(END)
        shown.expect(f"{PROMPT} show pause 1", "paused", END, PROMPT)
        # Half of a key's sequence does not hold it up.
        shown.key("Escape")
        time.sleep(1)
        place.session.tell("a \033[31mstrange\r name")
        shown.expect("paused", END, "a ?[31mstrange? name", PROMPT)


def types_ahead(lab, terminal):
    """What is typed before the prompt is there stands behind it, once."""
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.enter("show silent 1")
        harness.wait_for("the request", lambda: place.words())
        shown.type("diff --format=")
        shown.expect(f"{PROMPT} show silent 1", f"{PROMPT} diff --format=")
        for _ in range(20):
            shown.key("C-c")
            shown.type("abc")
            shown.key("Home")
            shown.type("diff ")
            shown.expect(f"{PROMPT} diff abc")
        shown.key("Enter")
        harness.wait_for("the request", lambda: place.words()[-1] == ["diff", "abc"])
        # Two lines at once, as they are pasted.
        shown.type("show pause 0.3\rstatus\r" if terminal is PtyTerminal else "show pause 0.3\nstatus\n")
        shown.expect("answer to status", PROMPT)
        check(place.words()[-2:] == [["show", "pause", "0.3"], ["status"]], lambda: place.words())


def completes(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal

        def after(typed, *lines):
            shown.key("C-c")
            shown.wait("a new prompt", lambda: shown.line(-1) == PROMPT)
            shown.type(typed)
            shown.key("Tab")
            # The next word shows whether a blank came with it.
            shown.type("+")
            shown.expect(*lines[:-1], f"{PROMPT} {lines[-1]}+")

        after("sn", "snapshot ")
        after("di", "diff     disable", "di")
        after("  !h", "  !htrace ")
        after("!htrace -di", "-diff     -disable", "!htrace -di")
        after("!htrace -sho", "!htrace -show ")
        after("run", "run")  # no session answers it
        after("q", "quit ")
        after("help han", "help handles ")
        after("diff --fo", "diff --format=")
        after("-diff --format=w", "-diff --format=windbg ")
        after("0x7cc --format=", "text    windbg  json", "0x7cc --format=")
        after("show --format j", "show --format json ")
        after("diff --max", "diff --max")  # not of this verb
        after("diff --s", "--sort=   --stack=", "diff --s")
        after("diff --not", "diff --not-stack=")
        after("diff --ty", "diff --type=")
        after("snapshot -", "--format=  -o", "snapshot -")
        with open(os.path.join(lab.work, "some_file"), "w"):
            pass
        after("diff -o some_f", "diff -o some_file ")
        shown.key("C-c")
        shown.type("status 5")  # in the midst of a line
        shown.key("Home")
        shown.type("dif")
        shown.key("Tab")
        shown.expect(f"{PROMPT} diff status 5")


def remembers(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        for line in ["status", "diff --format=json", "diff --format=json", "show 'a"]:
            shown.enter(line)
            shown.wait(line, lambda: shown.line(-1) == PROMPT and shown.line(-3).endswith(line))
        shown.key("Up")
        shown.key("Up")
        shown.expect(f"{PROMPT} diff --format=json")
        shown.key("Up")
        shown.expect(f"{PROMPT} status")
        shown.key("Down")
        shown.key("C-c")
        shown.expect(PROMPT)
        shown.enter("quit")
        place.status(0)
        path = os.path.join(lab.work, ".local/state/htrace/history")
        check(place.history() == ["status", "diff --format=json", "show 'a", "quit"], lambda: place.history())
        check(os.stat(path).st_mode & 0o777 == 0o600, oct(os.stat(path).st_mode))
        place.start()
        shown.key("Up")
        shown.key("Up")
        shown.expect(f"{PROMPT} show 'a")
        shown.key("C-c")
        shown.expect(PROMPT)
        shown.enter("q")
        place.status(0)
        with open(path, "w") as kept:
            kept.writelines(f"show {n}\n" for n in range(2500))
        os.chmod(path, 0o644)
        place.start()
        shown.key("Up")
        shown.expect(f"{PROMPT} show 2499")
        shown.key("C-c")
        shown.enter("exit")
        place.status(0)
        check(place.history() == [f"show {n}" for n in range(1501, 2500)] + ["exit"], lambda: place.history()[:3])
        check(os.stat(path).st_mode & 0o777 == 0o600, oct(os.stat(path).st_mode))
        check(os.listdir(os.path.dirname(path)) == ["history"], os.listdir(os.path.dirname(path)))


def interrupts(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.type("disable")
        shown.expect(f"{PROMPT} disable")
        shown.key("C-c")
        shown.expect(f"{PROMPT} disable^C", PROMPT)
        for _ in range(3):
            shown.enter("show slow")
            harness.wait_for("the request", lambda: len(place.words()) > len(place.session.cancelled))
            time.sleep(0.2)
            shown.key("C-c")
            harness.wait_for("its end", lambda: len(place.words()) == len(place.session.cancelled))
        shown.wait("word of it", lambda: "htrace: cancelled" in shown.line(-2) and shown.line(-1) == PROMPT)
        shown.key("C-\\")  # a core helps nobody
        shown.enter("status")
        shown.expect(f"{PROMPT} status", "answer to status", PROMPT)
        check(place.words() == [["show", "slow"]] * 3 + [["status"]], lambda: place.words())
        check(len(place.session.holders) == 1, "the session is not held any more")


def suspends(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.type("diff --form")
        shown.expect(f"{PROMPT} diff --form")
        shown.key("C-z")
        shown.wait("the shell", lambda: "Stopped" in shown.line(-2) and shown.line(-1) == "$")
        place.session.tell(END)
        shown.enter("stty -a | grep -o -- '-*icanon'")
        shown.expect("icanon", "$")
        shown.enter("fg")
        shown.expect(END, f"{PROMPT} diff --form")
        shown.enter("at=json")
        shown.expect(f"{PROMPT} diff --format=json", "answer to diff --format=json", PROMPT)
        # While a command runs.
        shown.enter("show pause 2")
        harness.wait_for("the request", lambda: place.words()[-1] == ["show", "pause", "2"])
        shown.key("C-z")
        shown.wait("the shell", lambda: "Stopped" in shown.line(-2) and shown.line(-1) == "$")
        shown.enter("fg")
        shown.expect("paused", PROMPT)
        shown.enter("quit")
        place.status(0)


def resizes(lab, terminal):
    with Place(lab, terminal) as place:
        shown = place.terminal
        shown.type("sta")
        shown.expect(f"{PROMPT} sta")
        shown.resize(100)
        shown.enter("tus")
        shown.expect("answer to status", PROMPT)
        check(place.session.asked[-1]["columns"] == 100, lambda: place.session.asked)


def ends(lab, terminal):
    for how in ["quit", "exit", "q", "C-d"]:
        with Place(lab, terminal) as place:
            if how == "C-d":
                place.terminal.key(how)
            else:
                place.terminal.enter(how)
            place.status(0)
            place.session.wait_held(0)
            check(not place.words(), lambda: place.words())
    # The target ends; the session answers on.
    with Place(lab, terminal) as place:
        place.session.tell(END)
        place.terminal.enter("diff")
        place.terminal.expect("answer to diff", PROMPT)
        place.terminal.enter("quit")
        place.status(0)
    with Place(lab, terminal) as place:
        place.terminal.enter("disable")
        place.status(0, "answer to disable", "The session has ended.")
    with Place(lab, terminal) as place:
        place.terminal.type("dif")
        place.terminal.expect(f"{PROMPT} dif")
        place.session.tell(END)
        place.session.end()
        place.status(0, END, f"{PROMPT} dif", "The session has ended.")
    with Place(lab, terminal) as place:
        place.terminal.type("dif")
        place.terminal.expect(f"{PROMPT} dif")
        place.session.kill()
        place.status(125, "htrace: the session was killed; what it traced runs on")
    with Place(lab, terminal) as place:
        place.terminal.enter("show slow")
        harness.wait_for("the request", lambda: place.words())
        place.session.kill()
        place.status(125, "htrace: the session was killed; what it traced runs on")


def in_both(name, behaviour):
    globals()[f"test_{name}_pty"] = lambda lab: behaviour(lab, PtyTerminal)
    globals()[f"test_{name}_tmux"] = lambda lab: behaviour(lab, TmuxTerminal)


for function in [answers, errors, helps, events, types_ahead, completes, remembers, interrupts, suspends, resizes, ends]:
    in_both(function.__name__, function)


def test_no_session(lab):
    with Place(lab, PtyTerminal, start=False) as place:
        place.session.end()
        place.terminal.enter('"$CONSOLE" 4242 "$TARGET" 2>errors')
        place.status(125)
        check(place.lab.read(os.path.join(lab.work, "errors")).startswith("htrace: "), "no error")


def test_dumb(lab):
    """No sequence at all is sent, and editing works."""
    for term in ["dumb", None]:
        with Place(lab, PtyTerminal, TERM=term, start=False) as place:
            shown = place.terminal
            shown.enter('"$CONSOLE" 4242 "$TARGET"')
            shown.expect(PROMPT)
            shown.type("dixx")
            shown.key("BSpace")
            shown.key("BSpace")
            shown.type("f")
            shown.key("Tab")
            shown.expect(f"{PROMPT} diff")
            place.session.wait_held(1)
            place.session.tell(END)
            shown.expect(END, f"{PROMPT} diff")
            shown.enter("--format=json")
            shown.expect(END, f"{PROMPT} diff --format=json", "answer to diff --format=json", PROMPT)
            shown.enter("show colour")
            shown.expect("plain", PROMPT)
            shown.enter("show slow")
            harness.wait_for("the request", lambda: place.words()[-1] == ["show", "slow"])
            shown.key("C-c")
            shown.expect("htrace: cancelled", PROMPT)
            shown.enter("quit")
            place.status(0)
            check("\033" not in shown.raw, repr(shown.raw))


def test_no_colour(lab):
    with Place(lab, PtyTerminal, NO_COLOR="1") as place:
        place.terminal.enter("show colour")
        place.terminal.expect(f"{PROMPT} show colour", "plain", PROMPT)


def test_no_home(lab):
    with Place(lab, PtyTerminal, HOME=None) as place:
        place.terminal.enter("status")
        place.terminal.expect("answer to status", PROMPT)
        place.terminal.key("Up")
        place.terminal.expect(f"{PROMPT} status")
        place.terminal.key("C-d")
        check(not place.history() and not os.path.exists(os.path.join(lab.work, ".local")), "a history was written")


def test_state_home(lab):
    """The history's place as the XDG Base Directory Specification has it."""
    state = os.path.join(lab.new_folder("elsewhere"), "state")
    with Place(lab, PtyTerminal, XDG_STATE_HOME=state) as place:
        place.terminal.enter("status")
        place.terminal.expect("answer to status", PROMPT)
        # It is there at once, and consoles side by side keep the lines of both.
        with open(f"{state}/htrace/history", "a") as kept:
            kept.write("from another\n")
        place.terminal.enter("show")
        place.terminal.expect("answer to show", PROMPT)
        check(lab.read(f"{state}/htrace/history") == "status\nfrom another\nshow\n", "the history")
        check(os.stat(state).st_mode & 0o777 == 0o700, oct(os.stat(state).st_mode))
        check(not place.history(), "another history was written")
    with Place(lab, PtyTerminal, XDG_STATE_HOME="/proc/nowhere") as place:
        place.terminal.enter("status")
        place.terminal.expect(f"{PROMPT} status", "answer to status", PROMPT)


def test_long_name(lab):
    """The prompt leaves room, and no name steers the terminal."""
    with Place(lab, PtyTerminal, start=False, TARGET="a\033[31m\udcff" + "b" * 200 + "(4242)") as place:
        place.terminal.enter('clear; "$CONSOLE" 4242 "$TARGET"')
        place.terminal.expect("a?[31m?" + "b" * 24 + "...(4242)>")


def test_piped(lab):
    """Commands from a file; what goes wrong is told on standard error only."""
    folder = lab.new_folder("piped")
    session = FakeSession(folder, "4242")
    result = subprocess.run([lab.program(os.environ["CONSOLE_ALONE"]), "4242", TARGET], input="diff\nshow wrong\nstatus",
                            env={**lab.environment(), "HTRACE_SOCKET_DIR": folder}, capture_output=True, text=True,
                            timeout=30)
    session.kill()
    check((result.returncode, result.stdout, result.stderr) ==
          (0, "answer to diff\nanswer to status\n", "htrace: that is wrong\n"), str(result))
    check([request["columns"] for request in session.asked] == [0] * 3 and
          not any(request["colour"] for request in session.asked), str(session.asked))


def test_signals(lab):
    """Ended from outside, it leaves the terminal as it was."""
    for number in [signal.SIGTERM, signal.SIGHUP]:
        with Place(lab, PtyTerminal) as place:
            shown = place.terminal
            os.kill(os.tcgetpgrp(shown.fd), number)
            place.status(128 + number)
            shown.enter("stty -a | grep -o -- '-*icanon'")
            shown.expect("icanon", "$")
            place.start()
            shown.enter("show slow")
            harness.wait_for("the request", lambda: place.words())
            os.kill(os.tcgetpgrp(shown.fd), number)
            place.status(128 + number)


def test_hang_up(lab):
    place = Place(lab, PtyTerminal)
    pid = os.tcgetpgrp(place.terminal.fd)
    place.terminal.close()
    place.session.wait_held(0)
    harness.wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}"))
    place.session.kill()


SHARED = ['/bin/sh', '-c', 'trap "" HUP; sleep 600 & target=$!; echo target=$target; ready; '
          '"$CONSOLE" $target "$TARGET"; echo status=$?; read line; kill $target']


def test_target_in_our_group(lab):
    """A script started both, without job control: Ctrl-C reaches the console alone."""
    folder = lab.new_folder("shared")
    go = os.path.join(folder, "go")
    environment = {**lab.environment(), "TERM": "xterm", "HTRACE_SOCKET_DIR": folder, "TARGET": TARGET,
                   "CONSOLE": lab.program(os.environ["CONSOLE_ALONE"])}
    script = SHARED[:2] + [SHARED[2].replace("ready", f'while ! test -e {go}; do sleep 0.1; done')]
    shown = PtyTerminal(lab, environment, script)
    try:
        shown.wait("the target", lambda: shown.lines() and shown.lines()[0].startswith("target="))
        target = int(shown.lines()[0][7:])
        session = FakeSession(folder, str(target))
        with open(go, "w"):
            pass
        shown.expect(PROMPT)
        check(os.getpgid(target) == shown.pid, "the test's target is in another group")
        for key in ["C-c", "C-z"]:
            shown.type("typed")
            shown.expect(f"{PROMPT} typed")
            shown.key(key)
            if key == "C-c":
                shown.expect(f"{PROMPT} typed^C", PROMPT)
        shown.key("C-c")
        shown.expect(f"{PROMPT} typed^C", PROMPT)
        shown.enter("show slow")
        harness.wait_for("the request", lambda: session.asked)
        shown.key("C-c")
        harness.wait_for("its end", lambda: session.cancelled)
        shown.wait("word of it", lambda: "htrace: cancelled" in shown.line(-2))
        shown.enter("quit")
        shown.expect("status=0")
        check(harness.proc_status(target, "State").startswith("S"), "the target is gone or stopped")
        check(os.tcgetpgrp(shown.fd) == shown.pid, "the terminal was not given back")
        shown.key("Enter")
        shown.wait("the script's end", shown.ended)
        check(shown.status == 0, str(shown.status))
        session.kill()
    finally:
        shown.close()


harness.main(globals(), collector=None)
