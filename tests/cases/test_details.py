"""What a handle is: the type and the details of one of each kind that this kernel can open, compared with what the
program did, and with lsfd's and lsof's answers."""
import json
import os
import shutil
import subprocess
import time

import harness
from harness import Skipped, check
from sessions import Session

# A type of htrace's, as the others call it.
LSFD_TYPES = {"file": "REG", "directory": "DIR", "device": "CHR", "tty": "CHR", "pipe": "FIFO", "fifo": "FIFO",
              "symlink": "LINK", "namespace": "REG", "memfd": "REG", "mqueue": "REG"}
LSFD_PROTOCOLS = {"tcp": {"TCP", "TCPv6"}, "udp": {"UDP", "UDPv6"}, "unix": {"UNIX", "UNIX-STREAM"},
                  "netlink": {"NETLINK"}, "packet": {"PACKET"}, "raw": {"RAW", "RAWv6"}, "vsock": {"AF_VSOCK"},
                  "ping": {"PING", "PINGv6"}, "alg": {"ALG"}}
LSOF_TYPES = {**LSFD_TYPES, "tcp": "IPv4", "udp": "IPv4", "unix": "unix", "netlink": "netlink", "packet": "pack",
              "raw": "raw"}


class Kinds:
    """The workload with all kinds, and its session."""

    def __init__(self, lab):
        self.lab = lab
        program = lab.workload("workload_kinds")
        self.process = lab.start([program, lab.work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == "ready\n", "the workload is not ready")
        self.session = Session(lab, self.process.pid)
        self.session.enable()
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.truth, self.refused = [], {}
        for line in iter(self.process.stdout.readline, "done\n"):
            check(line, "the workload has ended")
            entry = json.loads(line)
            if "cannot" in entry:
                self.refused[entry["cannot"]] = entry["why"]
            else:
                self.truth.append(entry)
        print(f"  {len(self.truth)} kinds; cannot be opened here: "
              + ", ".join(f"{kind} ({why})" for kind, why in self.refused.items()))

    def handles(self):
        processes = self.session.json("handles")["processes"]
        return {handle["handle"]: handle for handle in processes[0]["handles"]}

    def end(self):
        self.process.stdin.close()
        self.lab.wait(self.process)


def differences(wanted, got, path=""):
    """`got` has all of `wanted`; a list of two numbers is a range, but of handles and signals."""
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return [f"{path}: {got} instead of {wanted}"]
        return [text for key, value in wanted.items() for text in differences(value, got.get(key, "(missing)"), f"{path}.{key}")]
    is_range = isinstance(wanted, list) and len(wanted) == 2 and all(isinstance(value, int) for value in wanted)
    if is_range:
        return [] if isinstance(got, int) and wanted[0] <= got <= wanted[1] else [f"{path}: {got} is not in {wanted}"]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [text for index, value in enumerate(wanted) for text in differences(value, got[index], f"{path}[{index}]")]
    return [] if wanted == got else [f"{path}: {got} instead of {wanted}"]


def check_truth(kinds, handles, allowed=()):
    found = []
    for entry in kinds.truth:
        handle = handles.get(entry["fd"])
        if handle is None:
            found.append(f"{entry['kind']}: not listed")
            continue
        if handle["type"] != entry["type"]:
            found.append(f"{entry['kind']}: type {handle['type']}")
        found += [f"{entry['kind']}{text}" for text in differences(entry["details"], handle["details"])
                  if entry["kind"] not in allowed]
    check(not found, lambda: "\n    ".join([f"{len(found)} differences:"] + found))


def lsfd(pid):
    result = subprocess.run(["lsfd", "-J", "-p", str(pid), "-o", "FD,TYPE,PROTONAME,DELETED,MODE,POS,INODE"],
                            capture_output=True, text=True, timeout=30)
    return {row["fd"]: row for row in json.loads(result.stdout)["lsfd"] if row["fd"] is not None}


def lsof(pids):
    """Descriptors by pid and number: type, access, inode, name and what follows "T" of each. (+E, which tells the other
    ends, takes a minute where others have very many open.)"""
    result = subprocess.run(["lsof", "-n", "-P", "-F", "ftanPTi", "-a", "-p", ",".join(map(str, pids))], capture_output=True,
                            text=True, timeout=60)
    rows, row, pid = {}, {}, None
    for line in result.stdout.splitlines():
        if line[0] == "p":
            pid = int(line[1:])
        elif line[0] == "f":
            row = {}
            if line[1:].isdigit():
                rows[pid, int(line[1:])] = row
        elif line[0] == "T":
            row[line[:3]] = line.partition("=")[2]
        else:
            row.setdefault(line[0], line[1:])
    return rows


def check_lsfd(kinds, handles):
    rows = lsfd(kinds.process.pid)
    for entry in kinds.truth:
        handle, row = handles[entry["fd"]], rows[entry["fd"]]
        kind, details = handle["type"], handle["details"]
        if kind in LSFD_PROTOCOLS:
            check(row["type"] == "SOCK" and row["protoname"] in LSFD_PROTOCOLS[kind], lambda: f"{kind}: lsfd says {row}")
        elif kind in LSFD_TYPES:
            check(row["type"] == LSFD_TYPES[kind], lambda: f"{kind}: lsfd says {row}")
            check(details.get("deleted", False) == row["deleted"] or kind == "mqueue", lambda: f"{kind}: lsfd says {row}")
        else:
            check(row["type"] not in ("SOCK", *LSFD_TYPES.values()), lambda: f"{kind}: lsfd says {row}")
        check(details["offset"] == row["pos"] and details["inode"] == row["inode"], lambda: f"{details} is not {row}")
        access = {"O_RDONLY": "r--", "O_WRONLY": "-w-", "O_RDWR": "rw-"}[details["flags"].partition("|")[0]]
        check("O_PATH" in details["flags"] or access == row["mode"], lambda: f"{details['flags']} is not {row['mode']}")


def check_lsof(kinds, handles):
    pid, compared = kinds.process.pid, 0
    rows = lsof([pid] + harness.proc_children(pid))
    check(rows, "lsof says nothing")
    for entry in kinds.truth:
        handle, row = handles[entry["fd"]], rows[pid, entry["fd"]]
        kind, details = handle["type"], handle["details"]
        listed = "unconnected" not in details
        if kind in LSOF_TYPES and listed:
            check(row["t"] == LSOF_TYPES[kind], lambda: f"{entry['kind']}: lsof says {row}")
        if kind in ("tcp", "udp") and listed:
            ends = [end for end in (details["socket"]["local"], details["socket"]["remote"]) if end]
            check(row["n"] == "->".join(ends), lambda: f"{ends} is not {row['n']}")
            check(row.get("TST") == details["socket"]["state"], lambda: f"{details['socket']}: lsof says {row}")
            if details["socket"]["state"] not in ("LISTEN", "CLOSE_WAIT"):  # /proc/net/tcp counts the end as a byte
                check(int(row["TQR"]) == details["socket"]["receive_bytes"], lambda: f"{details['socket']} is not {row}")
                check(int(row["TQS"]) == details["socket"]["send_bytes"], lambda: f"{details['socket']} is not {row}")
            compared += 1
        if kind == "eventfd":
            check(row["n"] == f"[eventfd:{details['eventfd']['id']}]", lambda: f"{details['eventfd']} is not {row['n']}")
        if kind == "epoll":
            check(row["n"] == f"[eventpoll:{details['epoll']['targets'][0]}]", lambda: f"{details['epoll']} is not {row['n']}")
        if kind == "pidfd":
            check(row["n"] == f"[pidfd:{details['pidfd']['pid']}]", lambda: f"{details['pidfd']} is not {row['n']}")
        if kind in ("pipe", "unix") and details.get("peers"):
            for peer in details["peers"]:
                other = rows[peer["pid"], peer["handle"]]
                alike = other["i"] == row["i"] and {other["a"], row["a"]} == {"r", "w"} if kind == "pipe" else \
                    other["t"] == "unix" and other["TST"] == row["TST"] == "CONNECTED"
                check(alike, lambda: f"{peer}: lsof says {row} and {other}")
            compared += 1
    check(compared >= 7, lambda: f"only {compared} compared")


def test_each_kind(lab):
    kinds = Kinds(lab)
    handles = kinds.handles()
    check_truth(kinds, handles)
    for tool, compare in (("lsfd", check_lsfd), ("lsof", check_lsof)):
        if shutil.which(tool):
            compare(kinds, handles)
        else:
            print(f"  {tool} is not installed: not compared")
    # The same in a report's groups, whatever their openings told.
    process = kinds.session.json("diff")["processes"][0]
    listed = {handle["handle"]: (group, handle) for group in process["groups"] for handle in group["handles"]}
    found = [entry["kind"] for entry in kinds.truth if entry["fd"] not in listed]
    check(not found, lambda: f"in no group: {found}")
    check_truth(kinds, {number: handle for number, (group, handle) in listed.items()})
    forsaken = next(entry["fd"] for entry in kinds.truth if entry["kind"] == "forsaken tcp")
    states = {item["state"]: item["count"] for item in listed[forsaken][0]["details"]["states"]}
    check(states["CLOSE_WAIT"] == 1 and states["ESTABLISHED"] == 1, lambda: f"{states}")
    kinds.end()


def test_shapes(lab):
    """What stands out stands out, in text and in WinDbg's shape; of a process that has ended nothing is told."""
    kinds = Kinds(lab)
    number = {entry["kind"]: entry["fd"] for entry in kinds.truth}
    text = kinds.session.ask("handles").output
    port = next(entry for entry in kinds.truth if entry["kind"] == "tcp listener")["details"]["socket"]["local"]
    for words in ("the other end has closed it: 127.0.0.1:", f"{port}, LISTEN, 0 of 9 waiting to be accepted",
                  "counter 7, id ", "read by other end (", "CLOCK_MONOTONIC, expires in ", "SIGUSR2\n",
                  "deleted, 1.0 MiB on disk, locked: FLOCK for writing by process ", "1.0 MiB of memory",
                  "also held by other end (", "both ends, 33 bytes of 64.0 KiB inside"):
        check(words in text, lambda: f"'{words}' is not in\n{text}")
    one = kinds.session.ask("handles", str(number["forsaken tcp"])).output
    check("CLOSE_WAIT" in one and "(the other end has closed it)" in one and "(workload_kinds)" in one, one)
    windbg = kinds.session.ask("handles", str(number["deleted"]), "--format=windbg").output
    for words in ("Object        deleted", "Locks         FLOCK for writing", "on disk", "ThreadName    workload_kinds"):
        check(words in windbg, lambda: f"'{words}' is not in\n{windbg}")
    diff = kinds.session.ask("diff").output
    check("CLOSE_WAIT: the other end has closed it" in diff and "1 deleted" in diff, diff)
    shown = kinds.session.json("show", str(number["memfd"]))["processes"][0]["open_handle"]
    check(shown["details"]["cost"] == "memory", lambda: f"{shown}")
    kinds.end()
    harness.wait_for("the end", lambda: kinds.session.status()["ended"])
    left = kinds.handles()
    check(left and all(handle["details"] is None for handle in left.values()), lambda: f"{left}")


def start_python(lab, script, *arguments):
    """A program that waits for a line before it begins."""
    python = shutil.which("python3", path="/usr/bin") or shutil.which("python3")
    process = lab.start([python, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check(process.stdout.readline() == "ready\n", "python is not ready")
    session = Session(lab, process.pid)
    session.enable()
    process.stdin.write("go\n")
    process.stdin.flush()
    said = process.stdout.readline()
    if said == "Operation not permitted\n":
        raise Skipped("an ordinary user may not make namespaces here")
    check(said == "done\n", lambda: f"python has not done it: {said}")
    return process, session


COSTS = """
import os, sys, tempfile
print("ready", flush=True); input()
kept = []
def cheap():
    for i in range(8): kept.append(os.eventfd(0))
def memory():
    for i in range(5):
        kept.append(os.memfd_create("m")); os.write(kept[-1], b"x" * 100000)
    kept.append(os.dup(kept[-1]))
def disk():
    for i in range(4):
        file = tempfile.TemporaryFile(); file.write(b"x" * 1000000); file.flush(); kept.append(file)
cheap(); memory(); disk()
print("done", flush=True); sys.stdin.readline()
"""


def test_costs(lab):
    """Groups and handles by what they cost; an object that two handles stand for counts once."""
    process, session = start_python(lab, COSTS)
    groups = session.json("diff", "--sort=cost")["processes"][0]["groups"]
    check(all(group["details"] for group in groups), lambda: f"{[group for group in groups if not group['details']]}")
    costs = [(group["details"]["memory_bytes"] or 0) + (group["details"]["disk_bytes"] or 0) for group in groups]
    check(costs == sorted(costs, reverse=True), lambda: f"{costs}")
    check([group["type"] for group in groups][:2] == ["file", "memfd"], lambda: f"{[group['type'] for group in groups]}")
    check(4000000 <= costs[0] <= 4100000 and groups[0]["details"]["deleted"] == 4, lambda: f"{costs} {groups[0]['details']}")
    check(500000 <= costs[1] <= 560000, lambda: f"{costs}")
    copies = next(group for group in groups if group["open"] == 1 and group["type"] == "memfd")
    check(100000 <= copies["details"]["memory_bytes"] <= 110000, lambda: f"{copies}")
    by_open = [group["open"] for group in session.json("diff", "--sort=open")["processes"][0]["groups"]]
    check(by_open == sorted(by_open, reverse=True), lambda: f"{by_open}")
    by_age = [group["handles"][0]["opened_ns"] for group in session.json("diff", "--sort=age")["processes"][0]["groups"]]
    check(by_age == sorted(by_age), lambda: f"{by_age}")
    handles = session.json("handles", "--sort=cost")["processes"][0]["handles"]
    check([handle["type"] for handle in handles[:4]] == ["file"] * 4, lambda: f"{handles[:4]}")
    numbers = [handle["handle"] for handle in session.json("handles")["processes"][0]["handles"]]
    check(numbers == sorted(numbers), "not by number")
    text = session.ask("diff", "--sort=cost").output
    check("4 deleted; 3.8 MiB on disk" in text, text)
    process.stdin.close()


MANY = """
import os, resource, sys
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
count = min(19000, limit - 100)
print("ready", flush=True); input()
kept = [os.eventfd(number) for number in range(count)]
print("done", flush=True); sys.stdin.readline()
"""


def test_many(lab):
    """Twenty thousand handles are told within seconds, each with its own."""
    process, session = start_python(lab, MANY)
    begin = time.monotonic()
    answer = session.json("handles")
    took = time.monotonic() - begin
    handles = [handle for handle in answer["processes"][0]["handles"] if handle["type"] == "eventfd"]
    print(f"  {len(handles)} handles in {took:.2f} s")
    check(took < 15, f"{took:.2f} s")
    check(not answer["details"]["cut"], "there was no time for all")
    counters = [handle["details"]["eventfd"]["counter"] for handle in handles]
    check(counters == list(range(len(handles))), "counters are not those that were set")
    check(all(handle["details"]["shared_with_total"] == 0 for handle in handles), "shared with somebody")
    process.stdin.close()


SPACE = """
import ctypes, fcntl, os, socket, struct, sys
print("ready", flush=True); input()
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(int(sys.argv[1], 16)):
    print(os.strerror(ctypes.get_errno()), flush=True); sys.exit()
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", 0x49))  # SIOCSIFFLAGS: up
listener = socket.socket(); listener.bind(("127.0.0.1", 4711)); listener.listen(3)
client = socket.create_connection(("127.0.0.1", 4711)); listener.accept()[0].close()
print("done", flush=True); sys.stdin.readline()
"""


def test_other_network(lab):
    """The sockets of another network namespace, as of a container. An ordinary user, who may not enter it, is told
    what its folder in /proc says."""
    flags = {"new network": 0x40000000, "new user": 0x10000000 if lab.as_nobody else 0}
    process, session = start_python(lab, SPACE, hex(sum(flags.values())))
    handles = session.json("handles")["processes"][0]["handles"]
    sockets = {handle["details"]["socket"]["state"]: handle["details"]["socket"] for handle in handles
               if handle["type"] == "tcp"}
    check(sockets["LISTEN"]["local"] == "127.0.0.1:4711", lambda: f"{sockets}")
    check(sockets["CLOSE_WAIT"]["remote"] == "127.0.0.1:4711", lambda: f"{sockets}")
    check((sockets["CLOSE_WAIT"]["memory_bytes"] is None) == lab.as_nobody, lambda: f"{sockets}")
    process.stdin.close()


ENDS = """
import os, sys
print("ready", flush=True); input()
read, write = os.pipe()
print("done", flush=True); sys.stdin.readline()
os.close(read)
try:
    os.write(write, b"x"); print("written")
except BrokenPipeError:
    print("broken")
"""


def test_pipes_are_left_alone(lab):
    """Looking into a pipe is no reader of it: who writes to what nobody reads is told so, however often it was
    looked at meanwhile."""
    process, session = start_python(lab, ENDS)
    asked = [lab.start([lab.htrace, "handles", "-p", str(process.pid)], session.env, stdout=subprocess.DEVNULL)
             for _ in range(4)]
    process.stdin.write("close\n")
    process.stdin.flush()
    check(process.stdout.readline() == "broken\n", "a pipe had a reader")
    for one in asked:
        lab.wait(one)


harness.main(globals())
