# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# millraced, and through it everything else of the appliance, in namespace mr-dut.

readonly LAB_SERVICE4=198.18.0.53
readonly LAB_SERVICE6=fd00:18::53
readonly BPF_DIR=/sys/fs/bpf
readonly PINS=$BPF_DIR/millrace
readonly HUGE_DIR=/dev/hugepages
readonly RUN_DIR=/run/millrace

readonly MILLRACED=$MR_BUILD/control/daemon/millraced
readonly MILLRACE=$MR_BUILD/control/cli/millrace
readonly DATAPLANE=$MR_BUILD/dataplane/port/millrace-dataplane

need_programs() {
  local program
  for program in "$MILLRACED" "$MILLRACE" "$DATAPLANE"; do
    [[ -x $program ]] || die "$program is not there. Run tools/build first."
  done
}

# need_names_free: the appliance's names are the same everywhere, so one machine runs one of them.
# What a millrace that was killed has left in the run directory is removed.
need_names_free() {
  local pid start
  # A millraced that lives holds its lock.
  if [[ -e $RUN_DIR/millraced.lock ]] && ! flock -n "$RUN_DIR/millraced.lock" true; then
    die "a millraced (pid $(<"$RUN_DIR/millraced.lock")) runs on this machine. Stop it first."
  fi
  # A data plane lives on without one.
  if [[ -r $RUN_DIR/dataplane.pid ]] && read -r pid start <"$RUN_DIR/dataplane.pid" &&
    still_same "$pid" "$start"; then
    die "a millrace-dataplane (pid $pid) runs on this machine. Stop it first."
  fi
  [[ ! -e $PINS ]] ||
    die "$PINS exists: a prefilter is attached, by a millrace that runs elsewhere or was killed. If none runs: rm -r $PINS"
  if [[ -e $RUN_DIR ]]; then
    note "$RUN_DIR was left behind by a millrace that has ended: removing it."
    rm -rf "$RUN_DIR"
  fi
}

# with_workers CONFIG N: the config with the number of workers that was asked for.
with_workers() {
  /usr/bin/python3 "$MR_ROOT/tools/lab.d/lab_config.py" workers "$1" "$2" ||
    die "cannot prepare the config from $1."
}

# hugepages_for_config: 2 MiB pages for the cache, the packet buffers and what DPDK itself needs.
hugepages_for_config() {
  /usr/bin/python3 "$MR_ROOT/tools/lab.d/lab_config.py" hugepages "$LAB_STATE/millrace.yaml"
}

service_answers() {
  local address
  for address in "$LAB_SERVICE4" "$LAB_SERVICE6"; do
    nsenter --net=/run/netns/mr-client dig +time=1 +tries=1 "@$address" "www.$LAB_ZONE" A 2>/dev/null |
      grep -q 'status: NOERROR' || return 1
  done
}

# appliance_ready: the data plane is up, and every core runs a config.
appliance_ready() {
  "$MILLRACE" status --json 2>/dev/null | /usr/bin/python3 -c '
import json, sys
try:
    plane = json.load(sys.stdin)["dataplane"]
except (ValueError, KeyError):  # the daemon does not answer, or not yet
    sys.exit(1)
cores = plane.get("cores", [])
sys.exit(not (plane["state"] == "up" and cores and all(core["generation"] for core in cores)))'
}

appliance_failed() {
  note "last lines of $LAB_STATE/millraced.log:"
  tail -n 15 "$LAB_STATE/millraced.log" >&2 || true
  die "$1"
}

# appliance_up ANSWERS: yes = wait for an answer from upstream, too
appliance_up() {
  recorded_pid millraced >/dev/null ||
    start_in mr-dut millraced "$MILLRACED" --config "$LAB_STATE/millrace.yaml" \
      --state-dir "$LAB_STATE" "${testing[@]}"
  local tries=300
  until appliance_ready; do
    recorded_pid millraced >/dev/null || appliance_failed "millraced ended while starting."
    ((tries-- > 0)) || appliance_failed "millraced is not ready after 30 seconds."
    sleep 0.1
  done
  [[ $1 == no ]] || wait_until 30 service_answers ||
    appliance_failed "the appliance is up, but no answer came over $LAB_SERVICE4 and $LAB_SERVICE6."
}

# appliance_processes: our two programs inside mr-dut, also those that an adopted or restarted daemon
# started and that we have no record of.
appliance_processes() {
  local pid exe
  [[ -e /run/netns/mr-dut ]] || return 0
  for pid in $(ip netns pids mr-dut 2>/dev/null); do
    exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || continue
    exe=${exe% (deleted)}
    [[ $exe == "$(realpath -m "$1")" ]] && echo "$pid"
  done
  return 0
}

# appliance_down: the daemon first, or it would start the data plane again.
appliance_down() {
  local pid program
  # It stops the data plane in its turn, and gives it some seconds.
  end_recorded millraced 15
  for program in "$MILLRACED" "$DATAPLANE"; do
    for pid in $(appliance_processes "$program"); do
      end_process "$pid" "$(process_start "$pid")" || note "pid $pid ($program) does not end"
    done
  done
  remove_appliance_files
}

# Removing the pins detaches the program. Only what the lab may have made is removed: need_names_free
# saw these names free before.
remove_appliance_files() {
  [[ -e $LAB_STATE/appliance ]] || return 0
  if findmnt -rn -t bpf --mountpoint "$BPF_DIR" >/dev/null; then rm -rf "$PINS"; fi
  if findmnt -rn -t hugetlbfs --mountpoint "$HUGE_DIR" >/dev/null; then
    rm -rf "$HUGE_DIR/millrace"
  fi
  rm -rf "$RUN_DIR"
}
