"""Commands under a lock: what that costs, how soon the next one runs, and what waiting and holding cost the agent.

The peer is `consul lock`, which does the same with none of the promises.
"""

import json
import os
import pathlib
import subprocess
import time
from time import perf_counter

import common
from common import Table, interleave, median, ms

RUNS = 100
HANDOVERS = 30
WAITERS = 500
HOLDERS = 20
WATCHED = 21  # seconds; not a multiple of how often a session is renewed


def main():
    lictor, consul = common.binary("lictor"), common.setting("CONSUL_BIN")
    table = Table(
        "locks",
        f"Whole processes, {RUNS} runs in turn, medians; {HANDOVERS} handovers, from the order to one command to end until "
        "the next one runs, with its process, its release and its session's end in between.",
    )
    results = interleave(RUNS, {
        "ours": lambda: common.spawn([lictor, "lock", "run", "bench/ours", "--", "true"])[0],
        "theirs": lambda: common.spawn([consul, "lock", "-shell=false", "bench/theirs", "true"])[0],
    })
    ours, theirs = median(results["ours"]), median(results["theirs"])
    table.row("`lictor lock run X -- true`", ms(ours), "`consul lock -shell=false X true`", ms(theirs), ours / theirs,
              "at most 0.40", ours / theirs <= 0.4)

    peer = [consul, "lock", "-shell=false", "-pass-stdin"]
    for waiters, shown in ((1, "1 waiter"), (100, "100 waiters")):
        ours = handover([lictor, "lock", "run"], ["--"], f"bench/handover/{waiters}", waiters)
        # With so many of the peer's the machine does nothing else.
        theirs = handover(peer, [], f"bench/peer/{waiters}", waiters) if waiters == 1 else None
        table.row(f"handover, {shown}", ms(ours), "`consul lock`" if theirs else "", ms(theirs) if theirs else "",
                  ours / theirs if theirs else "", "under 15 ms", ours < 0.015)
    fair = handover([lictor, "lock", "run", "--fair"], ["--"], "bench/handover/fair", 100)
    table.row("handover, 100 waiters, `--fair`", ms(fair), bound="under 15 ms", passed=fair < 0.015)

    # An ordinary server, which keeps its log, and takes as many connections of one address. One in development mode prints
    # JSON for people, which makes our transactions dearer, and not the peer's `true`.
    with common.consul_server():
        common.Consul().wait_for_own_node()
        cycle = lock_cycle()
        ratio = cycle["ours"] / cycle["bare"]
        table.row("acquire and release, library", ms(cycle["ours"]), "`?acquire=` and `?release=`, bare",
                  ms(cycle["bare"]), ratio, "at most 1.30", ratio <= 1.3)
        waiting(lictor, table)
        holding(lictor, table)
    table.end()


class Contender:
    """A process that says its number once it holds the lock, and ends when it is told to."""

    def __init__(self, number, command, separator, path, say):
        self.process = subprocess.Popen(
            [*command, path, *separator, "sh", "-c", "echo $0; read _", str(number)],
            stdin=subprocess.PIPE, stdout=say)

    def end(self):
        self.process.stdin.close()


def handover(command, separator, path, waiters):
    """The median seconds from one holder's end to the next one's start, while so many wait."""
    reads, writes = os.pipe()
    contenders, seconds = {}, []

    def contend():
        contenders[len(contenders)] = Contender(len(contenders), command, separator, path, writes)

    def holder():
        return contenders[int(os.read(reads, 64))]

    contend()
    now = holder()
    for _ in range(waiters):
        contend()
    settle(waiters)
    for _ in range(HANDOVERS):
        start = perf_counter()
        now.end()
        after = holder()
        seconds.append(perf_counter() - start)
        now.process.wait()
        now = after
        contend()
        settle(waiters)
    # The rest, one after the other, without another start.
    for contender in contenders.values():
        contender.end()
    for contender in contenders.values():
        contender.process.wait()
    os.close(reads)
    os.close(writes)
    return median(seconds)


def settle(waiters):
    """Until whoever has just come, or just lost, waits."""
    time.sleep(0.3 + waiters / 100)


def lock_cycle():
    """Of benches/lock_cycle.rs."""
    command = [common.program("cargo"), "bench", "--locked", "--quiet", "--bench", "lock_cycle"]
    done = subprocess.run(command, cwd=pathlib.Path(__file__).parent.parent, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def waiting(lictor, table):
    """What waiters ask for: each a blocking query, which is not asked anew while nothing happens."""
    proxy = common.CountingProxy()
    environment = os.environ | {"CONSUL_HTTP_ADDR": proxy.address}
    command = [lictor, "lock", "run", "bench/waiting", "--ttl", "10m", "--", "sleep", "3600"]
    holder = start(command, environment)
    time.sleep(1)
    waiters = []
    for number in range(WAITERS):
        waiters.append(start(command, environment))
        if number % 10 == 9:
            time.sleep(0.3)  # not all at once
    queries = lambda: sum("index=" in path and "bench/waiting" in path for _, path, _ in proxy.open_requests())
    wait_until(lambda: queries() >= WAITERS)
    time.sleep(2)
    open_queries = queries() - 1  # the holder watches its key, too
    proxy.seen.clear()
    time.sleep(10)
    asked = sum("bench/waiting" in path for _, path, _ in proxy.seen)
    stop([*waiters, holder])
    table.row(f"blocking queries of {WAITERS} waiters", open_queries, bound=f"at most {WAITERS}",
              passed=open_queries <= WAITERS)
    # A blocking query lasts 30 s, and up to a sixteenth more.
    table.row("queries they ended and asked anew in 10 s", asked, bound=f"at most {WAITERS}", passed=asked <= WAITERS)


def holding(lictor, table):
    """What holders ask for: a renewal each third of the ttl."""
    proxy = common.CountingProxy()
    environment = os.environ | {"CONSUL_HTTP_ADDR": proxy.address}
    holders = [start([lictor, "lock", "run", f"bench/holding/{number}", "--ttl", "15s", "--", "sleep", "3600"], environment)
               for number in range(HOLDERS)]
    time.sleep(2)
    proxy.seen.clear()
    time.sleep(WATCHED)
    renewals = sum("/session/renew/" in path for _, path, _ in proxy.seen)
    most = HOLDERS * (WATCHED // 5 + 1)
    stop(holders)
    table.row(f"renewals of {HOLDERS} holders in {WATCHED} s, ttl 15 s", renewals, bound=f"at most {most}",
              passed=0 < renewals <= most)


def start(command, environment):
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)


def stop(processes):
    # The waiters first: none is to start its command.
    for process in processes:
        process.terminate()
        process.wait()


def wait_until(done, seconds=120):
    end = perf_counter() + seconds
    while not done():
        if perf_counter() > end:
            common.die("The waiters do not come to wait.")
        time.sleep(0.2)


main()
