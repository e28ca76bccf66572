"""Filters: what they leave of a report is what the same rules, written once more here, leave of the whole one."""
import fnmatch
import json
import os
import random
import re
import signal
import time

import harness
from harness import check
from sessions import Session, go, start_shell

SOCKETS = {"socket", "tcp", "udp", "unix"}
RANKS = ("leak", "growing", "unknown", "steady", "transient")
CONDITIONS = {
    "--type": ["eventfd", "socket", "file,pipe", "epoll,unknown", "device,unix"],
    "--name": ["*.log", "/dev/null", "anon_inode:*", "places-[0-2].*", "pipe:*", "nothing"],
    "--stack": ["^make_event ", "places\\.c", "work|make_pipe", "^open_log workload_places .*/places.c:[0-9]+$",
                " libc", "^listen_local ", "be_child"],
    "--not-stack": ["make_event", "^work ", "misuse", "socket", "nothing"],
    "--min-age": ["1ms", "20ms", "1h"],
    "--top": ["1", "2", "5"],
}


# --- the rules, once more

def frames(stack):
    def text(frame):
        place = frame["file"] or "-"
        if frame["file"] and frame["line"]:
            place += f":{frame['line']}"
        return f"{frame['function'] or '-'} {frame['module'] or '-'} {place}"
    return [text(frame) for frame in stack]


def has_frame(expression, stack):
    return any(re.search(expression, text) for text in frames(stack))


def stack_fits(conditions, stack):
    return all(has_frame(value, stack) for name, value in conditions if name == "--stack") and \
        not any(has_frame(value, stack) for name, value in conditions if name == "--not-stack")


def type_fits(type_, wanted):
    return type_ in wanted or ("socket" in wanted and type_ in SOCKETS)


def name_fits(name, globs):
    return name is not None and any(name == glob or fnmatch.fnmatchcase(name, glob) or
                                    ("/" not in glob and fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], glob))
                                    for glob in globs)


def seconds(text):
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1]) * 3600


def handle_fits(conditions, handle, stack, end_ns):
    def values(name):
        return [value for key, value in conditions if key == name]
    types, names, ages = values("--type"), values("--name"), values("--min-age")
    if types and not type_fits(handle["type"], {one for value in types for one in value.split(",")}):
        return False
    if names and not name_fits(handle["name"], names):
        return False
    if ages and handle["opened_ns"] is not None and end_ns - handle["opened_ns"] < seconds(ages[-1]) * 1e9:
        return False
    return stack_fits(conditions, stack)


def key(group):
    return (group["type"], group["origin"], json.dumps(group["stack"]))


def best(processes, top):
    """The places that --top leaves."""
    places = {}
    for order, group in enumerate(group for process in processes for group in process["groups"]):
        place = places.setdefault(key(group), [9, 0, 0, order])
        place[0] = min(place[0], RANKS.index(group["verdict"]))
        place[1] -= len(group["handles"])
        place[2] = min(place[2], -max(handle["opened_ns"] or 0 for handle in group["handles"]))
    return set(sorted(places, key=places.get)[:top])


def inherited_stacks(report):
    """Of what children have of their parent, whose opening the report tells there."""
    return {(handle["handle"], handle["opened_ns"]): group["stack"] for process in report["processes"]
            for group in process["groups"] for handle in group["handles"]}


def bad_fits(conditions, bad):
    stacks = [bad["stack"]] + [bad[name + "_stack"] for name in ("closed", "opened") if bad[name + "_ns"]]
    if any(has_frame(value, stack) for name, value in conditions if name == "--not-stack" for stack in stacks):
        return False
    wanted = [value for name, value in conditions if name == "--stack"]
    return not wanted or any(all(has_frame(value, stack) for value in wanted) for stack in stacks)


def filtered(report, conditions, now_ns):
    """What is left of the report, as shape() has it."""
    stacks = inherited_stacks(report)
    left = []
    for process in report["processes"]:
        end_ns = process["exit_ns"] or now_ns
        groups = [dict(group, handles=[handle for handle in group["handles"]
                                       if handle_fits(conditions, handle, group["stack"], end_ns)])
                  for group in process["groups"]]
        others = [handle for handle in process["other_handles"]
                  if handle_fits(conditions, handle, stacks.get((handle["handle"], handle["opened_ns"]), []), end_ns)]
        left.append(dict(process, groups=[group for group in groups if group["handles"]], other_handles=others,
                         bad_references=[bad for bad in process["bad_references"] if bad_fits(conditions, bad)]))
    tops = [int(value) for name, value in conditions if name == "--top"]
    if tops:
        kept = best(left, tops[-1])
        for process in left:
            process["groups"] = [group for group in process["groups"] if key(group) in kept]
    return left


def shape(processes):
    """What has to be equal: what is listed, and the counts of it; ages and verdicts go on while it is asked."""
    return [{"pid": process["pid"], "open": process["open_handles"],
             "groups": sorted([key(group), len(group["handles"]), [handle["handle"] for handle in group["handles"]]]
                              for group in process["groups"]),
             "others": [handle["handle"] for handle in process["other_handles"]],
             "bad": [(bad["handle"], bad["kind"], frames(bad["stack"])) for bad in process["bad_references"]]}
            for process in processes]


def brief(processes):
    """For a person: a place by its function outside of libc."""
    return "\n".join(f"{process['pid']}: " + ", ".join(
        f"{group[0][0]} by {json.loads(group[0][2])[1:2][0]['function'] if group[0][2] != '[]' else '?'} {group[2]}"
        for group in process["groups"]) + f"; others {process['others']}; bad {[bad[:2] for bad in process['bad']]}"
                     for process in shape(processes))


def handles_in(processes):
    return sum(len(group["handles"]) for process in processes for group in process["groups"]) + \
        sum(len(process["other_handles"]) for process in processes)


def check_filtered(whole, got, conditions):
    wanted = filtered(whole, conditions, got["now_ns"])
    check(shape(got["processes"]) == shape(wanted),
          lambda: f"{conditions}:\n{brief(got['processes'])}\ninstead of\n{brief(wanted)}")
    gone = handles_in(whole["processes"]) - handles_in(wanted)
    check(got["hidden"]["handles"] == gone, lambda: f"{conditions}: {got['hidden']}, but {gone} handles are hidden")
    for process, left in zip(got["processes"], wanted):
        counts = (process["before_tracing"], process["inherited"])
        origins = [handle["origin"] for handle in left["other_handles"]]
        check(counts == (origins.count("before-tracing"), origins.count("inherited")), f"{conditions}: {counts}")
        check(process["hidden_handles"] + handles_in([process]) == process["open_handles"], f"{conditions}: the sum")
    check(bool(got["hidden"]["by"]) == bool(gone or got["hidden"]["bad_references"]), f"{conditions}: {got['hidden']}")


def draw(dice, names):
    return [(name, dice.choice(CONDITIONS[name])) for name in names for _ in range(dice.choice((1, 1, 1, 2)))]


def words(conditions):
    return [f"{name}={value}" for name, value in conditions]


# --- sessions

def start_places(lab):
    """A session that has seen all of the program, which stands still now."""
    shell = start_shell(lab, f"cd {lab.work}; exec {lab.workload('workload_places')} stay")
    session = Session(lab, shell.pid)
    session.enable()
    go(shell)
    harness.wait_for("the program and its children",
                     lambda: len(harness.proc_children(shell.pid)) == 2 and harness.proc_status(shell.pid, "State") and
                     harness.proc_status(shell.pid, "State")[0] == "S" and len(harness.proc_fds(shell.pid)) > 25)
    time.sleep(0.1)
    return session


def verdicts(report):
    return [group["verdict"] for process in report["processes"] for group in process["groups"]]


def check_random(session, dice, rounds):
    whole = session.json("diff")
    for _ in range(rounds):
        conditions = draw(dice, dice.sample(list(CONDITIONS), dice.choice((1, 2, 2, 3))))
        got = session.json("diff", *words(conditions))
        if "--top" in dict(conditions):  # it follows the verdicts, which follow the time
            after = session.json("diff")
            if verdicts(after) != verdicts(whole):
                whole, got = after, session.json("diff", *words(conditions))
        check_filtered(whole, got, conditions)


def check_each(session):
    whole = session.json("diff")
    for name, value in [("--type", "socket"), ("--name", "places-[0-2].*"), ("--stack", "work|make_pipe"),
                        ("--not-stack", "misuse"), ("--min-age", "1h"), ("--top", "2")]:
        got = session.json("diff", f"{name}={value}")
        check_filtered(whole, got, [(name, value)])
        check(got["hidden"]["by"] == [name], lambda: f"{name}: {got['hidden']}")


def check_texts(session):
    """Each format tells in one line what is hidden."""
    line = (r"\d+ places? with \d+ handles?, \d+ other handles and 2 bad references are hidden "
            r"by --type, --stack\.")
    for format_, begin in (("text", ""), ("windbg", "Warning: ")):
        text = session.ask("diff", "--type=eventfd", "--stack=^work ", f"--format={format_}").output
        check(re.search(f"^{begin}{line}$", text, re.M) and "make_poll" not in text, lambda: text[-600:])


def check_handles(session, dice):
    stacks = inherited_stacks(session.json("diff"))
    whole = session.json("handles")["processes"][0]["handles"]
    for name in ("--type", "--name", "--stack", "--not-stack", "--min-age"):
        conditions = draw(dice, [name])
        got = session.json("handles", *words(conditions))
        wanted = [handle["handle"] for handle in whole
                  if handle_fits(conditions, handle, stacks.get((handle["handle"], handle["opened_ns"]), []),
                                 got["now_ns"])]
        check([handle["handle"] for handle in got["processes"][0]["handles"]] == wanted,
              lambda: f"handles {conditions}: not {wanted}")
        check(got["hidden"]["handles"] == len(whole) - len(wanted), lambda: f"handles {conditions}: {got['hidden']}")
    got = session.json("handles", "--top=1")["processes"][0]["handles"]
    check(len(got) == 6 and {handle["type"] for handle in got} == {"eventfd"}, lambda: f"the largest place: {got}")
    text = session.ask("handles", "--type=epoll").output
    check(re.search(r"1 of \d+ handles open", text) and "are hidden by --type." in text, lambda: text)
    one = whole[-1]["handle"]
    check(f"handle {one} is open" in session.ask("handles", str(one), "--name=nothing").output,
          "a handle that is asked for is not hidden")


def traces(answer):
    return [trace for process in answer["processes"] for trace in process["traces"]]


def check_show(session):
    whole = traces(session.json("show"))
    misused = {trace["handle"] for trace in whole if has_frame("^misuse ", trace["stack"])}
    for conditions in ([("--stack", "^misuse ")], [("--not-stack", "make_event"), ("--stack", "places")]):
        got = session.json("show", *words(conditions))
        wanted = [trace["time_ns"] for trace in whole if stack_fits(conditions, trace["stack"])]
        check([trace["time_ns"] for trace in traces(got)] == wanted and wanted, f"show {conditions}")
        check(got["hidden"]["traces"] == len(whole) - len(wanted), lambda: f"show {conditions}: {got['hidden']}")
    check(traces(session.json("show", "--min-age=1h")) == [], "no trace is so old")
    newest = session.json("show", "--top=3")
    check([trace["time_ns"] for trace in traces(newest)] == [trace["time_ns"] for trace in whole[:3]], "the newest")
    # Opened, closed, closed again: of one handle, the type of which is known though it is gone.
    events = [trace for trace in traces(session.json("show", "--type=eventfd")) if trace["handle"] in misused and
              has_frame("^misuse ", trace["stack"])]
    check([trace["trace"] for trace in events] == ["bad-reference", "close", "open"], lambda: f"{events}")
    named = traces(session.json("show", "--name=*.log"))
    check(len(named) == 2 and all(has_frame("^open_log ", trace["stack"]) for trace in named), lambda: f"{named}")


def check_processes(session):
    rows = session.json("processes", "--type=socket")
    check([row["left"] for row in rows["processes"]] == [4, 1, 1], lambda: f"{rows}")
    rows = session.json("processes", "--type=pipe")
    check([row["pid"] for row in rows["processes"]] == [session.pid] and rows["hidden"]["processes"] == 2,
          lambda: f"{rows}")
    rows = session.json("processes", "--top=2")
    check(len(rows["processes"]) == 2 and rows["hidden"]["processes"] == 1, lambda: f"{rows}")
    check(", 2 processes and " in session.ask("processes", "--type=pipe").output, "the line for a person")


def check_refusals(session):
    for verb in ("diff", "processes"):
        for word, says in (("--type=sokcet", "did you mean socket?"), ("--stack=a(", "no extended regular expression"),
                           ("--not-stack=[", "no extended regular expression"), ("--min-age=old", "needs a time"),
                           ("--top=0", "needs a number from 1")):
            check(says in session.ask(verb, word, status=2).errors, f"{verb} {word}")
    check("unknown option '--type'" in session.ask("snapshot", "--type=file", status=2).errors, "snapshot")


def test_session(lab):
    """Random combinations; HTRACE_SEED repeats a run."""
    seed = int(os.environ.get("HTRACE_SEED", random.randrange(1 << 31)))
    print(f"  seed {seed}")
    dice = random.Random(seed)
    session = start_places(lab)
    check_each(session)
    check_random(session, dice, 10)
    check_texts(session)
    check_handles(session, dice)
    check_show(session)
    check_processes(session)
    check_refusals(session)
    session.disable()


# --- run, attach

def test_run(lab):
    """Two runs do the same; what is hidden fails none."""
    program = [lab.workload("workload_places")]
    whole = lab.run(program).report.json
    for conditions in ([("--type", "socket,eventfd"), ("--not-stack", "make_event")],
                       [("--name", "*.log"), ("--name", "anon_inode:*"), ("--top", "2")],
                       [("--stack", "^work "), ("--stack", "make_event|open_data")]):
        got = lab.run(program, words(conditions)).report.json
        wanted = filtered(whole, conditions, whole["now_ns"])
        check([(process["open"], [group[1:] for group in process["groups"]], process["others"], process["bad"])
               for process in shape(got["processes"])] ==
              [(process["open"], [group[1:] for group in process["groups"]], process["others"], process["bad"])
               for process in shape(wanted)], lambda: f"run {conditions}:\n{brief(got['processes'])}\ninstead of\n{brief(wanted)}")
    leaky = [lab.workload("leakyhandles"), "20", "1"]
    for option, status in (("--type=eventfd", 9), ("--type=socket", 0), ("--not-stack=^fun4 ", 0), ("--top=1", 9),
                           ("--min-age=1h", 0), ("--stack=leakyhandles.c", 9)):
        result = lab.run(leaky, ["--error-exitcode=9", option])
        check(result.status == status, f"{option}: status {result.status} instead of {status}")
    check("did you mean socket?" in lab.run(leaky, ["--type=soket"]).errors, "a type that is none")


def test_attach(lab):
    target = lab.start([lab.workload("leakyhandles"), "1000000", "5"], stdout=-3)
    harness.wait_for("the target to open handles", lambda: len(harness.proc_fds(target.pid)) > 4)
    time.sleep(0.1)
    report = lab.attach(target.pid, ["--type=eventfd", "--stack=^fun4 ", "--name=anon_inode:*"]).finish().report.json
    target.send_signal(signal.SIGKILL)
    process = report["processes"][0]
    check({handle["type"] for group in process["groups"] for handle in group["handles"]} == {"eventfd"} and
          len(process["groups"]) == 1, lambda: brief([process]))
    # What was opened between the attaching and the first snapshot has a stack.
    check(all(handle["origin"] == "opened" for handle in process["other_handles"]), lambda: brief([process]))
    check(report["hidden"]["by"] == ["--type", "--stack"], lambda: f"{report['hidden']}")


harness.main(globals())
