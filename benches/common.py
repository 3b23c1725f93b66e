"""What the benches share: running a program, asking Consul, counting requests, and the table."""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MODULE = "consul_session"
BOUND_FAILED = 10

# When the bench is stopped, what it started and wrote goes, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def die(*lines):
    print("bench: error: " + "\n       ".join(lines), file=sys.stderr)
    sys.exit(2)


def setting(variable):
    """scripts/bench.sh sets these."""
    return os.environ.get(variable) or die(f"{variable} is not set.", "Run the bench through scripts/bench.sh.")


def binary(name):
    path = pathlib.Path(setting("LICTOR_DIST"), name).resolve()
    return str(path) if path.is_file() else die(f"There is no {name} in LICTOR_DIST.", "Run: make build")


def ansible(program):
    return os.path.join(setting("LICTOR_ANSIBLE_BIN"), program)


def program(name):
    return shutil.which(name) or die(f"{name} is not here.", f"On Debian: apt-get install {name}")


def nothing(folder):
    """Builds the module that does nothing, and gives its path."""
    path = os.path.join(folder, "nothing")
    subprocess.run([program("rustc"), "-O", "-C", "strip=symbols", "-o", path, HERE / "nothing.rs"], check=True)
    return path


# --- Consul -----------------------------------------------------------------------------------


def consul_address():
    host, _, port = setting("CONSUL_HTTP_ADDR").rpartition(":")
    return host, int(port)


class Consul:
    """A connection that stays open."""

    def __init__(self):
        self.connection = http.client.HTTPConnection(*consul_address(), timeout=60)

    def __call__(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            die(f"Consul answered {method} {path} with {answer.status}: {text.decode(errors='replace')}")
        return json.loads(text)

    def index(self, path):
        """The Raft index of what is there."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        answer.read()
        return int(answer.getheader("X-Consul-Index"))

    def wait_for_own_node(self):
        """Waits until sessions can be made on the agent's own node, and gives its name."""
        node = self.own_node()
        while not any(check["CheckID"] == "serfHealth" for check in self("GET", f"/v1/health/node/{node}")):
            time.sleep(0.1)
        return node

    def own_node(self):
        return self("GET", "/v1/agent/self")["Config"]["NodeName"]

    def destroy_sessions(self, but=()):
        """Destroys every session but those of these ids."""
        for session in self("GET", "/v1/session/list"):
            if session["ID"] not in but:
                self("PUT", f"/v1/session/destroy/{session['ID']}")


@contextlib.contextmanager
def consul_server():
    """An ordinary server on free loopback ports, its data in memory where that can be: CONSUL_HTTP_ADDR names it."""
    consul = setting("CONSUL_BIN")
    flags = subprocess.run([consul, "agent", "-help"], capture_output=True, text=True, check=False)
    newer = ["-grpc-tls-port", "-1"] if "-grpc-tls-port" in flags.stdout + flags.stderr else []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    web, lan, wan, rpc = map(str, free_ports(4))
    with tempfile.TemporaryDirectory(dir=memory) as data:
        agent = subprocess.Popen([
            consul, "agent", "-server", "-bootstrap-expect", "1", "-data-dir", data, "-node", "lictor-bench",
            "-bind", "127.0.0.1", "-client", "127.0.0.1", "-http-port", web, "-serf-lan-port", lan,
            "-serf-wan-port", wan, "-server-port", rpc, "-dns-port", "-1", "-grpc-port", "-1", *newer,
            "-hcl", "performance { raft_multiplier = 1 }", "-log-level", "err",
            # By default it takes 200 connections of one address.
            "-hcl", "limits { http_max_conns_per_client = 10000 }",
        ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_for_leader(agent, web)
            os.environ["CONSUL_HTTP_ADDR"] = f"127.0.0.1:{web}"
            yield
        finally:
            agent.terminate()
            agent.wait()


def free_ports(count):
    """Bound all at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def wait_for_leader(agent, port, seconds=60):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and agent.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=2)
            connection.request("GET", "/v1/status/leader")
            if json.load(connection.getresponse()):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    die("The Consul server has no leader.")


def curl(*paths):
    return [program("curl"), "-s", *(f"http://{os.environ['CONSUL_HTTP_ADDR']}{path}" for path in paths)]


def body_size(path):
    """Found by curl, since this program must stay small: see common.spawn."""
    command = [*curl(path), "-o", os.devnull, "-w", "%{size_download}"]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


class CountingProxy:
    """Stands between a program and Consul. Notes each request when it comes (`asked`, with the time), and again with the
    length of its answer (`seen`)."""

    def __init__(self):
        seen, asked = self.seen, self.asked = [], []
        underway = self.underway = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # else the connection would end with every answer

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append((time.perf_counter(), self.command, self.path))
                # Longer than a blocking query takes.
                upstream = http.client.HTTPConnection(*consul_address(), timeout=120)
                underway[self] = (self.command, self.path, 0)
                upstream.request(self.command, self.path, body or None)
                answer = upstream.getresponse()
                text = answer.read()
                upstream.close()
                del underway[self]
                seen.append((self.command, self.path, len(text)))
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.getheader("Content-Type", "text/plain"))
                for name, value in answer.getheaders():
                    if name.lower().startswith("x-consul-"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = pass_on

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 1024  # hundreds may come at once

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def open_requests(self):
        """Those that are not answered yet."""
        return list(self.underway.values())

    def requests_of(self, command):
        """What `command` sends, when it is run with this proxy as its Consul."""
        self.seen.clear()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                       env=os.environ | {"CONSUL_HTTP_ADDR": self.address})
        return list(self.seen)


# --- Ansible ----------------------------------------------------------------------------------


def ansible_environment(scratch, **further):
    """Ansible with its own settings: none of this machine, and what it keeps between runs in `scratch`."""
    config = os.path.join(scratch, "ansible.cfg")
    pathlib.Path(config).touch()
    return os.environ | {
        "ANSIBLE_CONFIG": config,
        "ANSIBLE_HOME": os.path.join(scratch, "home"),
        "ANSIBLE_REMOTE_TEMP": os.path.join(scratch, "remote"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
    } | further


# --- running a program ------------------------------------------------------------------------


def arguments_file(folder, file_name, /, **options):
    """The file of arguments that Ansible would write for a task."""
    path = os.path.join(folder, file_name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"_ansible_module_name": MODULE, "_ansible_check_mode": False, **options}, file)
    return path


def spawn(command, environment=None, quiet=False):
    """Runs `command`, its standard output to nowhere: its seconds and its peak memory in bytes.

    posix_spawn, since it costs this program the least. The kernel counts our own memory into the child's peak, so
    we must stay small: the large answers are read by others.
    """
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in ((1, 2) if quiet else (1,))]
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ if environment is None else environment, file_actions=nowhere)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        # The reason is in what was thrown away: once more, to show it.
        subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
        die(f"{os.path.basename(command[0])} failed: its output is above.")
    return seconds, usage.ru_maxrss * 1024


def interleave(rounds, measures, progress=True):
    """Runs each of `measures` (name -> function) once a round, and gives the list of results of each.

    Interleaved, so that what else the machine does falls on all of them alike.
    """
    results = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            results[name].append(measure())
        if progress and sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds} ", end="\n" if number + 1 == rounds else "", file=sys.stderr)
    return results


median = statistics.median


# --- the table --------------------------------------------------------------------------------


def ms(seconds):
    return f"{seconds * 1000:,.{1 if seconds >= 0.01 else 2}f} ms"


def size(number):
    return f"{number:,} bytes" if number < 10_000_000 else f"{number / 1_000_000:,.1f} MB"


class Table:
    """Rows of: what was measured, our figure, the peer and its figure, the ratio, the bound."""

    def __init__(self, title, text):
        self.passed = True
        print(f"### {title}\n\n{text}\n")
        print("| measured | lictor | peer | peer's figure | ratio | bound | |\n|---|---:|---|---:|---:|---|---|")

    def row(self, what, figure, peer="", peer_figure="", ratio="", bound="", passed=None):
        if isinstance(ratio, float):
            ratio = f"{ratio:.2f}"
        verdict = "" if passed is None else "PASS" if passed else "**FAIL**"
        self.passed &= passed is not False
        print(f"| {what} | {figure} | {peer} | {peer_figure} | {ratio} | {bound} | {verdict} |", flush=True)

    def end(self, *notes):
        """Ends the bench: by its exit code where a bound failed, which no other fault has."""
        for note in notes:
            print(f"\n{note}")
        sys.exit(0 if self.passed else BOUND_FAILED)
