#!/usr/bin/env python3
"""Compares what htrace says of random addresses of real files with what llvm-symbolizer and addr2line
say: function, file, line, and which calls were inlined.

    naming_differential.py [--build BUILD] [--seed N] [--addresses N] [--verbose] [FILE...]

Without files: the large library that the bench names. Every difference is put into a class that a
rule decides (docs/NAMING.md says what each is and who is right); what no rule explains is printed.
Fails where more than one address in a thousand is left unexplained against either of them.
"""

import argparse
import bisect
import collections
import os
import random
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import naming  # noqa: E402

UNEXPLAINED_MAX = 0.001
SHOWN = 5  # differences of one class that are printed


def output_of(command, text):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise SystemExit(f"naming_differential: {command[0]} failed")
    return done.stdout


def readable(text):
    """Names as libiberty reads them: LLVM spells them in its own way."""
    return output_of(["c++filt", "-i"], text)


def plain(function):
    """Without what tells the copies of a function apart that compilers make."""
    function = re.sub(r"(( \[clone [^]]*\])+|\.abi(0|internal))$", "", function)
    return re.sub(r"^([A-Za-z_]\w*)(\.(constprop|part|isra|cold|lto_priv|llvm)\b[\w.]*)+$", r"\1",
                  function)


def place(text):
    """(file, line) of FILE:LINE[:COLUMN][ (discriminator N)]."""
    match = re.match(r"(.*?):(\d+|\?)(?::\d+)?(?: \(.*\))?$", text)
    if not match:
        return text, 0
    line = int(match.group(2)) if match.group(2) != "?" else 0
    path = match.group(1)
    return (os.path.normpath(path).replace("//", "/") if path not in ("??", "") else "??"), line


def frames_of(lines):
    return [(lines[i],) + place(lines[i + 1]) for i in range(0, len(lines) - 1, 2)]


def split(text, peer):
    """A list of frames for each address."""
    if peer == "llvm":  # blocks that end with an empty line
        blocks = [block.split("\n") for block in text.strip("\n").split("\n\n")]
    else:
        blocks = []
        for line in text.split("\n"):
            if re.match(r"0x[0-9a-f]+$", line):
                blocks.append([])
            elif line:
                blocks[-1].append(line)
    return [frames_of(block) for block in blocks]


class Symbols:
    """What nm lists of the file and of its debug file."""

    def __init__(self, *paths):
        self.addresses, ranges = collections.defaultdict(set), set()
        for path in set(paths):
            for option in ([], ["-D"]):
                done = subprocess.run(["nm", "-S"] + option + [path], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True, check=False)
                for start, size, kind, name in re.findall(
                        r"^([0-9a-f]{16}) (?:([0-9a-f]{16}) )?(\w) (\S+)$", done.stdout, re.M):
                    self.addresses[name.split("@")[0]].add(int(start, 16))
                    if size and kind in "tTwWiuV":
                        ranges.add((int(start, 16), int(start, 16) + int(size, 16)))
        self.ranges = sorted(ranges)
        names = list(self.addresses)
        for name, shown in zip(names, readable("\n".join(names)).split("\n")):
            self.addresses[plain(shown)] |= self.addresses[name]

    def are_aliases(self, one, other):
        return bool(self.addresses.get(one, set()) & self.addresses.get(other, set()))

    def hold(self, address):
        at = bisect.bisect_right(self.ranges, (address, 1 << 64))
        return any(low <= address < high for low, high in self.ranges[max(0, at - 64):at])


def same_path(ours, theirs):
    """addr2line joins a relative folder with itself: "./stdio/stdio/a.c"."""
    folder, name = os.path.split(ours)
    return ours == theirs or theirs == os.path.normpath(os.path.join(folder, folder, name))


def compare_frames(ours, theirs, symbols):
    """The class of the difference; "" where there is none, "?..." where no rule says what it is."""
    if len(ours) != len(theirs):
        return "?depth"
    found = set()
    for number, (own, other) in enumerate(zip(ours, theirs)):
        if own[2] != other[2]:
            return "?line"
        if not same_path(own[1], other[1]) and own[2]:
            found.add("file")
        if own[0] == other[0]:
            continue
        if plain(own[0]) == plain(other[0]):
            found.add("copy's suffix")
        elif number == 0 and len(ours) > 1 and plain(other[0]) in (plain(ours[-1][0]),
                                                                   plain(theirs[-1][0])):
            found.add("symbol's name for an inlined function")
        elif own[0].startswith(other[0] + "(") or own[0].split("(")[0].endswith("::" + other[0]):
            found.add("bare name")
        elif symbols.are_aliases(plain(own[0]), plain(other[0])):
            found.add("alias")
        elif number == len(ours) - 1 and plain(own[0]) not in symbols.addresses and \
                plain(other[0]) in symbols.addresses:
            found.add("asm label")
        else:
            return "?function"
    return " + ".join(sorted(found))


def lines_of(frames):
    return [frame[2] for frame in frames]


def compare(ours, theirs, symbols, address):
    kind = compare_frames(ours, theirs, symbols)
    nothing = len(ours) == 1 and ours[0][0] == "??" and ours[0][2] == 0
    if kind and not symbols.hold(address) and (nothing or lines_of(ours) == lines_of(theirs)):
        return "in no sized function"
    return kind


def show(address, ours, theirs, peer):
    print(f"    {address:#x}")
    for who, frames in (("ours", ours), (peer, theirs)):
        for function, path, line in frames:
            print(f"      {who:9} {function[:90]} {path}:{line}")


def differ(build, library, seed, count, verbose):
    """Compares one file; returns whether it is good enough."""
    debug = naming.file_with_dwarf(library)
    if debug is None:
        print(f"{library}: skipped: no debug information")
        return True
    addresses = naming.choose_addresses(library, seed, count)
    text = "".join(f"{address:#x}\n" for address in addresses)
    symbols = Symbols(library, debug)
    ours = split(output_of([os.path.join(build, "bench", "bench_naming"), library], text), "ours")
    peers = {"llvm": [naming.llvm_symbolizer() or "", "--obj=" + library, "-i", "-f=linkage",
                      "--no-demangle"],
             "addr2line": ["addr2line", "-a", "-f", "-i", "-e", debug]}
    said = {peer: split(readable(output_of(command, text)), peer)
            for peer, command in peers.items() if shutil.which(command[0])}
    good = True
    print(f"{library}: {count} addresses, seed {seed}, "
          f"{sum(len(frames) for frames in ours)} places")
    for peer, theirs in said.items():
        assert len(theirs) == len(ours) == count, (peer, len(theirs), len(ours))
        classes, examples = collections.Counter(), collections.defaultdict(list)
        for number, address in enumerate(addresses):
            kind = compare(ours[number], theirs[number], symbols, address)
            # Where the other peer says just what we say two readers outvote one.
            if kind.startswith("?") and any(
                    other != peer and not compare(ours[number], said[other][number], symbols,
                                                  address).startswith("?") for other in said):
                kind = f"{kind[1:]}, the other peer agrees with us"
            classes[kind] += 1
            examples[kind].append((address, ours[number], theirs[number], peer))
        unexplained = sum(number for kind, number in classes.items() if kind.startswith("?"))
        same = classes.pop("", 0) + classes.get("copy's suffix", 0)
        lines = sum(lines_of(own) == lines_of(other) for own, other in zip(ours, theirs))
        print(f"  {peer}: {same} the same ({same / count:.2%}), {unexplained} unexplained; "
              f"lines and inlined calls {lines / count:.2%}")
        for kind, number in classes.most_common():
            print(f"    {number:6} {kind}")
            for one in examples[kind][:SHOWN] if verbose or kind.startswith("?") else []:
                show(*one)
        good = good and unexplained <= UNEXPLAINED_MAX * count
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--addresses", type=int, default=naming.ADDRESSES)
    parser.add_argument("--verbose", action="store_true", help="examples of every class")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    files = options.files
    if not files:
        found = naming.find_library()
        if found is None:
            print(f"skipped: no large library with debug information ({naming.PACKAGE})")
            return 77
        files = [found[0]]
    subprocess.run(["ninja", "-C", options.build, "bench/bench_naming"], check=True,
                   stdout=subprocess.DEVNULL)
    return 0 if all([differ(options.build, path, seed, options.addresses, options.verbose)
                     for path in files]) else 1


if __name__ == "__main__":
    sys.exit(main())
