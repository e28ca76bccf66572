"""Every system call that gives, replaces, closes, shares or copies a descriptor: htrace says what the
workload says."""
import harness
from harness import check

# Refused by older kernels, by missing privileges, or in containers; any other refusal is a failure.
OPTIONAL = {
    "open_by_handle", "open_fanotify_init", "open_memfd_secret", "open_userfaultfd", "open_perf_event",
    "open_bpf_map", "open_io_uring_setup", "open_fsopen", "open_fsmount", "open_fspick", "open_mq_open",
    "open_landlock", "open_ioctl_tiocgptpeer", "open_ioctl_ns_get_userns", "open_seccomp_listener",
    "open_open_tree", "open_open_tree_attr", "open_scm_pidfd", "open_so_peerpidfd", "open_pidfd_getfd",
}


def tell_unsupported(truth):
    for call, why in sorted(truth.unsupported.items()):
        print(f"  not on this kernel or for this user: {call}: {why}")
    refused = set(truth.unsupported) - OPTIONAL
    check(not refused, f"refused, but every kernel has them: {sorted(refused)}")


def test_open_and_leave(lab):
    result = lab.run_truth([lab.workload("workload_fd_calls"), "open"])
    tell_unsupported(result.truth)


def test_open_and_close(lab):
    result = lab.run_truth([lab.workload("workload_fd_calls"), "close"])
    for group in result.report.process(result.truth.order[-1])["groups"]:
        check(group["opened"] - group["closed"] == group["open"], f"opened - closed is not open: {group}")


def scenario(name, *arguments, **comparison):
    def run(lab):
        lab.run_truth([lab.workload("workload_fd_tables"), name, *arguments], **comparison)
    globals()["test_" + "_".join([name.replace("-", "_"), *arguments])] = run


for plain in ("dup2-free", "dup2-open", "dup2-equal", "dup3-free", "dup3-open", "dup3-equal", "close",
              "close-range", "close-range-unshare", "close-range-cloexec", "exec", "fioclex", "clone-files",
              "thread", "thread-own-table", "threads-own-table"):
    scenario(plain)
scenario("fioclex", "then-exec")
scenario("close-range-cloexec", "then-exec")
scenario("fork", own={"event_in_child"})
scenario("unshare-files", own={"event_in_child"})


def test_io_uring(lab):
    """Opened without a system call of the process: found by looking, without a stack."""
    result = lab.run([lab.workload("workload_fd_tables"), "io-uring"])
    truth = result.truth
    if "io_uring" in truth.unsupported:
        raise harness.Skipped(f"no io_uring here: {truth.unsupported['io_uring']}")
    harness.compare(result.report, truth, {"workload_fd_tables"})
    pid = truth.order[-1]
    number = next(n for n, (function, _) in truth.open[pid].items() if function == "")
    group, handle = result.report.listed(pid).get(number, (None, None))
    if group:
        check(handle["origin"] == "unknown" and not group["stack"],
              lambda: f"origin {handle['origin']}, a made-up stack:\n" + harness.show_stack(group["stack"]))


def test_processes_keep_their_own(lab):
    """Without --no-children the child's report is its own; with it there is none."""
    program = lab.workload("workload_fd_tables")
    result = lab.run([program, "fork"], ["--no-children"])
    check(result.status == 0, f"status {result.status}: {result.errors}")
    parent = result.truth.order[-1]
    check(set(result.report.processes) == {parent}, f"processes {sorted(result.report.processes)}")
    found = harness.differences_of_functions(result.report, parent, result.truth.open[parent],
                                             {"workload_fd_tables"})
    check(not found, lambda: "\n".join(found))


harness.main(globals())
