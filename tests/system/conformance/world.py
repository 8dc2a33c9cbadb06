# SPDX-License-Identifier: Apache-2.0
"""What a test of the behaviour list has: clients on all ways in, and resolvers that it plays.

A test scripts what the resolver says about a name (`world.serve`), asks (`world.ask`), looks at how
often the resolver was asked (`world.asked`), and lets time pass (`world.advance`). Names that are
not scripted get an A record with a TTL of 300.
"""

import collections
import itertools
import pathlib
import socket
import struct
import time

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

import appliance
import namespace
from appliance import SERVICE4, SERVICE6, Answer, settled_stats
from namespace import PATIENCE_S
from played_resolver import Asked, PlayedResolver

CONFIG = pathlib.Path(__file__).parent / "conformance.yaml"
WAYS = ("udp4", "udp6", "tcp4", "tcp6")
UDP = WAYS[:2]
TCP = WAYS[2:]
SERVICE_OF = {"4": SERVICE4, "6": SERVICE6}
ONLY = ("198.18.1.1", 53)
PAIR = (("198.18.1.1", 5301), ("198.18.1.1", 5302))
SIX = ("fd00:18:1::1", 53)
SUBNET = ("198.18.1.1", 5308)
PAIR_PORT, SIX_PORT, SUBNET_PORT = 5301, 5306, 5308
PROBE_INTERVAL_S = 5  # upstream.probe_interval
QUIET_S = 0.12  # real time after which a packet on the wires of the lab would have come

every_way = pytest.mark.parametrize("way", WAYS)
over_udp = pytest.mark.parametrize("way", UDP)
over_tcp = pytest.mark.parametrize("way", TCP)
not_yet = pytest.mark.xfail(strict=True, reason="not yet")


def rrset(name, rdtype: str, *rdata: str, ttl: int = 300) -> dns.rrset.RRset:
    return dns.rrset.from_text(dns.name.from_text(str(name)), ttl, "IN", rdtype, *rdata)


def soa(zone: str, ttl: int = 60, minimum: int = 60) -> dns.rrset.RRset:
    below = zone if zone == "." else f".{zone}."
    return rrset(zone, "SOA", f"ns{below} host{below} 1 7200 900 86400 {minimum}", ttl=ttl)


def reply_to(
    asked: Asked,
    *,
    answer=(),
    authority=(),
    additional=(),
    rcode: int = dns.rcode.NOERROR,
    flags: int = 0,
    options=(),
    edns: bool | None = None,
) -> dns.message.Message:
    """A resolver's reply: RA, the question as asked, OPT if it was asked with one."""
    query = asked.message
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= flags
    reply.flags &= ~dns.flags.AD | flags
    reply.answer.extend(answer)
    reply.authority.extend(authority)
    reply.additional.extend(additional)
    with_opt = query.edns >= 0 if edns is None else edns
    if with_opt:
        reply.use_edns(0, query.ednsflags & dns.flags.DO, 1232, options=list(options))
    else:
        reply.use_edns(-1)
    reply.set_rcode(rcode)
    return reply


def says(**content):
    """A script for `serve`: the reply with this content, whenever it is asked."""
    return lambda asked: reply_to(asked, **content)


def truncated_over_udp(script):
    """As the script, but a datagram has no room for it."""

    def chosen(asked):
        return (
            script(asked) if asked.connection is not None else reply_to(asked, flags=dns.flags.TC)
        )

    return chosen


def passed_on(asked: Asked) -> list[dns.edns.Option]:
    """The options of a query upstream, but for the cookie, which is the appliance's own."""
    return [o for o in asked.message.options if o.otype != dns.edns.OptionType.COOKIE]


def silent(_asked):
    return None


class TcpClient:
    def __init__(
        self, address: str, port: int = 53, *, receive_bytes: int | None = None, source: str = ""
    ):
        self.socket = namespace.tcp_socket(namespace.CLIENT, namespace.family_of(address))
        if source:
            self.socket.bind((source, 0))
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect((address, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.sendall(struct.pack("!H", len(message)) + message)

    def receive(self, timeout: float = PATIENCE_S) -> bytes | None:
        """The next message; None if the appliance has closed. Raises TimeoutError."""
        self.socket.settimeout(timeout)
        length = self._exactly(2)
        return None if length is None else self._exactly(struct.unpack("!H", length)[0])

    def _exactly(self, octets: int) -> bytes | None:
        got = b""
        while len(got) < octets:
            try:
                more = self.socket.recv(octets - len(got))
            except ConnectionResetError:
                return None
            if not more:
                return None
            got += more
        return got


class UdpClient:
    """One socket, connected: what comes from elsewhere than the service is not seen."""

    def __init__(self, address: str, port: int = 53):
        self.socket = namespace.udp_socket(namespace.CLIENT, family=namespace.family_of(address))
        self.socket.connect((address, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.send(message)

    def receive(self, timeout: float = PATIENCE_S) -> bytes | None:
        self.socket.settimeout(timeout)
        return self.socket.recv(65535)


def client(way: str, port: int = 53):
    return (UdpClient if way.startswith("udp") else TcpClient)(SERVICE_OF[way[-1]], port)


def query(
    name,
    rdtype="A",
    *,
    edns: bool = True,
    dnssec: bool = False,
    flags: int = dns.flags.RD,
    payload: int = 1232,
    options=(),
    ednsflags: int = 0,
    rdclass="IN",
) -> dns.message.Message:
    made = dns.message.make_query(
        name,
        rdtype,
        rdclass=rdclass,
        use_edns=0 if edns else -1,
        payload=payload if edns else None,
        options=list(options),
    )
    made.flags = flags
    if edns:
        made.ednsflags |= ednsflags | (dns.flags.DO if dnssec else 0)
    return made


class World:
    def __init__(self, resolver: PlayedResolver):
        self.resolver = resolver
        self.scripts = {}
        self.queries = collections.defaultdict(list)
        self.test = f"{time.time_ns():x}"
        self._numbers = itertools.count()
        self.kept_waiting = False  # somebody was left without an answer
        resolver.automatic = self.answer

    # --- the resolver

    def name(self, label: str = "x") -> str:
        """One that nobody has asked for."""
        return f"{label}{next(self._numbers)}.t{self.test}.example"

    def serve(self, name: str, script, rdtype: str | None = None) -> str:
        """What the resolver says about the name: script(asked) gives a message, octets, a list of
        those, or None. Without a type: about every type."""
        self.scripts[(name.lower().rstrip("."), rdtype)] = script
        return name

    def asked(self, name: str, rdtype: str | None = None) -> list[Asked]:
        """The queries for it that have come so far. Retries come by a clock that stands still, so
        whoever has its answer, or has let time pass, need not wait. What the resolver says to these
        is on its way: it comes before any time passes."""
        self.resolver.catch_up()
        key = name.lower().rstrip(".")
        if rdtype is not None:
            return self.queries[(key, rdtype)]
        return [
            asked for (of, _), all_of in list(self.queries.items()) if of == key for asked in all_of
        ]

    def wait_asked(self, name: str, count: int = 1) -> list[Asked]:
        appliance.wait_until(
            lambda: len(self.asked(name)) >= count,
            PATIENCE_S,
            f"query {count} for {name}",
            interval=0.005,
        )
        return self.asked(name)

    def answer(self, asked: Asked):
        question = asked.message.question[0] if asked.message.question else None
        if question is None:
            return None
        name = question.name.to_text().lower().rstrip(".")
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.queries[(name, rdtype)].append(asked)
        script = self.scripts.get((name, rdtype)) or self.scripts.get((name, None))
        if script is None:
            script = says(answer=[rrset(question.name, "A", "192.0.2.7")])
        replies = script(asked)
        self.kept_waiting = self.kept_waiting or replies is None
        if replies is None or isinstance(replies, bytes):
            return replies
        replies = replies if isinstance(replies, list) else [replies]
        return [one if isinstance(one, bytes) else one.to_wire(max_size=65535) for one in replies]

    # --- the clients

    def send(
        self, way: str, message: bytes, timeout: float = PATIENCE_S, port: int = 53
    ) -> bytes | None:
        """The octets that come back; None: silence, or a connection that was closed."""
        with client(way, port) as asker:
            asker.send(message)
            try:
                return asker.receive(timeout)
            except TimeoutError:
                return None

    def ask(self, way: str, name, rdtype="A", *, port: int = 53, **options) -> Answer:
        made = query(name, rdtype, **options)
        wire = self.send(way, made.to_wire(), port=port)
        assert wire is not None, f"no answer for {name} {rdtype} over {way}"
        assert wire[:2] == made.id.to_bytes(2, "big")
        return Answer(dns.message.from_wire(wire), wire)

    def ask_twice(self, way: str, name, rdtype="A", **options) -> tuple[Answer, Answer]:
        """A miss, then a hit."""
        first = self.ask(way, name, rdtype, **options)
        count = len(self.asked(name))
        second = self.ask(way, name, rdtype, **options)
        assert len(self.asked(name)) == count, "the second was no hit"
        return first, second

    # --- time, counters

    def advance(self, seconds: float) -> None:
        """What the resolver says to what is asked by the end of this comes before more time
        passes: the resolver may be slower than a clock that jumps."""
        appliance.advance(seconds)
        self.resolver.catch_up()

    def recover(self) -> None:
        """Ends the questions that wait, and returns when every core counts on every resolver: for
        one that does not, the resolver is probed in each PROBE_INTERVAL_S."""
        self.scripts.clear()
        self.resolver.automatic = self.answer
        self.resolver.drain(0)
        self.advance(PROBE_INTERVAL_S + 1)
        end = time.monotonic() + 60
        while any(map(is_probe, self.resolver.drain(0))):
            assert time.monotonic() < end, "a resolver that answers is still doubted"
            for _ in range(2 * (PROBE_INTERVAL_S + 1)):
                self.advance(0.5)  # less than a probe waits for its answer


def is_probe(asked: Asked) -> bool:
    question = asked.message.question[0]
    return question.name == dns.name.root and question.rdtype == dns.rdatatype.NS


def counted(changed: dict, counter: str) -> int:
    """A drop may happen in the prefilter already, which has it under the same name."""
    return changed.get(counter, 0) + changed.get(f"xdp:{counter}", 0)


class Changed:
    """with Changed() as changed: ...; then changed["hit"] is how much that counter grew."""

    def __enter__(self):
        self._before = settled_stats()
        return self

    def __exit__(self, kind, *_):
        self._counts = settled_stats().since(self._before) if kind is None else {}

    def __getitem__(self, counter: str) -> int:
        return counted(self._counts, counter)

    def __repr__(self) -> str:
        return repr(self._counts)
