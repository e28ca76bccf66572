"""Calls that look alike and come again and again: a stack that is recognised must be the right one."""
import harness


def test_repeated(lab):
    """The twins of the library have all addresses in common: what was learnt of one is not true of the other."""
    libraries = ["workload_plugin.so", "workload_twin.so"]
    rounds = "20000" if lab.fast else "300"
    lab.run_truth([lab.workload("workload_repeated"), rounds] + [lab.workload(name) for name in libraries],
                  modules=libraries)


harness.main(globals())
