"""Double close, use after close and numbers never opened, each with its three stacks."""
import harness


def test_bad_references(lab):
    lab.run_truth([lab.workload("workload_bad_references")])


harness.main(globals())
