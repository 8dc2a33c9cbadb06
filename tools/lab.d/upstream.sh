# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The resolver behind the appliance: Unbound, which asks an NSD in the same namespace. NSD serves the
# test zones and a root zone with nothing else in it, so that every name has an answer and no packet
# leaves the machine.

readonly LAB_ZONE=lab.millrace.example
readonly LAB_NAMES=2000

# write_zone: the names that people and tests ask for. Addresses are from the documentation ranges.
write_zone() {
  cat <<'ZONE'
$TTL 3600
@          IN SOA  ns hostmaster 1 3600 600 86400 60
@          IN NS   ns
@       60 IN MX   10 mail
@       60 IN TXT  "millrace lab"
ns         IN A    127.0.0.1
www    300 IN A    192.0.2.80
www    300 IN AAAA 2001:db8::80
many   300 IN A    192.0.2.1
many   300 IN A    192.0.2.2
many   300 IN A    192.0.2.3
many   300 IN A    192.0.2.4
mail   300 IN A    192.0.2.25
mail   300 IN AAAA 2001:db8::25
txt    300 IN TXT  "one string" "and another"
alias  120 IN CNAME www
chain  120 IN CNAME alias
short    2 IN A    192.0.2.2
zero     0 IN A    192.0.2.3
flush  600 IN A    192.0.2.4
a.flush 600 IN A   192.0.2.5
_dns._udp 300 IN SRV 10 20 53 www
caa    300 IN CAA  0 issue "ca.example"
odd    300 IN TYPE65280 \# 4 01020304
nodata 300 IN A    192.0.2.9
*.wild 300 IN A    192.0.2.42
broken     IN NS   ns
ZONE
  # A TXT set of about 3000 octets: does not fit a datagram of 1232.
  local i
  for i in {00..24}; do
    printf 'big 300 IN TXT "%s-%s"\n' "$i" \
      "$(printf 'x%.0s' {1..110})"
  done
  # Names for load, n0000 to n1999.
  awk -v names="$LAB_NAMES" 'BEGIN {
    for (i = 0; i < names; i++) {
      printf "n%04d IN A 198.51.%d.%d\n", i, 100 + int(i / 250), i % 250 + 1
      printf "n%04d IN AAAA 2001:db8:1::%x\n", i, i + 1
    }
  }'
}

write_root_zone() {
  cat <<ZONE
\$TTL 3600
. IN SOA ns.$LAB_ZONE. hostmaster.$LAB_ZONE. 1 3600 600 86400 60
. IN NS  ns.$LAB_ZONE.
$LAB_ZONE. IN NS ns.$LAB_ZONE.
ns.$LAB_ZONE. IN A 127.0.0.1
ZONE
}

write_nsd_config() {
  cat <<CONF
server:
  ip-address: 127.0.0.1@5300
  server-count: 1
  username: nsd
  zonesdir: "$LAB_STATE"
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "$LAB_STATE/nsd.zonelist"
  hide-version: yes
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "root.zone"
zone:
  name: "$LAB_ZONE"
  zonefile: "lab.zone"
# A zone without its file: NSD answers SERVFAIL for every name in it.
zone:
  name: "broken.$LAB_ZONE"
  zonefile: "none.zone"
CONF
}

write_unbound_config() {
  cat <<CONF
server:
  interface: 198.18.1.1
  interface: fd00:18:1::1
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  do-not-query-localhost: no
  module-config: "iterator"
  num-threads: 1
  so-rcvbuf: 4m
  msg-cache-size: 16m
  rrset-cache-size: 32m
  outgoing-range: 512
  # On a busy machine NSD may be late for a burst; that must not make Unbound give it up for minutes.
  infra-host-ttl: 5
  infra-cache-max-rtt: 1000
  infra-keep-probing: yes
  chroot: ""
  username: unbound
  directory: "$LAB_STATE"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: 127.0.0.1@5300
stub-zone:
  name: "$LAB_ZONE"
  stub-addr: 127.0.0.1@5300
CONF
}

write_load_file() {
  awk -v names="$LAB_NAMES" -v zone="$LAB_ZONE" 'BEGIN {
    for (i = 0; i < names; i++) {
      printf "n%04d.%s A\nn%04d.%s AAAA\n", i, zone, i, zone
    }
  }'
}

upstream_answers() {
  local address
  for address in 198.18.1.1 fd00:18:1::1; do
    nsenter --net=/run/netns/mr-up dig +time=1 +tries=1 +short "@$address" "www.$LAB_ZONE" A |
      grep -qx 192.0.2.80 || return 1
  done
}

upstream_up() {
  write_zone >"$LAB_STATE/lab.zone"
  write_root_zone >"$LAB_STATE/root.zone"
  write_nsd_config >"$LAB_STATE/nsd.conf"
  write_unbound_config >"$LAB_STATE/unbound.conf"
  recorded_pid nsd >/dev/null || start_in mr-up nsd nsd -d -c "$LAB_STATE/nsd.conf"
  recorded_pid unbound >/dev/null || start_in mr-up unbound unbound -d -c "$LAB_STATE/unbound.conf"
  wait_until 30 upstream_answers || {
    tail -n 5 "$LAB_STATE/nsd.log" "$LAB_STATE/unbound.log" >&2
    die "the resolver in mr-up does not answer (logs above)."
  }
}
