# SPDX-License-Identifier: Apache-2.0
"""B1-B70: hostile and broken input, as messages from clients and from resolvers.

Rows whose shape an item of part A has already (B12 to B14, B17 to B19, B22, B24, B25, B65 to B68)
have their ids in the names of those tests.
"""

import struct

import dns.edns
import dns.flags
import dns.name
import dns.rcode
import pytest

import frames
import namespace
import world as w
from appliance import CLIENT4, CLIENT6, SERVICE4, SERVICE6
from test_a_edns import Wire, opt, packet_of, raw
from test_a_queries import check_error, head, question
from test_a_upstream import Held
from world import Changed, every_way, not_yet, over_udp, reply_to, rrset, says, soa

RD = dns.flags.RD
LABEL63 = b"\x3f" + b"x" * 63
TAIL = b"\0\1\0\1"


# ------------------------------------------------------------------- messages of clients

BROKEN_NAMES = {
    "B1_pointer": b"\xc0\x0c" + TAIL,
    "B1_pointer_behind_a_label": b"\3www\xc0\x0c" + TAIL,
    "B4_pointer_past_the_end": b"\xff\xff" + TAIL,
    "B4_pointer_into_the_header": b"\xc0\0" + TAIL,
    "B6_label_type_1": b"\x41a\0" + TAIL,
    "B6_label_type_2": b"\x81a\0" + TAIL,
    "B7_label_past_the_end": b"\x20www",
    "B7_no_root": b"\3www",
    "B8_256_octets": LABEL63 * 3 + b"\x3e" + b"x" * 62 + b"\0" + TAIL,
    "B8_128_labels": b"\1a" * 128 + b"\0" + TAIL,
    "B10_no_type": b"\3www\0",
    "B10_no_class": b"\3www\0\0\1",
    "B11_no_question": b"",
}


@every_way
@pytest.mark.parametrize("shape", BROKEN_NAMES)
def test_B1_B4_B6_B7_B8_B10_B11_broken_questions(world, way, shape):
    message = head() + BROKEN_NAMES[shape]
    check_error(message, world.send(way, message), dns.rcode.FORMERR)


@every_way
def test_B8_longest_names(world, way):
    longest = LABEL63 * 3 + b"\x3d" + b"x" * 61 + b"\0"
    for name in (longest, b"\1a" * 127 + b"\0"):
        for _ in range(2):
            answer = world.send(way, head() + name + TAIL)
            assert answer[3] & 15 == 0 and answer[12 : 12 + len(name)] == name


@every_way
def test_B9_odd_octets(world, way):
    base = dns.name.from_text(world.name())
    labels = (b"a\0b", b"a", b"a.b", b"\xff\xfe", b"*", "\u00e4".encode(), b"a\\000b")
    for idx, label in enumerate(labels):
        name = dns.name.Name([label, *base.labels])
        world.serve(name.to_text(), says(answer=[rrset(name, "A", f"192.0.2.{idx}")]))
    for _ in range(2):
        for idx, label in enumerate(labels):
            name = dns.name.Name([label, *base.labels])
            answer = world.ask(way, name).message
            assert answer.answer[0][0].to_text() == f"192.0.2.{idx}"
            assert len(world.asked(name.to_text())) == 1


@every_way
@pytest.mark.parametrize("counts", ({"ar": 1}, {"an": 65535, "ns": 65535, "ar": 65535}, {"ar": 2}))
def test_B11_counts_that_lie(world, way, counts):
    message = head(**counts) + question(world.name())
    check_error(message, world.send(way, message), dns.rcode.FORMERR)


@every_way
def test_B15_record_past_the_end(world, way):
    message = raw(world.name(), opt(length=400), 1)
    answer = world.send(way, message)
    assert answer[3] & 15 == dns.rcode.FORMERR


@every_way
def test_B16_spare_octets(world, way):
    name = world.name()
    message = head() + question(name)
    for _ in range(2):
        answer = world.send(way, message + b"spare octets")
        assert answer[3] & 15 == 0 and b"spare" not in answer
    assert len(world.asked(name)) == 1


@w.over_tcp
def test_B20_thousands_of_options(world, way):
    name = world.name()
    answer = world.send(way, raw(name, opt(struct.pack("!HH", 65001, 0) * 16_000), 1))
    assert answer[3] & 15 in (0, dns.rcode.FORMERR) and len(answer) < 200


@every_way
@pytest.mark.parametrize("octets", (0, 1, 7, 9, 15, 41, 100))
def test_B21_cookies_of_wrong_lengths(world, way, octets):
    name = world.name()
    message = raw(name, opt(struct.pack("!HH", 10, octets) + bytes(octets)), 1)
    answer = world.send(way, message)
    assert answer[3] & 15 == dns.rcode.FORMERR
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize(
    "data", (b"\0\0\0\0", b"\0\3\0\0", b"\0\1\x21\0" + bytes(5), b"\0\1\x08\0\xff", b"\0\2\x81\0")
)
def test_B23_client_subnets_that_cannot_be(world, way, data):
    name = world.name()
    answer = world.ask(way, name, options=[dns.edns.GenericOption(8, data)])
    assert answer.rcode == "NOERROR"
    assert not w.passed_on(world.asked(name)[0])


@every_way
def test_B26_error_responses_are_dropped(world, way):
    for rcode in (1, 2, 5):
        assert world.send(way, head(0x8100 | rcode, qd=0), timeout=w.QUIET_S) is None


@over_udp
def test_B33_less_than_a_header(world, way):
    for octets in (0, 1, 11):
        assert world.send(way, bytes(octets), timeout=w.QUIET_S) is None


@over_udp
def test_B69_other_protocols(world, way):
    for octets in (
        b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
        b"\xe3" + bytes(47),
        b"\x16\3\1" + bytes(60),
    ):
        answer = world.send(way, octets, timeout=w.QUIET_S)
        assert answer is None or len(answer) <= len(octets)


@over_udp
@pytest.mark.parametrize("octets", (500, 1000, 1300))
def test_B70_large_queries(world, way, octets):
    name = world.name()
    for _ in range(2):
        padding = struct.pack("!HH", 12, octets) + bytes(octets)
        assert world.send(way, raw(name, opt(padding), 1))[3] & 15 == dns.rcode.NOERROR
    assert len(world.asked(name)) == 1


# ------------------------------------------------------------------- packets of clients


@over_udp
@pytest.mark.parametrize("port", (0, 7, 13, 17, 19, 37, 123, 161, 1023))
def test_B27_B28_low_source_ports(world, way, port):
    with Wire() as wire, Changed() as changed:
        wire.send(packet_of(way, w.query(world.name()).to_wire(), port=port))
        assert wire.receive(port, w.QUIET_S) is None
    assert changed["drop_sport_low" if port else "drop_sport0"] == 1, changed


@over_udp
def test_B29_source_port_53(world, way):
    with Wire() as wire:
        wire.send(packet_of(way, w.query(world.name()).to_wire(), port=53))
        assert wire.receive(53)


BAD_SOURCES = {
    "udp4": (
        SERVICE4,
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    "udp6": (SERVICE6, "::", "::1", "ff02::1", "::ffff:198.18.0.1"),
}


@over_udp
def test_B30_B31_sources_that_cannot_be(world, way):
    make = frames.ipv4 if way == "udp4" else frames.ipv6
    target = SERVICE4 if way == "udp4" else SERVICE6
    message = w.query(world.name()).to_wire()
    with Wire() as wire:
        for source in BAD_SOURCES[way]:
            with Changed() as changed:
                wire.send(make(source, target, frames.udp(source, target, 4444, 53, message)))
                assert wire.receive(4444, w.QUIET_S) is None
            dropped = sum(changed[reason] for reason in ("drop_self", "drop_land", "drop_martian"))
            assert dropped == 1, (source, changed)


@over_udp
def test_B32_not_our_address(world, way):
    make = frames.ipv4 if way == "udp4" else frames.ipv6
    source, target = (CLIENT4, "198.18.0.54") if way == "udp4" else (CLIENT6, "fd00:18::54")
    with Wire() as wire, Changed() as changed:
        message = w.query(world.name()).to_wire()
        wire.send(make(source, target, frames.udp(source, target, 4444, 53, message)))
        assert wire.receive(4444, w.QUIET_S) is None
    assert changed["miss"] == 0


@over_udp
def test_B34_udp_lengths(world, way):
    message = w.query(world.name()).to_wire()
    with Wire() as wire:
        for length in (0, 7, 8 + len(message) + 1, 65535):
            with Changed() as changed:
                wire.send(packet_of(way, message, length=length))
                assert wire.receive(4321, w.QUIET_S) is None
            assert changed["drop_udplen"] == 1, (length, changed)


@pytest.mark.parametrize(
    "reason,options",
    (
        ("drop_iphdr", {"ihl": 4}),
        ("drop_iphdr", {"ihl": 15, "total_length": 59}),
        ("drop_iphdr", {"total_length": 19}),
        ("drop_iphdr", {"total_length": 1400}),
        ("drop_udplen", {"total_length": 27}),
        ("drop_csum", {"bad_checksum": True}),
        # Behind 40 octets of what passes for options: ports of somebody else.
        ("xdp:passed_malformed", {"ihl": 15}),
    ),
)
def test_B36_ip_headers(world, reason, options):
    datagram = frames.udp(CLIENT4, SERVICE4, 4321, 53, w.query(world.name()).to_wire())
    with Wire() as wire, Changed() as changed:
        wire.send(frames.ipv4(CLIENT4, SERVICE4, datagram, **options))
        assert wire.receive(4321, w.QUIET_S) is None
    assert changed[reason] == 1, changed


def test_B36_ipv6_length_beyond_the_frame(world):
    packet = packet_of("udp6", w.query(world.name()).to_wire())
    with Wire() as wire, Changed() as changed:
        wire.send(packet[:4] + struct.pack("!H", 1400) + packet[6:])
        assert wire.receive(4321, w.QUIET_S) is None
    assert changed["drop_iphdr"] == 1, changed


def test_B37_ip_options(world):
    datagram = frames.udp(CLIENT4, SERVICE4, 4321, 53, w.query(world.name()).to_wire())
    with Wire() as wire:
        for kind in (0x83, 0x89):
            options = bytes([kind, 7, 4]) + bytes(5)
            with Changed() as changed:
                wire.send(frames.ipv4(CLIENT4, SERVICE4, datagram, options=options))
                assert wire.receive(4321, w.QUIET_S) is None
            assert changed["drop_ipopt"] == 1, changed


@over_udp
def test_A95_B39_fragments(world, way):
    message = w.query(world.name()).to_wire()
    source, target = (CLIENT4, SERVICE4) if way == "udp4" else (CLIENT6, SERVICE6)
    datagram = frames.udp(source, target, 4321, 53, message)
    with Wire() as wire:
        for offset, more in ((0, 1), (1, 1), (4, 0)):
            if way == "udp4":
                packet = frames.ipv4(source, target, datagram, fragment=more << 13 | offset)
            else:
                extension = struct.pack("!BBHI", 17, 0, offset << 3 | more, 7)
                packet = frames.ipv6(source, target, datagram, next_header=44, extensions=extension)
            with Changed() as changed:
                wire.send(packet)
                assert wire.receive(4321, w.QUIET_S) is None
            # A later one has no ports: it passes, and without the first the kernel can do nothing.
            reason = "xdp:passed_fragment" if offset else "drop_frag"
            assert changed[reason] == 1, changed


def test_B39_atomic_fragment(world):
    datagram = frames.udp(CLIENT6, SERVICE6, 4321, 53, w.query(world.name()).to_wire())
    extension = struct.pack("!BBHI", 17, 0, 0, 7)
    with Wire() as wire, Changed() as changed:
        wire.send(frames.ipv6(CLIENT6, SERVICE6, datagram, next_header=44, extensions=extension))
        assert wire.receive(4321, w.QUIET_S) is None
    assert changed["drop_frag"] == 1, changed


@pytest.mark.parametrize(
    "kind,data", ((43, b"\x11\2\0\1" + bytes(20)), (253, b"\x11\0" + bytes(6)))
)
def test_B40_extension_headers(world, kind, data):
    datagram = frames.udp(CLIENT6, SERVICE6, 4321, 53, w.query(world.name()).to_wire())
    with Wire() as wire, Changed() as changed:
        wire.send(frames.ipv6(CLIENT6, SERVICE6, datagram, next_header=kind, extensions=data))
        assert wire.receive(4321, w.QUIET_S) is None
    assert changed["drop_v6ext"] == 1 or changed["miss"] == 0, changed


def tag_of_answer(world, way: str, tags: bytes, seconds: float = w.QUIET_S) -> int | None:
    """`tags`: what stands before the EtherType of the query. None: no answer in that time."""
    packet = packet_of(way, w.query(world.name()).to_wire())
    with Wire() as wire:
        frame = frames.ethernet(*wire.macs, packet)
        wire.socket.send(frame[:12] + tags + frame[12:])
        return wire.tag if wire.receive(4321, seconds) else None


@over_udp
def test_B41_two_tags(world, way):
    for outer in (0x88A8, 0x8100):
        assert tag_of_answer(world, way, struct.pack("!HHHH", outer, 7, 0x8100, 7)) is None


@over_udp
@pytest.mark.parametrize("tag", (5, 0, 0xE000, 0xFFF))
def test_B41_a_tag_that_is_not_configured(world, way, tag):
    with Changed() as changed:
        assert tag_of_answer(world, way, struct.pack("!HH", 0x8100, tag)) is None
    assert changed["drop_vlan"] == 1, changed


@over_udp
def test_B41_a_configured_tag_is_that_of_the_answer(world, way):
    for tag in (7, 0xA007):  # the second has a priority
        tags = struct.pack("!HH", 0x8100, tag)
        assert tag_of_answer(world, way, tags, w.PATIENCE_S) == tag


# ------------------------------------------------------------------- answers of resolvers


def with_answer_name(held, name: bytes) -> bytes:
    """The good answer, with this owner in its record."""
    plain = reply_to(held.asked, edns=False).to_wire()
    record = name + struct.pack("!HHIH4s", 1, 1, 300, 4, b"\xcb\0\x71\x42")
    return plain[:6] + b"\0\1" + plain[8:] + record


def answer_names(at: int) -> dict[str, bytes]:
    """`at`: where the first record begins."""
    return {
        "B2_to_itself": struct.pack("!H", 0xC000 | at),
        "B2_two_in_a_circle": b"\1a" + struct.pack("!H", 0xC000 | at),
        "B3_forward": struct.pack("!H", 0xC000 | (at + 8)),
        "B4_into_the_header": b"\xc0\x02",
        "B4_past_the_end": b"\xff\xff",
        "B5_too_long": b"\x3f"
        + b"x" * 63
        + b"\x3f"
        + b"y" * 63
        + b"\x3f"
        + b"z" * 63
        + b"\x3f"
        + b"x" * 63
        + b"\xc0\x0c",
        "B6_label_type": b"\x41a\0",
        "B7_past_the_end": b"\x3fabc",
    }


@pytest.mark.parametrize("shape", answer_names(0))
def test_B2_B3_B4_B5_B6_B7_B54_broken_names_in_answers(world, shape):
    with Held(world) as held:
        at = 12 + len(held.name) + 2 + 4
        held.reply(with_answer_name(held, answer_names(at)[shape]))
        assert held.is_silent(), "believed"
        held.reply(held.good())
        assert "192.0.2.1" in str(held.answer())


@every_way
@pytest.mark.parametrize("octets", (0, 3, 5))
def test_B15_addresses_of_wrong_lengths(world, way, octets):
    name = world.name()

    def odd(asked):
        plain = reply_to(asked, edns=False).to_wire()
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, octets) + bytes(octets)
        return plain[:6] + b"\0\1" + plain[8:] + record

    world.serve(name, odd)
    world.kept_waiting = True
    for count in (1, 2):
        with w.client(way) as asker:
            asker.send(w.query(name).to_wire())
            world.wait_asked(name, count)
            world.advance(5.2)
            answer = asker.receive()
            assert answer[3] & 15 in (0, dns.rcode.SERVFAIL)
            world.advance(6)  # a failure is forgotten
    assert len(world.asked(name)) >= 2, "it was kept"




def test_B50_B54_a_flood_of_forged_answers(world):
    with Held(world) as held:
        forged = held.good().replace(b"\xc0\0\2\1", b"\xcb\0\x71\x42")
        good_id = held.asked.ident
        for ident in range(0, 65536, 13):
            if ident != good_id:
                held.reply(struct.pack("!H", ident) + forged[2:])
        assert held.is_silent()
        # What has the right id by now may be a guess, too: the resolver is asked over TCP.
        held.reply(forged)
        w.appliance.wait_until(held.over_tcp, w.PATIENCE_S, "the question over TCP")
        held.reply_to(held.over_tcp()[0])
        assert "203.0.113.66" not in str(held.answer())
    assert "203.0.113.66" not in str(world.ask("udp4", held.name).message)


@every_way
def test_B51_records_of_others(world, way):
    name = world.name()
    poison = rrset("www.bank.example", "A", "203.0.113.66")
    world.serve(
        name,
        says(
            answer=[rrset(name, "A", "192.0.2.1"), poison], authority=[poison], additional=[poison]
        ),
    )
    for count in (1, 2):
        world.ask(way, name)
        assert len(world.asked(name)) == count
    assert "203.0.113.66" not in str(world.ask(way, "www.bank.example").message)


def test_B53_fragments_from_upstream(world):
    with Changed() as changed, Held(world) as held:
        forged = held.good().replace(b"\xc0\0\2\1", b"\xcb\0\x71\x42")
        target = held.asked.peer[0]
        datagram = frames.udp("198.18.1.1", target, 53, held.asked.port, forged)
        with namespace.packet_socket(namespace.UPSTREAM, "mr-u0") as wire:
            macs = (
                w.appliance.mac_of(namespace.UPSTREAM, "mr-u0"),
                w.appliance.mac_of(namespace.DUT, "mr-u"),
            )
            for part, offset, more in ((datagram[:32], 0, 1), (datagram[32:], 4, 0)):
                packet = frames.ipv4("198.18.1.1", target, part, fragment=more << 13 | offset)
                wire.send(frames.ethernet(*macs, packet))
        assert held.is_silent(), "an answer in fragments was believed"
        held.reply(held.good())
        assert "192.0.2.1" in str(held.answer())
    assert changed["drop_frag"] >= 1, changed


def test_B55_responses_to_random_ports(world):
    resolver = world.resolver.sockets[w.ONLY]
    with Changed() as changed:
        for port in range(15_000, 15_200):
            resolver.sendto(head(0x8180) + question("x.example"), ("198.18.1.53", port))
    assert changed["up_drop_port"] == 200, changed
    assert world.ask("udp4", world.name()).records


def test_B56_waiters_are_few(world):
    with Held(world) as held:
        asker = w.client("udp4")
        for _ in range(1500):
            asker.send(w.query(held.name).to_wire())
        world.advance(0.05)
        held.reply(held.good())
        released = 0
        try:
            while True:
                released += asker.receive(w.QUIET_S)[7] == 1
        except TimeoutError:
            pass
        assert 0 < released <= 512
        asker.socket.close()


@every_way
def test_B57_many_name_servers(world, way):
    """Nobody goes to look for them: a referral is a failure, of which few packets come."""
    name = world.name()
    servers = [f"ns{idx}.{name}" for idx in range(100)]
    referral = says(authority=[rrset(name, "NS", *(f"{server}." for server in servers))])
    world.serve(name, w.truncated_over_udp(referral))
    for _ in range(2):
        assert world.ask(way, name).rcode == "SERVFAIL"
    assert len(world.asked(name)) <= 3
    assert not any(world.asked(server) for server in servers)


def test_B59_a_resolver_that_asks_us_back(world):
    """The resolver's own client is the appliance: the question comes back and waits with itself."""
    name = world.name()
    route = ("198.18.0.53", "via", "198.18.1.53")
    w.appliance.inside(namespace.UPSTREAM, "ip", "route", "replace", *route)
    back = namespace.udp_socket(namespace.UPSTREAM, "198.18.1.1", 5997)

    def loop(asked):
        if len(world.asked(name)) < 50:
            back.sendto(asked.wire, (SERVICE4, 53))

    world.serve(name, loop)
    try:
        with w.client("udp4") as asker, back:
            asker.send(w.query(name).to_wire())
            world.wait_asked(name)
            world.advance(5.2)
            assert asker.receive()[3] & 15 == dns.rcode.SERVFAIL
            assert back.recv(512)[3] & 15 == dns.rcode.SERVFAIL
    finally:
        w.appliance.inside(namespace.UPSTREAM, "ip", "route", "delete", *route)
    assert len(world.asked(name)) <= 3


@every_way
@pytest.mark.parametrize("links", (17, 200))
def test_B61_long_chains(world, way, links):
    name = world.name()
    chain = [name] + [f"c{i}.example" for i in range(links)]
    answer = [rrset(a, "CNAME", f"{b}.") for a, b in zip(chain, chain[1:])]
    world.serve(
        name, w.truncated_over_udp(says(answer=answer + [rrset(chain[-1], "A", "192.0.2.1")]))
    )
    world.ask(way, name)
    count = len(world.asked(name))
    world.ask(way, name)
    assert len(world.asked(name)) > count, "kept"


@every_way
def test_B62_huge_minimum_and_two_soa(world, way):
    zone = world.name("zone")
    name = f"a.{zone}"
    world.serve(
        name, says(rcode=dns.rcode.NXDOMAIN, authority=[soa(zone, 2**31 - 1, 2**31 - 1)])
    )
    first, _ = world.ask_twice(way, name)
    assert first.message.authority[0].ttl == 3600
    world.advance(3600)
    world.ask(way, name)
    assert len(world.asked(name)) == 2


def test_B63_a_failure_for_a_popular_name(world):
    name = world.name()
    world.ask("udp4", name)
    world.serve(name, says(rcode=dns.rcode.SERVFAIL))
    for _ in range(50):
        assert world.ask("udp4", name).records
    assert len(world.asked(name)) == 1


@every_way
@pytest.mark.parametrize("rcode", (7, 8, 10, 12, 15))
def test_B64_rcodes_that_nobody_uses(world, way, rcode):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "203.0.113.66")], rcode=rcode))
    for _ in range(2):
        answer = world.ask(way, name)
        assert answer.rcode == "SERVFAIL" and not answer.records
