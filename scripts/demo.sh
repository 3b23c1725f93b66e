#!/usr/bin/env bash
# Shows what Lictor is for, step by step: a spec planned, applied, applied again, drift seen and mended, a lock that two
# commands want. On an agent in memory; with CONSUL=1 on a throw-away real one. Fails where a step does.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# `make -j demo` is no reason to build in another way.
unset MAKEFLAGS MFLAGS MAKELEVEL

run() {
  printf '$ %s\n' "$*"
  "$@"
}

run cargo build --locked --bin lictor
lictor=${CARGO_TARGET_DIR:-target}/debug/lictor
if [[ ${CONSUL:-} == 1 ]]; then
  run scripts/tools.sh consul
  # shellcheck disable=SC2016 # the address is known inside
  run scripts/with-consul.sh bash -c '"$0" demo --against "$CONSUL_HTTP_ADDR"' "$lictor"
else
  run "$lictor" demo
fi
