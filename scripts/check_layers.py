#!/usr/bin/env python3
"""Fails on an include that goes up or sideways in the house, and on text that belongs to one
machine (paths, package hosts). Prints file:line of each. Knows nothing of what the code does.

  check_layers.py [ROOT]      check
  check_layers.py --self-test prove that it finds what it looks for
"""

import os
import re
import sys
import tempfile

# docs/ARCHITECTURE.md, "Floors": a folder of src/ may include itself and lower floors.
FLOORS = {
    "base": 0,
    "event": 1,
    "stack": 2, "os": 2,
    "model": 3, "unwind": 3, "collect": 3,
    "trace": 4, "symbol": 4, "detail": 4,
    "report": 5,
    "session": 6,
    "cli": 7,
}

# The agent lives in other programs: of src/ it sees only what it shares with the collector, and of libc no header
# whose functions it might call.
AGENT_SEES = "event"
LIBC = re.compile(r"^\s*#\s*include\s*<((?:stdio|stdlib|string|strings|unistd|pthread|malloc|dlfcn)\.h)>")

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')

# What only one machine has. A path of a target (/proc/PID/root/...) is none of these.
FOREIGN = [
    (re.compile(r"(?<![\w%}>\])*.])/(?:work|root)/"), "path of a build machine"),
    (re.compile(r"\b(?:deb|snapshot|security|archive)\.(?:debian|ubuntu)\.(?:org|com)\b"),
     "package host"),
    (re.compile(r"\b(?:registry\.npmjs\.org|pypi\.org|proxy\.golang\.org|static\.crates\.io)\b"),
     "package host"),
]
SKIPPED_FOLDERS = re.compile(r"^(?:\.git|build.*|__pycache__)$")


def files_of(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not SKIPPED_FOLDERS.match(name))
        for name in sorted(set(names) - {".git"}):  # a file in a linked work tree
            yield os.path.relpath(os.path.join(folder, name), root)


def lines_of(root, path):
    try:
        with open(os.path.join(root, path), encoding="utf-8") as stream:
            return list(enumerate(stream, 1))
    except (UnicodeDecodeError, OSError):  # binary test data, dangling links
        return []


def check_include(root, path, included):
    """The complaint about one include of src/FOLDER/..., or None."""
    folder = path.split("/")[1]
    if folder not in FLOORS:
        return f"folder src/{folder} stands on no floor (scripts/check_layers.py)"
    target = included.split("/")[0]
    if target == folder:
        return None
    if "/" not in included or target.startswith("."):
        near = os.path.normpath(os.path.join(root, os.path.dirname(path), included))
        # What is not in the tree is generated.
        return f'"{included}": write the path from src/' if os.path.exists(near) else None
    if target not in FLOORS:
        return f'"{included}": no such floor'
    if FLOORS[target] < FLOORS[folder]:
        return None
    where = "beside" if FLOORS[target] == FLOORS[folder] else "above"
    return f'"{included}": {target} (floor {FLOORS[target]}) stands {where} {folder} ' \
           f"(floor {FLOORS[folder]})"


def check_agent_line(line):
    """The complaint about one line of agent/..., or None."""
    included, libc = INCLUDE.match(line), LIBC.match(line)
    if libc:
        return f"<{libc.group(1)}>: the agent calls no function of libc"
    if not included or "/" not in included.group(1) or included.group(1).split("/")[0] == AGENT_SEES:
        return None
    return f'"{included.group(1)}": of src/ the agent sees {AGENT_SEES}/ only'


def check_line(root, path, line):
    """The complaint about one line of C, or None."""
    if path.startswith("agent/"):
        return check_agent_line(line)
    included = INCLUDE.match(line)
    in_source = path.startswith("src/") and path.count("/") > 1
    return check_include(root, path, included.group(1)) if included and in_source else None


def check(root):
    """All complaints, as file:line: text."""
    complaints = []
    for path in files_of(root):
        in_c = path.endswith((".c", ".h", ".S"))
        for number, line in lines_of(root, path):
            complaint = check_line(root, path, line) if in_c else None
            if complaint:
                complaints.append(f"{path}:{number}: {complaint}")
            complaints += [f"{path}:{number}: {what}: {found.group(0)}" for pattern, what in FOREIGN
                           for found in [pattern.search(line)] if found]
    return complaints


# The self-test's tree: file, its text, and the line of it that must be found (0: none).
SELF_TEST = [
    ("src/base/good.c", '#include "base/good.h"\n#include <stdio.h>\n', 0),
    ("src/base/good.h", "", 0),
    ("src/base/up.c", '#include "base/good.h"\n#include "event/event.h"\n', 2),
    ("src/event/event.h", '#include "base/good.h"\n', 0),
    ("src/model/beside.h", '\n#  include "unwind/unwind.h"\n', 2),
    ("src/os/relative.c", '#include "near.h"\n', 1),
    ("src/os/generated.c", '#include "made_by_meson.h"\n', 0),
    ("src/os/near.h", "", 0),
    ("src/os/sneaky.c", '#include "../base/good.h"\n', 1),
    ("src/collect/bpf/deep.c", '#include "collect/collector.h"\n#include "trace/diff.h"\n', 2),
    ("src/cli/main.c", '#include "report/report.h"\n#include "session/session.h"\n', 0),
    ("agent/sees.c", '#include "agent.h"\n#include "event/arena.h"\n#include <fcntl.h>\n', 0),
    ("agent/looks.c", '#include "event/arena.h"\n#include "base/error.h"\n', 2),
    ("agent/around.h", '#include "../src/base/error.h"\n', 1),
    ("agent/enters.S", '#include "stack/stack_table.h"\n', 1),
    ("agent/calls.c", '#include <stdbool.h>\n#include <string.h>\n', 2),
    ("src/base/to_agent.c", '#include "agent/agent.h"\n', 1),
    ("src/cellar/wine.c", '#include "base/good.h"\n', 1),
    ("docs/path.md", "see\n/wo" + "rk/shared\n", 2),
    ("docs/target.md", "/proc/PID/root/lib and /proc/%d/root/x\n", 0),
    ("docs/host.md", "http://deb.deb" + "ian.org/debian\n", 1),
    ("build/ignored.c", "/wo" + "rk/build\n", 0),
]


def self_test():
    with tempfile.TemporaryDirectory() as root:
        for path, text, _ in SELF_TEST:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as stream:
                stream.write(text)
        found = sorted(":".join(text.split(":")[:2]) for text in check(root))
    wanted = sorted(f"{path}:{line}" for path, _, line in SELF_TEST if line)
    for text in sorted(set(found) ^ set(wanted)):
        print(f"{text}: {'found without reason' if text in found else 'not found'}")
    if found == wanted:
        print(f"found exactly the {len(wanted)} offences of {len(SELF_TEST)} files")
    return 0 if found == wanted else 1


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    complaints = check(root)
    print("\n".join(complaints) if complaints else "layers: every include goes down")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
