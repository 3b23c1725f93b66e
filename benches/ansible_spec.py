"""What one task for a thousand keys costs, through a real ansible-playbook and a real Consul.

A task's time is the wall time of its playbook, less that of the same playbook without it.
"""

import json
import os
import shutil
import tempfile

import common
from common import Table, interleave, median, ms

KEYS = 1000
LOOPED = 20
ROUNDS = 5

PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {task}
"""

TASKS = {
    "none": "ansible.builtin.meta: noop",
    "spec": 'consul_spec: {src: "{{ spec }}"}',
    "loop": 'consul_kv: {key: "bench/loop/{{ item }}", value: "{{ item }}"}\n      loop: "{{ range(%d) | list }}"' % LOOPED,
}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        results = measure(scratch)
    took = {name: median(times) - median(results["none"]) for name, times in results.items()}

    table = Table(
        "ansible-spec",
        f"One task `consul_spec` for {KEYS:,} keys of a file, through `ansible-playbook`: local connection, Ansible's own "
        f"settings. The median of {ROUNDS} interleaved rounds. Beside it, {LOOPED} keys in a loop of `consul_kv`, times "
        f"{KEYS // LOOPED}.",
    )
    loop = "a loop of `consul_kv`, unchanged"
    looped = took["loop"] * KEYS / LOOPED
    for what, name in (("new", "new"), ("the same keys again: unchanged", "unchanged"), ("the same in check mode", "checked")):
        table.row(f"{KEYS:,} keys, {what}", ms(took[name]), loop, ms(looped), f"{looped / took[name]:.0f} times faster")
    table.end()


def measure(scratch):
    library = os.path.join(scratch, "library")
    os.mkdir(library)
    for module, binary in (("consul_spec", "lictor"), ("consul_kv", "lictor-module")):
        shutil.copy(common.binary(binary), os.path.join(library, module))
    specs = os.path.join(scratch, "spec.json")
    with open(specs, "w", encoding="utf-8") as file:
        values = {f"{number:04}": f"value {number}" for number in range(KEYS)}
        json.dump({"version": 1, "owner": "bench", "keys": [{"prefix": "bench/spec/", "values": values}]}, file)
    books = {}
    for name, task in TASKS.items():
        books[name] = os.path.join(scratch, f"{name}.yml")
        with open(books[name], "w", encoding="utf-8") as file:
            file.write(PLAYBOOK.replace("{task}", task))
    environment = common.ansible_environment(scratch, ANSIBLE_LIBRARY=library)

    def play(book, *flags):
        command = [common.ansible("ansible-playbook"), books[book], "-e", f"spec={specs}", *flags]
        return common.spawn(command, environment)[0]

    def destroy():
        command = [common.binary("lictor"), "destroy", specs, "--yes"]
        common.spawn(command, os.environ | {"CONSUL_HTTP_ADDR": common.setting("CONSUL_HTTP_ADDR")})

    def new():
        destroy()
        return play("spec")

    play("loop")
    return interleave(ROUNDS, {
        "none": lambda: play("none"),
        "new": new,
        "unchanged": lambda: play("spec"),
        "checked": lambda: play("spec", "--check"),
        "loop": lambda: play("loop"),
    })


main()
