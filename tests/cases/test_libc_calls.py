"""Functions of libc that open and close inside, and a library that is unloaded after it leaked."""
import harness


def test_libc(lab):
    result = lab.run_truth([lab.workload("workload_libc_calls")])
    text = result.report_text
    pid = result.truth.order[-1]
    for group in result.report.process(pid)["groups"]:
        for frame in group["stack"]:
            harness.check(group["open"] == 0 or not (frame["function"] or "").startswith("balanced_"),
                          lambda: "a balanced call reads as a leak:\n" + harness.show_stack(group["stack"]))
    harness.check(text, "no report")


def test_unloaded_library(lab):
    plugin = lab.workload("workload_plugin.so")
    lab.run_truth([lab.workload("workload_libc_calls"), plugin], modules=["workload_plugin.so"])


def test_mappings_change(lab):
    """A mapping appears while another thread holds the lock of all of them: it is told nevertheless."""
    plugin = lab.workload("workload_plugin.so")
    rounds = "3000" if lab.fast else "300"
    lab.run_truth([lab.workload("workload_mappings"), rounds, plugin], modules=["workload_plugin.so"])


harness.main(globals())
