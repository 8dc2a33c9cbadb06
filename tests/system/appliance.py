# SPDX-License-Identifier: Apache-2.0
"""The lab and the programs in it, as a test sees them."""

import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import time

import dns.flags
import dns.message
import dns.rdatatype

import namespace
from namespace import PATIENCE_S

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", ROOT / "build"))
CLI = BUILD / "control/cli/millrace"
DAEMON = BUILD / "control/daemon/millraced"
DATAPLANE = BUILD / "dataplane/port/millrace-dataplane"
LAB_CONFIG = ROOT / "configs/lab.yaml"
STATE = pathlib.Path("/run/millrace-lab")

SERVICE4, SERVICE6 = "198.18.0.53", "fd00:18::53"
CLIENT4, CLIENT6 = "198.18.0.1", "fd00:18::1"
UPSTREAM4, UPSTREAM6 = "198.18.1.1", "fd00:18:1::1"
SERVICES = (SERVICE4, SERVICE6)
ZONE = "lab.millrace.example"


def run(
    *command, check: bool = True, timeout: float = 120, **options
) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        **options,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, command))}: exit {done.returncode}\n" f"{done.stdout}{done.stderr}"
        )
    return done


def lab(*arguments, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess:
    return run(
        ROOT / "tools/lab",
        *arguments,
        check=check,
        timeout=timeout,
        env={**os.environ, "MILLRACE_BUILD": str(BUILD)},
    )


def inside(name: str, *command, **options) -> subprocess.CompletedProcess:
    return run("nsenter", f"--net=/run/netns/{name}", *command, **options)


def popen_inside(name: str, *command, **options) -> subprocess.Popen:
    return subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{name}", *map(str, command)],
        stdin=subprocess.DEVNULL,
        **options,
    )


def mac_of(name: str, interface: str) -> str:
    return json.loads(inside(name, "ip", "-j", "link", "show", interface).stdout)[0]["address"]


def cli(*arguments, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess:
    return run(CLI, *arguments, check=check, timeout=timeout)


def advance(seconds: float) -> None:
    """Time passes for an appliance whose clock is manual; what becomes due is done."""
    cli("testing", "advance", seconds)


def wait_until(condition, seconds: float, what: str, interval: float = 0.05):
    """The condition's first true value; fails with `what` when it does not come."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(interval)


# ---------------------------------------------------------------------------------- processes


def process_start(pid: int) -> int | None:
    """Start time in ticks; None if the process has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def pids_of(program: pathlib.Path) -> list[int]:
    """Processes in mr-dut that run this program of our build."""
    found = []
    done = run("ip", "netns", "pids", namespace.DUT, check=False)
    for pid in map(int, done.stdout.split()):
        try:
            exe = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        except OSError:
            continue
        if exe == str(program.resolve()) and process_start(pid) is not None:
            found.append(pid)
    return found


def recorded_pid(name: str) -> int:
    pid, start = map(int, (STATE / "pids" / name).read_text().split())
    assert process_start(pid) == start, f"{name} has ended"
    return pid


def wait_gone(pid: int, seconds: float = PATIENCE_S) -> None:
    wait_until(lambda: process_start(pid) is None, seconds, f"pid {pid} to end")


def ready() -> bool:
    """The data plane is up, and every core runs a config."""
    done = cli("status", "--json", check=False)
    if done.returncode != 0:
        return False
    plane = json.loads(done.stdout)["dataplane"]
    return plane["state"] == "up" and all(core["generation"] for core in plane["cores"])


def wait_ready(seconds: float = PATIENCE_S) -> None:
    wait_until(ready, seconds, "the appliance to be ready", interval=0.1)


# ---------------------------------------------------------------------------------- statistics


# Counted in each turn of a loop, with or without packets.
IDLE_EVENTS = ("steps", "sleeps")


@dataclasses.dataclass(frozen=True)
class Stats:
    """`millrace stats --json`, summed over all cores; names: outcomes.def, events.def and
    the prefilter's reasons (with `xdp:` in front)."""

    json: dict
    counts: dict

    @classmethod
    def read(cls) -> "Stats":
        data = json.loads(cli("stats", "--json").stdout)
        data = data.get("data", data)
        counts = data["total"]["outcomes"] | data["total"]["events"]
        for event in IDLE_EVENTS:
            del counts[event]
        for reasons in data.get("prefilter", {}).values():
            for reason, count in reasons.items():
                counts[f"xdp:{reason}"] = counts.get(f"xdp:{reason}", 0) + count
        return cls(data, counts)

    def since(self, before: "Stats") -> dict:
        """What has changed, by name."""
        changed = {name: count - before.counts.get(name, 0) for name, count in self.counts.items()}
        return {name: count for name, count in changed.items() if count}

    def check_identities(self) -> None:
        """Every packet is counted once on its core, and every missed query ends once."""
        for core in self.json["cores"]:
            assert core["rx"] == sum(core["outcomes"].values()), core
        total = self.json["total"]
        ended = sum(total["events"][f"waiter_{how}"] for how in ("answered", "failed"))
        assert total["classes"]["miss"] == ended + total["waiters"], total
        assert self.json["identity"]["holds"] and self.json["identity"]["misses_hold"]


def read_after_publication(before: Stats) -> Stats:
    """Each core publishes what it did at the end of a turn: here each has since, however long it
    had no CPU."""

    def read():
        now = Stats.read()
        pairs = zip(now.json["cores"], before.json["cores"])
        published = all(late["events"]["steps"] > early["events"]["steps"] for late, early in pairs)
        return now if published else None

    return wait_until(read, PATIENCE_S, "every core to publish its statistics", interval=0.01)


def settled_stats(seconds: float = PATIENCE_S) -> Stats:
    """Statistics once nothing moves: no query waits for its answer, and a whole turn of each core
    that began after the first look, and so after that of the second, has changed nothing."""

    def settled():
        first = Stats.read()
        last = read_after_publication(read_after_publication(first))
        still = first.counts == last.counts and last.json["total"]["waiters"] == 0
        return last if still else None

    return wait_until(settled, seconds, "the statistics to stand still")


def sent_to_clients(changed: dict) -> int:
    """Packets: but for the queries, retries and probes that went to resolvers at the same time."""
    upstream = changed.get("up_sent", 0) + changed.get("probe_sent", 0)
    return changed.get("tx_packets", 0) - upstream


def dig_for(name: str, *options: str, address: str = SERVICE4) -> str:
    return inside(namespace.CLIENT, "dig", f"@{address}", name, *options, check=False).stdout


# ---------------------------------------------------------------------------------- questions


@dataclasses.dataclass
class Answer:
    message: dns.message.Message
    wire: bytes

    @property
    def rcode(self) -> str:
        return dns.rcode.to_text(self.message.rcode())

    @property
    def ttls(self) -> list[int]:
        return [rrset.ttl for rrset in self.message.answer]

    @property
    def records(self) -> list[str]:
        return sorted(
            f"{rrset.name.to_text().lower()} {dns.rdatatype.to_text(rrset.rdtype)} {item.to_text()}"
            for rrset in self.message.answer
            for item in rrset
        )

    @property
    def question_bytes(self) -> bytes:
        return question_of(self.wire)


def question_of(wire: bytes) -> bytes:
    """Name, type and class of the first question, as they stand."""
    end = 12
    while wire[end]:
        end += wire[end] + 1
    return wire[12 : end + 5]


def query_bytes(name: str, rdtype: str = "A", **options) -> bytes:
    return dns.message.make_query(name, rdtype, **options).to_wire()


def ask(
    name: str,
    rdtype: str = "A",
    *,
    address: str = SERVICE4,
    edns: bool = True,
    dnssec: bool = False,
    flags: int = dns.flags.RD,
    payload: int = 1232,
    ident: int | None = None,
    timeout: float = PATIENCE_S,
    tries: int = 1,
    options=(),
) -> Answer:
    """One query from a fresh socket in mr-client; fails if no answer comes in the time of all
    tries."""
    query = dns.message.make_query(
        name,
        rdtype,
        use_edns=0 if edns else -1,
        want_dnssec=dnssec,
        payload=payload if edns else None,
        options=list(options),
    )
    query.flags = flags
    if ident is not None:
        query.id = ident
    for _ in range(tries):
        wire = exchange(query.to_wire(), address=address, timeout=timeout / tries)
        if wire is not None:
            assert wire[:2] == query.id.to_bytes(2, "big")
            return Answer(dns.message.from_wire(wire, ignore_trailing=False), wire)
    raise AssertionError(f"no answer for {name} {rdtype} from {address}")


def exchange(
    payload: bytes, *, address: str = SERVICE4, timeout: float = PATIENCE_S, port: int = 53
) -> bytes | None:
    """Sends the bytes; whatever comes back from the address and port that were asked, or None."""
    family = namespace.family_of(address)
    with namespace.udp_socket(namespace.CLIENT, family=family) as sock:
        sock.settimeout(timeout)
        sock.sendto(payload, (address, port))
        try:
            wire, peer = sock.recvfrom(65535)
        except socket.timeout:
            return None
        assert peer[:2] == (address, port), f"the answer came from {peer}"
        return wire


# ---------------------------------------------------------------------------------- load


@dataclasses.dataclass(frozen=True)
class LoadResult:
    sent: int
    completed: int
    lost: int
    text: str


class Load:
    """dnsperf in mr-client, over the lab's 4000 questions, at a fixed rate.

    OUTSTANDING is below the 2048 packets that one AF_XDP queue holds: where the machine takes the
    CPU of a worker away for a tenth of a second, the load waits. More would measure the machine.
    So would the rate that is reached: where it is less than half of what is wanted, finish() goes
    on until as many queries were sent, for ROUNDS_MAX times as long at most.
    """

    OUTSTANDING = 2000
    ROUNDS_MAX = 10

    def __init__(self, qps: int, seconds: int, address: str = SERVICE4, clients: int = 8):
        self.again = lambda: Load(qps, seconds, address, clients)
        self.wanted = qps * seconds // 2
        self.seconds = seconds
        self.process = popen_inside(
            namespace.CLIENT,
            "dnsperf",
            "-s",
            address,
            "-d",
            STATE / "queries.txt",
            "-Q",
            qps,
            "-l",
            seconds,
            "-c",
            clients,
            "-T",
            1,
            "-q",
            self.OUTSTANDING,
            "-t",
            5,
            "-b",
            4096,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self) -> LoadResult:
        whole = self._finish_round()
        for _ in range(1, self.ROUNDS_MAX):
            if whole.sent >= self.wanted:
                break
            more = self.again()._finish_round()
            whole = LoadResult(
                whole.sent + more.sent,
                whole.completed + more.completed,
                whole.lost + more.lost,
                whole.text + more.text,
            )
        assert whole.sent >= self.wanted, "that was hardly a load: " + whole.text
        return whole

    def _finish_round(self) -> LoadResult:
        text, _ = self.process.communicate(timeout=self.seconds + 30)
        assert self.process.returncode == 0, text

        def figure(label: str) -> int:
            return int(re.search(rf"{label}:\s+(\d+)", text)[1])

        return LoadResult(
            figure("Queries sent"), figure("Queries completed"), figure("Queries lost"), text
        )

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
