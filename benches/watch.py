"""How soon `lictor apply --watch` puts right what somebody changed by hand, and what it asks while nothing happens."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import urllib.parse

import common
from common import Table, median, ms

CHANGES = 100
WAIT = 60  # seconds: what an idle watch asks Consul to hold a query for
IDLE = 2 * WAIT + 10
PREFIX = "bench/watch/"
OWNER = "bench/watch"


def main():
    consul = common.Consul()
    node = consul.wait_for_own_node()
    table = Table(
        "watch",
        f"Ten keys, two sessions and a service. A key is changed by hand {CHANGES} times, each time when the one before is "
        f"back; then nothing happens for {IDLE} s, behind a proxy that counts.",
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = write(folder, node)
        with watch(spec, os.environ["CONSUL_HTTP_ADDR"]):
            wait_for(consul, lambda: settled(consul))
            times = [back(consul, number) for number in range(CHANGES)]
        middle = median(times)
        table.row("a key changed by hand is back, median", ms(middle), bound="within 1 s", passed=middle <= 1)
        table.row("a key changed by hand is back, worst", ms(max(times)))
        idle(table, consul, spec)
    table.end()


def write(folder, node):
    path = os.path.join(folder, "spec.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"version: 1\nowner: {OWNER}\nkeys:\n")
        for i in range(10):
            file.write(f"  - {{key: {PREFIX}key-{i}, value: {{text: as declared}}}}\n")
        file.write("sessions:\n")
        for name in ("one", "two"):
            file.write(f"  - {{name: bench-watch-{name}, node: {node}}}\n")
        file.write(f"services:\n  - {{name: bench-watch, node: {node}, port: 8080}}\n")
    return path


@contextlib.contextmanager
def watch(spec, address):
    command = [common.binary("lictor"), "apply", "--watch", "--yes", spec]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"CONSUL_HTTP_ADDR": address})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait() != 0:
            common.die("The watch did not end well.")


def wait_for(consul, condition, seconds=60):
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            common.die("The watch does not do its work.")
        time.sleep(0.1)


def settled(consul):
    """Whether everything is there, and the lock was given back."""
    def count(prefix):
        consul.connection.request("GET", f"/v1/kv/{prefix}?recurse")
        answer = consul.connection.getresponse()
        text = answer.read()
        return len(common.json.loads(text)) if answer.status == 200 else 0
    return count(PREFIX) == 10 and count("lictor/owners/") == 1 and count("lictor/locks/") == 0


def back(consul, number):
    """Seconds until a key that is changed by hand is as declared again."""
    path = f"/v1/kv/{PREFIX}key-{number % 10}"
    changer = common.Consul()
    changer.connection.request("PUT", path, f"by hand {number}")
    changer.connection.getresponse().read()
    start = time.perf_counter()
    while value(consul, path) != b"as declared":
        if time.perf_counter() - start > 60:
            common.die(f"{path} does not come back.")
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    # The change of the next key finds the watch at rest, or not: a person would not wait for it either.
    time.sleep(0.05)
    return seconds


def value(consul, path):
    consul.connection.request("GET", f"{path}?raw")
    return consul.connection.getresponse().read()


def idle(table, consul, spec):
    proxy = common.CountingProxy()
    with watch(spec, proxy.address):
        # What the first round and its own record's news ask is no idling.
        time.sleep(5)
        proxy.seen.clear()
        before = len(proxy.asked)
        time.sleep(IDLE)
        asked = proxy.asked[before:]
        things = {thing(path): at for at, _, path in proxy.asked[:before] if "index=" in path}
    others = [path for _, _, path in asked if "index=" not in path]
    gaps, last = [], things.copy()
    for at, _, path in asked:
        gaps.append(at - last.get(thing(path), 0))
        last[thing(path)] = at
    table.row(f"idle for {IDLE} s: requests", len(asked), "watched things", len(things), len(asked) / len(things),
              f"at most {IDLE // WAIT}", len(asked) <= len(things) * (IDLE // WAIT))
    table.row("idle: requests besides the watches", len(others), bound="none", passed=not others)
    least = min(gaps)
    table.row("idle: from a request to the next of the same thing, at least", f"{least:.1f} s", "the wait period",
              f"{WAIT} s", least / WAIT, "at least 1", least >= WAIT)


def thing(path):
    """What a blocking query follows: its URL without the index."""
    url = urllib.parse.urlsplit(path)
    return url.path, tuple(one for one in url.query.split("&") if not one.startswith(("index=", "wait=")))


main()
