"""What one task costs in a loop of 20, through a real ansible-playbook and a real Consul.

A task's time is the wall time of the playbook with 20 items, less that of the same playbook with none, divided by 20.
The sessions exist already, so for ours every task is "unchanged": the run that users see every day.
"""

import os
import shutil
import tempfile

import common
from common import Table, interleave, median, ms

ITEMS = 20
ROUNDS = 5

PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {module}:
        name: "bench-{{{{ item }}}}"
        state: present
        host: "{{{{ consul_host }}}}"
        port: "{{{{ consul_port }}}}"
      loop: "{{{{ range(items | int) | list }}}}"
"""

CONTENDERS = {  # name -> the task's module, further environment
    "lictor": (common.MODULE, {}),
    "nothing": ("nothing", {}),
    "incumbent": (f"community.general.{common.MODULE}", {}),
    # For a Python module it saves the copy; a binary is copied all the same.
    "pipelined": (f"community.general.{common.MODULE}", {"ANSIBLE_PIPELINING": "1"}),
}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        results = measure(scratch)
    task = {name: median(times) for name, times in results.items()}

    ours = task["lictor"]
    table = Table(
        "ansible-loop",
        f"A task of a loop of {ITEMS} through `ansible-playbook`: `state: present`, the sessions exist, local "
        f"connection, Ansible's own settings. The median of {ROUNDS} interleaved rounds.",
    )
    faster = task["incumbent"] / ours
    table.row("a task", ms(ours), f"`community.general.{common.MODULE}`", ms(task["incumbent"]),
              f"{faster:.1f} times faster", "at least 8 times faster", faster >= 8)
    slower = ours / task["nothing"]
    table.row("a task", ms(ours), "a binary module that does nothing", ms(task["nothing"]),
              slower, "at most 1.3", slower <= 1.3)
    faster = task["pipelined"] / ours
    table.row("a task", ms(ours), f"`community.general.{common.MODULE}`, with pipelining", ms(task["pipelined"]),
              f"{faster:.1f} times faster")
    table.end()


def measure(scratch):
    library = os.path.join(scratch, "library")
    os.mkdir(library)
    shutil.copy(common.binary("lictor-module"), os.path.join(library, common.MODULE))
    common.nothing(library)
    for module, _ in CONTENDERS.values():
        with open(os.path.join(scratch, f"{module}.yml"), "w", encoding="utf-8") as file:
            file.write(PLAYBOOK.format(module=module))

    consul = common.Consul()
    run(scratch, "lictor", ITEMS)  # creates the sessions
    ours = {session["ID"] for session in consul("GET", "/v1/session/list")}
    if len(ours) != ITEMS:
        common.die(f"After the first run there are {len(ours)} sessions, not {ITEMS}.")

    def task(name):
        none = run(scratch, name, 0)
        seconds = (run(scratch, name, ITEMS) - none) / ITEMS
        consul.destroy_sessions(but=ours)  # the incumbent leaves one a task
        return seconds

    for name in CONTENDERS:
        task(name)  # warms the caches
    return interleave(ROUNDS, {name: lambda name=name: task(name) for name in CONTENDERS})


def run(scratch, contender, items):
    """The wall time of a playbook."""
    module, further = CONTENDERS[contender]
    host, port = common.consul_address()
    environment = common.ansible_environment(scratch, ANSIBLE_LIBRARY=os.path.join(scratch, "library"), **further)
    command = [common.ansible("ansible-playbook"), "-e", f"consul_host={host} consul_port={port} items={items}",
               os.path.join(scratch, f"{module}.yml")]
    return common.spawn(command, environment)[0]


main()
