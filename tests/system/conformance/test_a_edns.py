# SPDX-License-Identifier: Apache-2.0
"""A72-A99: EDNS towards clients, sizes, truncation, and the packets around the messages."""

import struct

import dns.edns
import dns.flags
import dns.rcode
import pytest

import frames
import namespace
import world as w
from appliance import CLIENT4, CLIENT6, SERVICE4, SERVICE6, mac_of
from world import Changed, every_way, over_udp, rrset, says

RD = dns.flags.RD
Option = dns.edns.GenericOption


def codes(message) -> list[int]:
    return [o.code for o in message.options if o.otype == dns.edns.OptionType.EDE]


@every_way
def test_A72_opt_exactly_if_asked_with_one(world, way):
    for order in (True, False), (False, True):
        name = world.name()
        for edns in order * 2:
            assert (world.ask(way, name, edns=edns).message.edns == 0) == edns


@every_way
def test_A73_opt_is_our_own(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1")], options=[Option(100, b"x")]))
    for answer in world.ask_twice(way, name, dnssec=True, options=[Option(65001, b"y")]):
        message = answer.message
        assert (message.edns, message.payload, message.options) == (0, 1232, ())
        assert message.ednsflags == dns.flags.DO


@every_way
@pytest.mark.parametrize("version", (1, 2, 255))
def test_A74_B22_badvers(world, way, version):
    name = world.name()
    made = w.query(name, dnssec=True, payload=1232)
    made.ednsflags |= version << 16 | 0x3FFF
    for _ in range(2):
        answer = dns.message.from_wire(world.send(way, made.to_wire()))
        assert answer.rcode() == dns.rcode.BADVERS and answer.flags & 15 == 0
        assert answer.edns == 0 and answer.ednsflags & 0xFFFF == dns.flags.DO
        assert answer.question == made.question and not answer.answer
        assert not answer.flags & dns.flags.AA
    assert not world.asked(name)


@over_udp
def test_A75_sizes_below_512(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "TXT", *(f'"{c * 60}"' for c in "abcdef"))]))
    for _ in range(2):
        for options in ({"payload": 0}, {"payload": 100}, {"payload": 511}, {"edns": False}):
            answer = world.ask(way, name, "TXT", **options)
            assert len(answer.wire) <= 512 and not answer.message.flags & dns.flags.TC
    large = world.name()
    world.serve(large, says(answer=[rrset(large, "TXT", *(f'"{c * 60}"' for c in "abcdefghij"))]))
    assert not world.ask(way, large, "TXT").message.flags & dns.flags.TC
    for payload in (0, 511, 512):
        assert world.ask(way, large, "TXT", payload=payload).message.flags & dns.flags.TC
    assert not world.ask(way, large, "TXT").message.flags & dns.flags.TC, "size was remembered"


@every_way
def test_A76_unknown_options(world, way):
    name = world.name()
    for data in (b"one", b"two"):
        answer = world.ask(way, name, options=[Option(65001, data)])
        assert answer.message.options == ()
    assert len(world.asked(name)) == 1
    assert not w.passed_on(world.asked(name)[0])


def opt(options: bytes = b"", owner: bytes = b"\0", length: int | None = None) -> bytes:
    length = len(options) if length is None else length
    return owner + struct.pack("!HHIH", 41, 1232, 0, length) + options


def raw(name: str, additional: bytes, count: int, *, an: int = 0, ns: int = 0) -> bytes:
    head = struct.pack("!HHHHHH", 0xBEEF, 0x0100, 1, an, ns, count)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return head + labels + b"\0\0\1\0\1" + additional


BROKEN_OPT = {
    "two": (opt() * 2, 2, {}),
    "owner": (opt(owner=b"\1a\0"), 1, {}),
    "option runs over": (opt(struct.pack("!HH", 65001, 9) + b"x"), 1, {}),
    "stray octets": (opt(b"\0\0\0"), 1, {}),
    "in answer": (opt(), 0, {"an": 1}),
    "in authority": (opt(), 0, {"ns": 1}),
}


@every_way
@pytest.mark.parametrize("which", BROKEN_OPT)
def test_A77_A110_B17_B18_B19_broken_opt(world, way, which):
    additional, count, others = BROKEN_OPT[which]
    name = world.name()
    message = raw(name, additional, count, **others)
    answer = world.send(way, message)
    assert answer[:2] == message[:2] and answer[3] & 15 == dns.rcode.FORMERR
    assert answer[2] & 0x81 == 0x81
    assert len(answer) <= len(message) + 6
    assert not world.asked(name)


@over_udp
def test_A78_truncated_has_opt(world, way):
    name = world.name()
    world.serve(
        name,
        w.truncated_over_udp(
            says(answer=[rrset(name, "TXT", *(f'"{c * 200}"' for c in "abcdefgh"))])
        ),
    )
    for _ in range(2):
        answer = world.ask(way, name, "TXT").message
        assert answer.flags & dns.flags.TC and answer.edns == 0 and not answer.answer


@every_way
def test_A78_errors_have_opt(world, way):
    name = world.serve(world.name(), says(rcode=dns.rcode.SERVFAIL))
    for options in ({}, {"flags": 0}):
        for edns in (True, False):
            assert (world.ask(way, name, edns=edns, **options).message.edns == 0) == edns


@every_way
@pytest.mark.parametrize("edns", (True, False))
def test_A79_A15_opt_upstream_is_our_own(world, way, edns):
    name = world.name()
    world.ask(way, name, edns=edns, **({"payload": 4096} if edns else {}))
    message = world.asked(name)[0].message
    assert message.edns == 0 and message.payload == 1232 and not w.passed_on(world.asked(name)[0])
    assert message.flags & dns.flags.RD and message.flags & dns.flags.AD


@every_way
def test_A80_extended_errors(world, way):
    name = world.name()
    assert codes(world.ask(way, name, flags=0).message) == [20]
    world.serve(name, says(rcode=dns.rcode.SERVFAIL))
    world.ask(way, name)
    assert codes(world.ask(way, name).message) == [13]
    assert world.ask(way, name, flags=0, edns=False).message.edns == -1


@every_way
def test_A81_cookies(world, way):
    name = world.name()
    first = world.ask(way, name, options=[Option(10, b"clientck")]).message
    (cookie,) = [option for option in first.options if option.otype == 10]
    data = cookie.to_wire()
    assert data[:8] == b"clientck" and len(data) == 24 and data[8] == 1
    second = world.ask(way, name, options=[Option(10, data)]).message
    assert [option.otype for option in second.options] == [10]


@every_way
def test_A82_cookies_are_in_no_entry(world, way):
    name = world.name()
    for number in range(3):
        answer = world.ask(way, name, options=[Option(10, b"client%02d" % number)])
        for other in range(3):
            assert other == number or b"client%02d" % other not in answer.wire
    assert len(world.asked(name)) == 1
    assert world.ask(way, name).message.options == ()


@every_way
def test_A83_no_question_but_a_cookie(world, way):
    message = struct.pack("!HHHHHH", 7, 0x0100, 0, 0, 0, 1) + opt(
        struct.pack("!HH", 10, 8) + b"c" * 8
    )
    answer = dns.message.from_wire(world.send(way, message))
    assert answer.rcode() == dns.rcode.NOERROR and not answer.question
    assert [option.otype for option in answer.options] == [10]


@over_udp
def test_A84_keepalive_is_ignored_over_udp(world, way):
    name = world.name()
    assert world.ask(way, name, options=[Option(11, b"")]).message.options == ()


@every_way
@pytest.mark.parametrize("data", (b"", bytes(100), b"\xff" * 100))
def test_A85_padding(world, way, data):
    name = world.name()
    for _ in range(2):
        assert world.ask(way, name, options=[Option(12, data)]).message.options == ()
    assert len(world.asked(name)) == 1 and not w.passed_on(world.asked(name)[0])


@every_way
@pytest.mark.parametrize("code", (3, 9, 13, 19))
def test_A86_not_transitive(world, way, code):
    name = world.name()
    for _ in range(2):
        assert world.ask(way, name, options=[Option(code, b"")]).message.options == ()
    assert len(world.asked(name)) == 1 and not w.passed_on(world.asked(name)[0])


@every_way
def test_A87_report_channel(world, way):
    name = world.name()
    world.serve(
        name, says(answer=[rrset(name, "A", "192.0.2.1")], options=[Option(18, b"\5agent\0")])
    )
    for _ in range(2):
        answer = world.ask(way, name, options=[Option(18, b"\5agent\0")])
        assert answer.message.options == ()
    assert not w.passed_on(world.asked(name)[0])


@every_way
@pytest.mark.parametrize("prefix", (0, 24))
def test_A88_client_subnet_is_off(world, way, prefix):
    name = world.name()
    for net in ("198.18.0.0", "198.19.7.0"):
        answer = world.ask(way, name, options=[dns.edns.ECSOption(net, prefix)])
        assert answer.rcode == "NOERROR" and answer.message.options == ()
    assert len(world.asked(name)) == 1 and not w.passed_on(world.asked(name)[0])


@over_udp
def test_A90_exact_fit_and_one_over(world, way):
    name = world.name()
    head = 12 + len(name) + 2 + 4

    def of_size(octets):
        """An answer whose message has so many octets, OPT included."""
        data = octets - head - 12 - 11
        return says(answer=[rrset(name, "TYPE65280", f"\\# {data} {'ab' * data}")])

    for size in (512, 700, 1232):
        for octets, fits in ((size, True), (size + 1, False)):
            world.serve(name, w.truncated_over_udp(of_size(octets)))
            w.appliance.cli("cache", "flush", name)
            for _ in range(2):
                answer = world.ask(way, name, "TYPE65280", payload=size)
                if octets <= 1232:
                    assert len(answer.wire) <= size
                assert bool(answer.message.flags & dns.flags.TC) != fits
                assert bool(answer.message.answer) == fits
                assert answer.message.edns == 0 and answer.message.question


@over_udp
def test_A90_B45_own_maximum(world, way):
    name = world.name()
    world.serve(
        name,
        w.truncated_over_udp(says(answer=[rrset(name, "TYPE65280", f"\\# 1400 {'ab' * 1400}")])),
    )
    for _ in range(2):
        answer = world.ask(way, name, "TYPE65280", payload=4096)
        assert answer.message.flags & dns.flags.TC and len(answer.wire) < 1232


@over_udp
def test_A91_additional_is_left_out_first(world, way):
    name = world.name()
    glue = [rrset(f"m{i}.example", "A", "192.0.2.1") for i in range(30)]
    world.serve(name, says(answer=[rrset(name, "MX", "1 m1.example.")], additional=glue))
    for _ in range(2):
        answer = world.ask(way, name, "MX", payload=512).message
        assert not answer.flags & dns.flags.TC and answer.answer


def test_A92_B45_whole_over_tcp_from_the_same_entry(world):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "TXT", *(f'"{c * 100}"' for c in "abcdefgh"))]))
    assert world.ask("udp4", name, "TXT", payload=512).message.flags & dns.flags.TC
    answer = world.ask("tcp4", name, "TXT").message
    assert len(answer.answer[0]) == 8 and not answer.flags & dns.flags.TC
    assert len(world.asked(name)) == 1


# ------------------------------------------------------------------------------- packets


SOL_PACKET, PACKET_AUXDATA = 263, 8


class Wire:
    """Frames between the client and the appliance, as they are on the wire."""

    def __init__(self):
        self.socket = namespace.packet_socket(namespace.CLIENT, "mr-c0")
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.macs = (mac_of(namespace.CLIENT, "mr-c0"), mac_of(namespace.DUT, "mr-c"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, packet: bytes) -> None:
        self.socket.send(frames.ethernet(*self.macs, packet))

    def receive(self, port: int, seconds: float = w.PATIENCE_S) -> bytes | None:
        """The IP packet that goes to this UDP port of the client; `tag`: its VLAN tag, or 0."""
        end = w.time.monotonic() + seconds
        while (left := end - w.time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame, ancillary, _, _ = self.socket.recvmsg(65535, 64)
            except TimeoutError:
                return None
            # struct tpacket_auxdata: the kernel takes a tag out of the frame.
            self.tag = struct.unpack_from("=16xH", ancillary[0][2])[0]
            packet = frame[14:]
            offset = 20 if packet[0] >> 4 == 4 else 40
            if packet[offset : offset + 4] == struct.pack("!HH", 53, port):
                return packet
        return None


ADDRESSES = {"udp4": (CLIENT4, SERVICE4), "udp6": (CLIENT6, SERVICE6)}


def packet_of(way: str, payload: bytes, port: int = 4321, **options) -> bytes:
    source, target = ADDRESSES[way]
    datagram = frames.udp(source, target, port, 53, payload, **options)
    return (frames.ipv4 if way == "udp4" else frames.ipv6)(source, target, datagram)


def valid_checksums(packet: bytes) -> bool:
    """0xffff in a sum over data with its checksum in it: none is missing, none is wrong."""
    if packet[0] >> 4 == 4:
        if frames.checksum(packet[:20]) != 0:
            return False
        total = struct.unpack("!H", packet[2:4])[0]
        pseudo, datagram = packet[12:20] + struct.pack("!BBH", 0, 17, total - 20), packet[20:total]
    else:
        length = struct.unpack("!H", packet[4:6])[0]
        pseudo, datagram = (
            packet[8:40] + struct.pack("!IxxxB", length, 17),
            packet[40 : 40 + length],
        )
    return datagram[6:8] != b"\0\0" and frames.checksum(pseudo + datagram) == 0


@over_udp
def test_A93_A94_A99_packets_that_are_sent(world, way):
    name = world.name()
    with Wire() as wire:
        for ident in range(64):
            message = w.query(name)
            message.id = ident * 1021
            wire.send(packet_of(way, message.to_wire()))
            packet = wire.receive(4321)
            assert valid_checksums(packet)
            if way == "udp4":
                assert packet[8] == 64 and packet[6:8] in (b"\0\0", b"\x40\0")
            else:
                assert packet[7] == 64 and packet[6] == 17


@over_udp
def test_A93_B38_checksums_that_come(world, way):
    name = world.name()
    message = w.query(name).to_wire()
    with Wire() as wire:
        wire.send(packet_of(way, message, bad_checksum=True))
        wire.send(packet_of(way, message, port=4322, zero_checksum=True))
        zero = wire.receive(4322, w.PATIENCE_S if way == "udp4" else w.QUIET_S)
        assert (zero is not None) == (way == "udp4")
        assert wire.receive(4321, w.QUIET_S) is None


@over_udp
def test_A98_B35_the_frame_may_be_longer(world, way):
    name = world.name()
    message = w.query(name, edns=False).to_wire()
    with Wire() as wire, Changed() as changed:
        wire.socket.send(frames.ethernet(*wire.macs, packet_of(way, message)) + b"\xff" * 100)
        assert wire.receive(4321)
        source, target = ADDRESSES[way]
        datagram = frames.udp(source, target, 4321, 53, message)
        make = frames.ipv4 if way == "udp4" else frames.ipv6
        wire.send(make(source, target, datagram + b"\xff" * 30))
        assert wire.receive(4321)
    assert changed["rx_trailing"] == 0, changed
