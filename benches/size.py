"""How large the binaries are, stripped, and which certificate files they open for plain http: none."""

import os
import pathlib
import re
import subprocess
import tempfile

import common
from common import Table, size

CERTIFICATES = re.compile(r'"([^"]*(?:cert|ssl|/pki/|\.pem)[^"]*)"')
LARGEST = 2_200_000
LARGEST_COMMAND = 4_500_000


def main():
    table = Table(
        "size",
        "The stripped binaries, beside the file that Ansible sends to the host for a task with the incumbent (the "
        "host needs Python, and unpacks it for each task); and the certificate files that are opened for plain http.",
    )
    with tempfile.TemporaryDirectory() as scratch:
        theirs = incumbent_size(scratch)
        for name, most in (*((name, LARGEST) for name in module_binaries()), ("lictor", LARGEST_COMMAND)):
            ours = os.path.getsize(common.binary(name))
            table.row(f"`{name}`", size(ours), f"`community.general.{common.MODULE}`, packed by Ansible", size(theirs),
                      ours / theirs, f"under {size(most)}", ours < most)
        certificates(table, scratch)
    table.end()


def module_binaries():
    """This machine's, and those of `make dist` where it has been run: they are what is shipped."""
    dist = pathlib.Path(common.setting("LICTOR_DIST"))
    return ["lictor-module", *sorted(str(path.relative_to(dist)) for path in dist.glob("*/lictor-module"))]


def incumbent_size(scratch):
    """Has Ansible keep what it sends to the host, and looks at it."""
    host, port = common.consul_address()
    remote = os.path.join(scratch, "remote")
    environment = common.ansible_environment(scratch, ANSIBLE_REMOTE_TEMP=remote, ANSIBLE_KEEP_REMOTE_FILES="1")
    module = f"community.general.{common.MODULE}"
    common.spawn([common.ansible("ansible"), "localhost", "-c", "local", "-m", module,
                  "-a", f"state=list host={host} port={port}"], environment, quiet=True)
    sent = [os.path.join(folder, file) for folder, _, files in os.walk(remote)
            for file in files if file.startswith("AnsiballZ_")]
    return os.path.getsize(sent[0]) if len(sent) == 1 else common.die(f"Ansible kept {len(sent)} files, not one.")


def certificates(table, scratch):
    if not common.shutil.which("strace"):
        table.row("certificate files opened for http", "not measured: install strace", bound="0")
        return
    arguments = common.arguments_file(scratch, "arguments", name="bench-size")
    url = f"http://{os.environ['CONSUL_HTTP_ADDR']}/v1/agent/self"
    ours = opened([common.binary("lictor-module"), arguments])
    theirs = opened([common.program("curl"), "-s", url])
    table.row("certificate files opened for http", len(ours), "`curl` of an http URL", len(theirs),
              bound="0", passed=not ours)


def opened(command):
    """The certificate files that `command` opens, or tries to; its libraries are none."""
    with tempfile.NamedTemporaryFile("r") as trace:
        subprocess.run(["strace", "-f", "-o", trace.name, "-e", "trace=open,openat,openat2", *command],
                       check=True, stdout=subprocess.DEVNULL)
        lines = [line for line in trace if not re.search(r'\.so(\.[0-9]+)*"', line)]
    return [path for line in lines for path in CERTIFICATES.findall(line)]


main()
