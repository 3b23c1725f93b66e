"""What the agent in memory serves, beside `consul agent -dev`, and how soon `lictor demo` shows something."""

import os
import re
import subprocess
import tempfile
from time import perf_counter

import common
from common import Table, median

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 16
KEY = "/v1/kv/bench"
CREATE = "/v1/session/create"


def main():
    table = Table(
        "dev",
        f"`wrk` on `lictor dev` and on `consul agent -dev`, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s in "
        "turn, medians; and the whole of `lictor demo`, which sleeps for 2 s of it.",
    )
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "create.lua")
        with open(script, "w", encoding="utf-8") as file:
            file.write('wrk.method, wrk.body = "PUT", \'{"Name":"bench"}\'\n')
        for path, what, *flags in ((KEY, "reads of a key"), (CREATE, "`session/create`", "-s", script)):
            # New ones for each: none has a million sessions from before.
            with agent() as ours:
                theirs = os.environ["CONSUL_HTTP_ADDR"]
                rates = common.interleave(ROUNDS, {
                    "ours": lambda: rate(ours, path, flags), "theirs": lambda: rate(theirs, path, flags)})
            ours, theirs = median(rates["ours"]), median(rates["theirs"])
            table.row(what, f"{ours:,.0f} a second", "`consul agent -dev`", f"{theirs:,.0f} a second", ours / theirs,
                      "at least 1.00", ours >= theirs)
    first, whole = demo()
    table.row("`lictor demo`, to the first plan", f"{first:.2f} s", bound="under 3 s", passed=first < 3)
    table.row("`lictor demo`, in all", f"{whole:.2f} s", bound="under 30 s", passed=whole < 30)
    table.end()


class agent:  # pylint: disable=invalid-name
    """A `lictor dev`, and its address."""

    def __enter__(self):
        self.process = subprocess.Popen([common.binary("lictor"), "dev", "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, text=True)
        return self.process.stdout.readline().rpartition("//")[2].strip()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def rate(address, path, flags):
    if path == KEY:
        subprocess.run([common.program("curl"), "-sfX", "PUT", f"http://{address}{KEY}", "-d", "the value"],
                       check=True, stdout=subprocess.DEVNULL)
    command = [common.setting("WRK_BIN"), "-t", "2", "-c", str(CONNECTIONS), "-d", str(SECONDS), *flags,
               f"http://{address}{path}"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in report:
        common.die("wrk failed:", report)
    return float(re.search(r"Requests/sec:\s*([0-9.]+)", report)[1])


def demo():
    """The seconds until the first plan is there, and until all is over."""
    start, first = perf_counter(), None
    with subprocess.Popen([common.binary("lictor"), "demo"], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if first is None and "to create" in line:
                first = perf_counter() - start
    return first if process.returncode == 0 else common.die("lictor demo failed"), perf_counter() - start


main()
