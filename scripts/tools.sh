#!/usr/bin/env bash
# Gets the tools for building and testing. All of them go under .tools/ of this checkout:
# nothing on the system is installed or changed, and `rm -rf .tools` takes everything away.
# (One exception: `dist` asks rustup for the standard libraries of the targets.)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/.tools

# Consul is in the packages of this Debian release, and of no later one.
CONSUL_SUITE=bullseye
# A release that is done with: its version of wrk stays, and apt checks what it fetches by the release's signature.
WRK_SUITE=bookworm
TARGETS=${LICTOR_TARGETS:-x86_64-unknown-linux-musl aarch64-unknown-linux-musl}

usage() {
  cat <<'TEXT'
Usage: scripts/tools.sh consul|ansible|ansible-full|dist|wrk|all
       scripts/tools.sh path consul|ansible|ansible-full|dist|wrk

The first form gets a tool, and is quick where it is there already.
The second form gets it as well, and prints where it is:
the binary of Consul and of wrk, or the folder with the programs of the others.

  consul        $CONSUL_BIN, else consul on PATH, else Debian 11's package
  ansible       ansible-core, to run playbooks
  ansible-full  ansible with community.general and py-consul, for the side by side
  dist          cargo-zigbuild and zig, for static binaries
  wrk           wrk on PATH, else Debian 12's package: a peer of the benches
  all           all five

Environment:
  CONSUL_BIN      the Consul binary to use
  LICTOR_PYTHON   the Python (3.11 or later) for the virtual environments
  LICTOR_TARGETS  the targets of dist, by default musl for x86_64 and aarch64
TEXT
}

say() { printf 'tools: %s\n' "$*" >&2; }

# die WHAT [HINT...]: a line a hint.
die() {
  say "error: $1"
  shift
  (($# == 0)) || printf '       %s\n' "$@" >&2
  exit 1
}

# Two runs at once must not unpack over each other.
lock_tools() {
  mkdir -p "$TOOLS"
  command -v flock >/dev/null || return 0
  exec 9>"$TOOLS/.lock"
  flock 9
}

# --- Consul -----------------------------------------------------------------------------------

CONSUL_HINT="Or install Consul another way, and put it on PATH or set CONSUL_BIN to the binary."

consul_unpacked() { printf '%s\n' "$TOOLS/consul/usr/bin/consul"; }

consul_path() {
  if [[ -n ${CONSUL_BIN:-} ]]; then
    realpath -s "$CONSUL_BIN"
  elif ! type -P consul; then
    consul_unpacked
  fi
}

get_consul() {
  if [[ -n ${CONSUL_BIN:-} ]]; then
    [[ -f $CONSUL_BIN && -x $CONSUL_BIN ]] ||
      die "CONSUL_BIN is '$CONSUL_BIN', which is not an executable file." \
        "Set it to the path of a Consul binary, or unset it."
    return
  fi
  type -P consul >/dev/null && return
  [[ -x $(consul_unpacked) ]] && return
  lock_tools
  [[ -x $(consul_unpacked) ]] && return # another run was faster
  unpack_consul
}

unpack_consul() {
  unpack_debian consul "$CONSUL_SUITE" "$CONSUL_HINT" consul
}

# unpack_debian NAME SUITE HINT PACKAGE...: packages of a Debian release, into one folder under .tools. Where one of them
# is a program of that name, it has to run.
unpack_debian() {
  local name=$1 suite=$2 hint=$3 tool
  shift 3
  for tool in apt-get dpkg dpkg-deb; do
    command -v "$tool" >/dev/null ||
      die "There is no $name here, and without $tool it cannot come from Debian's packages." "$hint"
  done

  local apt=$TOOLS/apt package
  rm -rf "$apt" "${TOOLS:?}/$name"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/root"
  debian_source "$name" "$suite" "$hint" >"$apt/lictor.sources"
  apt_conf "$apt" >"$apt/apt.conf"

  say "fetching $name from the packages of Debian $suite"
  apt-get -c "$apt/apt.conf" -qq update >&2 ||
    die "The package list of Debian $suite could not be fetched (apt says why above)." \
      "Check that 'apt-get update' works on this machine." "$hint"
  (cd "$apt" && apt-get -c "$apt/apt.conf" -qq download "$@" >&2) ||
    die "The packages of Debian $suite could not be fetched: $* (apt says why above)." "$hint"
  for package in "$apt"/*.deb; do dpkg-deb -x "$package" "$apt/root"; done
  "${name}_runs" "$apt/root" || die "The $name of Debian $suite does not run on this machine." "$hint"

  # Moved in one step: what is at the final place is whole.
  mv "$apt/root" "$TOOLS/$name"
  rm -rf "$apt"
  say "$name is ready"
}

consul_runs() { "$1/usr/bin/consul" version >/dev/null; }

# A source of the older release, made from the machine's own: the first enabled entry of Debian's
# main archive, with its keys. Only the packages' index is asked for.
debian_source() {
  local name=$1 suite=$2 hint=$3 entry
  entry=$(list_sources | awk -F '\t' '
    { n = split($1, uris, / +/)
      for (i = 1; i <= n && !found; i++)
        if (uris[i] ~ /\/debian\/?$/ || uris[i] ~ /^mirror\+file:.*\/debian\.list$/) {
          print uris[i] "\t" $2 "\t" $3
          found = 1
        } }')
  [[ -n $entry ]] ||
    die "There is no $name here, and the apt sources of this machine do not name Debian's main archive" \
      "(no enabled entry has a URI that ends in /debian)." "$hint"

  local uri signed_by trusted
  IFS=$'\x1f' read -r uri signed_by trusted <<<"${entry//$'\t'/$'\x1f'}"
  printf '%s\n' "Types: deb" "URIs: $uri" "Suites: $suite" "Components: main" \
    "Architectures: $(dpkg --print-architecture)" "Targets: Packages" "Languages: none"
  [[ -z $trusted ]] || printf 'Trusted: %s\n' "$trusted"
  # A key given inline keeps its lines: \v stood for their ends.
  [[ -z $signed_by ]] || printf 'Signed-By: %s\n' "${signed_by//$'\v'/$'\n'}"
}

# Each enabled binary source in apt's own order, as URIs <tab> Signed-By <tab> Trusted.
list_sources() {
  local etc file dir=
  etc=$(apt-config shell dir Dir::Etc/d)
  eval "$etc" # sets dir
  dir=${dir:-/etc/apt}
  dir=${dir%/}
  for file in "$dir/sources.list" "$dir"/sources.list.d/*.list "$dir"/sources.list.d/*.sources; do
    [[ -r $file ]] || continue
    case $file in
      *.sources) list_deb822 "$file" ;;
      *) list_one_line "$file" ;;
    esac
  done
}

# deb [signed-by=/a trusted=yes] URI SUITE COMPONENT...
list_one_line() {
  awk '
    $1 == "deb" {
      sub(/^[ \t]*deb[ \t]+/, "")
      signed = trusted = ""
      if (match($0, /^\[[^]]*\][ \t]*/)) {
        n = split(substr($0, 2, index($0, "]") - 2), options, /[ \t]+/)
        $0 = substr($0, RLENGTH + 1)
        for (i = 1; i <= n; i++) {
          if (tolower(options[i]) ~ /^signed-by=/) signed = substr(options[i], 11)
          if (tolower(options[i]) ~ /^trusted=/) trusted = substr(options[i], 9)
        }
        gsub(/,/, " ", signed)
      }
      print $1 "\t" signed "\t" trusted
    }' "$1"
}

# Paragraphs of "Field: value"; a line that begins with a blank continues the value above it.
list_deb822() {
  awk '
    function flush() {
      if ((" " value["types"] " ") ~ / deb / && tolower(value["enabled"]) !~ /^(no|false|off|without|disable|0)$/)
        print value["uris"] "\t" value["signed-by"] "\t" value["trusted"]
      delete value
      field = ""
    }
    /^#/ { next }
    /^[ \t]*$/ { flush(); next }
    { gsub(/\t/, " ") }
    /^ / {
      if (field == "signed-by") value[field] = value[field] "\v" $0
      else { sub(/^ +/, ""); value[field] = value[field] " " $0 }
      next
    }
    {
      field = tolower(substr($0, 1, index($0, ":") - 1))
      text = substr($0, index($0, ":") + 1)
      gsub(/^ +| +$/, "", text)
      value[field] = text
    }
    END { flush() }' "$1"
}

# The machine's apt settings (a proxy, say) hold, except for what would read or change its packages.
apt_conf() {
  cat <<TEXT
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
Acquire::Retries "3";
Dir::Etc::SourceList "$1/lictor.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$1/lists";
Dir::Cache "$1/cache";
TEXT
  # Root would hand the download to a user who may not write here.
  if ((EUID == 0)); then printf 'APT::Sandbox::User "root";\n'; fi
}

# --- wrk --------------------------------------------------------------------------------------

WRK_HINT="Or install wrk another way, and put it on PATH."

wrk_path() { type -P wrk || printf '%s\n' "$TOOLS/wrk/wrk"; }

get_wrk() {
  type -P wrk >/dev/null && return
  [[ -x $TOOLS/wrk/wrk ]] && return
  lock_tools
  [[ -x $TOOLS/wrk/wrk ]] && return # another run was faster
  unpack_debian wrk "$WRK_SUITE" "$WRK_HINT" wrk libluajit-5.1-2 libssl3
}

# It comes with its libraries, which the system need not have; a script beside it names their folder.
wrk_runs() {
  cat >"$1/wrk" <<'TEXT'
#!/bin/sh
here=$(dirname "$(realpath "$0")")
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu*) exec "$here/usr/bin/wrk" "$@"
TEXT
  chmod +x "$1/wrk"
  # Asked for its version, it names it and ends with 1.
  [[ $("$1/wrk" --version 2>&1) == 'wrk '* ]]
}

# --- Python's packages ------------------------------------------------------------------------

requirements() {
  case $1 in
    ansible) echo "ansible-core==2.19.14" ;;
    # Its community.general carries the incumbents: consul_session, which needs no further package, and consul_kv, which
    # needs py-consul.
    ansible-full) echo "ansible==12.3.0 py-consul==1.8.0" ;;
    zig) echo "cargo-zigbuild==0.24.0 ziglang==0.17.0" ;;
  esac
}

find_python() {
  local python candidates=(python3 python3.13 python3.12 python3.11)
  [[ -z ${LICTOR_PYTHON:-} ]] || candidates=("$LICTOR_PYTHON")
  for python in "${candidates[@]}"; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$python"
      return
    fi
  done
  die "There is no Python of version 3.11 or later with its venv module (tried: ${candidates[*]})." \
    "On Debian 12 or later: apt-get install python3-venv" \
    "Elsewhere: install one, and set LICTOR_PYTHON to it."
}

# get_venv NAME: the stamp is written last, and says what is in it and where it stands
# (a virtual environment does not survive a move of the checkout).
get_venv() {
  local venv=$TOOLS/$1 wanted python
  wanted="$(requirements "$1") in $venv"
  venv_current "$venv" "$wanted" && return
  lock_tools
  venv_current "$venv" "$wanted" && return

  python=$(find_python)
  say "installing $(requirements "$1")"
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2
  # shellcheck disable=SC2046 # one word a requirement
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $(requirements "$1") >&2 ||
    die "pip could not install $(requirements "$1") (it says why above)." \
      "It needs a Python package index: check pip's settings and the network, then run this again."
  printf '%s\n' "$wanted" >"$venv/.lictor"
  say "$1 is ready"
}

venv_current() {
  [[ -f $1/.lictor && $(<"$1/.lictor") == "$2" ]] && "$1/bin/python" -c '' 2>/dev/null
}

# --- static binaries --------------------------------------------------------------------------

get_dist() {
  get_venv zig
  local target
  for target in $TARGETS; do
    get_target "$target"
  done
}

get_target() {
  # Asked in the checkout, where a toolchain file would count.
  local sysroot
  sysroot=$(cd "$ROOT" && rustc --print sysroot) || die "There is no working rustc. Install Rust first."
  [[ -d $sysroot/lib/rustlib/$1/lib ]] && return
  local hint="Or build without it: make dist TARGETS='the targets that are there'."
  command -v rustup >/dev/null ||
    die "Rust's standard library for $1 is missing, and there is no rustup to add it." \
      "Install it the way that Rust was installed here." "$hint"
  say "adding Rust's standard library for $1"
  (cd "$ROOT" && rustup target add "$1" >&2) ||
    die "rustup could not add Rust's standard library for $1 (it says why above)." \
      "It needs Rust's download server: check the network, then run this again." "$hint"
}

# --- the command line -------------------------------------------------------------------------

get() {
  case $1 in
    consul) get_consul ;;
    ansible | ansible-full) get_venv "$1" ;;
    dist) get_dist ;;
    wrk) get_wrk ;;
  esac
}

print_path() {
  case $1 in
    consul) consul_path ;;
    wrk) wrk_path ;;
    ansible | ansible-full) printf '%s\n' "$TOOLS/$1/bin" ;;
    dist) printf '%s\n' "$TOOLS/zig/bin" ;;
  esac
}

wrong_usage() {
  usage >&2
  exit 64
}

main() {
  (($# > 0)) || wrong_usage
  case $1 in
    consul | ansible | ansible-full | dist | wrk)
      (($# == 1)) || wrong_usage
      get "$1"
      ;;
    all)
      (($# == 1)) || wrong_usage
      local tool
      for tool in consul ansible ansible-full dist wrk; do get "$tool"; done
      ;;
    path)
      (($# == 2)) || wrong_usage
      case $2 in
        consul | ansible | ansible-full | dist | wrk) get "$2" ;;
        *) wrong_usage ;;
      esac
      print_path "$2"
      ;;
    -h | --help) usage ;;
    *) wrong_usage ;;
  esac
}

main "$@"
