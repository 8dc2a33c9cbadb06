# SPDX-License-Identifier: Apache-2.0
"""What is not for the appliance reaches the kernel; what is hostile reaches nobody."""

import socket

import pytest

import frames
import namespace
from appliance import (
    CLIENT4,
    CLIENT6,
    SERVICE4,
    SERVICE6,
    SERVICES,
    ZONE,
    cli,
    inside,
    mac_of,
    query_bytes,
    sent_to_clients,
    settled_stats,
    wait_until,
)

LAB = []


@pytest.mark.parametrize("address", SERVICES)
def test_ping(service, address):
    assert (
        " 0% packet loss"
        in inside(namespace.CLIENT, "ping", "-c", 3, "-i", 0.2, "-W", 9, address).stdout
    )


def test_arp_and_neighbour_discovery(service):
    for address in SERVICES:
        inside(namespace.CLIENT, "ip", "neigh", "flush", "dev", "mr-c0")
        inside(namespace.CLIENT, "ping", "-c", 1, "-W", 9, address)
        assert "lladdr" in inside(namespace.CLIENT, "ip", "neigh", "show", address).stdout


@pytest.mark.parametrize("address", SERVICES)
def test_tcp_to_another_service(service, address):
    family = namespace.family_of(address)
    with namespace.tcp_socket(namespace.DUT, family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 2222))
        listener.listen()
        with namespace.tcp_socket(namespace.CLIENT, family) as client:
            client.connect((address, 2222))
            accepted, _ = listener.accept()
            with accepted:
                client.sendall(b"ssh could be here")
                assert accepted.recv(100) == b"ssh could be here"


@pytest.mark.parametrize("address", SERVICES)
def test_udp_to_another_port(service, address):
    with namespace.udp_socket(namespace.DUT, address, 9999) as receiver:
        with namespace.udp_socket(namespace.CLIENT, family=namespace.family_of(address)) as sender:
            sender.sendto(b"not dns", (address, 9999))
            data, peer = receiver.recvfrom(100)
            assert data == b"not dns"
            receiver.sendto(b"back", peer)
            assert sender.recv(100) == b"back"


@pytest.fixture
def wire(service):
    """Sends packets from mr-c0 to the appliance's interface."""
    target, source = mac_of(namespace.DUT, "mr-c"), mac_of(namespace.CLIENT, "mr-c0")
    with namespace.packet_socket(namespace.CLIENT, "mr-c0") as sock:
        yield lambda packet: sock.send(frames.ethernet(source, target, packet))


QUERY = query_bytes(f"www.{ZONE}")


def v4(payload=QUERY, *, sport=40000, source=CLIENT4, target=SERVICE4, udp=None, **ip):
    return frames.ipv4(
        source, target, frames.udp(source, target, sport, 53, payload, **(udp or {})), **ip
    )


def v6(payload=QUERY, *, sport=40000, source=CLIENT6, target=SERVICE6, udp=None, **ip):
    return frames.ipv6(
        source, target, frames.udp(source, target, sport, 53, payload, **(udp or {})), **ip
    )


ROUTING_HEADER_0 = bytes([17, 2, 0, 1]) + bytes(4) + bytes(16)
FRAGMENT_HEADER = bytes([17, 0, 0, 1, 0, 0, 0, 7])

HOSTILE = {
    "B27 source port 0": v4(sport=0),
    "B27 source port 0, v6": v6(sport=0),
    "B28 source port 19": v4(sport=19),
    "B28 source port 123, v6": v6(sport=123),
    "B30 land": v4(source=SERVICE4),
    "B30 land, v6": v6(source=SERVICE6),
    "B31 multicast source": v4(source="224.0.0.1"),
    "B31 loopback source": v4(source="127.0.0.1"),
    "B31 this network": v4(source="0.0.0.1"),
    "B31 class E": v4(source="240.0.0.1"),
    "B31 v6 loopback": v6(source="::1"),
    "B31 v4-mapped": v6(source="::ffff:198.18.0.1"),
    "B33 no payload": v4(payload=b""),
    "B33 eleven octets": v4(payload=QUERY[:11]),
    "B34 UDP length beyond the packet": v4(udp={"length": 600}),
    "B34 UDP length below 8": v4(udp={"length": 7}),
    "B36 total length beyond the frame": v4(total_length=1200),
    "B36 IHL below 5": v4(ihl=4),
    "B36 length beyond the frame, v6": v6()[:4] + b"\5\0" + v6()[6:],
    "B37 source route": v4(options=bytes([131, 7, 4, 198, 18, 0, 1, 0])),
    "B38 wrong UDP checksum": v4(udp={"bad_checksum": True}),
    "B38 wrong UDP checksum, v6": v6(udp={"bad_checksum": True}),
    "B38 no checksum, v6": v6(udp={"zero_checksum": True}),
    "B38 wrong IP checksum": v4(bad_checksum=True),
    "B39 first fragment": v4(fragment=0x2000),
    "B39 later fragment": v4(fragment=0x0040),
    "B39 fragment, v6": v6(next_header=44, extensions=FRAGMENT_HEADER),
    "B40 routing header 0": v6(next_header=43, extensions=ROUTING_HEADER_0),
    "B25 response to the service port": v4(
        payload=QUERY[:2] + bytes([QUERY[2] | 0x80]) + QUERY[3:]
    ),
}


# The prefilter hands what it cannot judge to the kernel, which discards it; the rest of the hostile
# shapes ends there or in the data plane.
LEFT_TO_THE_KERNEL = ("xdp:passed_fragment", "xdp:passed_ext_header")


def ends(changed: dict) -> int:
    """How many packets were thrown away, wherever."""
    return sum(
        count
        for name, count in changed.items()
        if name.startswith(("drop_", "xdp:drop_")) or name in LEFT_TO_THE_KERNEL
    )


@pytest.mark.parametrize("shape", HOSTILE)
def test_hostile_shape_is_counted_and_not_answered(wire, shape):
    before = settled_stats()
    for _ in range(5):
        wire(HOSTILE[shape])
    after = wait_until(
        lambda: (now := settled_stats()) and ends(now.since(before)) >= 5 and now,
        namespace.PATIENCE_S,
        "five packets to be counted",
    )
    changed = after.since(before)
    assert ends(changed) == 5, changed
    assert sent_to_clients(changed) == 0, changed


@pytest.mark.parametrize("address", SERVICES)
def test_fragments_for_another_program_arrive(service, address):
    with namespace.udp_socket(namespace.DUT, address, 9999) as receiver:
        with namespace.udp_socket(namespace.CLIENT, family=namespace.family_of(address)) as sender:
            before = settled_stats()
            sender.sendto(bytes(range(256)) * 12, (address, 9999))
            assert receiver.recv(4000) == bytes(range(256)) * 12
    assert settled_stats().since(before).get("xdp:passed_fragment") == 3


GOOD = {
    "plain": v4(),
    "plain, v6": v6(),
    "B29 source port 53": v4(sport=53),
    "A93 no checksum on IPv4": v4(udp={"zero_checksum": True}),
    "B35 spare octets after the datagram": v4() + b"\0" * 30,
}


@pytest.mark.parametrize("shape", GOOD)
def test_odd_but_good_shape_is_answered(wire, shape):
    cli("cache", "flush", f"www.{ZONE}")
    before = settled_stats()
    for number in (1, 2):

        def answered(number=number) -> bool:
            return sent_to_clients(settled_stats().since(before)) == number

        wire(GOOD[shape])
        wait_until(answered, namespace.PATIENCE_S, "an answer")
    changed = settled_stats().since(before)
    assert changed.get("hit", 0) + changed.get("miss", 0) == 2, changed
    assert ends(changed) == 0, changed
