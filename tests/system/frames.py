# SPDX-License-Identifier: Apache-2.0
"""Ethernet frames byte by byte, for what no kernel would send."""

import ipaddress
import struct


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def udp(
    source: str,
    target: str,
    sport: int,
    dport: int,
    payload: bytes,
    *,
    length: int | None = None,
    bad_checksum: bool = False,
    zero_checksum: bool = False,
) -> bytes:
    """A UDP datagram. `length`: what its length field says instead of the truth."""
    said = 8 + len(payload) if length is None else length
    header = struct.pack("!HHHH", sport, dport, said, 0)
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if ":" in source:
        pseudo = addresses + struct.pack("!IxxxB", 8 + len(payload), 17)
    else:
        pseudo = addresses + struct.pack("!xBH", 17, 8 + len(payload))
    total = checksum(pseudo + header + payload) or 0xFFFF
    if bad_checksum:
        total ^= 0x5555
    if zero_checksum:
        total = 0
    return struct.pack("!HHHH", sport, dport, said, total) + payload


def ipv4(
    source: str,
    target: str,
    payload: bytes,
    *,
    protocol: int = 17,
    options: bytes = b"",
    fragment: int = 0,
    total_length: int | None = None,
    ihl: int | None = None,
    bad_checksum: bool = False,
) -> bytes:
    words = 5 + len(options) // 4
    said = words * 4 + len(payload) if total_length is None else total_length
    header = struct.pack(
        "!BBHHHBBH", 0x40 | (words if ihl is None else ihl), 0, said, 1, fragment, 64, protocol, 0
    )
    header += ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + options
    total = checksum(header) ^ (0x5555 if bad_checksum else 0)
    return header[:10] + struct.pack("!H", total) + header[12:] + payload


def ipv6(
    source: str, target: str, payload: bytes, *, next_header: int = 17, extensions: bytes = b""
) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(extensions) + len(payload), next_header, 64)
    header += ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    return header + extensions + payload


def ethernet(source: str, target: str, packet: bytes, *, ethertype: int | None = None) -> bytes:
    if ethertype is None:
        ethertype = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    frame = mac_bytes(target) + mac_bytes(source) + struct.pack("!H", ethertype) + packet
    return frame.ljust(60, b"\0")
