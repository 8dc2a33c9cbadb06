# SPDX-License-Identifier: Apache-2.0
"""A resolver that a test plays itself: sees each query, and answers as the test says."""

import dataclasses
import queue
import selectors
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rrset

import namespace
from appliance import UPSTREAM4

ADDRESS = "192.0.2.7"
CATCH_UP_S = 60  # a flood leaves thousands of queries to read


@dataclasses.dataclass
class Stream:
    peer: tuple
    at: tuple
    pending: bytes = b""  # no whole message yet


@dataclasses.dataclass(frozen=True)
class Asked:
    wire: bytes
    peer: tuple  # address and port that the appliance sent from
    connection: socket.socket | None = None  # that it came by; None: a datagram
    at: tuple = ()  # the address and port that was asked

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
    """Collects queries; `reply` answers. With `automatic` answers by itself: it returns the reply,
    several of them, or None for silence. `places`: where it listens; `tcp`: also over TCP."""

    def __init__(
        self,
        automatic=None,
        places=((UPSTREAM4, 53),),
        where: str = namespace.UPSTREAM,
        tcp: bool = False,
    ):
        self.asked: queue.Queue[Asked] = queue.Queue()
        self.automatic = automatic
        self.failure = None  # of the thread; see check()
        self._selector = selectors.DefaultSelector()
        self.sockets = {}  # of datagrams, by place
        self._streams = {}  # by connection
        for place in places:
            self.sockets[place] = namespace.udp_socket(where, *place)
            self._watch(self.sockets[place], self._read_datagram)
            if tcp:
                self._watch(namespace.tcp_listener(where, *place), self._accept)
        self._waiting = 0  # how many want to know when there is nothing left to read
        self._caught_up = threading.Semaphore(0)
        self._bell, rung = socket.socketpair()
        self._watch(rung, self._note_bell)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._bell.close()
        self._selector.close()
        self.check()

    def check(self) -> None:
        """Raises what went wrong in the resolver's thread since the last check."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _watch(self, sock: socket.socket, handler) -> None:
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, handler)

    def _serve(self) -> None:
        while not self._end.is_set():
            ready = self._selector.select(0 if self._waiting else 0.05)
            for key, _ in ready:
                try:
                    key.data(key.fileobj)
                except Exception as failure:  # pylint: disable=broad-except
                    self.failure = failure
            if self._waiting and not ready:
                self._caught_up.release(self._waiting)
                self._waiting = 0

    def _note_bell(self, rung: socket.socket) -> None:
        self._waiting += len(rung.recv(4096))

    def catch_up(self) -> None:
        """Returns when all that has come by now is read, and answered if it gets an answer. This
        thread of ours may have had no CPU since."""
        if threading.current_thread() is not self._thread:
            self._bell.send(b"!")
            assert self._caught_up.acquire(timeout=CATCH_UP_S), "queries keep coming"

    def _read_datagram(self, sock: socket.socket) -> None:
        wire, peer = sock.recvfrom(65535)
        self._take(Asked(wire, peer[:2], None, sock.getsockname()[:2]))

    def _accept(self, listener: socket.socket) -> None:
        connection, peer = listener.accept()
        self._streams[connection] = Stream(peer[:2], listener.getsockname()[:2])
        self._watch(connection, self._read_stream)
        connection.settimeout(CATCH_UP_S)  # a reply that is cut short would garble all after it

    def _read_stream(self, connection: socket.socket) -> None:
        stream = self._streams[connection]
        try:
            octets = connection.recv(65535)
        except ConnectionError:
            octets = b""
        if not octets:
            return self.close(connection)
        stream.pending += octets
        while len(stream.pending) >= 2:
            end = 2 + struct.unpack("!H", stream.pending[:2])[0]
            if len(stream.pending) < end:
                break
            message, stream.pending = stream.pending[2:end], stream.pending[end:]
            self._take(Asked(message, stream.peer, connection, stream.at))
            if connection not in self._streams:
                break
        return None

    def close(self, connection: socket.socket) -> None:
        """By the resolver's thread: from within `automatic`."""
        del self._streams[connection]
        self._selector.unregister(connection)
        connection.close()

    def _take(self, asked: Asked) -> None:
        # First, so that whoever has got the reply finds the query.
        self.asked.put(asked)
        if self.automatic is None:
            return
        replies = self.automatic(asked)
        if replies is None:
            return
        for reply in [replies] if isinstance(replies, bytes) else replies:
            self.reply(asked, reply)

    def next_for(self, name: str, seconds: float = namespace.PATIENCE_S) -> Asked:
        """The next query for this name; others (probes, retries of other tests) are put aside."""
        end = time.monotonic() + seconds
        while True:
            asked = self.asked.get(timeout=max(0, end - time.monotonic()))
            if asked.message.question[0].name.to_text(omit_final_dot=True).lower() == name.lower():
                return asked

    def drain(self, seconds: float = 0.3) -> list[Asked]:
        """All queries until none has come for this long; it must become quiet some time."""
        found = []
        end = time.monotonic() + CATCH_UP_S
        while True:
            assert time.monotonic() < end, f"queries keep coming: {found[-1:]}"
            try:
                found.append(self.asked.get(timeout=seconds))
            except queue.Empty:
                self.catch_up()
                if self.asked.empty():
                    return found

    def reply(self, asked: Asked, wire: bytes) -> None:
        if asked.connection is None:
            self.sockets[asked.at].sendto(wire, asked.peer)
            return
        try:
            asked.connection.sendall(struct.pack("!H", len(wire)) + wire)
        except OSError as failure:
            # The peer has gone away; or we have closed it, which the resolver's thread may do now.
            if not isinstance(failure, ConnectionError) and asked.connection.fileno() >= 0:
                raise
