"""Stacks that are hard to follow, in programs built in several ways."""
import json

import comparison
import harness
from harness import check


def check_callers(result, function, callers, module):
    """The frames above the opener are there too, in this order."""
    pid = result.truth.order[-1]
    for group in result.report.process(pid)["groups"]:
        frames = harness.project_frames(group["stack"], {module}, {function})
        if not frames:
            continue
        names = [harness.bare(frame["function"]) for frame in frames if frame.get("function")]
        at = 0
        for name in names:
            at += at < len(callers) and name == callers[at]
        check(at == len(callers), lambda: f"{function}: callers {callers} are not all there:\n" +
              harness.show_stack(group["stack"]))
        return
    check(False, f"{function} is in no group")


def check_build(lab, name, missing=None, static=False):
    result = lab.run_truth([lab.workload(name, missing)], static=static)
    check_callers(result, "leak_in_handler", ["leak_in_handler", "raise_on_other_stack", "main"], name)
    check_callers(result, "leak_deep", ["leak_deep"] + ["recurse"] * 43 + ["main"], name)
    check_callers(result, "leak_variable_frame", ["leak_variable_frame", "main"], name)
    check_callers(result, "leak_in_callback", ["leak_in_callback", "main"], name)


def test_dynamic(lab):
    check_build(lab, "workload_stacks")


def test_without_frame_pointers(lab):
    check_build(lab, "workload_stacks_nofp")


def test_static(lab):
    check_build(lab, "workload_stacks_static", static=True)


def test_static_pie(lab):
    check_build(lab, "workload_stacks_static_pie", static=True)


def test_musl(lab):
    """musl's own functions have no unwind tables, so a stack may end in them: the handles are told all the
    same, and never with the name of another opener."""
    name = "workload_stacks_musl"
    result = lab.run([lab.workload(name, "no musl-gcc here")])
    check(result.status == 0, f"status {result.status}: {result.errors}")
    truth, report, pid = result.truth, result.report, result.truth.order[-1]
    found = harness.differences_of_set(report, pid, set(truth.open[pid]) | {0, 1, 2})
    check(not found, lambda: "\n".join(found))
    for number, (function, _) in truth.open[pid].items():
        stack = report.listed(pid)[number][0]["stack"]
        frames = harness.project_frames(stack, {name}, truth.functions())
        check(stack and stack[0].get("module") == name, lambda: "no stack:\n" + harness.show_stack(stack))
        check(not frames or harness.is_function(frames[0]["function"], function),
              lambda: f"{function} opened {number}, reported is\n" + harness.show_stack(stack))


def test_go(lab):
    name = "workload_go_leak"
    result = lab.run([lab.workload(name, "no go here")])
    check(result.status == 0, f"status {result.status}: {result.errors}")
    pid = result.truth.order[-1]
    found = harness.differences_of_functions(result.report, pid, result.truth.open[pid], {name}, {"main.leakFile"})
    check(not found, lambda: "\n".join(found))
    check_callers(result, "main.leakFile", ["main.leakFile", "main.main"], name)


def test_cpp(lab):
    """Templates, an operator, and a chain of inlined functions."""
    lab.run_truth([lab.workload("workload_cpp_frames", "no C++ compiler here")])


# What the text report says of one such stack, and of one in its totals.
ENDS = {
    "truncated": ("cut here: the stack is longer than what was copied", "1 stack was cut: longer than"),
    "no-cfi": ("ends here: no unwind information in", "1 stack ends in code without unwind information"),
    "bad-read": ("ends here: the next frame would lie outside", "1 stack leads out of what was copied"),
    "bad-pc": ("ends here: the next return address lies in no code", "1 stack leads to an address that is no code"),
    "too-deep": ("cut here: only 256 frames are kept", "1 stack has more than 256 frames"),
    "no-copy": ("no stack: it could not be read", "1 stack could not be read at all"),
}


def test_ends(lab):
    """Each reason for which a stack may end, from the call to both reports."""
    program = [lab.workload("workload_stack_ends")]
    result = lab.run(program)
    check(result.status == 0, f"status {result.status}: {result.errors}")
    ends = {}
    for line in result.output.splitlines():
        if '"truth":"end"' in line:
            entry = json.loads(line)
            ends[entry["handle"]] = entry["end"]
    check(set(ends.values()) == set(ENDS) | {"complete"}, f"the workload says {ends}")
    (process,) = result.report.processes.values()
    listed = result.report.listed(process["pid"])
    seen = {number: end for number, end in ends.items()
            if not comparison.is_unseen("open_" + end.replace("-", "_"), listed.get(number))}
    for number, end in seen.items():
        group = listed[number][0]
        check(group["stack_end"] == end, lambda: f"{end} is told as {group['stack_end']}:\n" +
              harness.show_stack(group["stack"]))
        check(group["stack_complete"] == (end == "complete"), f"{end}: stack_complete {group['stack_complete']}")
        check(process["stack_ends"][end] >= 1, f"{end} is not counted: {process['stack_ends']}")
        check(end in ("no-copy", "complete") or
              any(harness.is_function(frame["function"] or "", "open_" + end.replace("-", "_"))
                  for frame in group["stack"]), lambda: f"{end}:\n" + harness.show_stack(group["stack"]))
    text = lab.path(".txt")
    shown = lab.call(lab.command("run", ["-o", text]) + ["--"] + program)
    check(shown.status == 0, f"status {shown.status}: {shown.errors}")
    words = " ".join(lab.read(text).split())
    for end, (at_stack, total) in ENDS.items():
        if end not in seen.values():
            continue
        check(at_stack in words, f"{end}: no {at_stack!r} in\n{lab.read(text)}")
        check(total in words, f"{end}: no {total!r} in\n{lab.read(text)}")


harness.main(globals())
