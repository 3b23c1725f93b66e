"""What `lictor validate` takes for specs of 10,000 objects, and how that grows; beside PyYAML, which only parses them."""

import os
import tempfile

import common
from common import Table, median, ms, size

OBJECTS = 10_000
MOST = 0.3
ROUNDS = 15


def main():
    lictor = common.binary("lictor")
    with tempfile.TemporaryDirectory() as folder:
        files = {number: write(folder, number) for number in (1, OBJECTS, 10 * OBJECTS)}
        command = {number: [lictor, "validate", path] for number, path in files.items()}
        command["pyyaml"] = [common.ansible("python"), "-c", PYYAML, files[OBJECTS]]
        results = common.interleave(ROUNDS, {
            "one": lambda: common.spawn(command[1]),
            "ours": lambda: common.spawn(command[OBJECTS]),
            "ten": lambda: common.spawn(command[10 * OBJECTS]),
        })
        parsed = [common.spawn(command["pyyaml"]) for _ in range(3)]
        length = os.path.getsize(files[OBJECTS])
    seconds = {name: median(second for second, _ in runs) for name, runs in results.items()}
    memory = {name: median(peak for _, peak in runs) for name, runs in results.items()}

    table = Table(
        "validate",
        f"A file of {OBJECTS:,} objects ({size(length)} of YAML: a quarter sessions, half keys, a quarter services), the "
        "whole process. The peer only parses it, with libyaml where PyYAML has it.",
    )
    python = median(second for second, _ in parsed)
    table.row(f"{OBJECTS:,} objects", ms(seconds["ours"]), "PyYAML, parsing alone", ms(python), seconds["ours"] / python,
              f"under {ms(MOST)}", seconds["ours"] < MOST)
    table.row("one object", ms(seconds["one"]))
    growth = seconds["ten"] / seconds["ours"]
    table.row(f"{10 * OBJECTS:,} objects", ms(seconds["ten"]), f"{OBJECTS:,} objects", ms(seconds["ours"]), growth,
              "at most 11 times", growth <= 11)
    table.row(f"memory for {10 * OBJECTS:,} objects", size(memory["ten"]), bound="under 1 GB",
              passed=memory["ten"] < 1_000_000_000)
    table.end()


PYYAML = """
import sys, yaml
with open(sys.argv[1], encoding="utf-8") as file:
    yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
"""


def write(folder, objects):
    """A spec of this many objects; of one, a key."""
    path = os.path.join(folder, f"{objects}.yaml")
    quarter = objects // 4
    with open(path, "w", encoding="utf-8") as file:
        file.write("version: 1\nowner: bench/validate\ndefaults:\n  session: {delay: 15s, behavior: release}\n")
        file.write("sessions:\n" if quarter else "")
        for i in range(quarter):
            file.write(f"  - name: session-{i}\n    node: node-{i % 100}\n    ttl: 60s\n"
                       "    checks: [serfHealth, \"service:web\"]\n")
        file.write("services:\n" if quarter else "")
        for i in range(quarter):
            file.write(f"  - {{name: web-{i}, node: node-{i % 100}, port: 8080, tags: [v1, blue], "
                       "checks: [{http: \"http://127.0.0.1:8080/health\", interval: 10s}]}\n")
        file.write("keys:\n")
        for i in range(objects - 2 * quarter):
            file.write(f"  - key: service/app-{i}/config\n    value: {{json: {{replicas: {i % 7}, name: app-{i}}}}}\n"
                       f"    flags: {i}\n")
    return path


main()
