"""What a frame costs: runs bench_unwind, which measures our unwinder and others' over the
same captured stacks, and makes its lines a table and results for bench.json. Knows no more of it
than the lines that it prints (bench_unwind.c says which)."""

import subprocess

NAMES = {"cfi": "htrace", "dwfl": "libdwfl", "libunwind": "libunwind, remote, global cache"}
SECONDS_MAX = 120


class Run:
    """What one run of bench_unwind printed."""

    def __init__(self, program):
        done = subprocess.run([program], stdout=subprocess.PIPE, text=True, timeout=SECONDS_MAX,
                              check=False)
        if done.returncode != 0:
            raise ValueError(done.stdout.strip()[-300:] or f"exit status {done.returncode}")
        lines = [line.split() for line in done.stdout.splitlines()]
        self.programs = {words[1].rsplit("/", maxsplit=1)[-1]: int(words[2])
                         for words in lines if words[0] == "samples"}
        self.stacks, self.frames, self.spaces = [float(word) for words in lines
                                                 if words[0] == "stacks" for word in words[1:]]
        self.ways = {words[1]: [float(word) for word in words[2:]]
                     for words in lines if words[0] == "way"}

    def ratio(self, way):
        """Its time for a frame over ours, mixed."""
        return self.ways[way][1] / self.ways["cfi"][1]

    def table(self):
        programs = ", ".join(f"{name} {count}" for name, count in self.programs.items())
        lines = [f"| unwinding {self.stacks:,.0f} stacks ({programs}) of {self.frames:.1f} frames | "
                 "ns/frame, one hot stack | ns/frame, mixed | stacks/s, mixed | times htrace | "
                 "frames equal |", "|---|--:|--:|--:|--:|--:|"]
        for way, (hot, mixed, rate, equal) in self.ways.items():
            lines.append(f"| {NAMES[way]} | {hot:,.1f} | {mixed:,.1f} | {rate:,.0f} | "
                         f"{self.ratio(way):.1f} | {equal * 100:.2f} % |")
        return "\n".join(lines) + "\n"

    def results(self):
        hot, mixed, rate, _ = self.ways["cfi"]
        out = [("unwind.hot_ns_per_frame", hot, "ns"), ("unwind.mixed_ns_per_frame", mixed, "ns"),
               ("unwind.mixed_stacks_per_s", rate, "stacks/s")]
        for way, name in (("dwfl", "libdwfl"), ("libunwind", "libunwind")):
            if way in self.ways:
                out += [(f"unwind.vs_{name}", self.ratio(way), "times ours"),
                        (f"unwind.equal_to_{name}", self.ways[way][3], "share of stacks")]
        return [{"name": name, "value": round(value, 4), "unit": unit} for name, value, unit in out]


def measure(build, _scratch):
    """The table, and the rows of bench.json."""
    run = Run(build + "/bench/bench_unwind")
    return run.table(), run.results()
