"""What `lictor apply` takes for many objects, on an ordinary server.

- 10,000 sessions into an empty cluster, beside `wrk`, which sends nothing but the requests that create them, over as many
  connections and from as empty a cluster. The whole process counts against us: reading the spec, two plans, the lock, the
  record of what is ours, the look afterwards.
- The same spec again, where there is nothing to do, beside `curl`, which reads the same URLs and throws the answers away.
- 100,000 objects beside 10,000: how time grows, and the memory.
"""

import os
import re
import subprocess
import tempfile

import common
from common import Table, interleave, median, ms, size

SESSIONS = 10_000
CONNECTIONS = 8  # the default of --parallelism
ROUNDS = 7
UNCHANGED_ROUNDS = 15
OBJECTS = 10_000
GROWTH_ROUNDS = 3
WRK_SECONDS = 3  # about as long as we take
NODE = "lictor-bench"


def main():
    table = Table(
        "apply",
        f"Each of {ROUNDS} rounds has a new server of its own, and so has the peer's. {SESSIONS:,} sessions on one node; "
        f"of the {OBJECTS:,} and {10 * OBJECTS:,} objects a tenth are sessions, the rest keys. Medians.",
    )
    with tempfile.TemporaryDirectory() as folder:
        sessions = write(folder, SESSIONS, 0)
        created(folder, table, sessions)
        unchanged(folder, table, sessions)
        grown(folder, table)
    table.end("`wrk` creates what a run of so many seconds allows; its rate is that of its own report.")


def write(folder, sessions, keys):
    """A spec of so many sessions and keys, line by line: this program must stay small, see common.spawn."""
    path = os.path.join(folder, f"{sessions}-{keys}.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("version: 1\nowner: bench/apply\nsessions:\n")
        for i in range(sessions):
            file.write(f"  - {{name: bench-{i:06}, node: {NODE}}}\n")
        if keys:
            file.write("keys:\n")
        for i in range(keys):
            file.write(f"  - {{key: bench/{i // 100:04}/key-{i:06}, value: {{text: the value of key {i:06}}}, flags: 42}}\n")
    return path


def apply(spec, *flags):
    return [common.binary("lictor"), "apply", "--yes", *flags, spec]


# --- many sessions ----------------------------------------------------------------------------


def created(folder, table, spec):
    rates = interleave(ROUNDS, {"ours": lambda: our_rate(spec), "wrk": lambda: wrk_rate(folder)})
    ours, theirs = median(rates["ours"]), median(rates["wrk"])
    # Of each round by itself, since what else the machine does changes from round to round.
    ratio = median(one / other for one, other in zip(rates["ours"], rates["wrk"]))
    table.row(f"{SESSIONS:,} sessions, {CONNECTIONS} connections", f"{ours:,.0f} a second", "`wrk`, bare `session/create`",
              f"{theirs:,.0f} a second", ratio, "at least 0.9", ratio >= 0.9)
    ours, theirs = max(rates["ours"]), max(rates["wrk"])
    table.row("the best round of each", f"{ours:,.0f} a second", "`wrk`", f"{theirs:,.0f} a second", ours / theirs)


def our_rate(spec):
    with common.consul_server():
        common.Consul().wait_for_own_node()
        seconds, _ = common.spawn(apply(spec, "--parallelism", str(CONNECTIONS)))
        return SESSIONS / seconds


def wrk_rate(folder):
    script = os.path.join(folder, "create.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write(LUA)
    with common.consul_server():
        common.Consul().wait_for_own_node()
        command = [common.setting("WRK_BIN"), "-t2", f"-c{CONNECTIONS}", f"-d{WRK_SECONDS}s", "-s", script,
                   f"http://{os.environ['CONSUL_HTTP_ADDR']}"]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec: *([0-9.]+)", report)
    if not rate or "Non-2xx" in report or "Socket errors" in report:
        common.die("wrk failed:", report)
    return float(rate[1])


# The body that Lictor sends, too.
LUA = f"""
local threads, made, id = 0, 0, 0
function setup(thread)
  threads = threads + 1
  thread:set("id", threads)
end
function request()
  made = made + 1
  return wrk.format("PUT", "/v1/session/create", nil, string.format(
    '{{"Name":"bench-%d-%06d","Node":"{NODE}","LockDelay":"15s","Behavior":"release","NodeChecks":["serfHealth"]}}',
    id, made))
end
"""


# --- nothing to do ----------------------------------------------------------------------------


def unchanged(folder, table, spec):
    """Beside the whole, its parts by themselves: Lictor reads the spec while Consul answers, and takes in the answers then."""
    with common.consul_server():
        common.Consul().wait_for_own_node()
        common.spawn(apply(spec))
        requests = common.CountingProxy().requests_of(apply(spec))
        writes = sum(method != "GET" for method, _, _ in requests)
        table.row(f"the same {SESSIONS:,} sessions again: writes", f"{writes} of {len(requests)} requests", "", "", "",
                  "none", writes == 0)
        commands = {
            "ours": apply(spec),
            "curl": common.curl(*(path for _, path, _ in requests)),
            "longest": common.curl(max(requests, key=lambda request: request[2])[1]),
            "start": [common.binary("lictor"), "validate", write(folder, 1, 0)],
            "validate": [common.binary("lictor"), "validate", spec],
        }
        took = {name: median(times) for name, times in interleave(UNCHANGED_ROUNDS, {
            name: lambda command=command: common.spawn(command)[0] for name, command in commands.items()
        }).items()}
    ratio = took["ours"] / took["curl"]
    table.row("the same again, time", ms(took["ours"]), "`curl` of the same reads", ms(took["curl"]), ratio,
              "under 1.5", ratio < 1.5)
    table.row("the same reads, bytes", size(sum(length for _, _, length in requests)), "`curl` of the longest of them",
              ms(took["longest"]))
    table.row("starting, and a spec of one session, by itself", ms(took["start"]))
    table.row("reading the spec, by itself (`validate`)", ms(took["validate"]), "`curl` of the same reads", ms(took["curl"]),
              took["validate"] / took["curl"])
    rest = took["ours"] - max(took["validate"], took["curl"])
    table.row("what comes behind the longer of the two: taking in the answers, comparing", ms(rest))


# --- more objects -----------------------------------------------------------------------------


def grown(folder, table):
    specs = {count: write(folder, count // 10, count - count // 10) for count in (OBJECTS, 10 * OBJECTS)}
    runs = interleave(GROWTH_ROUNDS, {count: lambda spec=spec: both(spec) for count, spec in specs.items()})
    for place, what in enumerate(("from an empty cluster", "again")):
        took = {count: median(run[place][0] for run in of_count) for count, of_count in runs.items()}
        growth = took[10 * OBJECTS] / took[OBJECTS]
        table.row(f"{10 * OBJECTS:,} objects {what}", ms(took[10 * OBJECTS]), f"{OBJECTS:,} objects", ms(took[OBJECTS]),
                  growth, "at most 11", growth <= 11)
    peak = max(memory for run in runs[10 * OBJECTS] for _, memory in run)
    table.row(f"{10 * OBJECTS:,} objects, peak memory", size(peak), bound="under 1 GB", passed=peak < 1_000_000_000)


def both(spec):
    """Seconds and memory of the first run, and of the same again."""
    with common.consul_server():
        common.Consul().wait_for_own_node()
        return [common.spawn(apply(spec)) for _ in range(2)]


main()
