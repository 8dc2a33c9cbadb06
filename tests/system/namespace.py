# SPDX-License-Identifier: Apache-2.0
"""Sockets inside the lab's network namespaces.

A socket belongs to the namespace in which it was made, for ever. So this process enters a namespace
for the moment of making one, and tests talk through it like through any other.
"""

import contextlib
import ctypes
import os
import resource
import socket

CLIENT, DUT, UPSTREAM = "mr-client", "mr-dut", "mr-up"
# For what surely comes: a machine may be ten times slower than ours, and stand still for seconds.
PATIENCE_S = 30

SO_RCVBUFFORCE = 33

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def inside(namespace: str):
    """The calling thread is in the namespace; other threads are not."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(there)
        os.close(home)


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def udp_socket(namespace: str, address: str = "", port: int = 0, family: int = 0) -> socket.socket:
    """Bound to address and port; an empty address leaves the choice to the kernel."""
    family = family or family_of(address)
    with inside(namespace):
        made = socket.socket(family, socket.SOCK_DGRAM)
        # Beyond the limit of the host: its default holds two hundred datagrams.
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        if address or port:
            made.bind((address, port))
    made.settimeout(PATIENCE_S)
    return made


def tcp_listener(namespace: str, address: str, port: int) -> socket.socket:
    with inside(namespace):
        made = socket.socket(family_of(address), socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    made.listen()
    return made


def tcp_socket(namespace: str, family: int) -> socket.socket:
    with inside(namespace):
        made = socket.socket(family, socket.SOCK_STREAM)
    made.settimeout(PATIENCE_S)
    return made


@contextlib.contextmanager
def many_files(limit: int):
    """This process may have that many descriptors open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, before[1])))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def packet_socket(namespace: str, interface: str) -> socket.socket:
    """Whole Ethernet frames, in and out."""
    ETH_P_ALL = 3
    with inside(namespace):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.bind((interface, 0))
    made.settimeout(PATIENCE_S)
    return made
