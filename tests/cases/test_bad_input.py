"""Wrong words, missing rights, hostile files: a clear sentence, the right exit status, nothing harmed."""
import os
import shutil
import struct
import subprocess
import time

import harness
from harness import check


def refused(lab, argv, status, *words, env=None):
    """htrace ends with this status and says something that has one of the alternatives of each word."""
    result = lab.call([lab.htrace] + argv, 30, env=env)
    check(result.status == status, lambda: f"{argv}: status {result.status} instead of {status}: {result.errors}")
    for word in words:
        found = any(part.lower() in result.errors.lower() for part in word.split("|"))
        check(found, lambda: f"{argv}: the message has no {word!r}:\n{result.errors}")
    check(len(result.errors) < 3000, lambda: f"{argv}: that is no sentence:\n{result.errors[:500]}")
    return result


def test_words(lab):
    collector = f"--collector={lab.collector}"
    refused(lab, ["run", "--colector=bpf", "--", "true"], 2, "--colector", "--collector")
    refused(lab, ["run", "--formt=json", "--", "true"], 2, "--format")
    refused(lab, ["atach", "-p", "1"], 2, "atach", "attach")
    refused(lab, ["frobnicate"], 2, "frobnicate")
    refused(lab, ["run", collector], 2, "program")
    refused(lab, ["run", "--collector=magic", "--", "true"], 2, "magic")
    refused(lab, ["run", "--format=xml", "--", "true"], 2, "xml")
    refused(lab, ["run", "--error-exitcode=lots", "--", "true"], 2, "lots")
    refused(lab, ["run", "--error-exitcode=256", "--", "true"], 2, "256")
    refused(lab, ["run", "--max-traces=-1", "--", "true"], 2, "-1")
    refused(lab, ["attach", collector, "-p", "abc"], 2, "abc")
    refused(lab, ["attach", collector, "-p", "0"], 2, "0")
    refused(lab, ["attach", collector, "-p", "-5"], 2, "-5")
    refused(lab, ["attach", collector], 2, "-p|pid")
    refused(lab, ["attach", collector, "-p", "1", "--duration=soon"], 2, "soon")
    refused(lab, ["attach", collector, "-p", "1", "extra"], 2, "extra|one process")


def test_no_such_process(lab):
    gone = lab.start(["/bin/true"])
    lab.wait(gone)
    for pid in (str(gone.pid), "4194303"):
        refused(lab, ["attach", f"--collector={lab.collector}", "-p", pid], 125, pid, "no such|not exist|no process")


def test_kernel_thread(lab):
    if (harness.proc_status(2, "Name") or "") != "kthreadd":
        raise harness.Skipped("no kernel thread can be seen here (process 2 is not kthreadd)")
    refused(lab, ["attach", f"--collector={lab.collector}", "-p", "2"], 125, "kernel")


def test_not_permitted(lab):
    if not lab.as_nobody:
        raise harness.Skipped("root may attach to anything; shown as an ordinary user")
    other = lab.start(["/bin/sleep", "30"], privileged=True)
    for collector in (lab.collector, "auto"):
        refused(lab, ["attach", f"--collector={collector}", "-p", str(other.pid)], 125, str(other.pid),
                "permi|belongs to", "CAP_SYS_PTRACE|ptrace_scope|root|sudo|same user")
    check(other.poll() is None, "the process was harmed")


def test_bpf_not_permitted(lab):
    if not lab.as_nobody:
        raise harness.Skipped("root may use bpf; shown as an ordinary user")
    refused(lab, ["run", "--collector=bpf", "--", "/bin/true"], 125, "bpf", "CAP_|root|unprivileged|sudo")


def test_program_missing_or_not_executable(lab):
    start = ["run", f"--collector={lab.collector}", "--"]
    refused(lab, start + ["/no/such/program"], 127, "/no/such/program")
    refused(lab, start + ["no-such-program-in-path"], 127, "no-such-program-in-path")
    text = os.path.join(lab.work, "plain.txt")
    with open(text, "w") as out:
        out.write("no program\n")
    os.chmod(text, 0o644)
    refused(lab, start + [text], 126, text)
    refused(lab, start + [lab.work], 126, lab.work)


def test_broken_program_file(lab):
    """A file with execute permission that the kernel will not execute."""
    for name, content in (("empty", b""), ("cut", b"\x7fELF\x02\x01\x01" + bytes(40)), ("noise", os.urandom(500))):
        path = os.path.join(lab.work, name)
        with open(path, "wb") as out:
            out.write(content)
        os.chmod(path, 0o755)
        result = lab.call(lab.command("run") + ["--", path], 30)
        check(result.status in (126, 125, 0, 127, 2), f"{name}: status {result.status}: {result.errors}")
        check(result.status >= 0, f"{name}: htrace crashed: {result.status}")


def tiny32(lab):
    program = lab.workload("workload_tiny32", "no 32-bit assembler here")
    try:
        process = lab.start([program])
    except OSError as why:
        raise harness.Skipped(f"this kernel runs no 32-bit program: {why.strerror}") from None
    return program, process


def test_32_bit(lab):
    program, process = tiny32(lab)
    refused(lab, ["attach", f"--collector={lab.collector}", "-p", str(process.pid)], 125, "32-bit|32 bit")
    check(lab.wait(process, 10) == 0, f"the target was harmed: {process.returncode}")
    refused(lab, ["run", f"--collector={lab.collector}", "--", program], 125, "32-bit|32 bit")


def test_child_that_becomes_32_bit(lab):
    """Not refused: the rest is still traced, and the program runs to its end."""
    program, process = tiny32(lab)
    result = lab.run(["/bin/sh", "-c", f"{program}; echo status $?"])
    check((result.status, result.output) == (0, "status 0\n"), f"{result.status} {result.output!r} {result.errors}")
    harness.Report(result.report_text)
    lab.wait(process, 10)


def test_target_ends_during_attach(lab):
    for round_number in range(15):
        target = lab.start(["/bin/sleep", f"{round_number * 0.006:.3f}"])
        result = lab.call(lab.command("attach", ["-p", str(target.pid), "--duration=1s"]), 30)
        check(result.status in (0, 125), f"status {result.status}: {result.errors}")
        check(result.status == 0 or result.errors.strip(), "no word about why")
        check(lab.wait(target, 10) == 0, f"the target's status is {target.returncode}")


# --- hostile files ----------------------------------------------------------------------------

class Elf:
    """The headers of a 64-bit little-endian ELF file, to be broken."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = bytearray(file.read())
        self.shoff, = struct.unpack_from("<Q", self.bytes, 40)
        self.phoff, = struct.unpack_from("<Q", self.bytes, 32)
        self.phnum, self.shnum, self.shstrndx = (struct.unpack_from("<H", self.bytes, at)[0] for at in (56, 60, 62))
        self.sections = [self.shoff + 64 * index for index in range(self.shnum)]

    def section(self, kind):
        return next(at for at in self.sections if struct.unpack_from("<I", self.bytes, at + 4)[0] == kind)

    def loaded_end(self):
        return max(sum(struct.unpack_from("<Q", self.bytes, self.phoff + 56 * index + at)[0] for at in (8, 32))
                   for index in range(self.phnum)
                   if struct.unpack_from("<I", self.bytes, self.phoff + 56 * index)[0] == 1)

    def put(self, form, at, value):
        struct.pack_into(form, self.bytes, at, value)


SYMTAB, STRTAB = 2, 3


def broken_section(field, value, form="<Q"):
    def change(elf):
        for at in elf.sections[1:]:
            elf.put(form, at + field, value)
    return change


def noise_after_the_program(elf):
    end = (elf.loaded_end() + 4095) & ~4095
    if end < len(elf.bytes):
        elf.bytes[end:] = os.urandom(len(elf.bytes) - end)


def noise_in_debug_sections(elf):
    for at in elf.sections[1:]:
        flags, _, offset, size = struct.unpack_from("<QQQQ", elf.bytes, at + 8)
        kind, = struct.unpack_from("<I", elf.bytes, at + 4)
        if not flags & 2 and kind == 1:  # not loaded, PROGBITS: .debug_*
            elf.bytes[offset:offset + size] = os.urandom(size)


BROKEN = {
    "cut_after_segments": lambda elf: elf.bytes.__delitem__(slice(elf.loaded_end(), None)),
    "cut_in_section_headers": lambda elf: elf.bytes.__delitem__(slice(elf.shoff + 100, None)),
    "headers_beyond_the_end": lambda elf: elf.put("<Q", 40, 1 << 62),
    "headers_at_minus_one": lambda elf: elf.put("<Q", 40, (1 << 64) - 1),
    "very_many_headers": lambda elf: elf.put("<H", 60, 0xfeff),
    "no_headers": lambda elf: elf.put("<H", 60, 0),
    "names_out_of_range": lambda elf: elf.put("<H", 62, 0xfff0),
    "sizes_of_all_memory": broken_section(32, (1 << 64) - 1),
    "sizes_large": broken_section(32, 1 << 40),
    "offsets_beyond_the_end": broken_section(24, (1 << 63) + 12345),
    "offsets_wrap": broken_section(24, (1 << 64) - 8),
    "entries_of_size_zero": broken_section(56, 0),
    "entries_of_size_one": broken_section(56, 1),
    "links_out_of_range": broken_section(40, 0xffffff, "<I"),
    "links_to_themselves": lambda elf: elf.put("<I", elf.section(SYMTAB) + 40, (elf.section(SYMTAB) - elf.shoff) // 64),
    "addresses_elsewhere": broken_section(16, 0x7fffffff0000),
    "symbol_names_far_away": lambda elf: [elf.put("<I", at, 0xfffffff0) for at in range(
        struct.unpack_from("<Q", elf.bytes, elf.section(SYMTAB) + 24)[0],
        sum(struct.unpack_from("<QQ", elf.bytes, elf.section(SYMTAB) + 24)), 24)],
    "symbols_everywhere": lambda elf: [elf.put("<Q", at + 8, (1 << 64) - 64) for at in range(
        struct.unpack_from("<Q", elf.bytes, elf.section(SYMTAB) + 24)[0],
        sum(struct.unpack_from("<QQ", elf.bytes, elf.section(SYMTAB) + 24)), 24)],
    "compressed_but_not": broken_section(8, 0x800),
    "noise_in_debug_sections": noise_in_debug_sections,
    "noise_after_the_program": noise_after_the_program,
}


def test_broken_library(lab):
    """A library that the loader takes and whose other headers lie: the handle is still told, with the
    library's name, and the names of everything else."""
    source = lab.workload("workload_plugin.so")
    libc_calls = lab.workload("workload_libc_calls")
    for name, change in BROKEN.items():
        elf = Elf(source)
        change(elf)
        path = os.path.join(lab.work, name + ".so")
        with open(path, "wb") as out:
            out.write(elf.bytes)
        os.chmod(path, 0o755)
        plain = lab.call([libc_calls, path], 30)
        if plain.status != 0:
            raise harness.Failed(f"{name}: the loader does not take it: {plain.errors}")
        result = lab.run([libc_calls, path], seconds=60)
        check(result.status == 0, lambda: f"{name}: status {result.status}: {result.errors[-1000:]}")
        pid = result.truth.order[-1]
        listed = result.report.listed(pid)
        check(3 in listed, f"{name}: the handle is not reported")
        stack = listed[3][0]["stack"]
        modules = [frame.get("module") for frame in stack]
        check(name + ".so" in modules, lambda: f"{name}: the library is not in the stack:\n" + harness.show_stack(stack))
        check(any("eventfd" in (frame.get("function") or "") for frame in stack), lambda: f"{name}: libc's function is lost")


def test_cut_while_it_runs(lab):
    """The program's own file loses its end while it is mapped."""
    busy = lab.workload("workload_busy")
    copy = os.path.join(lab.work, "cut")
    shutil.copy(busy, copy)
    os.chmod(copy, 0o755)
    target, attached = start_attached(lab, copy)
    try:
        os.truncate(copy, Elf(busy).loaded_end())
    except OSError as why:  # ETXTBSY
        raise harness.Skipped(f"this kernel does not cut a running program: {why.strerror}") from None
    leak_and_report(lab, target, attached, None)


def start_attached(lab, program):
    target = lab.start([program, "1", "60", "5000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    return target, lab.attach(target.pid)


def leak_and_report(lab, target, attached, function):
    target.stdin.write(b"g")
    target.stdin.flush()
    time.sleep(0.5)
    result = attached.finish()
    check(result.status == 0, f"status {result.status}: {result.errors}")
    leaks = [group for group in result.report.process(target.pid)["groups"] if group["open"] == 1
             and (function is None or any(harness.is_function(frame.get("function") or "", function)
                                          for frame in group["stack"]))]
    check(leaks, lambda: f"{function} is in no group: " + result.report_text[:3000])
    target.stdin.close()
    check(lab.wait(target, 20) == 0, f"the target's status is {target.returncode}")


def private_copy(lab, name):
    path = os.path.join(lab.work, name)
    shutil.copy(lab.workload("workload_busy"), path)
    os.chmod(path, 0o755)
    return path


def test_deleted_binary(lab):
    """Deleted after htrace came, before it came, and replaced by another file: the names are those of
    the program that runs."""
    path = private_copy(lab, "deleted_later")
    target, attached = start_attached(lab, path)
    os.unlink(path)
    leak_and_report(lab, target, attached, "open_forgotten")


def test_deleted_before_attach(lab):
    path = private_copy(lab, "deleted_before")
    target = lab.start([path, "1", "60", "5000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    os.unlink(path)
    leak_and_report(lab, target, lab.attach(target.pid), "open_forgotten")


def test_replaced_binary(lab):
    path = private_copy(lab, "replaced")
    target, attached = start_attached(lab, path)
    other = os.path.join(lab.work, "other")
    shutil.copy(lab.workload("workload_view"), other)
    os.rename(other, path)
    leak_and_report(lab, target, attached, "open_forgotten")


def test_stripped(lab):
    """module+0x... where there is no symbol, never a wrong name."""
    path = private_copy(lab, "stripped")
    if not shutil.which("strip"):
        raise harness.Skipped("no strip here")
    subprocess.run(["strip", path], check=True)
    target, attached = start_attached(lab, path)
    target.stdin.write(b"g")
    target.stdin.flush()
    time.sleep(0.5)
    result = attached.finish()
    frames = [frame for group in result.report.process(target.pid)["groups"] if group["open"] == 1
              for frame in group["stack"] if frame["module"] == "stripped"]
    check(frames, lambda: "the program is in no stack: " + result.report_text[:2000])
    for frame in frames:
        check(not frame.get("function"), f"an invented name: {frame}")
        check(frame.get("offset") or frame.get("address"), f"no place: {frame}")


# --- the report's way out ---------------------------------------------------------------------

def test_output_that_cannot_be_written(lab):
    """The report is not lost: it goes to the terminal, with a word on why."""
    program = lab.workload("leakyhandles")
    paths = ["/dev/full", os.path.join(lab.work, "no", "such", "folder", "report")]
    if lab.as_nobody:
        paths.append("/root-only-report")
    for path in paths:
        for form, mark in (("json", '"schema"'), ("text", "fun4")):
            result = lab.call([lab.htrace, "run", f"--collector={lab.collector}", f"--format={form}", "-o", path, "--",
                               program, "5", "1"], 30)
            check(mark in result.errors and "fun4" in result.errors,
                  lambda: f"{path}: the report is lost:\n{result.errors}")
            check(path in result.errors, lambda: f"{path}: nothing is said of it:\n{result.errors}")
            check(result.status in (0, 125), f"{path}: status {result.status}")


def test_ring_overflow(lab):
    """Losses are counted, told, and repaired by looking."""
    if not lab.fast:
        raise harness.Skipped("ptrace has no ring")
    argv = [lab.workload("workload_busy"), "4", "2", "0"]
    result = lab.run(argv, env={"HTRACE_RING_BYTES": "65536"}, stdin=subprocess.PIPE)
    check(result.status == 0, f"status {result.status}: {result.errors}")
    report, pid = result.report, result.truth.order[-1]
    check(report.lost() > 0 or lab.collector == "agent", "a ring of 64 KiB did not overflow")  # the agent waits a little
    check(report.process(pid)["open_handles"] == 3, f"open_handles {report.process(pid)['open_handles']}, not 3: "
          f"{sorted(report.listed(pid))}")
    text = lab.call(lab.command("run") + ["--"] + argv, env={"HTRACE_RING_BYTES": "65536"}, stdin=subprocess.PIPE)
    check("lost" in text.errors or lab.collector == "agent", lambda: f"the text says nothing of losses:\n{text.errors}")


harness.main(globals())
