"""Many keys: written, found unchanged, and read.

10,000 keys are put into an empty tree, as `consul kv import` does it with the same file. Then the same file again: no
write, and the time that `curl` takes for the same reads. At last 100,000 keys, for the memory that reading them takes.
All of it twice: `consul agent -dev` indents its JSON and keeps its log in memory; a server does neither.
"""

import base64
import json
import os
import sys
import tempfile
from time import perf_counter

import common
from common import Table, body_size, curl, interleave, median, ms, size

KEYS = 10_000
MORE = 100_000
ROUNDS = 7
UNCHANGED_ROUNDS = 25  # it is quick
FOLDER = "bench/keys/"
PATH = f"/v1/kv/{FOLDER}"


def main():
    table = Table(
        "keys",
        f"{KEYS:,} keys of some 70 bytes in {KEYS // 100} folders, as a file of `consul kv export`. Medians of "
        f"interleaved rounds: {ROUNDS} into an empty tree, {UNCHANGED_ROUNDS} unchanged. Then {MORE:,} keys; memory is "
        "the largest peak of three rounds.",
    )
    with tempfile.TemporaryDirectory() as scratch:
        few, many = (write_file(scratch, count) for count in (KEYS, MORE))
        measure(scratch, table, "dev", few, many)
        with common.consul_server():
            measure(scratch, table, "server", few, many)
    table.end(
        "`dev` is `consul agent -dev`, which indents its JSON; `server` is an ordinary server, which does not. `curl` "
        "reads the URLs that Lictor reads, in one process, and throws the answers away."
    )


def measure(scratch, table, kind, few, many):
    written(table, kind, few)
    unchanged(table, kind, few)
    start = perf_counter()
    common.spawn(ours("import", many))
    print(f"bench: {MORE:,} keys written in {perf_counter() - start:.1f} s ({kind})", file=sys.stderr)
    read(scratch, table, kind, many)
    common.Consul()("DELETE", f"{PATH}?recurse")


def write_file(scratch, count):
    """Line by line, since this program must stay small: see common.spawn."""
    path = os.path.join(scratch, f"{count}.json")
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            value = base64.b64encode(f"the value of key {number:06}, of which there are many".ljust(70).encode()).decode()
            entry = {"key": f"{FOLDER}{number // 100:04}/key-{number:06}", "flags": 0, "value": value}
            file.write((",\n" if number else "[") + json.dumps(entry))
        file.write("]\n")
    return path


def ours(*arguments):
    return [common.binary("lictor"), "kv", *arguments]


def written(table, kind, file):
    consul = common.Consul()

    def into_empty_tree(command):
        consul("DELETE", f"{PATH}?recurse")
        return common.spawn(command)[0]

    commands = {"ours": ours("import", file), "theirs": [common.setting("CONSUL_BIN"), "kv", "import", f"@{file}"]}
    times = interleave(ROUNDS, {
        name: lambda command=command: into_empty_tree(command) for name, command in commands.items()
    })
    took = {name: median(seconds) for name, seconds in times.items()}
    faster = took["theirs"] / took["ours"]
    table.row(f"{kind}: `kv import` into an empty tree", ms(took["ours"]), "`consul kv import`", ms(took["theirs"]),
              f"{faster:.1f} times faster", "at least 5 times faster", faster >= 5)

    consul("DELETE", f"{PATH}?recurse")
    requests = common.CountingProxy().requests_of(commands["ours"])
    writes = sum(method == "PUT" for method, _, _ in requests)
    table.row(f"{kind}: its requests", f"{len(requests)}, of which {writes} write", "`consul kv import`", f"{KEYS:,}")
    if len(consul("GET", f"{PATH}?keys")) != KEYS:
        common.die("Not every key was written.")


def unchanged(table, kind, file):
    consul, command = common.Consul(), ours("import", file)
    before = consul.index(f"{PATH}?keys")
    requests = common.CountingProxy().requests_of(command)
    writes = sum(method != "GET" for method, _, _ in requests)
    paths = [path for _, path, _ in requests]
    commands = {"ours": command, "curl": curl(*paths), "once": curl(f"{PATH}?recurse&consistent")}
    times = interleave(UNCHANGED_ROUNDS, {
        name: lambda command=command: common.spawn(command)[0] for name, command in commands.items()
    })
    took = {name: median(seconds) for name, seconds in times.items()}
    moved = consul.index(f"{PATH}?keys") - before
    table.row(f"{kind}: the same again, writes", f"{writes} of {len(requests)} requests", "", "", "", "none",
              writes == 0)
    table.row(f"{kind}: the tree's index moved by", moved, "", "", "", "0", moved == 0)
    ratio = took["ours"] / took["curl"]
    table.row(f"{kind}: the same again, time", ms(took["ours"]), "`curl` of the same reads", ms(took["curl"]), ratio,
              "at most 1.5", ratio <= 1.5)
    table.row(f"{kind}: the same again, time", ms(took["ours"]), "`curl` of the tree alone", ms(took["once"]),
              took["ours"] / took["once"])


def read(scratch, table, kind, file):
    host, port = common.consul_address()
    arguments = common.arguments_file(scratch, "info", _ansible_module_name="consul_kv", host=host, port=port,
                                      key=FOLDER, state="info", recurse=True)
    commands = {
        "`kv export`": ours("export", FOLDER),
        "`consul_kv`, `state: info`": [common.binary("lictor"), "module", "consul_kv", arguments],
        "`kv import`, unchanged": ours("import", file),
    }
    peaks = interleave(3, {
        name: lambda command=command: common.spawn(command)[1] for name, command in commands.items()
    })
    body = body_size(f"{PATH}?recurse")
    for name, memory in peaks.items():
        ratio = max(memory) / body
        # An import holds its own file as well, of which no bound speaks.
        bounded = "import" not in name
        table.row(f"{kind}: {name} of {MORE:,} keys, peak memory", size(max(memory)), "the tree's body", size(body),
                  ratio, "under 4" if bounded else "", ratio < 4 if bounded else None)


main()
