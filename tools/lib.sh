# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every script in tools/ shares. Source it; it defines functions and a few constants and changes
# nothing by itself.

# Exit codes of all our programs (README, "Exit codes").
readonly EXIT_ERROR=1
readonly EXIT_USAGE=2

MR_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly MR_ROOT
MR_BUILD=${MILLRACE_BUILD:-$MR_ROOT/build}
readonly MR_BUILD

# note TEXT...: one line of progress.
note() { printf '%s\n' "$*" >&2; }

# step TEXT...: a heading for something that takes longer.
step() { printf '==> %s\n' "$*" >&2; }

# die TEXT...: what, where, what to do; then the end.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit "$EXIT_ERROR"
}

# usage_error TEXT...: the command line is wrong.
usage_error() {
  printf '%s: %s\nTry: %s --help\n' "$(basename "$0")" "$*" "$0" >&2
  exit "$EXIT_USAGE"
}

# need_value OPTION [VALUE]...: the rest of a command line, from an option that takes a value.
need_value() { [[ -n ${2:-} ]] || usage_error "$1 needs a value"; }

# print_help FILE: the comment block at the head of a script is its help text.
print_help() {
  sed -n '2,/^[^#]/{/^# SPDX/d;/^#/!d;s/^# \{0,1\}//;p}' "$1"
}

need_root() {
  [[ $(id -u) -eq 0 ]] || die "needs root ($1). Run it again with sudo."
}

need_command() {
  command -v "$1" >/dev/null || die "'$1' is not installed. Run tools/deps first."
}

# need_distribution: the package names, and the versions behind them, are those of Debian 12.
need_distribution() {
  local id version
  id=$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d '"') || true
  version=$(sed -n 's/^VERSION_ID=//p' /etc/os-release 2>/dev/null | tr -d '"') || true
  [[ $id == debian && $version == 12 ]] ||
    die "this is '${id:-unknown} ${version}'; millrace is built and tested on Debian 12 (bookworm) only."
}

# need_af_xdp: asks the running kernel for an AF_XDP socket (address family 44).
need_af_xdp() {
  /usr/bin/python3 - <<'PY' || die "this kernel ($(uname -r)) has no AF_XDP sockets (CONFIG_XDP_SOCKETS)."
import socket, sys
try:
    socket.socket(44, socket.SOCK_RAW, 0).close()
except OSError:
    sys.exit(1)
PY
}

# process_start PID: start time in clock ticks since boot; with the pid it names one process for ever.
# Fails when the process has ended, also when its parent has not collected it yet.
process_start() {
  local line fields
  line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # After "PID (NAME) ", as NAME may hold anything: state is the first field, start time the 20th.
  read -r -a fields <<<"${line##*) }"
  [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
  printf '%s\n' "${fields[19]}"
}

# wait_until SECONDS COMMAND...: polls ten times a second.
wait_until() {
  local tries=$(($1 * 10))
  shift
  while ((tries-- > 0)); do
    if "$@"; then return 0; fi
    sleep 0.1
  done
  return 1
}

# jobs_for_build: one compiler per CPU, fewer when memory is short (a DPDK unit needs about 1 GiB).
jobs_for_build() {
  local cpus mem_gib
  cpus=$(nproc)
  mem_gib=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  ((mem_gib < 1)) && mem_gib=1
  echo $((cpus < mem_gib ? cpus : mem_gib))
}
