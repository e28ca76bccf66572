"""What the cases of gdb and lldb share: a copy of the scripts, and the four steps on leakyhandles."""
import json
import os
import shutil

import harness
from harness import check

BEFORE, BETWEEN, ROUNDS = 3, 5, 20  # rounds before the snapshot, between it and the diff, in all
SCRIPTS = ("htrace_verbs.py", "htrace.py", "htrace_lldb.py")


class Debugger:
    """Runs a debugger in batch mode, with htrace's scripts beside it and sessions of its own."""

    def __init__(self, lab, name, program=None):
        if not shutil.which(name, path=lab.environment()["PATH"]):
            raise harness.Skipped(f"{name} is not installed")
        self.lab, self.name = lab, name
        self.program = program or lab.workload("leakyhandles")
        self.folder = os.path.join(lab.bin, "gdb")
        if not os.path.exists(self.folder):
            os.mkdir(self.folder, 0o755)
            for script in SCRIPTS:
                lab.program(os.path.join(harness.ROOT, "gdb", script), "gdb")
        lab.agent()
        self.env = {"HTRACE": lab.htrace, "HTRACE_SOCKET_DIR": os.path.join(lab.work, "sessions"),
                    "PYTHONDONTWRITEBYTECODE": "1"}

    def script(self, name):
        return os.path.join(self.folder, name)

    def call(self, argv, status=0, seconds=60):
        result = self.lab.call(argv, seconds, self.env)
        check(result.status == status or status is None,
              lambda: f"{self.name}: status {result.status}:\n{result.output[-3000:]}\n{result.errors[-3000:]}")
        return result

    def htrace(self, *words):
        return self.call([self.lab.htrace, *words])

    def check_no_session(self):
        output = self.htrace("status").output
        check(output.startswith("No session"), f"a session is left behind: {output}")


def enable_words(lab):
    return f"--collector={lab.collector}"


def check_diff(path, opened, collector, before=0):
    """A diff in JSON: one leaking place, fun4, with so many handles. Returns the process."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    check(report["collector"] == collector, f"collector {report['collector']}")
    process = report["processes"][0]
    groups = process["groups"]
    check(len(groups) == 1, lambda: f"{len(groups)} groups:\n" + "\n".join(
        harness.show_stack(group["stack"]) for group in groups))
    check(len(groups[0]["handles"]) == opened, f"{len(groups[0]['handles'])} handles instead of {opened}")
    check("fun4" in {frame["function"] for frame in groups[0]["stack"]},
          lambda: harness.show_stack(groups[0]["stack"]))
    check(process["lost_events"] == 0, f"{process['lost_events']} lost events")
    return process
