# SPDX-License-Identifier: Apache-2.0
"""A100-A104: TCP towards clients."""

import socket
import struct

import dns.flags
import dns.rcode
import pytest

import namespace
import world as w
from world import Changed, over_tcp, reply_to, rrset


def framed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


@over_tcp
def test_A100_miss_then_hit(world, way):
    first, second = world.ask_twice(way, world.name())
    assert first.records == second.records != []


def opened_fast() -> int:
    """Connections that the appliance's host has taken with data in the first packet."""
    netstat = w.appliance.inside(namespace.DUT, "cat", "/proc/net/netstat").stdout.splitlines()
    names, values = (line.split() for line in netstat if line.startswith("TcpExt:"))
    return int(dict(zip(names[1:], values[1:]))["TCPFastOpenPassive"])


@pytest.fixture
def fast_open(world):
    """Where the host's administrator has switched it on; clients may by default."""
    w.appliance.inside(namespace.DUT, "sysctl", "-qw", "net.ipv4.tcp_fastopen=3")
    yield
    w.appliance.inside(namespace.DUT, "sysctl", "-qw", "net.ipv4.tcp_fastopen=1")


@over_tcp
def test_A106_a_query_in_the_first_packet(world, fast_open, way):
    before = opened_fast()
    for _ in range(2):  # the first client gets a cookie for it
        address = w.SERVICE_OF[way[-1]]
        message = w.query(world.name()).to_wire()
        with namespace.tcp_socket(namespace.CLIENT, namespace.family_of(address)) as sock:
            sock.settimeout(None)  # else it does not wait for the connection
            sock.sendto(framed(message), socket.MSG_FASTOPEN, (address, 53))
            sock.settimeout(w.PATIENCE_S)
            assert sock.recv(4)[2:] == message[:2]
    assert opened_fast() == before + 1


@over_tcp
def test_A101_pieces_of_any_size(world, way):
    message = framed(w.query(world.name()).to_wire())
    with w.client(way) as asker:
        asker.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(message)):
            asker.socket.sendall(message[:cut])
            asker.socket.sendall(message[cut:])
        for _ in range(1, len(message)):
            assert asker.receive()[2] & 0x80
        asker.socket.sendall(message * 20)
        for _ in range(20):
            assert asker.receive()[2] & 0x80


@over_tcp
def test_A102_answers_as_they_come(world, way):
    known = [world.name() for _ in range(5)]
    for name in known:
        world.ask(way, name)
    held = []
    slow = world.serve(world.name(), lambda asked: held.append(asked))
    with w.client(way) as asker:
        messages = [w.query(name).to_wire() for name in [slow] + known]
        asker.socket.sendall(b"".join(map(framed, messages)))
        assert {asker.receive()[:2] for _ in known} == {one[:2] for one in messages[1:]}
        world.wait_asked(slow)
        world.resolver.reply(held[0], reply_to(held[0]).to_wire())
        assert asker.receive()[:2] == messages[0][:2]


@over_tcp
def test_A102_large_answers_that_wait_for_their_reader(world, way):
    names = [world.name() for _ in range(30)]
    for name in names:
        texts = [f"{i:03}" + "x" * 240 for i in range(200)]
        world.serve(name, w.truncated_over_udp(w.says(answer=[rrset(name, "TXT", *texts)])))
    with w.TcpClient(w.SERVICE_OF[way[-1]], receive_bytes=4096) as asker:
        messages = [w.query(name, "TXT").to_wire() for name in names]
        asker.socket.sendall(b"".join(map(framed, messages)))
        for name in names:
            w.appliance.wait_until(
                lambda name=name: any(asked.connection is not None for asked in world.asked(name)),
                w.PATIENCE_S,
                "the questions over TCP",
            )
        w.appliance.settled_stats()
        replies = {asker.receive()[:2] for _ in names}
        assert replies == {one[:2] for one in messages}


@over_tcp
def test_A102_half_closed(world, way):
    with w.client(way) as asker:
        asker.send(w.query(world.name()).to_wire())
        asker.socket.shutdown(socket.SHUT_WR)
        assert asker.receive() and asker.receive() is None


@over_tcp
def test_A103_idle_time(world, way):
    with w.client(way) as asker, w.client(way) as other:
        for one in (asker, other):
            one.send(w.query(world.name()).to_wire())
            assert one.receive()
        world.advance(6)
        other.send(w.query(world.name()).to_wire())
        assert other.receive()
        asker.socket.sendall(b"\0")  # no whole message
        world.advance(5)
        assert asker.receive() is None
        other.send(w.query(world.name()).to_wire())
        assert other.receive()
        world.advance(11)
        assert other.receive() is None


@over_tcp
@pytest.mark.parametrize("octets", (0, 1, 11))
def test_A104_B66_what_is_no_message(world, way, octets):
    with w.client(way) as asker:
        asker.send(bytes(octets))
        assert asker.receive() is None


@over_tcp
def test_A104_B66_a_length_that_is_never_filled(world, way):
    with w.client(way) as asker:
        asker.socket.sendall(b"\xff\xff" + bytes(12))
        world.advance(9)
        with pytest.raises(TimeoutError):
            asker.receive(w.QUIET_S)
        world.advance(2)
        assert asker.receive() is None


@over_tcp
def test_A104_broken_but_a_header_is_formerr(world, way):
    answer = world.send(way, struct.pack("!HHHHHH", 9, 0x0100, 1, 0, 0, 0) + b"\xff")
    assert answer[:2] == b"\0\x09" and answer[3] & 15 == dns.rcode.FORMERR


@over_tcp
@pytest.mark.parametrize(
    "octets",
    (
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\xa5" * 9,  # TLS
        struct.pack("!HHHHHH", 9, 0x0100, 0xFFFF, 0, 0, 0) + b"\xff" * 9,
        bytes(12),
    ),
)
def test_A104_B69_what_cannot_be_parsed_is_formerr(world, way, octets):
    with w.client(way) as asker:
        asker.send(octets)
        answer = asker.receive()
        assert answer[:2] == octets[:2] and len(answer) == 12
        assert answer[2] & 0x80 and answer[3] & 15 == dns.rcode.FORMERR
        asker.send(w.query(world.name()).to_wire())  # the connection stays
        assert asker.receive()


@over_tcp
def test_A104_a_response_ends_the_connection(world, way):
    with w.client(way) as asker:
        asker.send(struct.pack("!HHHHHH", 9, 0x8100, 0x4142, 0, 0, 0) + b"\xff")
        assert asker.receive() is None


@over_tcp
def test_A104_tc_is_never_set(world, way):
    name = world.name()
    text = [f'"{"x" * 250}{i:03}"' for i in range(100)]
    world.serve(name, w.truncated_over_udp(w.says(answer=[rrset(name, "TXT", *text)])))
    answer = world.ask(way, name, "TXT", payload=512).message
    assert not answer.flags & dns.flags.TC and len(answer.answer[0]) == 100


@over_tcp
def test_B65_slow_and_broken_clients(world, way):
    with Changed():
        slow = [w.client(way) for _ in range(20)]
        for idx, one in enumerate(slow):
            one.socket.sendall(b"\0\x30" + bytes(idx))
        resets = []
        for _ in range(20):
            one = w.client(way)
            one.send(w.query(world.name()).to_wire())
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.socket.close()
            resets.append(one)
        assert world.ask(way, world.name()).records
        for one in slow:
            one.socket.close()
