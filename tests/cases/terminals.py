"""Two terminals to type at: a pty whose screen is kept here, and tmux. In both runs an interactive bash."""
import fcntl
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

from comparison import Failed
from harness import Skipped

ROWS, COLUMNS = 24, 80
WAIT_S = 10
SHELL = ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"]


class Screen:
    """As much of an xterm as libedit and bash need."""

    PART = re.compile(r"\x1b\[([?0-9;]*)([@A-Za-z])|\x1b[()=>][0B]?|(\r|\n|\x08|\x07)|([^\x1b\x00-\x1f])|(.)", re.S)

    def __init__(self, columns=COLUMNS):
        self.columns, self.lines = columns, [[]]
        self.row = self.column = 0
        self.pending = ""
        self.strange = []

    def feed(self, text):
        text = self.pending + text
        unfinished = re.search(r"\x1b(\[[?0-9;]*)?$", text)
        self.pending = unfinished.group(0) if unfinished else ""
        for part in self.PART.finditer(text[:len(text) - len(self.pending)]):
            arguments, final, control, character, strange = part.groups()
            if final:
                self.sequence(arguments, final)
            elif control:
                self.control(control)
            elif character:
                self.put(character)
            elif strange:
                self.strange.append(strange)

    def control(self, control):
        if control == "\r":
            self.column = 0
        elif control == "\x08":
            self.column = max(0, min(self.column, self.columns - 1) - 1)
        elif control == "\n":
            self.down()

    def down(self):
        self.row += 1
        while len(self.lines) <= self.row:
            self.lines.append([])

    def put(self, character):
        if self.column >= self.columns:
            self.column = 0
            self.down()
        line = self.lines[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = character
        self.column += 1

    def sequence(self, arguments, final):
        numbers = [int(number) if number.isdigit() else 0 for number in arguments.split(";")]
        n = max(1, numbers[0])
        line = self.lines[self.row]
        if final == "A":
            self.row = max(0, self.row - n)
        elif final == "B":
            for _ in range(n):
                self.down()
        elif final == "C":
            self.column = min(self.columns - 1, self.column + n)
        elif final == "D":
            self.column = max(0, self.column - n)
        elif final == "G":
            self.column = n - 1
        elif final == "K" and not numbers[0]:
            del line[self.column:]
        elif final == "J" and not numbers[0]:
            del line[self.column:]
            del self.lines[self.row + 1:]
        elif final == "P":
            del line[self.column:self.column + n]
        elif final == "@":
            line[self.column:self.column] = " " * n
        elif final not in "mhl":
            self.strange.append(arguments + final)

    def text(self):
        return ["".join(line).rstrip() for line in self.lines]


class Terminal:
    """What both have: waiting for what is shown."""

    def lines(self):
        """The lines that are not empty."""
        return [line for line in self.text() if line]

    def line(self, index):
        """One of them; "" where there are not so many: the screen may just have been cleared."""
        lines = self.lines()
        return lines[index] if -len(lines) <= index < len(lines) else ""

    def wait(self, what, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"waited for {what}; the screen:\n" + "\n".join(f"    |{line}" for line in self.lines()))
            self.pause()

    def expect(self, *lines):
        """The screen ends with these lines, and stays so for a moment."""
        lines = list(lines)
        self.wait(lines, lambda: self.lines()[-len(lines):] == lines)

    def enter(self, text):
        self.type(text)
        self.key("Enter")


class PtyTerminal(Terminal):
    KEYS = {"Enter": "\r", "Tab": "\t", "Up": "\033[A", "Down": "\033[B", "Left": "\033[D", "Home": "\033[H",
            "Escape": "\033", "BSpace": "\x7f", "C-c": "\x03", "C-d": "\x04", "C-z": "\x1a", "C-\\": "\x1c"}

    def __init__(self, lab, environment, argv=SHELL):
        self.screen, self.raw, self.status = Screen(), "", None
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                os.chdir(lab.work)
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
                os.execve(argv[0], argv, environment)
            finally:
                os._exit(127)

    def pause(self):
        try:
            while select.select([self.fd], [], [], 0.05)[0]:
                text = os.read(self.fd, 65536).decode(errors="replace")
                self.raw += text
                self.screen.feed(text)
                if not text:
                    break
        except OSError:
            time.sleep(0.05)  # nobody has the other side open

    def text(self):
        self.pause()
        return self.screen.text()

    def type(self, text):
        os.write(self.fd, text.encode())

    def key(self, name):
        self.type(self.KEYS[name])

    def resize(self, columns):
        self.screen.columns = columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        self.pause()
        return self.status is not None

    def close(self):
        if not self.ended():
            for pid in [self.pid, os.tcgetpgrp(self.fd)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class TmuxTerminal(Terminal):
    def __init__(self, lab, environment):
        if not shutil.which("tmux"):
            raise Skipped("tmux is not installed")
        self.environment = {key: value for key, value in environment.items() if key != "TERM"}
        lab.serial += 1
        self.socket = os.path.join(lab.folder, f"tmux{lab.serial}")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", lab.work,
                  f"exec env PS1='{environment['PS1']}' " + " ".join(SHELL))  # a shell before it drops PS1

    def tmux(self, *words):
        result = subprocess.run(["tmux", "-u", "-S", self.socket, *words], env=self.environment, capture_output=True,
                                text=True, timeout=20)
        if result.returncode:
            raise Failed(f"tmux {words}: {result.stderr}")
        return result.stdout

    def pause(self):
        time.sleep(0.1)

    def text(self):
        return [line.rstrip() for line in self.tmux("capture-pane", "-p", "-S", "-200").split("\n")]

    def type(self, text):
        self.tmux("send-keys", "-l", "--", text)

    def key(self, name):
        self.tmux("send-keys", name)

    def resize(self, columns):
        self.tmux("resize-window", "-x", str(columns))

    def close(self):
        try:
            self.tmux("kill-server")
        except Failed:
            pass
