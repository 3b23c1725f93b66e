#!/usr/bin/env bash
# Everything that CI runs, part by part. Stops at the first part that fails, and says which.
#
#   scripts/test.sh                             all
#   scripts/test.sh --suite FOLDER NAME FILE    one suite, for the call above
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

PARTS=(format clippy docs tools unit suites build)
SUITES_AT_ONCE=3
LONG_SUITES=(cluster ansible contract contenders gitops_watch lock_run gitops_faults hold dev)

format() { run cargo fmt --all --check; }

clippy() {
  run cargo clippy --locked --all-targets --all-features -- -D warnings
  run cargo clippy --locked --no-default-features --bin lictor-module -- -D warnings
}

docs() { RUSTDOCFLAGS="-D warnings" run cargo doc --locked --no-deps --all-features; }

tools() {
  run scripts/tools.sh consul
  run scripts/tools.sh ansible
  run scripts/tools.sh ansible-full
}

# Release builds leave a core to the rest: they run beside it, and are waited for at the end.
begin_build() {
  setsid make --no-print-directory build >"$scratch/build.log" 2>&1 &
  builder=$!
}

build() {
  if ! wait "$builder"; then
    cat "$scratch/build.log"
    return 1
  fi
}

unit() {
  run cargo test --locked --lib
  run cargo test --locked --doc
}

# Against a real Consul, and through a real ansible-playbook: the suites ask scripts/tools.sh where these are. They
# mostly wait, so that several run at once, the longest first; each with its time.
suites() {
  run cargo test --locked --no-run --test '*' 2>&1 | tee "$scratch/compiled"
  # NAME FILE, a line each.
  sed -nE 's/.*Executable tests\/([^/.]+).* \((.*)\)$/\1 \2/p' "$scratch/compiled" >"$scratch/suites"
  local long
  long=$(IFS='|' && echo "${LONG_SUITES[*]}")
  printf '\n%-20s %8s\n' suite seconds
  {
    grep -E "^($long) " "$scratch/suites"
    grep -vE "^($long) " "$scratch/suites"
  } | xargs -P "$SUITES_AT_ONCE" -L 1 scripts/test.sh --suite "$scratch"
}

# one_suite FOLDER NAME FILE: prints a line; all that it said where it failed.
one_suite() {
  local start=$SECONDS code=0
  "$3" >"$1/$2.log" 2>&1 || code=$?
  if ((code == 0)); then
    printf '%-20s %8d\n' "$2" "$((SECONDS - start))"
  else
    printf '%-20s %8d  FAILED\n%s\n' "$2" "$((SECONDS - start))" "$(cat "$1/$2.log")"
    return 1
  fi
}

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
  kill -- "-$builder" 2>/dev/null || true # where it is waited for no more
  rm -rf "$scratch"
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

if [[ ${1:-} == --suite ]]; then
  one_suite "${@:2}"
  exit
fi
clean_environment
scratch=$(mktemp -d) builder=
trap summary EXIT
begin_build
for part in "${PARTS[@]}"; do
  printf '\n== %s\n' "$part"
  names+=("$part")
  starts+=("$SECONDS")
  # Not behind `if` or `||`: there a failure within the part would not stop it.
  "$part"
done
