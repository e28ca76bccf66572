"""The truth that a workload printed, the JSON report of htrace, and what differs between the two. Knows nothing of how
either came to be."""
import json
import re

# Words for the same kind of handle: what a call promises and what /proc calls it may differ.
SOCKETS = {"socket", "tcp", "udp", "unix", "netlink", "packet", "raw", "ping", "vsock", "alg"}
PATHS = {"file", "directory", "device", "tty", "block", "fifo"}
TYPE_ALIASES = {
    "file": PATHS,
    "socket": SOCKETS,
    "received": {"file", "unknown"},  # only a look at the living process tells
    "directory": {"file", "directory"},
    "device": {"file", "device", "tty"},
    "tty": {"file", "device", "tty", "pty"},
    "memfd": {"memfd", "file"},
    "mount": {"file", "mount", "directory"},
    "mqueue": {"mqueue", "file"},
    "namespace": {"namespace", "file"},
    "perf_event": {"perf", "perf_event"},
    "bpf": {"bpf", "bpf-map"},
    "seccomp": {"seccomp", "anon_inode"},
    "landlock": {"landlock", "anon_inode"},
}


class Failed(Exception):
    """htrace did not do what it promises; the text says how."""


def check(condition, text):
    if not condition:
        raise Failed(text() if callable(text) else text)


# Functions whose handles the collector cannot see being opened, by design, and why: they are found by looking,
# without a stack (exceptions.py). Which of them came true is remembered.
unseen, unseen_met = {}, set()


def except_from(functions):
    """From now on `functions` {name: why} are those that are not seen."""
    unseen.clear()
    unseen.update(functions)
    unseen_met.clear()


def check_exceptions():
    """An exception that is not needed is a wrong word about the collector."""
    check(set(unseen) <= unseen_met, lambda: f"seen after all, or never called: {sorted(set(unseen) - unseen_met)}")


def is_unseen(function, listing):
    """It is one of the exceptions, and its handle has no made-up stack."""
    if function not in unseen:
        return False
    if listing is None or (listing[1]["origin"] == "unknown" and not listing[0]["stack"]):
        unseen_met.add(function)
        return True
    return False


class Truth:
    """What the workload printed: open[pid][number] = (function, type), bad references, and what the
    kernel refused."""

    def __init__(self, output):
        self.open, self.bad, self.unsupported, self.order, self.base = {}, [], {}, [], set()
        for line in output.splitlines():
            if not line.startswith('{"truth"'):
                continue
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise Failed(f"the workload's truth is not JSON: {line[:200]}") from error
            if entry["truth"] == "open":
                table = self.open.setdefault(entry["pid"], {})
                if entry["pid"] not in self.order:
                    self.order.append(entry["pid"])
                for handle in entry["open"]:
                    table[handle["fd"]] = (handle["function"], handle["type"])
            elif entry["truth"] == "base":
                self.base.add(entry["pid"])
            elif entry["truth"] == "bad":
                self.bad.append(entry)
            elif entry["truth"] == "unsupported":
                self.unsupported[entry["call"]] = entry["why"]

    def functions(self):
        return {part for table in self.open.values() for function, _ in table.values()
                for part in function.split("|") if part}


# --- the report -------------------------------------------------------------------------------

def bare(function):
    """Without the suffix of a compiler's clone."""
    return re.sub(r"\.(constprop|isra|part|cold)\.?\d*.*$", "", function or "")


def is_function(shown, wanted):
    shown = bare(shown)
    return shown == wanted or shown.startswith(wanted + "(") or shown.startswith(wanted + "[")


def show_stack(stack):
    if not stack:
        return "        (no stack)"
    return "\n".join("        %s!%s+0x%x%s%s" % (
        frame.get("module"), frame.get("function"), frame.get("offset") or 0,
        " %s:%s" % (frame["file"], frame.get("line")) if frame.get("file") else "",
        " (inlined)" if frame.get("inlined") else "") for frame in stack[:24])


def project_frames(stack, modules, functions=None):
    """The frames from the innermost one that belongs to the program itself. In a static program
    libc belongs to it too, so there the functions of the workload tell."""
    for index, frame in enumerate(stack):
        if frame.get("module") not in modules or not frame.get("function"):
            continue
        if functions is None or any(is_function(frame["function"], name) for name in functions):
            return stack[index:]
    return []


def is_opened_by(stack, wanted, modules, functions=None):
    """`wanted` is a function, or "inner|middle|outer" where all but the last were inlined."""
    frames = project_frames(stack, modules, functions)
    chain = wanted.split("|")
    if len(frames) < len(chain):
        return False
    return all(is_function(frame["function"], name) and bool(frame.get("inlined")) == (name != chain[-1])
               for frame, name in zip(frames, chain))


class Report:
    """The JSON report, with its promises on shape checked."""

    def __init__(self, text):
        try:
            self.json = json.loads(text)
        except ValueError as error:
            raise Failed(f"the report is not JSON ({error}):\n{text[:2000]}") from error
        check(self.json.get("schema") == "htrace.report/1", f"schema is {self.json.get('schema')!r}")
        self.processes = {}
        for process in self.json["processes"]:
            self.processes[process["pid"]] = process

    def process(self, pid):
        check(pid in self.processes,
              lambda: f"process {pid} is not in the report, which has {sorted(self.processes)}")
        return self.processes[pid]

    def listed(self, pid):
        """{number: (group, handle)} of all groups."""
        found = {}
        for group in self.process(pid)["groups"]:
            for handle in group.get("handles", []):
                check(handle["handle"] not in found, f"handle {handle['handle']} is in two groups")
                found[handle["handle"]] = (group, handle)
        return found

    def others(self, pid):
        """{number: handle} of those that were there before or inherited; None: not told."""
        listed = self.process(pid).get("other_handles")
        return None if listed is None else {handle["handle"]: handle for handle in listed}

    def lost(self):
        return sum(process.get("lost_events", 0) for process in self.json["processes"]) + \
            self.json.get("lost_events", 0)


def differences_of_set(report, pid, numbers):
    """How the open handles of a process differ from `numbers`, as lines."""
    process, listed, others = report.process(pid), report.listed(pid), report.others(pid)
    found = []
    for number in sorted(set(listed) - numbers):
        found.append(f"pid {pid}: handle {number} is reported open, but is not; opened by\n" +
                     show_stack(listed[number][0]["stack"]))
    if others is not None:
        known = set(listed) | set(others)
        found += [f"pid {pid}: handle {n} is reported open, but is not" for n in sorted(set(others) - numbers)]
        found += [f"pid {pid}: handle {n} is open, but not reported" for n in sorted(numbers - known)]
    if process["open_handles"] != len(numbers):
        found.append(f"pid {pid}: open_handles is {process['open_handles']}, {len(numbers)} are open "
                     f"(in no group: {sorted(numbers - set(listed))}; before tracing: "
                     f"{process.get('before_tracing')}, inherited: {process.get('inherited')})")
    return found


def differences_of_functions(report, pid, table, modules, functions=None, own=None):
    """How the opening functions and types differ from the truth. `own` names the functions whose handles
    must be in a group; None: all. Others may be inherited."""
    listed = report.listed(pid)
    found = []
    for number, (function, kind) in sorted(table.items()):
        if function == "" or is_unseen(function, listed.get(number)):
            continue
        if number not in listed:
            if own is None or function in own:
                found.append(f"pid {pid}: handle {number}, opened by {function}, is in no group")
            continue
        group, handle = listed[number]
        if not is_opened_by(group["stack"], function, modules, functions):
            found.append(f"pid {pid}: handle {number} was opened by {function}, reported is"
                         f" ({handle.get('origin')})\n" + show_stack(group["stack"]))
        shown = handle.get("type") or group.get("type")
        if kind != "any" and shown not in TYPE_ALIASES.get(kind, {kind}):
            found.append(f"pid {pid}: handle {number} ({function}) is a {kind}, reported is {shown}")
    return found


def is_bad_of(entry, wanted, modules):
    """The stacks of the use and of the close are those that are wanted."""
    return is_opened_by(entry["stack"], wanted["now"], modules) and \
        (not wanted["closed"] or is_opened_by(entry["closed_stack"], wanted["closed"], modules))


def differences_of_bad(report, truth, modules):
    found = []
    for pid in truth.open:
        left = list(report.process(pid).get("bad_references", [])) if pid in report.processes else []
        for wanted in (entry for entry in truth.bad if entry["pid"] == pid):
            match = None
            for entry in left:
                if (entry["handle"], entry["kind"]) == (wanted["handle"], wanted["kind"]) and \
                        entry["operation"] in wanted["operation"].split("|") and \
                        (match is None or is_bad_of(entry, wanted, modules)):
                    match = entry
            if match is None:
                found.append(f"pid {pid}: no {wanted['kind']} of {wanted['handle']} by {wanted['operation']}")
                continue
            left.remove(match)
            for key, stack in (("now", "stack"), ("closed", "closed_stack"), ("opened", "opened_stack")):
                if wanted[key] and not is_opened_by(match[stack] or [], wanted[key], modules):
                    found.append(f"{wanted['kind']} of {wanted['handle']}: {stack} should be by "
                                 f"{wanted[key]}, is\n" + show_stack(match[stack]))
                if not wanted[key] and match[stack]:
                    found.append(f"{wanted['kind']} of {wanted['handle']}: {stack} is made up:\n" +
                                 show_stack(match[stack]))
        found += [f"pid {pid}: an invented bad reference: {entry['kind']} of {entry['handle']} by "
                  f"{entry['operation']}\n" + show_stack(entry["stack"]) for entry in left]
    return found


def compare(report, truth, modules, inherited=(0, 1, 2), functions=None, own=(), bad=True):
    """Fails with every difference between a report and the truth. The handles of the process that was
    traced from its start (whose truth came last, or that says so) must all be in groups; those of its
    children may be inherited, but what the functions `own` opened."""
    check(truth.open, "the workload printed no truth")
    base = truth.base or {truth.order[-1]}
    found = []
    for pid, table in truth.open.items():
        if pid not in report.processes:
            found.append(f"process {pid} is not in the report, which has {sorted(report.processes)}")
            continue
        found += differences_of_set(report, pid, set(table) | set(inherited))
        found += differences_of_functions(report, pid, table, modules, functions,
                                          None if pid in base else own)
    if bad:
        found += differences_of_bad(report, truth, modules)
    if report.lost():
        found.insert(0, f"{report.lost()} lost events")
    check(not found, lambda: f"{len(found)} differences from the truth:\n    " + "\n    ".join(found[:20]))
