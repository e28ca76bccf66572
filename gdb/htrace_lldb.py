"""The command `htrace` in lldb.

    (lldb) command script import /usr/share/htrace/gdb/htrace_lldb.py      or this line in ~/.lldbinit
    (lldb) htrace -enable
    (lldb) htrace -diff
    (lldb) htrace -list 1

Owns how lldb is asked and told; what the command does is in htrace_verbs.py beside this file. lldb tells
its commands of no event: whether the program has begun or gone on is looked at when one is typed.
"""
import os
import shlex
import sys

import lldb

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
try:
    import htrace_verbs
finally:
    sys.path.pop(0)

CONTEXT_LINES = 5  # above and below the one that is listed
DEAD = {lldb.eStateInvalid, lldb.eStateUnloaded, lldb.eStateExited, lldb.eStateDetached}


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'


class Lldb(htrace_verbs.Debugger):
    def __init__(self, debugger):
        self.debugger, self.result = debugger, None

    def command(self, text):
        """What lldb says to it; "" where that fails."""
        answer = lldb.SBCommandReturnObject()
        self.debugger.GetCommandInterpreter().HandleCommand(text, answer)
        return answer.GetOutput() or "" if answer.Succeeded() else ""

    @property
    def target(self):
        return self.debugger.GetSelectedTarget()

    @property
    def process(self):
        process = self.target.GetProcess()
        return process if process.IsValid() and process.GetState() not in DEAD else None

    def write(self, text):
        self.result.PutCString(text.rstrip("\n"))

    def write_error(self, text):
        if text.strip():
            self.result.AppendWarning(text.strip())

    def pid(self):
        process = self.process
        if not process:
            return 0
        htrace_verbs.check_is_local(process.GetProcessID())
        return process.GetProcessID()

    def is_running(self):
        return bool(self.process) and self.process.GetState() == lldb.eStateRunning

    def program(self):
        return self.target.GetExecutable().fullpath if self.target.IsValid() else None

    def variable(self, name):
        return self.target.GetEnvironment().Get(name)

    def set_variable(self, name, value):
        """None: as it comes from lldb's own environment."""
        self.command(f"settings remove target.env-vars {name}")
        if value is not None and self.variable(name) != value:
            self.command(f"settings append target.env-vars {quoted(name + '=' + value)}")

    def list_source(self, file, line, address):
        text = ""
        if file:
            first = max(line - CONTEXT_LINES, 1)
            text = self.command(f"source list -f {quoted(file)} -l {first} -c {line + CONTEXT_LINES - first}")
        if not text.strip() and address:
            text = self.command(f"source list -a {int(address, 0) - 1:#x}")
        return text if text.strip() else ""


class Htrace:
    def __init__(self, debugger, session_dictionary):
        self.lldb = Lldb(debugger)
        self.verbs = htrace_verbs.Verbs(self.lldb)
        self.pid = self.stop = 0

    def look(self):
        """What has happened since the last command."""
        process = self.lldb.process
        pid, stop = (process.GetProcessID(), process.GetStopID()) if process else (0, 0)
        if (pid, stop) != (self.pid, self.stop):
            self.verbs.resumed()
        if pid and pid != self.pid:
            self.verbs.started(pid)
        self.pid, self.stop = pid, stop

    def __call__(self, debugger, command, context, result):
        self.lldb.result = result
        try:
            self.look()
            self.verbs.execute(shlex.split(command))
        except (htrace_verbs.Failed, ValueError) as why:  # ValueError: a quote is not closed
            result.SetError(str(why))

    def get_short_help(self):
        return "Which code of the program opens handles and does not close them."

    def get_long_help(self):
        return htrace_verbs.help_text()


def __lldb_init_module(debugger, session_dictionary):
    debugger.HandleCommand(f"command script add -c {__name__}.Htrace htrace")
