"""Calls that look alike and come again and again: a stack that is recognised must be the right one. REPEATED_ROUNDS
(20000, with ptrace 300) is how often."""
import os

import harness

# What is tried here is which stack is told, not how long a ring lasts while htrace has to wait for a CPU.
ROOMY = {"HTRACE_RING_BYTES": str(256 << 20)}


def test_repeated(lab):
    """The twins of the library have all addresses in common: what was learnt of one is not true of the other."""
    libraries = ["workload_plugin.so", "workload_twin.so"]
    rounds = os.environ.get("REPEATED_ROUNDS") or ("20000" if lab.fast else "300")
    lab.run_truth([lab.workload("workload_repeated"), rounds] + [lab.workload(name) for name in libraries],
                  modules=libraries, env=ROOMY)


harness.main(globals())
