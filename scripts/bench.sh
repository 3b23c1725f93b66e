#!/usr/bin/env bash
# Measures Lictor side by side with what a user would otherwise run, against a throw-away Consul.
#
#   scripts/bench.sh [NAME...]     ansible-loop, ansible-spec, plan, process, size, sessions-100k, keys, validate, apply,
#                                  watch, locks, dev; all where none is named
#
# The tables go to standard output and to target/bench.md. The exit code is 1 where a bound failed, 2 where a
# bench could not be run. LICTOR_DIST names a folder of binaries to measure; else `make build` makes them.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

ALL=(ansible-loop ansible-spec plan process size sessions-100k keys validate apply watch locks dev)
RESULT=target/bench.md

die() {
  printf 'bench: error: %s\n' "$*" >&2
  exit 2
}

# The settings of this machine stay out of it.
clean_environment() {
  local variable
  for variable in "${!ANSIBLE_@}" "${!CONSUL_@}"; do
    [[ $variable == CONSUL_BIN ]] || unset "$variable"
  done
  unset MAKEFLAGS MFLAGS MAKELEVEL
}

prepare() {
  if [[ -z ${LICTOR_DIST:-} ]]; then
    make --no-print-directory build >&2
    LICTOR_DIST=target/dist
  fi
  LICTOR_DIST=$(realpath "$LICTOR_DIST")
  CONSUL_BIN=$(scripts/tools.sh path consul)
  LICTOR_ANSIBLE_BIN=$(scripts/tools.sh path ansible-full)
  WRK_BIN=$(scripts/tools.sh path wrk)
  export LICTOR_DIST CONSUL_BIN LICTOR_ANSIBLE_BIN WRK_BIN
}

# What the numbers were taken on: without it they say nothing.
machine() {
  local cpu
  cpu=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
  cat <<TEXT
Taken on $(nproc) cores (${cpu:-$(uname -m)}), $(uname -s) $(uname -r | cut -d- -f1), load before $(cut -d ' ' -f 1 /proc/loadavg).
$("$LICTOR_DIST/lictor" --version), $("$CONSUL_BIN" version | head -n 1), \
ansible-core $("$LICTOR_ANSIBLE_BIN/python" -c 'from ansible.release import __version__ as v; print(v)'), \
community.general $(galaxy_version), $(rustc --version | cut -d ' ' -f 1,2).
TEXT
}

galaxy_version() {
  "$LICTOR_ANSIBLE_BIN/python" - <<'PY'
import json, pathlib, ansible_collections.community.general as collection
manifest = pathlib.Path(next(iter(collection.__path__)), "MANIFEST.json")
print(json.loads(manifest.read_text())["collection_info"]["version"])
PY
}

measure() {
  if [[ $1 == plan ]]; then
    # Pure: nothing but the library, and no Consul.
    cargo bench --quiet --locked --bench plan
  else
    # An own Consul for each: none sees what another left.
    scripts/with-consul.sh python3 -B "benches/${1//-/_}.py"
  fi
}

main() {
  local name known names=("$@") failed=() broken=() code
  ((${#names[@]})) || names=("${ALL[@]}")
  for name in "${names[@]}"; do
    known=" ${ALL[*]} "
    [[ $known == *" $name "* ]] || die "there is no bench '$name', only: ${ALL[*]}"
  done
  command -v python3 >/dev/null || die "python3 is needed. Install it."

  clean_environment
  prepare
  mkdir -p target
  { machine; echo; } | tee "$RESULT"
  for name in "${names[@]}"; do
    code=0
    measure "$name" | tee -a "$RESULT" || code=${PIPESTATUS[0]}
    echo | tee -a "$RESULT"
    case $code in
      0) ;;
      10) failed+=("$name") ;;
      *) broken+=("$name") ;;
    esac
  done

  if ((${#broken[@]})); then
    echo "Could not be run: ${broken[*]}." | tee -a "$RESULT"
    exit 2
  elif ((${#failed[@]})); then
    echo "A bound FAILED in: ${failed[*]}." | tee -a "$RESULT"
    exit 1
  elif grep -q 'not measured' "$RESULT"; then
    echo "All bounds that were measured hold; some were not: see above." | tee -a "$RESULT"
    exit 0
  fi
  echo "All bounds hold." | tee -a "$RESULT"
}

main "$@"
