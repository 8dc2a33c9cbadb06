# SPDX-License-Identifier: Apache-2.0
"""A65, B43: ICMP about queries upstream, and the ICMP that must not be sent about their ports."""

import socket
import struct

import pytest

import appliance
import frames
import namespace
import world as w
from test_a_queries import head, question
from test_a_upstream import Held
from world import Changed, over_udp

PAIR_PORT, GONE_PORT = 5301, 5399
RESOLVER = "198.18.1.1"
UNREACHABLE, HOST, PORT, FRAGMENTATION_NEEDED = 3, 1, 3, 4


def to_appliance(*packets: bytes) -> None:
    macs = (
        appliance.mac_of(namespace.UPSTREAM, "mr-u0"),
        appliance.mac_of(namespace.DUT, "mr-u"),
    )
    with namespace.packet_socket(namespace.UPSTREAM, "mr-u0") as wire:
        for packet in packets:
            wire.send(frames.ethernet(*macs, packet))


def icmp_error(asked, *, code: int = PORT, octets: int = 548, port=None, wire=None) -> bytes:
    """About the query; with `port` or `wire` about one that was never sent."""
    ours = asked.peer[0]
    datagram = frames.udp(ours, asked.at[0], port or asked.port, asked.at[1], wire or asked.wire)
    quote = frames.ipv4(ours, asked.at[0], datagram)[:octets]
    message = struct.pack("!BBHI", UNREACHABLE, code, 0, 0) + quote
    message = message[:2] + struct.pack("!H", frames.checksum(message)) + message[4:]
    return frames.ipv4(RESOLVER, ours, message, protocol=1)


@over_udp
def test_A65_nobody_listens(world, way):
    """The first resolver of the pool has a closed port, and the kernel there says so."""
    name = world.name()
    with Changed() as changed:
        assert world.ask(way, name, port=GONE_PORT).records, "without any time passing"
    assert changed["icmp_unreachable"] == 1 and changed["up_timeout"] == 0, changed
    assert changed["xdp:redirected_icmp"] == 1, changed


@pytest.mark.parametrize("code", (HOST, PORT))
@pytest.mark.parametrize("octets", (28, 548))
def test_A65_the_next_resolver_is_asked_at_once(world, code, octets):
    with Changed() as changed, Held(world, port=PAIR_PORT) as held:
        to_appliance(icmp_error(held.asked, code=code, octets=octets))
        second = world.wait_asked(held.name, 2)[1]
        assert second.at != held.asked.at
        held.reply(held.good())
        assert held.is_silent(), "that try is over"
        held.reply_to(second)
        assert held.answer().answer
    assert changed["icmp_unreachable"] == 1, changed


FORGED = {
    "id": lambda asked: icmp_error(asked, wire=bytes([asked.wire[0] ^ 1]) + asked.wire[1:]),
    "no id, wrong checksum": lambda asked: icmp_error(
        asked, wire=asked.wire[:-1] + bytes([asked.wire[-1] ^ 0x7F]), octets=28
    ),
    "port": lambda asked: icmp_error(asked, port=asked.port - 1 if asked.port > 10_000 else 10_001),
    "path MTU": lambda asked: icmp_error(asked, code=FRAGMENTATION_NEEDED),
}


@pytest.mark.parametrize("field", FORGED)
def test_B43_forged_icmp(world, field):
    with Changed() as changed, Held(world, port=PAIR_PORT) as held:
        to_appliance(*[FORGED[field](held.asked)] * 20)
        assert held.is_silent()
        assert len(world.asked(held.name)) == 1
        held.reply(held.good())
        assert held.answer().answer
    assert changed["icmp_unreachable"] == 0 and changed["up_spoof_alarm"] == 0, changed
    assert changed["icmp_ignored"] == (0 if field == "path MTU" else 20), changed


OURS = {"udp4": (RESOLVER, "198.18.1.53"), "udp6": ("fd00:18:1::1", "fd00:18:1::53")}


@over_udp
def test_B43_no_icmp_for_ports_upstream(world, way):
    source, ours = OURS[way]
    with namespace.udp_socket(namespace.UPSTREAM, source, 5999) as prober:
        level, option = (
            (socket.IPPROTO_IP, 11) if way == "udp4" else (socket.IPPROTO_IPV6, 25)
        )  # IP_RECVERR
        prober.setsockopt(level, option, 1)
        prober.settimeout(w.QUIET_S)
        with Changed() as changed:
            for port in range(20_000, 20_020):
                prober.sendto(head(0x8180) + question("x.example"), (ours, port))
                with pytest.raises(TimeoutError):
                    prober.recv(100)
        assert changed["xdp:dropped_stray"] == 20, changed


@over_udp
def test_B43_ports_of_programs_on_the_host_are_theirs(world, way):
    source, ours = OURS[way]
    with (
        namespace.udp_socket(namespace.UPSTREAM, source, 5999) as prober,
        namespace.udp_socket(namespace.DUT, ours, 20_100) as program,
    ):
        prober.sendto(b"for it", (ours, 20_100))
        assert program.recv(100) == b"for it"
