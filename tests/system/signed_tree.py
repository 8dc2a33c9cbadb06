# SPDX-License-Identifier: Apache-2.0
"""A signed root and a signed zone of a thousand names, an NSD that serves them, and an Unbound that
validates them, all in mr-up. What is behind the appliance where DNSSEC matters.

The zone has one name for each `i`: `n<i>.equal.example`, of type TYPES[i % len(TYPES)].
"""

import contextlib
import pathlib
import re
import subprocess

import appliance
import namespace

ZONE = "equal.example"
NAMES = 1000
TTL = 3600
DIGEST = "49FD46E6C4B45C55D4AC" * 3 + "49FD"  # 32 octets in hexadecimal digits

# The data of name i, behind its name.
RECORDS = {
    "A": lambda i: (f"A 192.0.2.{i % 256}", f"A 198.51.100.{i % 256}"),
    "AAAA": lambda i: (f"AAAA 2001:db8::{i:x}",),
    "CNAME": lambda i: (f"CNAME n{i - 2}",),  # of type A
    "DNAME": lambda i: (f"DNAME sub{i}",),
    "MX": lambda i: (f"MX 10 n{i - 4}", f"MX {i} mail.example.org."),
    "TXT": lambda i: (f'TXT "name {i}" "and more"', f'TXT "{"t" * (i % 250)}"'),
    "SRV": lambda i: (f"SRV 1 2 {i} n{i - 6}",),
    "CAA": lambda i: ('CAA 0 issue "ca.example.org"', 'CAA 128 iodef "mailto:a@example.org"'),
    "TLSA": lambda i: (f"TLSA 3 1 1 {DIGEST}",),
    "SVCB": lambda i: (r"TYPE64 \# 3 000100",),  # 1 .
    "HTTPS": lambda i: (r"TYPE65 \# 10 00010000010003026832",),  # 1 . alpn=h2
    "NAPTR": lambda i: (f'NAPTR 100 {i} "S" "SIP+D2U" "" _sip._udp.n{i}',),
    "DS": lambda i: ("NS ns.example.org.", f"DS {i} 13 2 {DIGEST}"),
    "TYPE65280": lambda i: (rf"TYPE65280 \# 4 0102{i:04x}",),
    "LOC": lambda i: ("LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",),
    "SSHFP": lambda i: (f"SSHFP 4 2 {DIGEST}",),
}
TYPES = tuple(RECORDS)
QUERY_TYPE = {"SVCB": "TYPE64", "HTTPS": "TYPE65"}  # as tools of any age know them


def type_of(i: int) -> str:
    return QUERY_TYPE.get(TYPES[i % len(TYPES)], TYPES[i % len(TYPES)])


def zone_text() -> str:
    lines = [
        f"$ORIGIN {ZONE}.",
        f"$TTL {TTL}",
        "@ SOA ns hostmaster 1 3600 600 86400 60",
        "@ NS ns",
        "ns A 127.0.0.1",
        "bogus A 192.0.2.66",
        "*.wild TXT wild",
    ]
    for i in range(NAMES):
        lines += [f"n{i} {record}" for record in RECORDS[TYPES[i % len(TYPES)]](i)]
        if TYPES[i % len(TYPES)] == "DNAME":
            lines.append(f"x.sub{i} A 192.0.2.{i % 256}")
    return "\n".join(lines) + "\n"


class SignedTree:
    """Files below `directory`; `anchor` is the root's key, as delv wants it."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        directory.chmod(0o755)
        (directory / "zone").write_text(zone_text())
        delegation = self.sign("zone", ZONE)
        self.break_signature()
        (directory / "root").write_text(
            f". {TTL} IN SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 60\n"
            f". {TTL} IN NS ns.{ZONE}.\n{ZONE}. {TTL} IN NS ns.{ZONE}.\n"
            f"ns.{ZONE}. {TTL} IN A 127.0.0.1\n{delegation}"
        )
        self.sign("root", ".")
        key = re.search(r"DNSKEY\s+257 3 13 (\S+)", (directory / "root.ksk.key").read_text())[1]
        self.anchor = f'trust-anchors {{ "." static-key 257 3 13 "{key}"; }};\n'

    def sign(self, file: str, zone: str) -> str:
        """Answers the DS record for the parent."""
        keys = []
        for role, options in (("ksk", ["-k"]), ("zsk", [])):
            made = self.run("ldns-keygen", "-r", "/dev/urandom", "-a", "13", *options, zone).strip()
            for suffix in ("key", "private", "ds"):
                made_file = self.directory / f"{made}.{suffix}"
                if made_file.exists():
                    made_file.rename(self.directory / f"{file}.{role}.{suffix}")
            keys.append(f"{file}.{role}")
        self.run("ldns-signzone", "-n", "-o", zone, "-f", f"{file}.signed", file, *keys)
        return (self.directory / f"{file}.ksk.ds").read_text()

    def break_signature(self) -> None:
        """Of `bogus`: its address is another than the one that was signed."""
        path = self.directory / "zone.signed"
        text = path.read_text()
        assert text.count("192.0.2.66") == 1
        path.write_text(text.replace("192.0.2.66", "192.0.2.67"))

    def run(self, *command: str) -> str:
        return appliance.run(*command, cwd=self.directory).stdout

    def write_configs(self) -> None:
        (self.directory / "nsd.conf").write_text(
            f"""server:
  ip-address: 127.0.0.1
  server-count: 1
  username: ""
  zonesdir: "{self.directory}"
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "{self.directory}/nsd.list"
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "root.signed"
zone:
  name: "{ZONE}"
  zonefile: "zone.signed"
"""
        )
        (self.directory / "unbound.conf").write_text(
            f"""server:
  interface: {appliance.UPSTREAM4}
  interface: {appliance.UPSTREAM6}
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor-file: "{self.directory}/root.ksk.key"
  target-fetch-policy: "0 0 0 0 0"
  num-threads: 1
  # On a busy machine NSD may be late; that must not make Unbound give it up for minutes.
  infra-host-ttl: 5
  infra-cache-max-rtt: 1000
  infra-keep-probing: yes
  chroot: ""
  username: ""
  directory: "{self.directory}"
  pidfile: ""
  use-syslog: no
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: 127.0.0.1
"""
        )

    @contextlib.contextmanager
    def served(self):
        self.write_configs()
        with contextlib.ExitStack() as stack:
            for program in ("nsd", "unbound"):
                log = stack.enter_context(open(self.directory / f"{program}.log", "w"))
                process = appliance.popen_inside(
                    namespace.UPSTREAM,
                    program,
                    "-d",
                    "-c",
                    self.directory / f"{program}.conf",
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                stack.callback(self.end, process)
            appliance.wait_until(
                self.answers,
                namespace.PATIENCE_S,
                f"Unbound to validate (logs: {self.directory})",
            )
            yield self

    @staticmethod
    def end(process: subprocess.Popen) -> None:
        process.terminate()
        process.wait(namespace.PATIENCE_S)

    @staticmethod
    def answers() -> bool:
        text = appliance.inside(
            namespace.UPSTREAM,
            *("dig", f"@{appliance.UPSTREAM4}", "+time=1", "+tries=1", "+adflag"),
            *(f"n0.{ZONE}", "A"),
            check=False,
        ).stdout
        return re.search(r"flags:[^;]* ad[ ;]", text) is not None
