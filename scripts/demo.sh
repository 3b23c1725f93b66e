#!/usr/bin/env bash
# Shows what Lictor is for: a playbook declares a session in a throw-away Consul, twice,
# and the second run has nothing to do. Fails where that is not so.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PLAYBOOK=playbooks/basic.yml

die() {
  printf '\ndemo: error: %s\n' "$*" >&2
  exit 1
}

announce() { printf '\n== %s\n   $ %s\n\n' "$1" "$2"; }

# step TEXT CMD...: says what comes, and the command line that does it.
step() {
  announce "$1" "${*:2}"
  "${@:2}"
}

# The settings of this machine stay out of it.
clean_environment() {
  local variable
  for variable in "${!ANSIBLE_@}" "${!CONSUL_@}"; do
    [[ $variable == CONSUL_BIN ]] || unset "$variable"
  done
  # `make -j demo` is no reason to run what follows in another way.
  unset MAKEFLAGS MFLAGS MAKELEVEL
}

prepare() {
  step "Build the module and the command" make --no-print-directory build
  step "Get Consul (a binary on PATH or in CONSUL_BIN is taken as it is)" scripts/tools.sh consul
  step "Get Ansible, into a folder of this checkout" scripts/tools.sh ansible
}

# run_playbook LOG: what Ansible keeps between runs stays in a scratch folder.
run_playbook() {
  local ansible
  ansible=$(scripts/tools.sh path ansible)
  ANSIBLE_CONFIG=playbooks/ansible.cfg ANSIBLE_HOME=$scratch/ansible ANSIBLE_REMOTE_TEMP=$scratch/ansible/tmp \
    ANSIBLE_NOCOLOR=1 "$ansible/ansible-playbook" "$PLAYBOOK" | tee "$1"
}

# expect LOG PATTERN WHAT: the last line of a run, as "localhost : ok=4 changed=0 ... failed=0".
expect() {
  grep -E "^localhost +:.* $2 .*unreachable=0 +failed=0 " "$1" >/dev/null || die "$3"
}

demo() {
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  local command_line="ANSIBLE_CONFIG=playbooks/ansible.cfg ansible-playbook $PLAYBOOK"

  printf '\nConsul answers at %s, with no session in it.\n' "$CONSUL_HTTP_ADDR"
  announce "Run the playbook: it creates the session" "$command_line"
  run_playbook "$scratch/first"
  expect "$scratch/first" 'changed=1' "the first run should have changed one thing: the session"

  announce "Run it again: there is nothing left to do" "$command_line"
  run_playbook "$scratch/second"
  expect "$scratch/second" 'changed=0' "the second run should have changed nothing"

  step "See the session" target/dist/lictor session list
  printf '\nThe first run changed one thing, the second nothing: changed=0.\n'
}

if [[ ${1:-} == --against-consul ]]; then
  demo
else
  clean_environment
  prepare
  step "Start a throw-away Consul, for as long as the demo runs" \
    scripts/with-consul.sh scripts/demo.sh --against-consul
  printf 'Consul is stopped, and what was in it is gone.\n'
fi
