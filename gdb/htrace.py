"""The command `htrace` in gdb.

    (gdb) source /usr/share/htrace/gdb/htrace.py        or this line in ~/.gdbinit
    (gdb) htrace -enable
    (gdb) htrace -diff
    (gdb) htrace -list 1

Owns how gdb is asked and told; what the command does is in htrace_verbs.py beside this file.
"""
import contextlib
import os
import sys

import gdb

# __file__ is another script's where that one has sourced this one.
sys.path.insert(0, os.path.dirname(os.path.realpath((lambda: None).__code__.co_filename)))
try:
    import htrace_verbs
finally:
    sys.path.pop(0)


# orig_rax last: the others are those of the thread when it goes on.
REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
             "r15", "rip", "eflags", "orig_rax")
SYSCALL_BYTES = 2
JUMP = b"\xff\x25\0\0\0\0"  # jmp *(%rip): to the address that follows


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

    can_let_in = True

    @contextlib.contextmanager
    def borrow(self):
        """gdb's own calls of functions write vector registers too, and on some machines cannot; the agent
        leaves those alone."""
        locking, self.home = gdb.parameter("scheduler-locking"), None
        gdb.execute("set scheduler-locking on", to_string=True)
        old = {name: self.register(name) for name in REGISTERS}
        breakpoints = [one for one in gdb.breakpoints() if one.enabled]
        for one in breakpoints:
            one.enabled = False
        try:
            yield
            self.go_home(old)
        except gdb.error as why:
            raise htrace_verbs.Failed(f"gdb cannot do it: {why}. `htrace -enable` before `run` needs nothing of "
                                      "that.") from None
        finally:
            self.set_registers(old)
            for one in breakpoints:
                one.enabled = True
            gdb.execute(f"set scheduler-locking {locking}", to_string=True)

    def go_home(self, registers):
        """Stops once more where the thread was: gdb would stop again at a breakpoint that it stands at, because
        it was stopped elsewhere since."""
        if self.home:
            place = registers["rip"]
            self.write_memory(self.home, JUMP + place.to_bytes(8, "little"))
            self.set_registers({**registers, "orig_rax": -1, "rip": self.home})
            self.run_to(place)

    @staticmethod
    def register(name):
        return int(gdb.execute(f"output/d ${name}", to_string=True))

    @staticmethod
    def set_registers(values):
        gdb.execute("frame 0", to_string=True)
        for name, value in values.items():
            gdb.execute(f"set ${name} = {value}", to_string=True)

    def run_to(self, place):
        """What is in rax then. Not by single steps, of which gdb would tell."""
        end = gdb.Breakpoint(f"*{place}", internal=True)
        end.silent = True
        try:
            gdb.execute("continue", to_string=True)
        finally:
            end.delete()
        at = self.register("rip")
        if at != place:
            raise htrace_verbs.Failed(f"The program was stopped at {at:#x} while it worked for htrace: try again.")
        return self.register("rax")

    def system_call(self, at, number, *arguments):
        """orig_rax: what the thread itself was waiting for in the kernel does not begin again now."""
        values = dict(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments))
        self.set_registers({**values, "orig_rax": -1, "rax": number, "rip": at})
        return self.run_to(at + SYSCALL_BYTES)

    def call(self, function, argument, stack_end, return_to):
        self.home = return_to
        self.write_memory(stack_end - 8, return_to.to_bytes(8, "little"))
        self.set_registers({"rdi": argument, "rsp": stack_end - 8, "orig_rax": -1, "rip": function})
        return self.run_to(return_to)

    def write_memory(self, at, data):
        gdb.selected_inferior().write_memory(at, data)


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
