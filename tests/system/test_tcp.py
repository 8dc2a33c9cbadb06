# SPDX-License-Identifier: Apache-2.0
"""DNS over TCP: to clients, and to the resolver for what did not fit a datagram."""

import socket
import struct
import time

import dns.message
import dns.rcode
import pytest

import appliance
import namespace
from appliance import SERVICE4, SERVICE6, SERVICES, ZONE, ask, cli, query_bytes, settled_stats


def connected(address: str = SERVICE4) -> socket.socket:
    made = namespace.tcp_socket(namespace.CLIENT, namespace.family_of(address))
    made.connect((address, 53))
    return made


class Connection:
    """A client's connection. Messages in and out, and octets for tests that want less."""

    def __init__(self, address: str = SERVICE4):
        self.socket = connected(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, message: bytes) -> None:
        self.socket.sendall(struct.pack("!H", len(message)) + message)

    def receive(self) -> dns.message.Message | None:
        """None: the appliance has closed the connection."""
        length = self._exactly(2)
        return None if length is None else dns.message.from_wire(
            self._exactly(struct.unpack("!H", length)[0])
        )

    def _exactly(self, octets: int) -> bytes | None:
        got = b""
        while len(got) < octets:
            more = self.socket.recv(octets - len(got))
            if not more:
                return None
            got += more
        return got

    def ask(self, name: str, qtype: str = "A") -> dns.message.Message:
        self.send(query_bytes(name, qtype))
        return self.receive()


@pytest.mark.parametrize("address", SERVICES)
def test_a71_a92_what_does_not_fit_a_datagram_comes_whole_over_tcp(service, address):
    name = f"big.{ZONE}"
    cli("cache", "flush", name)
    before = settled_stats()
    with Connection(address) as client:
        first = client.ask(name, "TXT")
        assert len(first.answer[0]) == 25 and not first.flags & dns.flags.TC
        changed = settled_stats().since(before)
        assert changed.get("miss") == 1 and changed.get("up_stream_answered") == 1
        before = settled_stats()
        assert client.ask(name, "TXT").answer == first.answer
        assert settled_stats().since(before).get("hit") == 1
    # The entry serves both transports: over UDP it is cut, and nobody is asked again.
    before = settled_stats()
    cut = ask(name, "TXT", address=address).message
    assert cut.flags & dns.flags.TC and not cut.answer
    changed = settled_stats().since(before)
    assert changed.get("hit") == 1 and "up_sent" not in changed


@pytest.mark.parametrize("address", SERVICES)
def test_a101_octet_by_octet(service, address):
    message = query_bytes(f"www.{ZONE}")
    with Connection(address) as client:
        for octet in struct.pack("!H", len(message)) + message:
            client.socket.sendall(bytes([octet]))
            time.sleep(0.002)
        assert client.receive().answer


def test_a102_half_closed(service):
    with Connection() as client:
        client.send(query_bytes(f"n{time.time_ns()}.wild.{ZONE}"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.receive().answer
        assert client.receive() is None


def test_a102_hundred_in_one_write(service):
    names = [f"n{i:04d}.{ZONE}" for i in range(100)]
    with Connection() as client:
        stream = b""
        idents = set()
        for name in names:
            message = query_bytes(name)
            idents.add(message[:2])
            stream += struct.pack("!H", len(message)) + message
        client.socket.sendall(stream)
        replies = [client.receive() for _ in names]
    assert {struct.pack("!H", reply.id) for reply in replies} == idents
    assert all(reply.rcode() == dns.rcode.NOERROR and reply.answer for reply in replies)


def test_a104_garbage_ends_the_connection(service):
    for octets in (b"\0\0", b"\0\5hello", b"\0\x0c" + b"\0\1\x80" + bytes(9)):
        with Connection() as client:
            client.socket.sendall(octets)
            assert client.receive() is None
    with Connection() as client:
        assert client.ask(f"www.{ZONE}").answer


def test_clients_agree_with_the_resolver(service):
    """dig, kdig and drill over TCP see what they see over UDP."""
    for command in (
        ("dig", "+tcp", "+short", f"@{SERVICE4}", f"www.{ZONE}"),
        ("dig", "+tcp", "+short", f"@{SERVICE6}", f"www.{ZONE}"),
        ("dig", "+tcp", "+keepopen", "+short", f"@{SERVICE4}", f"www.{ZONE}", f"many.{ZONE}"),
        ("dig", "+short", f"@{SERVICE4}", f"big.{ZONE}", "TXT"),  # by itself, after TC
        ("kdig", "+tcp", "+short", f"@{SERVICE4}", f"www.{ZONE}"),
        ("drill", "-t", f"@{SERVICE4}", f"www.{ZONE}"),
    ):
        done = appliance.inside(namespace.CLIENT, *command)
        assert "192.0.2.80" in done.stdout or len(done.stdout.splitlines()) == 25


def test_restart_of_the_data_plane_turns_nobody_away(service):
    """Who connects while no data plane runs waits in the kernel, and is served by the next one."""
    before = appliance.pids_of(appliance.DATAPLANE)
    appliance.run("kill", "-9", *before)
    with Connection() as client:
        assert client.ask(f"www.{ZONE}").answer
    appliance.wait_ready()
    assert appliance.pids_of(appliance.DATAPLANE) != before


def test_tcp_off_and_on_by_apply(service, lab, tmp_path):
    path = tmp_path / "off.yaml"
    path.write_text(lab.read_text() + "\ntcp: {connections: 0}\n")
    try:
        cli("config", "apply", path)
        with pytest.raises(ConnectionRefusedError):
            appliance.wait_until(lambda: not Connection(), namespace.PATIENCE_S, "refusal")
    finally:
        cli("config", "apply", lab)
    with Connection() as client:
        assert client.ask(f"www.{ZONE}").answer


def test_a103_limits(service, lab, tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text(
        lab.read_text() + "\ntcp: {connections_per_source: 3, idle_timeout: 10m}\n"
    )
    try:
        cli("config", "apply", path)
        before = settled_stats()
        clients = [Connection() for _ in range(5)]
        assert clients[0].receive() is None and clients[1].receive() is None
        assert clients[4].ask(f"www.{ZONE}").answer
        assert settled_stats().since(before).get("tcp_closed_limit") == 2
        for client in clients:
            client.socket.close()
    finally:
        cli("config", "apply", lab)


def test_a103_idle_time(service, lab, tmp_path):
    path = tmp_path / "idle.yaml"
    path.write_text(lab.read_text() + "\ntcp: {idle_timeout: 1s}\n")
    try:
        cli("config", "apply", path)
        before = settled_stats()
        started = time.monotonic()
        with Connection() as client:
            assert client.receive() is None
        assert time.monotonic() - started > 0.9
        assert settled_stats().since(before).get("tcp_closed_idle") == 1
    finally:
        cli("config", "apply", lab)


def resident_kib(pid: int) -> int:
    for line in open(f"/proc/{pid}/status", encoding="ascii"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def test_ten_thousand_idle_connections(service, lab, tmp_path):
    """They cost less than 100 MiB, and do not keep others out."""
    path = tmp_path / "many.yaml"
    path.write_text(
        lab.read_text()
        + "\ntcp: {connections: 12000, connections_per_source: 12000, idle_timeout: 10m}\n"
    )
    clients = []
    try:
        cli("config", "apply", path)
        pid = appliance.pids_of(appliance.DATAPLANE)[0]
        before = resident_kib(pid)
        with namespace.many_files(11_000):
            for _ in range(10_000):
                clients.append(connected())
            with Connection() as client:
                assert client.ask(f"www.{ZONE}").answer
            assert resident_kib(pid) - before < 100 * 1024
            for client in clients:
                client.close()
    finally:
        cli("config", "apply", lab)
