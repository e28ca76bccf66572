"""Which of the places leak? Programs of many kinds at once, watched for ten seconds; each process prints at its end how many
handles each of its functions has opened and how many of them it has forgotten. Precision and recall of `leak` and
`growing`, over all places of all processes, are printed and must be 0.95 at least.

    HTRACE_VERDICTS_SEED, HTRACE_VERDICTS_SECONDS: other than 1 and 10"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

from harness import (Report, Skipped, bare, check, main, proc_children, project_frames, show_stack, wait_for)
from servers import answers, free_port

SEED = os.environ.get("HTRACE_VERDICTS_SEED", "1")
SECONDS = os.environ.get("HTRACE_VERDICTS_SECONDS", "10")
WANTED = 0.95
PLACES_MIN, LEAKING_MIN = 48, 20


def places_of(output):
    """{(pid, function): what the program says of the place}"""
    lines = (json.loads(line) for line in output.splitlines() if line.startswith('{"truth":"place"'))
    return {(entry["pid"], entry["function"]): entry for entry in lines}


def opener_of(group, functions):
    """The innermost function that opens handles by the program's own account."""
    for frame in group["stack"]:
        if bare(frame.get("function")) in functions:
            return bare(frame["function"])
    return None


def called_of(report, places):
    """{(pid, function): (verdict, reason)} of the groups that are called a leak; (pid, None): of no known place"""
    functions, called = {function for _, function in places}, {}
    for pid, process in report.processes.items():
        for group in process["groups"]:
            if group["verdict"] in ("leak", "growing"):
                called[pid, opener_of(group, functions)] = group
    return called


def told_of(report, places, key):
    """All verdicts of a place, for the reader."""
    functions = {function for _, function in places}
    groups = report.processes.get(key[0], {}).get("groups", [])
    return "; ".join(f"{group['verdict']}: {group['reason']}" for group in groups
                     if opener_of(group, functions) == key[1]) or "not in the report"


def arguments(lab, seconds):
    """Two collectors follow thousands a second."""
    return [lab.workload("workload_verdicts"), seconds, SEED, "4" if lab.fast else "1"]


def test_precision_and_recall(lab):
    print(f"  seed {SEED}, {SECONDS} s")
    result = lab.run(arguments(lab, SECONDS), seconds=120)
    check(result.status == 0, lambda: f"status {result.status}\n{result.errors[-3000:]}")
    report, places = result.report, places_of(result.output)
    leaking = {key for key, place in places.items() if place["leaked"]}
    check(len(places) >= PLACES_MIN and len(leaking) >= LEAKING_MIN, f"{len(places)} places, {len(leaking)} leak")
    called = called_of(report, places)
    for what, keys in (("missed", leaking - set(called)), ("called a leak, and none", set(called) - leaking)):
        for key in sorted(keys, key=str):
            place = places.get(key, {})
            print(f"  {what}: {key[1]} ({place.get('leaked')} of {place.get('opened')} forgotten): "
                  f"{told_of(report, places, key)}")
    found, wrong = len(leaking & set(called)), len(set(called) - leaking)
    precision, recall = found / max(found + wrong, 1), found / len(leaking)
    print(f"  {len(places)} places, {len(leaking)} of them leak: precision {precision:.3f}, recall {recall:.3f}"
          f" ({found} found, {len(leaking) - found} missed, {wrong} wrong)")
    check(not report.lost(), f"{report.lost()} lost events")
    check(precision >= WANTED and recall >= WANTED, "that is too little")
    check_closers(called, places)


def check_closers(called, places):
    """Where the others of a place were closed: by the function that closes them, with its line, and all of them."""
    told = 0
    for key, group in called.items():
        closer = places.get(key, {}).get("closer")
        if not closer:
            continue
        for entry in group["closed_in"]:
            frames = project_frames(entry["stack"], {"workload_verdicts"})
            check(frames and bare(frames[0]["function"]) == closer and frames[0]["file"].endswith(".c") and
                  frames[0]["line"] > 0, lambda: f"{key[1]} is closed in {closer}, not in {frames[:1]}")
        check(sum(entry["count"] for entry in group["closed_in"]) == group["closed"], f"{group['closed_in']}")
        told += 1
    check(told >= 4, f"closers were told of {told} places only")


def test_text_names_the_closer(lab):
    """Each line of the text: the function, its file and line, and how many of how many."""
    result = lab.call(lab.command("run") + ["--"] + arguments(lab, "4"), 120)
    check(result.status == 0, lambda: f"status {result.status}\n{result.errors[-3000:]}")
    closed_by = {place["closer"]: place["opened"] - place["leaked"]
                 for place in places_of(result.output).values() if place["closer"]}
    lines = re.findall(r"closed (\d+) of (\d+) closed ones in (\w+) \S*\.c:\d+", re.sub(r"\s+", " ", result.errors))
    told = {name: (int(count), int(all_closed)) for count, all_closed, name in lines if name in closed_by}
    check(len(told) >= 3, lambda: f"{told}\n{result.errors[:6000]}")
    for name, (count, all_closed) in told.items():
        # The last one may be open, or be counted by only one of the two.
        check(count == all_closed and abs(count - closed_by[name]) <= 2, f"{name}: {told} instead of {closed_by}")


# --- programs that nobody here wrote ------------------------------------------------------------

NGINX = """%sdaemon off; pid {0}/pid; error_log {0}/error.log; worker_processes 2; events {{ worker_connections 128; }}
http {{ access_log {0}/access.log; keepalive_timeout 4; root {0}; open_file_cache max=8 inactive=2s;
client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
scgi_temp_path {0}/s; server {{ listen 127.0.0.1:{1}; }} }}
"""


def nginx_arguments(lab, nginx, port):
    folder = lab.new_folder("nginx")
    for name in ["index.html"] + [f"f{number}" for number in range(20)]:
        with open(os.path.join(folder, name), "w") as page:
            page.write("hello\n")
    configuration = os.path.join(folder, "nginx.conf")
    with open(configuration, "w") as out:
        user = "" if lab.as_nobody or os.geteuid() else "user root; "
        out.write((NGINX % user).format(folder, port))
    return [nginx, "-p", folder, "-c", configuration, "-e", os.path.join(folder, "error.log")]


# A pool of processes, children, temporary files, a server with clients that come and go.
PYTHON = """
import asyncio, multiprocessing, random, subprocess, sys, tempfile, time
end = time.time() + float(sys.argv[1])
async def serve(reader, writer):
    await reader.read(); writer.close()
async def client(port):
    while time.time() < end:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(random.choice((0.05, 0.05, 2))); writer.close()
async def children():
    while time.time() < end:
        child = await asyncio.create_subprocess_exec("true", stdout=subprocess.PIPE); await child.communicate()
        with tempfile.TemporaryFile() as file: await asyncio.sleep(0.3)
async def work():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(children(), *[client(port) for _ in range(6)])
if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        pool.map(abs, range(9)); asyncio.run(work()); pool.map(abs, range(9))
"""


def visit(ports, until):
    """Most requests are over at once; some clients stay for one to five seconds."""
    random.seed(int(SEED))
    staying, requests = [], 0
    while time.monotonic() < until:
        for port, words in ports:
            client = socket.create_connection(("127.0.0.1", port), 5)
            client.sendall(words.replace(b"N", b"%d" % (requests % 20)))
            client.recv(4096)
            if requests % 8:
                client.close()
            else:
                staying.append((time.monotonic() + random.uniform(1, 5), client))
        requests += 1
        for entry in [entry for entry in staying if entry[0] < time.monotonic()]:
            entry[1].close()
            staying.remove(entry)
        time.sleep(0.02)


def test_real_programs(lab):
    """Nothing in them is called a leak that is none, with clients that stay for a while."""
    redis, nginx = shutil.which("redis-server"), shutil.which("nginx")
    if not redis or not nginx:
        raise Skipped("redis-server or nginx is not installed")
    ports = free_port(), free_port()
    programs = [[redis, "--port", str(ports[0]), "--bind", "127.0.0.1", "--save", ""],
                nginx_arguments(lab, nginx, ports[1]), ["/usr/bin/python3", "-c", PYTHON, "9"]]
    running = [(lab.path(".json"), program) for program in programs]
    running = [(path, lab.start(lab.command("run", (), path) + ["--"] + program, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)) for path, program in running]
    for port in ports:
        wait_for("a server", lambda: answers(port))
    visit(((ports[0], b"PING\r\n"), (ports[1], b"GET /fN HTTP/1.1\r\nHost: x\r\n\r\n")), time.monotonic() + 8)
    for _, process in running[:2]:
        for pid in proc_children(process.pid):
            os.kill(pid, signal.SIGTERM)
    for path, process in running:
        lab.wait(process, 30)
        report = Report(lab.read(path))
        check(sum(entry["events"] for entry in report.processes.values()) > 300, "too few events were seen")
        wrong = [f"{group['verdict']} {group['type']}: {group['reason']}\n{show_stack(group['stack'])}"
                 for entry in report.processes.values() for group in entry["groups"]
                 if group["verdict"] in ("leak", "growing")]
        check(not wrong, lambda: "\n".join(wrong))


main(globals())
