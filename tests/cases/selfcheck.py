"""Is the truth that the workloads print true? Each of them untraced: what it says is what /proc/PID/fd has."""
import os
import subprocess
import sys
import tempfile

import exceptions
import harness

SELFCHECKS = [
    ["workload_fd_calls", "open"], ["workload_fd_calls", "close"], ["workload_libc_calls"],
    ["workload_stacks"], ["workload_stacks_nofp"], ["workload_stacks_static"],
    ["workload_stacks_static_pie"], ["workload_stacks_musl"], ["workload_bad_references"],
    ["workload_cpp_frames"], ["workload_chaos", "1", "20000", "8", "1"], ["workload_busy", "2", "0.3"],
] + [["workload_fd_tables", name] for name in (
    "dup2-free", "dup2-open", "dup2-equal", "dup3-free", "dup3-open", "dup3-equal", "close", "close-range",
    "close-range-unshare", "close-range-cloexec", "exec", "fioclex", "clone-files", "fork", "unshare-files",
    "thread", "thread-own-table", "threads-own-table", "io-uring")
] + [["workload_libc_coverage", name] for name in exceptions.calls()] + [
    ["workload_host_processes", name] for name in ("vfork", "vfork-exec", "close-all", "children", "sandbox")] + [
    ["workload_host_threads", name] for name in ("cancel", "threads", "tiny-stacks", "reused-stacks", "coroutines",
                                                 "signals", "signals-on-alternate-stack")] + [
    ["workload_host_exceptions", name] for name in ("callbacks", "handlers", "cancel")]


def selfcheck_one(folder, arguments, work):
    path = os.path.join(folder, arguments[0])
    if not os.path.exists(path):
        return "skipped: not built here"
    process = subprocess.Popen([path] + arguments[1:], cwd=work, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=dict(os.environ, WORKLOAD_WAIT="1"))
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith('{"truth":"waiting"'):
            break
    truth = harness.Truth("".join(lines)).open.get(process.pid, {})
    found = set(harness.proc_fds(process.pid)) - {0, 1, 2}
    process.stdin.close()
    process.stdout.close()
    status = process.wait(60)
    if status != 0:
        return f"failed: status {status}"
    if found != set(truth):
        return f"failed: only in the truth {sorted(set(truth) - found)}, only in /proc {sorted(found - set(truth))}"
    return "passed"


def selfcheck():
    """Every workload untraced: its truth is /proc/PID/fd."""
    folder = os.environ.get("WORKLOADS", os.path.join(harness.ROOT, "build", "tests", "workloads"))
    outcomes = []
    for arguments in SELFCHECKS:
        with tempfile.TemporaryDirectory() as work:
            outcome = selfcheck_one(folder, arguments, work)
        outcomes.append(outcome)
        print(f"{outcome.split(':')[0]}: {' '.join(arguments)} {outcome.partition(': ')[2]}")
    sys.exit(1 if any(outcome.startswith("failed") for outcome in outcomes) else 0)


if __name__ == "__main__":
    selfcheck()
