"""What a large cluster costs: 100,000 sessions on 100 nodes.

`present` reads the sessions of one node, `list` reads all. The peer is `curl` of the same answer, which it throws away.
All of it twice: `consul agent -dev` indents its JSON, so that its answers are longer and slower for everybody; a
server's, which are what a cluster gives, are compact.

LICTOR_BENCH_SESSIONS sets another number of sessions, for trying out. Below some 20,000 the figures for memory say
nothing: see common.spawn.
"""

import concurrent.futures
import os
import sys
import tempfile
from time import perf_counter

import common
from common import Table, body_size, curl, interleave, median, ms, size

SESSIONS = int(os.environ.get("LICTOR_BENCH_SESSIONS", "100000"))
NODES = 100
CONNECTIONS = 8
ROUNDS = 9
PRESENT_ROUNDS = 25  # it is quick


def main():
    table = Table(
        "sessions-100k",
        f"{SESSIONS:,} sessions in the cluster, {SESSIONS // NODES:,} on each of {NODES} nodes. The peer is `curl`, "
        f"which throws the answer away. Medians of interleaved rounds: {PRESENT_ROUNDS} for `present`, {ROUNDS} for "
        "`list`.",
    )
    with tempfile.TemporaryDirectory() as scratch:
        measure(scratch, table, "dev")
        with common.consul_server():
            measure(scratch, table, "server")
    table.end(
        "`dev` is `consul agent -dev`, which indents its JSON; `server` is an ordinary server, which does not. With a "
        "name, `list` receives the same and shows the sessions of that name. Memory is the largest peak of all rounds."
    )


def measure(scratch, table, kind):
    start = perf_counter()
    fill(common.Consul())
    print(f"bench: {SESSIONS:,} sessions created in {perf_counter() - start:.0f} s ({kind})", file=sys.stderr)
    present(scratch, table, kind)
    listed(scratch, table, kind)


def fill(consul):
    """Puts the sessions there: on nodes without an agent, and so without checks."""
    for node in range(NODES):
        consul("PUT", "/v1/catalog/register", {"Node": node_name(node), "Address": "127.0.0.1"})
    # Processes, since Python's threads would share one core.
    with concurrent.futures.ProcessPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(fill_part, range(CONNECTIONS)))


def fill_part(part):
    consul = common.Consul()
    for number in range(part, SESSIONS, CONNECTIONS):
        consul("PUT", "/v1/session/create", {
            "Name": session_name(number), "Node": node_name(number % NODES), "NodeChecks": [], "LockDelay": "15s",
        })


def node_name(number):
    return f"bench-node-{number:03}"


def session_name(number):
    return f"bench-session-{number:06}"


def module(scratch, file_name, /, **options):
    return [common.binary("lictor-module"), common.arguments_file(scratch, file_name, **options)]


def present(scratch, table, kind):
    number = SESSIONS // 2
    node = node_name(number % NODES)
    path = f"/v1/session/node/{node}"
    # These sessions have no checks, so none are asked for: the session is unchanged.
    command = module(scratch, "present", name=session_name(number), node=node, checks=[])
    commands = {"ours": command, "node": curl(path), "all": curl("/v1/session/list")}

    requests = common.CountingProxy().requests_of(command)
    received, of_node, of_all = sum(length for _, _, length in requests), body_size(path), body_size("/v1/session/list")
    for peer, theirs, bound in (("its node's sessions", of_node, 1), ("the whole list", of_all, None)):
        table.row(f"{kind}: `present`, bytes received", size(received), peer, size(theirs), received / theirs,
                  f"at most {bound}" if bound else "", received <= bound * theirs if bound else None)

    times = interleave(PRESENT_ROUNDS, {
        name: lambda command=command: common.spawn(command)[0] for name, command in commands.items()
    })
    took = {name: median(seconds) for name, seconds in times.items()}
    ratio = took["ours"] / took["node"]
    table.row(f"{kind}: `present`, time", ms(took["ours"]), "`curl` of its node's sessions", ms(took["node"]), ratio,
              "at most 1", ratio <= 1)
    table.row(f"{kind}: `present`, time", ms(took["ours"]), "`curl` of the whole list", ms(took["all"]),
              took["ours"] / took["all"])


def listed(scratch, table, kind):
    path = "/v1/session/list"
    commands = {
        "curl": curl(path),
        "`list`": module(scratch, "list", state="list"),
        "`list` with a name": module(scratch, "list-name", state="list", name=session_name(SESSIONS // 2)),
    }
    results = interleave(ROUNDS, {
        name: lambda command=command: common.spawn(command) for name, command in commands.items()
    })
    body = body_size(path)
    took = {name: median(seconds for seconds, _ in pairs) for name, pairs in results.items()}
    peak = {name: max(memory for _, memory in pairs) for name, pairs in results.items()}
    for name in list(commands)[1:]:
        ratio = took[name] / took["curl"]
        # A filter by name takes every session apart, which no bound speaks of.
        bounded = name == "`list`"
        table.row(f"{kind}: {name}, time", ms(took[name]), "`curl` of the list", ms(took["curl"]), ratio,
                  "at most 1.5" if bounded else "", ratio <= 1.5 if bounded else None)
    for name in list(commands)[1:]:
        ratio = peak[name] / body
        table.row(f"{kind}: {name}, peak memory", size(peak[name]), "the list's body", size(body), ratio,
                  "at most 4", ratio <= 4)


main()
