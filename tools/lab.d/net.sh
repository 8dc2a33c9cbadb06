# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The wires of the lab.
#
#     mr-client                     mr-dut                              mr-up
#   +-----------+        +---------------------------+         +---------------------+
#   |     mr-c0 |========| mr-c      millrace   mr-u |=========| mr-u0  Unbound, NSD |
#   +-----------+        +---------------------------+         +---------------------+
#    198.18.0.1   service 198.18.0.53     198.18.1.53   upstream 198.18.1.1
#    fd00:18::1          fd00:18::53     fd00:18:1::53          fd00:18:1::1

# in_namespace NAMESPACE COMMAND...: for what reads /sys/class/net or /proc/sys/net of a namespace.
in_namespace() { ip netns exec "$@"; }

sysfs_write() { # NAMESPACE INTERFACE FILE VALUE
  in_namespace "$1" sh -c "echo $4 >/sys/class/net/$2/$3"
}

make_namespace() {
  local namespace=$1
  ip netns add "$namespace" || die "cannot make network namespace $namespace."
  ip -n "$namespace" link set lo up
  in_namespace "$namespace" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
    net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 \
    net.ipv6.conf.default.keep_addr_on_down=1
}

# make_pair DUT-INTERFACE NAMESPACE INTERFACE QUEUES
make_pair() {
  local dut=$1 namespace=$2 far=$3 queues=$4 end
  ip link add name "$dut" netns mr-dut numrxqueues "$queues" numtxqueues "$queues" \
    type veth peer name "$far" netns "$namespace" numrxqueues "$queues" numtxqueues "$queues" ||
    die "cannot make the veth pair $dut - $far."
  for end in "mr-dut $dut" "$namespace $far"; do
    # shellcheck disable=SC2086
    prepare_interface $end "$queues"
  done
  ip -n mr-dut link set "$dut" up
  ip -n "$namespace" link set "$far" up
  # Frames that leave by XDP_TX arrive only if the far end has an XDP program too; and with one, the
  # kernel leaves headroom in what the far end sends, so that nothing is copied on arrival.
  ip -n "$namespace" link set dev "$far" xdpdrv obj "$LAB_STATE/pass.o" sec xdp ||
    die "cannot attach an XDP program to $far; does this kernel have native XDP on veth?"
}

# prepare_interface NAMESPACE INTERFACE QUEUES
prepare_interface() {
  ethtool_in "$1" -L "$2" rx "$3" tx "$3"
  # With tx offload a sender leaves half a checksum in the packet, which AF_XDP cannot tell from a
  # wrong one. Receive offload would glue packets together.
  ethtool_in "$1" -K "$2" tx off gro off
}

ethtool_in() {
  local namespace=$1 out
  shift
  # ethtool complains when a setting is what it is already.
  out=$(nsenter --net="/run/netns/$namespace" ethtool "$@" 2>&1) ||
    [[ $out == *"unmodified"* || $out == *"no channel parameters changed"* ]] ||
    die "ethtool $* in $namespace: $out"
}

build_pass_program() {
  need_command clang
  clang -O2 -target bpf -c -x c -o "$LAB_STATE/pass.o" - <<'PASS' ||
/* SPDX-License-Identifier: Apache-2.0 */
__attribute__((section("xdp"), used)) int pass(void *ctx) { (void)ctx; return 2; /* XDP_PASS */ }
char _license[] __attribute__((section("license"), used)) = "Apache-2.0";
PASS
    die "clang cannot build for the BPF target. Run tools/deps."
}

network_up() { # QUEUES
  local namespace
  # The first namespace of a machine makes /run/netns and mounts it.
  mountpoint -q /run/netns || state_append mounts_of_ip /run/netns
  for namespace in "${LAB_NAMESPACES[@]}"; do make_namespace "$namespace"; done
  build_pass_program
  make_pair mr-c mr-client mr-c0 "$1"
  make_pair mr-u mr-up mr-u0 "$1"
  local row
  for row in "mr-client mr-c0 198.18.0.1/24 fd00:18::1/64" "mr-dut mr-c 198.18.0.53/24 fd00:18::53/64" \
    "mr-dut mr-u 198.18.1.53/24 fd00:18:1::53/64" "mr-up mr-u0 198.18.1.1/24 fd00:18:1::1/64"; do
    # shellcheck disable=SC2086
    set_addresses $row
  done
}

set_addresses() { # NAMESPACE INTERFACE IPV4 IPV6
  ip -n "$1" address add "$3" dev "$2"
  ip -n "$1" address add "$4" dev "$2" nodad
}

# Namespaces live on while a process is inside; the wires go with the interfaces.
network_down() {
  local namespace interface
  for interface in mr-c mr-u; do
    ip -n mr-dut link delete "$interface" 2>/dev/null || true
  done
  for namespace in "${LAB_NAMESPACES[@]}"; do
    [[ -e /run/netns/$namespace ]] || continue
    ip netns delete "$namespace" || note "cannot delete namespace $namespace"
  done
  # Take /run/netns away only if we brought it and nobody uses it now.
  if [[ -e $LAB_STATE/mounts_of_ip && -d /run/netns && -z $(ls -A /run/netns) ]]; then
    umount /run/netns 2>/dev/null || true
    rmdir /run/netns 2>/dev/null || true
  fi
}

# strangers: processes in our namespaces that the lab did not start.
strangers() {
  local namespace pid
  for namespace in "${LAB_NAMESPACES[@]}"; do
    [[ -e /run/netns/$namespace ]] || continue
    for pid in $(ip netns pids "$namespace" 2>/dev/null); do
      printf '%s %s %s\n' "$namespace" "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
    done
  done
}
