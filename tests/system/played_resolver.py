# SPDX-License-Identifier: Apache-2.0
"""A resolver that a test plays itself: sees each query, and answers as the test says."""

import dataclasses
import queue
import threading
import time

import dns.flags
import dns.message
import dns.rrset

import namespace
from appliance import UPSTREAM4

ADDRESS = "192.0.2.7"


@dataclasses.dataclass(frozen=True)
class Asked:
    wire: bytes
    peer: tuple  # address and port that the appliance sent from

    @property
    def message(self) -> dns.message.Message:
        return dns.message.from_wire(self.wire)

    @property
    def ident(self) -> int:
        return int.from_bytes(self.wire[:2], "big")

    @property
    def port(self) -> int:
        return self.peer[1]


def answer_to(asked: Asked, address: str = ADDRESS, ttl: int = 300) -> dns.message.Message:
    """An A record, as a resolver would give it."""
    reply = dns.message.make_response(asked.message, recursion_available=True)
    qname = asked.message.question[0].name
    reply.answer.append(dns.rrset.from_text(qname, ttl, "IN", "A", address))
    return reply


class PlayedResolver:
    """Collects queries; `reply` and `send_from` answer. With `automatic` answers byself."""

    def __init__(self, automatic=None, address: str = UPSTREAM4, where: str = namespace.UPSTREAM):
        self.socket = namespace.udp_socket(where, address, 53)
        self.socket.settimeout(0.1)
        self.asked: queue.Queue[Asked] = queue.Queue()
        self.automatic = automatic
        self.failure = None  # of the thread; raised at the end of the with block
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.socket.close()
        if self.failure is not None:
            raise self.failure

    def _serve(self) -> None:
        try:
            self._serve_until_the_end()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def _serve_until_the_end(self) -> None:
        while not self._end.is_set():
            try:
                wire, peer = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            asked = Asked(wire, peer[:2])
            if self.automatic is not None:
                reply = self.automatic(asked)
                if reply is not None:
                    self.socket.sendto(reply, peer)
            self.asked.put(asked)

    def next_for(self, name: str, seconds: float = 3) -> Asked:
        """The next query for this name; others (probes, retries of other tests) are put aside."""
        end = time.monotonic() + seconds
        while True:
            asked = self.asked.get(timeout=max(0, end - time.monotonic()))
            if asked.message.question[0].name.to_text(omit_final_dot=True).lower() == name.lower():
                return asked

    def drain(self, seconds: float = 0.3) -> list[Asked]:
        """All queries until none has come for this long; it must become quiet some time."""
        found = []
        end = time.monotonic() + 20
        while True:
            assert time.monotonic() < end, f"queries keep coming: {found[-1]}"
            try:
                found.append(self.asked.get(timeout=seconds))
            except queue.Empty:
                return found

    def reply(self, asked: Asked, wire: bytes) -> None:
        self.socket.sendto(wire, asked.peer)
