"""What htrace's commands in gdb and lldb share: running the htrace binary for the debugged process, the
table of its verbs, and what only a debugger can add: `list` (source of what was reported) and `enable`
before the program runs. Knows no debugger; class Debugger says what it wants of one.
"""
import json
import os
import shutil
import subprocess
import time

COME_SECONDS = 2  # for the session to hear of a program that has started
END_SECONDS = 5   # for an htrace that was interrupted
OWN_TERMINAL = {"run", "attach"}  # what they trace, or their prompt, needs it
REPORTS = {"diff", "show", "handles"}  # what `list` can speak of

ADVICE = """\
The debugger holds the process, so that nobody else can trace it. Start the program in the debugger with
`htrace -enable` before `run`; or detach, htrace enable -p {pid} in a shell, and attach again."""

LIST_SYNOPSIS = "htrace list [N [FRAME]]"
LIST_HELP = "the source of frame FRAME of trace N of what was reported last; without N: which there are"


class Failed(Exception):
    """What the user is told: a sentence that says what to do."""


class Debugger:
    """What is wanted of a debugger."""
    def write(self, text):
        raise NotImplementedError

    def write_error(self, text):
        raise NotImplementedError

    def pid(self):
        """Of the debugged process; 0: there is none. Raises Failed when it is not on this machine."""
        raise NotImplementedError

    def is_running(self):
        """Whether it runs while commands are typed."""
        raise NotImplementedError

    def program(self):
        """Path of what the next run starts, or None."""
        raise NotImplementedError

    def variable(self, name):
        """Of the next run's environment; None: it has none."""
        raise NotImplementedError

    def set_variable(self, name, value):
        raise NotImplementedError

    def list_source(self, file, line, address):
        """Its text; "": there is none. `file` and `line` or `address` may be None."""
        raise NotImplementedError

    # What lets the agent into the stopped process; a debugger that cannot has none of them.
    can_let_in = False

    def borrow(self):
        """A context in which one thread is at work for us and all others stand still."""
        raise NotImplementedError

    def system_call(self, at, number, *arguments):
        """What the system call says, made by the instruction `at`; signed."""
        raise NotImplementedError

    def call(self, function, argument, stack_end, return_to):
        """What the function (an address) returns; signed."""
        raise NotImplementedError

    def write_memory(self, at, data):
        raise NotImplementedError


# --- the binary ---------------------------------------------------------------------------------

def find_program():
    """$HTRACE, beside this script (installed, or where it was built), or in PATH."""
    named = os.environ.get("HTRACE")
    if named:
        return named
    folder = os.path.dirname(os.path.realpath(__file__))
    for place in ("../../../bin/htrace", "../build/htrace"):
        path = os.path.normpath(os.path.join(folder, place))
        if os.access(path, os.X_OK):
            return path
    return shutil.which("htrace")


def start(words, pid, **streams):
    program = find_program()
    if not program:
        raise Failed("htrace was not found: set HTRACE to its path before the debugger is started.")
    variables = {name: value for name, value in os.environ.items() if name != "HTRACE_PID"}
    if pid:
        variables["HTRACE_PID"] = str(pid)
    try:
        return subprocess.Popen([program] + words, env=variables, **streams)
    except OSError as why:
        raise Failed(f"{program} cannot be run: {why.strerror}. HTRACE says where htrace is.") from None


def finish(process):
    """(output, errors) of an htrace that was started; Ctrl-C ends it."""
    try:
        return process.communicate()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise Failed("Interrupted.") from None


def plain(errors):
    """htrace's message without its name before it."""
    return "\n".join(line[len("htrace: "):] if line.startswith("htrace: ") else line
                     for line in errors.strip().splitlines())


def call(words, pid):
    """What htrace says, on standard output and standard error."""
    process = start(words, pid, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = (text.decode(errors="replace") for text in finish(process))
    if process.returncode:
        raise Failed(plain(errors) or f"htrace ended with status {process.returncode}.")
    return output, errors


def check_is_local(pid):
    """A debugged process of this machine has a tracer."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            if any(line.startswith("TracerPid:") and int(line.split()[1]) for line in status):
                return
    except OSError:
        pass
    raise Failed("The program is not a process of this machine (a core file, a remote target): "
                 "run htrace where it runs.")


# --- the table of verbs and options -------------------------------------------------------------

class Table:
    """What `htrace help --table` prints; read once, and again where htrace could not be run."""

    def __init__(self):
        self.verbs, self.options = {}, []

    def read(self):
        if not self.verbs:
            try:
                text, _ = call(["help", "--table"], None)
            except Failed:
                return self
            for fields in (line.split("\t") for line in text.splitlines()):
                if fields[0] == "verb" and len(fields) == 4:
                    self.verbs[fields[1]] = fields[2:]
                elif fields[0] == "option" and len(fields) == 6:
                    self.options.append(fields[1:])
        return self

    def options_of(self, verb):
        return [option[1:] for option in self.options if not option[0] or verb in option[0].split(",")]

    def candidates(self, words, last):
        """For `last`, the word that is being typed behind `words`."""
        names = sorted(set(self.verbs) | {"list"})
        if not words:
            return ["-" + name for name in names] if last.startswith("-") else names
        verb = words[0].lstrip("-")
        if verb in ("help", "?"):
            return names
        option, equals, _ = last.partition("=")
        found = []
        for spellings, argument, _, choices in self.options_of(verb):
            for spelling in spellings.split(","):
                if equals and spelling == option:
                    return [f"{option}={choice}" for choice in choices.split(",") if choice]
                found.append(spelling + ("=" if argument and spelling.startswith("--") else ""))
        return found

    def complete(self, words, last):
        return [one for one in self.read().candidates(words, last) if one.startswith(last)]


TABLE = Table()


def help_text():
    verbs = TABLE.read().verbs
    lines = ["Which code of the program opens handles (file descriptors) and does not close them.", ""]
    if not verbs:
        lines += ["htrace itself was not found: set HTRACE to its path before the debugger is started.", ""]
    lines += [f"{synopsis}\n    {text}" for synopsis, text in verbs.values()]
    lines += [f"{LIST_SYNOPSIS}\n    {LIST_HELP}", "",
              "A dash before a verb is accepted (htrace -diff), and so is a handle alone (htrace 0x7cc 8).",
              "The process is the one that is debugged; htrace -enable before `run` traces the next run.",
              "htrace help VERB lists the options of a verb."]
    return "\n".join(lines)


# --- what was reported --------------------------------------------------------------------------

def title_of(item, key):
    words = [str(item[name]) for name in ("verdict", "trace", "kind", "type") if item.get(name)]
    if item.get("handle") is not None:
        words.append(f"handle {item['handle']}")
    if item.get("operation"):
        words.append(f"by {item['operation']}")
    if item.get("open"):
        words.append(f"{item['open']} open")
    return " ".join(words) + ("" if key == "stack" else f" ({key.split('_')[0]} at)")


def traces_of(report, pid):
    """[(title, frames)]: the groups of the process `pid` first, numbered as its report does."""
    found = []

    def walk(item):
        if isinstance(item, list):
            for one in item:
                walk(one)
        elif isinstance(item, dict):
            for key, value in item.items():
                if not key.endswith("stack") or not isinstance(value, list):
                    walk(value)
                elif value:
                    found.append((title_of(item, key), value))

    processes = report.get("processes")
    if isinstance(processes, list):
        processes.sort(key=lambda process: process.get("pid") != pid)
    walk(report)
    return found


def has_line(frame):
    return bool(frame.get("file") and frame.get("line"))


def place_of(frame):
    where = f"{frame['file']}:{frame['line']}" if has_line(frame) else f"{frame.get('module') or '?'}"
    return f"{frame.get('function') or frame.get('address') or '?'} at {where}"


def without_file(words):
    """The words of a verb without -o FILE."""
    kept = [word for index, word in enumerate(words) if not (index and words[index - 1] == "-o")]
    return [word for word in kept if not word.startswith("-o")]


class Last:
    """What `list` speaks of: the words of the last report. It is asked for again, in JSON, when it is
    wanted: what a stopped program has open stays as it is."""

    def __init__(self):
        self.words, self.pid, self.traces, self.stale = None, 0, None, False

    def remember(self, words, pid, running):
        self.words, self.pid, self.traces, self.stale = words, pid, None, False
        if running:
            self.fetch()

    def fetch(self):
        output, _ = call(without_file(self.words) + ["--format=json"], self.pid)
        try:
            self.traces = traces_of(json.loads(output), self.pid)
        except (ValueError, AttributeError):
            raise Failed("htrace's report cannot be read: is this script of another version?") from None

    def resumed(self):
        self.stale = self.words is not None and self.traces is None

    def get(self):
        if not self.words:
            raise Failed("Nothing was reported yet: htrace -diff first, then htrace -list.")
        if self.stale:
            raise Failed("The program has run since the last report: htrace -diff again, then htrace -list.")
        if self.traces is None:
            self.fetch()
        if not self.traces:
            raise Failed("What was reported last has no stack.")
        return self.traces


def number_of(word, what, least, most):
    if not word.isdigit() or not least <= int(word) <= most:
        raise Failed(f"{what} is a number from {least} to {most}, not '{word}': htrace -list alone lists them.")
    return int(word)


# --- a program that will be started -------------------------------------------------------------

class Awaited:
    """A session that waits for the debugger's next run, and what that run's environment gets for it."""

    def __init__(self, debugger, words):
        path = debugger.program()
        if not path:
            raise Failed("There is no program to run yet: `file PROGRAM`, then htrace -enable.")
        output, errors = call(["enable", f"--await={path}", "--format=json"] + words, None)
        answer = json.loads(output)
        self.debugger, self.session, self.pid = debugger, answer["session_pid"], 0
        self.old = {name: debugger.variable(name) for name in answer["environment"]}
        for name, value in answer["environment"].items():
            # Other libraries stay; by the colon even an empty value is given back.
            if name == "LD_PRELOAD" and self.old[name] is not None:
                value += ":" + self.old[name]
            debugger.set_variable(name, value)
        debugger.write_error(errors)

    def started(self, pid):
        """The run has them; the next one gets what it would have got without us."""
        self.pid = pid
        self.restore()

    def restore(self):
        for name, value in self.old.items():
            self.debugger.set_variable(name, value)
        self.old = {}

    def wait(self):
        """Until the session knows its program, by whose number it goes from then on."""
        until = time.monotonic() + COME_SECONDS
        while not self.has_come():
            if time.monotonic() > until:
                raise Failed("htrace's agent is not at work in the program yet: let it run to main.")
            time.sleep(0.02)
        self.session = 0

    def has_come(self):
        try:
            output, _ = call(["status", "--format=json", "-p", str(self.pid)], None)
            return bool(json.loads(output)["sessions"])
        except Failed:
            return False


# --- a process that the debugger has stopped ----------------------------------------------------

MAP_FLAGS = 0x100022  # MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE


def do_step(debugger, plan, step):
    """Whether it worked. The numbers of system calls are those of x86-64."""
    at = step["at"]
    if step["do"] == "map":
        return debugger.system_call(plan["syscall"], 9, at, step["bytes"], step["protection"], MAP_FLAGS, -1, 0) == at
    if step["do"] == "protect":
        return debugger.system_call(plan["syscall"], 10, at, step["bytes"], step["protection"]) == 0
    if step["do"] == "write":
        debugger.write_memory(at, bytes.fromhex(step["hex"]))
        return True
    return step["do"] == "call" and debugger.call(at, step["argument"], plan["stack_end"], plan["return_to"]) >= 0


def adopt(debugger, words, pid):
    """Lets the agent in by the debugger's own access. Returns what lets it out again."""
    output, errors = call([word for word in words if not word.startswith("--format")]
                          + ["--by-debugger", "--collector=agent"], pid)
    plan = json.loads(output)
    try:
        with debugger.borrow():
            for step in plan["steps"]:
                if not do_step(debugger, plan, step):
                    raise Failed(f"The agent cannot come in here: its step '{step['do']}' has failed. Is the "
                                 "program in main already, with glibc?")
    except BaseException:
        call(["disable", "-p", str(pid)], pid)
        raise
    debugger.write_error(errors)
    del plan["steps"]
    return plan


# --- the command --------------------------------------------------------------------------------

class Verbs:
    """The command `htrace` of one debugger."""

    def __init__(self, debugger):
        self.debugger, self.last, self.awaited, self.ended_pid = debugger, Last(), None, 0
        self.leaves = {}  # pid: how the agent that we have let in goes out

    def resumed(self):
        """The program runs on, or has ended."""
        self.last.resumed()

    def started(self, pid):
        """The debugger has started or attached to a process."""
        self.ended_pid = pid
        if self.awaited and not self.awaited.pid:
            self.awaited.started(pid)

    def execute(self, words):
        words = words or ["show"]
        verb = words[0][1:] if words[0].startswith("-") else words[0]
        if verb == "list":
            self.list_source(words[1:])
            return
        if verb == "help" and words[1:] == ["list"]:
            self.debugger.write(f"usage: {LIST_SYNOPSIS}\n{LIST_HELP}\n")
            return
        pid = self.debugger.pid()
        if verb == "enable" and not pid and not any(word.startswith("-p") for word in words[1:]):
            self.await_run(words[1:])
        elif verb in OWN_TERMINAL:
            finish(start(words, pid))
        else:
            self.ask(verb, words, pid)

    def await_run(self, words):
        if self.awaited and not self.awaited.pid:
            raise Failed("htrace waits for the next `run` already; htrace -disable ends that.")
        self.awaited = Awaited(self.debugger, words)
        self.debugger.write("Handle tracing will be enabled by the next `run`.\n")

    def ask(self, verb, words, pid):
        waiting = self.awaited and not self.awaited.pid
        if self.awaited and self.awaited.session and self.awaited.pid == pid and pid:
            self.awaited.wait()
        pid = pid or (self.awaited.session if waiting else self.ended_pid)
        output, errors = self.enable(words, pid) if verb == "enable" else call(words, pid)
        plan = self.leaves.pop(pid, None) if verb == "disable" else None
        if plan and self.debugger.pid() == pid and not self.debugger.is_running():
            with self.debugger.borrow():
                self.debugger.call(plan["leave"], 0, plan["stack_end"], plan["return_to"])
        if waiting and verb == "disable":
            self.awaited.restore()
            self.awaited = None
        if verb in REPORTS or verb[:1].isdigit():
            self.last.remember(words, pid, self.debugger.is_running())
        self.debugger.write_error(errors)
        self.debugger.write(output)

    def enable(self, words, pid):
        try:
            return call(words, pid)
        except Failed as why:
            if "already traced by process" not in str(why):
                raise
            if not self.debugger.can_let_in or any("ptrace" in word for word in words):
                raise Failed(f"{why}\n{ADVICE.format(pid=pid)}") from None
        if self.debugger.is_running():
            raise Failed("The program has to stand still for that: interrupt it, then htrace -enable.")
        self.leaves[pid] = adopt(self.debugger, words, pid)
        return "Handle tracing enabled.\nHandle tracing information snapshot successfully taken.\n", ""

    def list_source(self, words):
        if len(words) > 2:
            raise Failed("htrace -list takes the numbers of a trace and of a frame: htrace -list N FRAME.")
        traces = self.last.get()
        if not words:
            for index, (title, frames) in enumerate(traces, 1):
                self.debugger.write(f"#{index} {title}\n")
                for depth, frame in enumerate(frames):
                    self.debugger.write(f"    {depth:<3} {place_of(frame)}\n")
            return
        _, frames = traces[number_of(words[0], "A trace", 1, len(traces)) - 1]
        if len(words) > 1:
            self.list_frame(frames[number_of(words[1], "A frame of that trace", 0, len(frames) - 1)])
            return
        # The innermost one is libc's mostly: the first whose source is at hand says more.
        self.list_frame(next((frame for frame in frames if has_line(frame) and os.path.exists(frame["file"])),
                             frames[0]))

    def list_frame(self, frame):
        file, line = (frame["file"], frame["line"]) if has_line(frame) else (None, None)
        text = self.debugger.list_source(file, line, frame.get("address"))
        if not text:
            raise Failed(f"The debugger has no source of {place_of(frame)}: tell it where sources are.")
        self.debugger.write(f"{place_of(frame)}\n{text}")
