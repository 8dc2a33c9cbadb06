# SPDX-License-Identifier: Apache-2.0
"""The instrument itself: what it garbles would be taken for the appliance's fault."""

import socket
import struct

import dns.message
import pytest

import namespace
from appliance import UPSTREAM4
from played_resolver import PlayedResolver

LAB = ["--no-upstream"]
PLACE = (UPSTREAM4, 5353)
REPLY = bytes(60000)


@pytest.fixture
def connection(lab):
    """To `PLACE`; its host takes little before it is read."""
    with namespace.tcp_socket(namespace.UPSTREAM, socket.AF_INET) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        yield made


def queries(count: int) -> bytes:
    made = (dns.message.make_query(f"n{i}.test", "A").to_wire() for i in range(count))
    return b"".join(struct.pack("!H", len(wire)) + wire for wire in made)


def test_replies_are_whole_however_slowly_they_are_read(connection):
    with PlayedResolver(lambda _: REPLY, (PLACE,), tcp=True) as resolver:
        connection.connect(PLACE)
        connection.sendall(queries(100))
        resolver.asked.get(timeout=namespace.PATIENCE_S)
        replies = connection.makefile("rb")
        for _ in range(100):
            assert struct.unpack("!H", replies.read(2))[0] == len(REPLY)
            assert replies.read(len(REPLY)) == REPLY


def test_a_peer_that_goes_away_between_two_of_its_queries(connection):
    def reset_by_peer(_):
        if connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    with PlayedResolver(reset_by_peer, (PLACE,), tcp=True) as resolver:
        connection.connect(PLACE)
        peer = connection.getsockname()
        connection.sendall(queries(2))
        for _ in range(2):
            assert resolver.asked.get(timeout=namespace.PATIENCE_S).peer == peer
