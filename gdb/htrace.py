"""The command `htrace` in gdb.

    (gdb) source /usr/share/htrace/gdb/htrace.py        or this line in ~/.gdbinit
    (gdb) htrace -enable
    (gdb) htrace -diff
    (gdb) htrace -list 1

Owns how gdb is asked and told; what the command does is in htrace_verbs.py beside this file.
"""
import os
import sys

import gdb

# __file__ is another script's where that one has sourced this one.
sys.path.insert(0, os.path.dirname(os.path.realpath((lambda: None).__code__.co_filename)))
try:
    import htrace_verbs
finally:
    sys.path.pop(0)


class Gdb(htrace_verbs.Debugger):
    def write(self, text):
        gdb.write(text)

    def write_error(self, text):
        if text:
            gdb.write(text, gdb.STDERR)

    def pid(self):
        pid = gdb.selected_inferior().pid
        if pid:
            htrace_verbs.check_is_local(pid)
        return pid

    def is_running(self):
        return any(thread.is_running() for thread in gdb.selected_inferior().threads())

    def program(self):
        return gdb.current_progspace().filename

    def variable(self, name):
        text = gdb.execute(f"show environment {name}", to_string=True)
        before = f"{name} = "
        return text[len(before):].rstrip("\n") if text.startswith(before) else None

    def set_variable(self, name, value):
        gdb.execute(f"unset environment {name}" if value is None else f"set environment {name} = {value}",
                    to_string=True)

    def list_source(self, file, line, address):
        """By file and line, which inlined code has too; else by the address, before which the call lies."""
        commands = []
        if file:
            name = file.replace("\\", "\\\\").replace('"', '\\"')
            commands.append(f'list -source "{name}" -line {line}')
        if address:
            commands.append(f"list *({address} - 1)")
        for command in commands:
            try:
                text = gdb.execute(command, to_string=True)
            except gdb.error:
                continue
            if text.strip():
                return text
        return ""


class Htrace(gdb.Command):
    def __init__(self):
        self.__doc__ = htrace_verbs.help_text()
        super().__init__("htrace", gdb.COMMAND_STATUS)
        self.verbs = htrace_verbs.Verbs(Gdb())
        gdb.events.cont.connect(lambda event: self.verbs.resumed())
        gdb.events.exited.connect(lambda event: self.verbs.resumed())
        gdb.events.new_thread.connect(self.on_thread)

    def on_thread(self, event):
        """The first one of a run: its environment is made by now."""
        if event.inferior_thread.inferior.pid and event.inferior_thread.num == 1:
            self.verbs.started(event.inferior_thread.inferior.pid)

    def complete(self, text, word):
        words = text.split(" ")
        last = words.pop()
        found = htrace_verbs.TABLE.complete([one for one in words if one], last)
        # gdb takes what follows its last separator ("=") for the word.
        skip = len(last) - len(word) if word is not None and last.endswith(word) else 0
        return [one[skip:] for one in found]

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        try:
            self.verbs.execute(gdb.string_to_argv(argument))
        except htrace_verbs.Failed as why:
            raise gdb.GdbError(str(why)) from None


Htrace()
