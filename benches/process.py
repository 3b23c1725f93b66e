"""What the process costs beside the HTTP requests that it makes, and how many requests those are.

The peer makes the same requests on a connection that is open already, and does nothing else: so everything that a
process is (its start, the connection, JSON, its end) counts against us.
"""

import json
import os
import socket
import tempfile
from time import perf_counter

import common
from common import Table, interleave, median, ms

RUNS = 200
INCUMBENT_RUNS = 10  # slow, and not what is bounded
NAME = "bench-process"
INCUMBENT = f"`community.general.{common.MODULE}`"


def main():
    consul = common.Consul()
    node = consul.own_node()
    with tempfile.TemporaryDirectory() as scratch:
        ours = [common.binary("lictor-module"), common.arguments_file(scratch, "ours", name=NAME)]
        common.spawn(ours)  # creates the session
        paths = ["/v1/agent/self", f"/v1/session/node/{node}"]
        time = compare(scratch, ours, paths)
        # After what is bounded: the incumbent leaves a session a run.
        time["incumbent"] = incumbent_time(scratch)
        consul.destroy_sessions()

        table = Table(
            "process",
            f"The process alone, `state: present` on an unchanged session, started {RUNS} times in turn with its "
            "peers; medians. The HTTP time is that of the same two requests on an open connection.",
        )
        beside = time["ours"] - time["http"]
        table.row("process less HTTP", ms(beside), "its HTTP requests alone", ms(time["http"]),
                  "", "at most 3 ms", beside <= 0.003)
        for peer, key in (("its HTTP requests alone", "http"),
                          ("a process that does nothing", "nothing"),
                          ("`curl` of the same two URLs", "curl")):
            table.row("process", ms(time["ours"]), peer, ms(time[key]), time["ours"] / time[key])
        table.row("process", ms(time["ours"]), f"{INCUMBENT}, its Python process", ms(time["incumbent"]),
                  time["ours"] / time["incumbent"])
        count_requests(scratch, node, table)
        consul.destroy_sessions()
    table.end(
        "The incumbent sends one request whatever there is: it always creates. None of ours may be `session/list`, "
        "the sessions of the whole cluster."
    )


def compare(scratch, ours, paths):
    """The median seconds of each contender, one run of each a round."""
    address = os.environ["CONSUL_HTTP_ADDR"]
    http = BareHttp(paths)
    empty = [common.nothing(scratch)]
    curl = [common.program("curl"), "-s", *(f"http://{address}{path}" for path in paths)]
    measures = {
        "ours": lambda: common.spawn(ours)[0],
        "http": http.seconds,
        "nothing": lambda: common.spawn(empty)[0],
        "curl": lambda: common.spawn(curl)[0],
    }
    interleave(10, measures, progress=False)  # warms up
    return {name: median(times) for name, times in interleave(RUNS, measures).items()}


class BareHttp:
    """The requests on a bare socket: an HTTP library would add its own time to Consul's."""

    def __init__(self, paths):
        self.socket = socket.create_connection(common.consul_address(), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = [f"GET {path} HTTP/1.1\r\nHost: {os.environ['CONSUL_HTTP_ADDR']}\r\n\r\n".encode()
                         for path in paths]

    def seconds(self):
        start = perf_counter()
        for request in self.requests:
            self.socket.sendall(request)
            self.read_answer()
        return perf_counter() - start

    def read_answer(self):
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(131072)
        head, _, body = answer.partition(b"\r\n\r\n")
        head = head.lower()
        if b"transfer-encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += self.socket.recv(131072)
        else:
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += self.socket.recv(131072)


def incumbent_command(scratch, address):
    """The incumbent's Python process as Ansible would start it, but with its files unpacked already."""
    host, _, port = address.rpartition(":")
    path = os.path.join(scratch, "incumbent")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"ANSIBLE_MODULE_ARGS": {"name": NAME, "host": host, "port": int(port)}}, file)
    return [common.ansible("python"), "-m",
            f"ansible_collections.community.general.plugins.modules.{common.MODULE}", path]


def incumbent_time(scratch):
    command = incumbent_command(scratch, os.environ["CONSUL_HTTP_ADDR"])
    common.spawn(command)  # warms up
    return median(common.spawn(command)[0] for _ in range(INCUMBENT_RUNS))


def count_requests(scratch, node, table):
    proxy = common.CountingProxy()
    theirs = proxy.requests_of(incumbent_command(scratch, proxy.address))
    # what, the options, how many requests are minimal
    cases = [
        ("created", {"name": "bench-count"}, 4),
        ("unchanged", {"name": "bench-count"}, 2),
        ("unchanged, `node` given", {"name": "bench-count", "node": node}, 1),
        ("created with a ttl", {"name": "bench-count-ttl", "ttl": "60s"}, 4),
        ("unchanged, its ttl renewed", {"name": "bench-count-ttl", "ttl": "60s"}, 3),
        ("replaced", {"name": "bench-count", "delay": "20s"}, None),
    ]
    for number, (what, options, minimal) in enumerate(cases):
        file = common.arguments_file(scratch, f"case-{number}", **options)
        requests = proxy.requests_of([common.binary("lictor-module"), file])
        passed = not any("session/list" in path for _, path, _ in requests)
        if minimal is not None:
            passed &= len(requests) <= minimal
        table.row(f"requests, {what}: {shown(requests)}", len(requests), INCUMBENT, f"{len(theirs)}: {shown(theirs)}",
                  len(requests) / len(theirs), "stated" if minimal is None else f"at most {minimal}", passed)


def shown(requests):
    """As `GET agent/self`, `GET session/node/…`: names and ids say nothing here."""
    def short(path):
        parts = path.partition("?")[0].removeprefix("/v1/").split("/")
        return "/".join(parts[:2] + ["…"] * (len(parts) > 2))
    return ", ".join(f"`{method} {short(path)}`" for method, path, _ in requests)


main()
