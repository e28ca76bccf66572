"""The command `htrace` inside lldb, in batch mode: what it shares with gdb's is tested there."""
import glob
import re

import debuggers
import harness
from debuggers import BEFORE, BETWEEN, ROUNDS, check_diff, enable_words
from harness import check


class Lldb(debuggers.Debugger):
    def __init__(self, lab):
        super().__init__(lab, "lldb")
        # Debian's lldb 14 looks for its own modules where they are not.
        self.env["PYTHONPATH"] = ":".join(glob.glob("/usr/lib/llvm-*/lib/python3*/dist-packages"))
        probe = self.call(["lldb", "-b", "-o", "script print(6 * 7)"], None)
        if "42" not in probe.output:
            raise harness.Skipped("lldb was built without Python, or does not find its modules")

    def batch(self, commands, status=0):
        words = [f"command script import {self.script('htrace_lldb.py')}"] + commands
        argv = ["lldb", "-x", "-b"] + [word for command in words for word in ("-o", command)]
        return self.call(argv + ["--", self.program, str(ROUNDS), "1"], status)


def steps(lab, diff):
    enable = f"htrace -enable {enable_words(lab)}"
    return ["breakpoint set -n fun2"] + ([enable, "run"] if lab.collector == "agent" else ["run", enable]) + [
        f"process continue -i {BEFORE - 1}", "htrace -snapshot", f"process continue -i {BETWEEN - 1}",
        f"htrace diff --format=json -o {diff}"]


def test_four_steps(lab):
    lldb = Lldb(lab)
    diff, end = lab.path(".json"), lab.path(".json")
    output = lldb.batch(steps(lab, diff) + [
        "htrace -diff", "htrace list", "htrace -list 1", "breakpoint delete -f", "continue",
        f"htrace -diff --format=json -o {end}", "settings show target.env-vars", "htrace -disable"]).output
    check_diff(diff, BETWEEN, lab.collector)
    process = check_diff(end, ROUNDS - BEFORE, lab.collector)
    check(process["exited"] is True, "the end is not told")
    for words in ("Handle tracing information snapshot successfully taken.", "Handle tracing disabled.",
                  f"#1 LEAK {BETWEEN} eventfd"):
        check(words in output, lambda: f"'{words}' is not in:\n{output}")
    check(re.search(r"^fun4 at .*leakyhandles.c:\d+$", output, re.M), output)
    check("HTRACE_AGENT" not in output.split("settings show target.env-vars")[-1], output)
    lldb.check_no_session()


def test_refused(lab):
    lldb = Lldb(lab)
    for commands, words in ((["htrace -diff"], "there is no session"), (["htrace -list"], "htrace -diff first"),
                            (["htrace -difff"], "unknown verb"),
                            (["breakpoint set -n main", "run", "htrace -enable --collector=agent", "kill"], "before `run`")):
        result = lldb.batch(commands, None)
        said = result.output + result.errors
        check(words in said and "Traceback" not in said, lambda: f"{commands}: '{words}' is not in:\n{said}")
    lldb.check_no_session()


harness.main(globals())
