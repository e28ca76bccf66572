#!/usr/bin/env python3
"""What a change costs: the pair of bench.py, traced by htrace of two build folders in alternating rounds of one run.

    python3 bench/before.py BEFORE [BUILD]

Prints the medians, their ratio, and the median of the rounds' own ratios, which a machine that changes its speed
in between moves less."""
import argparse
import os
import signal
import statistics
import sys
import tempfile

import bench

WAYS = ("bpf", "agent")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("before", help="the build folder of the other state")
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pairs", type=int, default=500000, help="in a round")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="htrace-bench-") as scratch:
        os.chmod(scratch, 0o755)
        try:
            runs = []
            for name, build in (("before", options.before), ("now", options.build)):
                bench.build_programs(build)
                folder = os.path.join(scratch, name)
                os.mkdir(folder, 0o755)
                runs.append(bench.Bench(build, bench.usable_ways(os.path.join(build, "htrace"), WAYS), folder))
            for i in range(options.rounds):
                for way in runs[1].ways:
                    for run in runs if i % 2 else runs[::-1]:
                        run.program("pair", way, options.pairs)
        except (bench.BenchError, OSError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    for way in runs[1].ways:
        before, now = (run.samples["pair", way] for run in runs)
        ratios = statistics.median(b / a for a, b in zip(before, now))
        print(f"pair.{way}: {statistics.median(before):.0f} -> {statistics.median(now):.0f} ns, ratio "
              f"{statistics.median(now) / statistics.median(before):.3f}, of the rounds {ratios:.3f}; "
              f"lowest {min(before):.0f} -> {min(now):.0f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
