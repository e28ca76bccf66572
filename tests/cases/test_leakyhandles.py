"""The sample program: one leaking group, 50 handles, opened by fun4; fun3 nowhere."""
import harness
from harness import check


def check_groups(report, pid_count=1):
    check(len(report.json["processes"]) == pid_count, f"{len(report.json['processes'])} processes")
    process = report.json["processes"][0]
    leaks = [group for group in process["groups"] if group["verdict"] == "leak"]
    check(len(leaks) == 1, lambda: f"{len(leaks)} leaking groups:\n" + "\n".join(
        harness.show_stack(group["stack"]) for group in leaks))
    return process, leaks[0]


def test_fifty_rounds(lab):
    program = lab.workload("leakyhandles")
    result = lab.run([program, "50", "2"])
    check(result.status == 0, f"status {result.status}: {result.errors}")
    report = result.report
    check(report.json["collector"] == lab.collector, f"collector {report.json['collector']}")
    process, leak = check_groups(report)
    check(leak["open"] == 50 and leak["opened"] == 50 and leak["closed"] == 0,
          f"open {leak['open']}, opened {leak['opened']}, closed {leak['closed']}")
    numbers = [handle["handle"] for handle in leak["handles"]]
    check(numbers == list(range(3, 53)), f"handles {numbers}")
    frames = harness.project_frames(leak["stack"], {"leakyhandles"})
    check(frames and frames[0]["function"] == "fun4", lambda: "not fun4:\n" + harness.show_stack(leak["stack"]))
    check([frame["function"] for frame in frames[:3]] == ["fun4", "fun2", "main"],
          lambda: "the callers are wrong:\n" + harness.show_stack(leak["stack"]))
    check(frames[0].get("file", "").endswith("leakyhandles.c") and frames[0].get("line", 0) > 0,
          f"no file and line: {frames[0]}")
    check(leak["type"] == "eventfd", f"type {leak['type']}")
    check("fun3" not in result.report_text, "fun3 is in the report")
    check(process["open_handles"] == 53, f"open_handles {process['open_handles']}")
    check(process["exited"] is True and process["exit_status"] == 0, "exit is not told")
    check(process["lost_events"] == 0, f"{process['lost_events']} lost events")


def test_text_names_file_and_line(lab):
    """What a user reads: on standard error, with the collector's name."""
    program = lab.workload("leakyhandles")
    result = lab.call(lab.command("run") + ["--", program, "50", "2"])
    check(result.status == 0, f"status {result.status}")
    check(result.output == "", f"standard output is the program's, it got:\n{result.output}")
    check("fun4" in result.errors and "leakyhandles.c:" in result.errors, result.errors)
    check("fun3" not in result.errors, result.errors)
    check(lab.collector in result.errors, "the report does not name the collector")
    check("50" in result.errors, result.errors)


def test_nothing_leaks(lab):
    """No round, no leak: nothing to report."""
    result = lab.run([lab.workload("leakyhandles"), "0", "0"])
    groups = [group for process in result.report.json["processes"] for group in process["groups"]
              if group["open"] > 0]
    check(result.status == 0 and groups == [], f"{groups}")


harness.main(globals())
