"""The harness itself: a report that differs from the truth in one thing must be found out, or no case
could fail."""
import copy
import json

import harness
from harness import check

TRUTH = harness.Truth('''noise
{"truth":"open","pid":7,"open":[{"fd":3,"function":"opener","type":"eventfd"}]}
{"truth":"open","pid":7,"open":[{"fd":5,"function":"inner|outer","type":"namespace"}]}
{"truth":"bad","pid":7,"handle":9,"operation":"close","kind":"double-close","now":"a","closed":"b","opened":"c"}
''')


def frame(function, module="program", inlined=False):
    return {"function": function, "module": module, "offset": 1, "address": "0x1", "inlined": inlined}


def group(number, kind, *stack):
    return {"type": kind, "open": 1, "opened": 1, "closed": 0, "verdict": "leak", "stack": list(stack),
            "handles": [{"handle": number, "type": kind, "origin": "opened"}]}


def good():
    return {"schema": "htrace.report/1", "collector": "bpf", "processes": [{
        "pid": 7, "open_handles": 5, "before_tracing": 3, "lost_events": 0,
        "groups": [group(3, "eventfd", frame("eventfd", "libc.so.6"), frame("opener.constprop.0"), frame("main")),
                   group(5, "file", frame("inner", inlined=True), frame("outer(int)"), frame("main"))],
        "bad_references": [{"handle": 9, "operation": "close", "kind": "double-close", "stack": [frame("a")],
                            "closed_stack": [frame("b")], "opened_stack": [frame("c")]}]}]}


CHANGES = {
    "another function": lambda p: p["groups"][0]["stack"].pop(1),
    "not inlined": lambda p: p["groups"][1]["stack"][0].update(inlined=False),
    "another type": lambda p: p["groups"][0]["handles"][0].update(type="socket"),
    "a handle too many": lambda p: p["groups"].append(group(6, "file", frame("opener"))),
    "a handle too few": lambda p: p["groups"].pop(),
    "a handle twice": lambda p: p["groups"].append(group(3, "eventfd", frame("opener"))),
    "another count": lambda p: p.update(open_handles=6),
    "a lost event": lambda p: p.update(lost_events=1),
    "another pid": lambda p: p.update(pid=8),
    "no bad reference": lambda p: p["bad_references"].clear(),
    "an invented bad reference": lambda p: p["bad_references"].append(dict(p["bad_references"][0], handle=1)),
    "another closer": lambda p: p["bad_references"][0].update(closed_stack=[frame("x")]),
    "another kind": lambda p: p["bad_references"][0].update(kind="use-after-close"),
}


def test_comparison(lab):
    harness.compare(harness.Report(json.dumps(good())), TRUTH, {"program"})
    for name, change in CHANGES.items():
        report = copy.deepcopy(good())
        change(report["processes"][0])
        try:
            harness.compare(harness.Report(json.dumps(report)), TRUTH, {"program"})
        except harness.Failed:
            continue
        check(False, f"not found out: {name}")


harness.main(globals(), collector=None)
