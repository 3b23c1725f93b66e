#!/usr/bin/env bash
# Everything that CI runs, part by part. Stops at the first part that fails, and says which.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

PARTS=(format clippy docs tools build unit suites)

format() { run cargo fmt --all --check; }

clippy() {
  run cargo clippy --locked --all-targets --all-features -- -D warnings
  run cargo clippy --locked --no-default-features --bin lictor-module -- -D warnings
}

docs() { RUSTDOCFLAGS="-D warnings" run cargo doc --locked --no-deps --all-features; }

tools() {
  run scripts/tools.sh consul
  run scripts/tools.sh ansible
}

build() { run make --no-print-directory build; }

unit() {
  run cargo test --locked --lib
  run cargo test --locked --doc
}

# Against a real Consul, and through a real ansible-playbook: the suites ask scripts/tools.sh where these are.
suites() { run cargo test --locked --no-fail-fast --test '*'; }

run() {
  printf '$ %s\n' "$*"
  "$@"
}

# What the machine has set must not leak into the tests; its choice of a Consul counts.
clean_environment() {
  local variable
  for variable in "${!CONSUL_@}" "${!ANSIBLE_@}" "${!LICTOR_@}"; do
    case $variable in
      CONSUL_BIN | LICTOR_PYTHON) ;;
      *) unset "$variable" ;;
    esac
  done
  unset MAKEFLAGS MFLAGS MAKELEVEL
}

# On any way out: how long each part took, then the verdict as the last line.
names=() starts=()
summary() {
  local code=$? i end=$SECONDS
  starts+=("$end")
  printf '\n%-8s %8s\n' part seconds
  for i in "${!names[@]}"; do
    printf '%-8s %8d\n' "${names[i]}" "$((starts[i + 1] - starts[i]))"
  done
  printf '%-8s %8d\n\n' total "$end"
  if ((code == 0)); then
    echo "All parts passed."
  else
    echo "FAILED in the part: ${names[-1]}"
  fi
}

clean_environment
trap summary EXIT
for part in "${PARTS[@]}"; do
  printf '\n== %s\n' "$part"
  names+=("$part")
  starts+=("$SECONDS")
  # Not behind `if` or `||`: there a failure within the part would not stop it.
  "$part"
done
