#!/usr/bin/env bash
# Runs a command against a throw-away Consul: a real agent in development mode, in memory, on free
# loopback ports. The agent is stopped when the command ends, however it ends.
#
#   scripts/with-consul.sh CMD [ARG...]
#
# CMD sees CONSUL_HTTP_ADDR, and no other CONSUL_* variable but CONSUL_BIN. Its exit code is passed on.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NODE=lictor-demo
ATTEMPTS=3
READY_SECONDS=30

die() {
  printf 'with-consul: error: %s\n' "$*" >&2
  exit 125
}

# The ports are bound all at once, so that they differ; serf wants the same port of TCP and UDP.
free_ports() {
  python3 - "$1" <<'PY'
import socket, sys

wanted, held, ports = int(sys.argv[1]), [], []
while len(ports) < wanted:
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held += [tcp, udp]
    tcp.bind(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    try:
        udp.bind(("127.0.0.1", port))
    except OSError:
        continue
    ports.append(port)
print(*ports)
PY
}

# Ready is: there is a leader, and the node has its serfHealth check, without which no session
# can be made. Ends early where the agent has died. No proxy is asked for the way.
wait_until_ready() {
  python3 - "$1" "$NODE" "$2" "$READY_SECONDS" <<'PY'
import json, os, sys, time, urllib.request

address, node, pid, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def get(path):
    with opener.open(f"http://{address}{path}", timeout=2) as answer:
        return json.load(answer)

def ready():
    try:
        checks = get(f"/v1/health/node/{node}")
        return get("/v1/status/leader") != "" and any(
            check["CheckID"] == "serfHealth" and check["Status"] == "passing" for check in checks)
    except (OSError, ValueError):
        return False

def alive():
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

end = time.monotonic() + seconds
while time.monotonic() < end and alive():
    if ready():
        sys.exit(0)
    time.sleep(0.05)
sys.exit(1)
PY
}

start_agent() {
  local http serf_lan serf_wan server
  read -r http serf_lan serf_wan server < <(free_ports 4)
  address=127.0.0.1:$http
  # Where this script is killed outright, the kernel stops the agent.
  local guard=()
  if command -v setpriv >/dev/null && setpriv --pdeathsig TERM true 2>/dev/null; then
    guard=(setpriv --pdeathsig TERM)
  fi
  # By default it takes 200 connections of one address: a hundred who wait for a lock need more.
  "${guard[@]}" "$consul" agent -dev -node "$NODE" -bind 127.0.0.1 -client 127.0.0.1 \
    -http-port "$http" -dns-port -1 -grpc-port -1 "${newer_flags[@]}" \
    -serf-lan-port "$serf_lan" -serf-wan-port "$serf_wan" -server-port "$server" \
    -hcl 'limits { http_max_conns_per_client = 10000 }' -log-level err </dev/null >"$scratch/agent.log" 2>&1 &
  agent=$!
}

stop_agent() {
  [[ -n $agent ]] || return 0
  kill "$agent" 2>/dev/null || true
  wait "$agent" 2>/dev/null || true
  agent=
}

# A free port can be taken by another before the agent has it: hence more than one attempt.
start_ready_agent() {
  local attempt
  for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
    start_agent
    if wait_until_ready "$address" "$agent"; then return; fi
    stop_agent
  done
  cat "$scratch/agent.log" >&2
  die "Consul ($consul) did not become ready in $ATTEMPTS attempts. Its last log is above."
}

# shellcheck disable=SC2329 # the trap calls it
cleanup() {
  local code=$?
  trap '' INT TERM
  if [[ -n $child ]]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  stop_agent
  rm -rf "$scratch"
  exit "$code"
}

# CMD runs in the background so that a signal to this script is acted on at once. The shell makes
# such a command deaf to Ctrl-C; the reset undoes that. Its standard input stays.
run_command() {
  local code=0
  (
    trap - INT TERM EXIT
    exec "$@"
  ) <&0 &
  child=$!
  wait "$child" || code=$?
  child=
  return "$code"
}

(($# > 0)) || {
  echo "Usage: scripts/with-consul.sh CMD [ARG...]" >&2
  exit 64
}
command -v python3 >/dev/null || die "python3 is needed to find free ports. Install it."

consul=$("$HERE/tools.sh" path consul) || exit 125
for variable in "${!CONSUL_@}"; do
  [[ $variable == CONSUL_BIN ]] || unset "$variable"
done

# A later Consul has one more listener on a fixed port; an earlier one does not know the flag.
newer_flags=()
if "$consul" agent -help 2>&1 | grep -e '-grpc-tls-port' >/dev/null; then
  newer_flags=(-grpc-tls-port -1)
fi

scratch=$(mktemp -d)
agent='' child='' address=''
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start_ready_agent

export CONSUL_HTTP_ADDR=$address
export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"
code=0
run_command "$@" || code=$?
exit "$code"
