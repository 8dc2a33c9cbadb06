# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the lab remembers, so that `down` can undo it after any accident.
#
#   /run/millrace-lab/
#     options       the options of `up`, one line
#     complete      exists once `up` got to its end
#     pids/NAME     "PID START": a process that we started; START makes the pid unmistakable
#     mounts        mount points that were not there before, in the order of mounting
#     hugepages     how many 2 MiB pages we added to the kernel's reservation
#     made          directories that were not there before
#     history/      the configs that millraced has applied
#     *.conf *.log  of the programs
#
# Every line is written before the thing it stands for is done: `down` may find less than is written
# here, never more.

readonly LAB_STATE=/run/millrace-lab
readonly LAB_NAMESPACES=(mr-client mr-dut mr-up)

state_open() { mkdir -p "$LAB_STATE/pids"; }

state_append() { printf '%s\n' "$2" >>"$LAB_STATE/$1"; }

# recorded_pid NAME: the pid, if that process is still the one we started.
recorded_pid() {
  local pid start
  [[ -r $LAB_STATE/pids/$1 ]] || return 1
  read -r pid start <"$LAB_STATE/pids/$1" || return 1
  [[ -n $start && $(process_start "$pid") == "$start" ]] || return 1
  printf '%s\n' "$pid"
}

# record_pid NAME PID
record_pid() {
  printf '%s %s\n' "$2" "$(process_start "$2")" >"$LAB_STATE/pids/$1"
}

# start_in NAMESPACE NAME COMMAND...: in the background, in a session of its own, output to NAME.log.
# nsenter and not `ip netns exec`, which would put another /sys over the one with the bpffs.
start_in() {
  local namespace=$1 name=$2
  shift 2
  rm -f "$LAB_STATE/pids/$name"  # the record of one that has ended
  # The child writes its own record before it becomes the command, and keeps the lock (9) until then:
  # no moment without one, also when `up` is killed in this one and `down` follows.
  # shellcheck disable=SC2016
  setsid bash -c '
    stat=$(cat /proc/$$/stat); stat=${stat##*) }
    printf "%s %s\n" "$$" "$(cut -d" " -f20 <<<"$stat")" >"$1"
    exec 9>&-; shift; exec "$@"' bash "$LAB_STATE/pids/$name" \
    nsenter --net="/run/netns/$namespace" "$@" </dev/null >>"$LAB_STATE/$name.log" 2>&1 &
  wait_until 30 test -s "$LAB_STATE/pids/$name" || die "could not start $name"
}

still_same() { [[ $(process_start "$1" 2>/dev/null) == "$2" ]]; }

process_gone() { ! still_same "$1" "$2"; }

# end_process PID START [SECONDS]: asks, waits, insists.
end_process() {
  still_same "$1" "$2" || return 0
  kill -TERM "$1" 2>/dev/null || true
  # A stopped process takes no SIGTERM.
  kill -CONT "$1" 2>/dev/null || true
  wait_until "${3:-5}" process_gone "$1" "$2" && return 0
  still_same "$1" "$2" && kill -KILL "$1" 2>/dev/null
  wait_until 5 process_gone "$1" "$2"
}

# end_session SID NETNS: what a program of ours started besides itself. A session id is not given out
# again while a member lives, so a member of our session in our namespace is ours.
end_session() {
  local pid
  for pid in $(ps -o pid= --sid "$1" 2>/dev/null); do
    [[ $(readlink "/proc/$pid/ns/net" 2>/dev/null) == "$2" ]] || continue
    end_process "$pid" "$(process_start "$pid")" || true
  done
}

# end_recorded NAME [SECONDS]
end_recorded() {
  local pid start namespace
  [[ -r $LAB_STATE/pids/$1 ]] || return 0
  read -r pid start <"$LAB_STATE/pids/$1" || true
  if [[ -n ${start:-} ]]; then
    for namespace in "${LAB_NAMESPACES[@]}"; do
      [[ -e /run/netns/$namespace ]] || continue
      namespace="net:[$(stat -Lc %i "/run/netns/$namespace")]"
      # The leader is ended first; its children follow it or are ended here.
      end_process "$pid" "$start" "${2:-5}" || true
      end_session "$pid" "$namespace"
    done
    end_process "$pid" "$start" || note "pid $pid ($1) does not end"
  fi
  rm -f "$LAB_STATE/pids/$1"
}

# mount_if_missing TYPE DIR
mount_if_missing() {
  findmnt -rn -t "$1" --mountpoint "$2" >/dev/null && return 0
  if [[ ! -d $2 ]]; then
    state_append made "$2"
    mkdir -p "$2"
  fi
  state_append mounts "$2"
  mount -t "$1" "$1" "$2" || die "cannot mount $1 on $2; does this kernel have it?"
}

unmount_ours() {
  local dir foreign
  [[ -r $LAB_STATE/mounts ]] || return 0
  for dir in $(tac "$LAB_STATE/mounts"); do
    mountpoint -q "$dir" || continue
    # The kernel itself puts *.debug into every bpffs.
    foreign=$(find "$dir" -mindepth 1 ! -name '*.debug' | head -n 3 | tr '\n' ' ')
    if [[ -n $foreign ]]; then
      note "left mounted: $dir; somebody keeps files there: $foreign"
      continue
    fi
    umount "$dir" || note "left mounted: $dir"
  done
  [[ -r $LAB_STATE/made ]] || return 0
  for dir in $(tac "$LAB_STATE/made"); do rmdir "$dir" 2>/dev/null || true; done
}

readonly HUGEPAGES=/sys/kernel/mm/hugepages/hugepages-2048kB

# reserve_hugepages N: so that N pages are free.
reserve_hugepages() {
  [[ -d $HUGEPAGES ]] || die "this kernel has no 2 MiB hugepages ($HUGEPAGES is missing)."
  local free total
  free=$(<"$HUGEPAGES/free_hugepages")
  ((free >= $1)) && return 0
  total=$(<"$HUGEPAGES/nr_hugepages")
  state_append hugepages "$(($1 - free))"
  echo $((total + $1 - free)) >"$HUGEPAGES/nr_hugepages"
  free=$(<"$HUGEPAGES/free_hugepages")
  ((free >= $1)) ||
    die "the kernel gave $free of $1 free hugepages of 2 MiB. Free some memory, or lower dataplane memory in the config."
}

# release_hugepages: takes back what we added, not what others have added since.
release_hugepages() {
  [[ -r $LAB_STATE/hugepages ]] || return 0
  local added total
  added=$(awk '{sum += $1} END {print sum + 0}' "$LAB_STATE/hugepages")
  total=$(<"$HUGEPAGES/nr_hugepages")
  echo $((total > added ? total - added : 0)) >"$HUGEPAGES/nr_hugepages"
}
