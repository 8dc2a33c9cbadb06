# SPDX-License-Identifier: Apache-2.0
"""Messages that are wrong, or that we refuse: the right answer and counter, nothing upstream.

The rows are those of table B and group A-IX of the behaviour list (docs/testing.md). Each row is
sent over IPv4 and IPv6.
"""

import struct

import pytest

from appliance import SERVICES, ZONE, ask, exchange, sent_to_clients, settled_stats

LAB = []

FORMERR, SERVFAIL, NOTIMP, REFUSED = 1, 2, 4, 5
IDENT = 0xBEEF


def header(qd=1, an=0, ns=0, ar=0, flags=0x0100) -> bytes:
    return struct.pack("!HHHHHH", IDENT, flags, qd, an, ns, ar)


def name(text: str = f"www.{ZONE}") -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def question(qname: bytes = name(), qtype: int = 1, qclass: int = 1) -> bytes:
    return qname + struct.pack("!HH", qtype, qclass)


def opt(
    options: bytes = b"", *, version: int = 0, owner: bytes = b"\0", length: int | None = None
) -> bytes:
    length = len(options) if length is None else length
    return owner + struct.pack("!HHBBHH", 41, 1232, 0, version, 0, length) + options


def record(rtype: int, rdata: bytes, rclass: int = 1) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", rtype, rclass, 0, len(rdata)) + rdata


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


LABEL63 = bytes([63]) + b"x" * 63
LONGEST = LABEL63 * 3 + bytes([61]) + b"x" * 61 + b"\0"  # 255 octets
TOO_LONG = LABEL63 * 3 + bytes([62]) + b"x" * 62 + b"\0"  # 256
assert len(LONGEST) == 255 and len(TOO_LONG) == 256

# row: (message, expected rcode, counter)
ANSWERED = {
    "B1 pointer in the question": (header() + question(b"\xc0\x0c"), FORMERR, "fmt_qname_ptr"),
    "B1 pointer after a label": (header() + question(b"\x03www\xc0\x0c"), FORMERR, "fmt_qname_ptr"),
    "B6 label type 0x40": (header() + question(b"\x41a\0"), FORMERR, "fmt_label_type"),
    "B6 label type 0x80": (header() + question(b"\x81a\0"), FORMERR, "fmt_label_type"),
    "B7 label runs past the end": (header() + b"\x20www", FORMERR, "fmt_qname_trunc"),
    "B7 no root label": (header() + b"\x03www", FORMERR, "fmt_qname_trunc"),
    "B8 name of 256 octets": (header() + question(TOO_LONG), FORMERR, "fmt_name_long"),
    "B8 128 labels": (header() + question(b"\x01a" * 128 + b"\0"), FORMERR, "fmt_name_long"),
    "B10 ends after the name": (header() + name(), FORMERR, "fmt_short_q"),
    "B10 ends after the type": (header() + name() + b"\0\x01", FORMERR, "fmt_short_q"),
    "B11 no additional record there": (header(ar=1) + question(), FORMERR, "fmt_counts"),
    "B12 two questions": (header(qd=2) + question() * 2, FORMERR, "fmt_qdcount"),
    "B12 65535 questions": (header(qd=65535) + question(), FORMERR, "fmt_qdcount"),
    "B13 no question": (header(qd=0), FORMERR, "fmt_qd0"),
    "B14 an answer record": (header(an=1) + question() + record(1, bytes(4)), FORMERR, "fmt_an_ns"),
    "B14 an authority record": (header(ns=1) + question() + record(2, b"\0"), FORMERR, "fmt_an_ns"),
    "B15 record data past the end": (
        header(ar=1) + question() + opt(length=40),
        FORMERR,
        "fmt_rdlen",
    ),
    "B17 two OPT": (header(ar=2) + question() + opt() * 2, FORMERR, "fmt_opt2"),
    "B18 OPT owner not the root": (
        header(ar=1) + question() + opt(owner=b"\x01a\0"),
        FORMERR,
        "fmt_opt_place",
    ),
    "B19 option longer than its record": (
        header(ar=1) + question() + opt(struct.pack("!HH", 65001, 50) + b"x"),
        FORMERR,
        "fmt_opt_len",
    ),
    "B19 stray octets": (header(ar=1) + question() + opt(b"\0\0\0"), FORMERR, "fmt_opt_len"),
    "B21 cookie of 7 octets": (
        header(ar=1) + question() + opt(option(10, bytes(7))),
        FORMERR,
        "fmt_cookie",
    ),
    "B21 cookie of 15 octets": (
        header(ar=1) + question() + opt(option(10, bytes(15))),
        FORMERR,
        "fmt_cookie",
    ),
    "B21 cookie of 41 octets": (
        header(ar=1) + question() + opt(option(10, bytes(41))),
        FORMERR,
        "fmt_cookie",
    ),
    "B24 opcode STATUS": (header(flags=2 << 11), NOTIMP, "notimp"),
    "B24 opcode 15, random body": (header(flags=15 << 11) + b"\xff" * 30, NOTIMP, "notimp"),
    "A107 NOTIFY": (header(flags=4 << 11) + question(), NOTIMP, "notimp"),
    "A107 UPDATE": (header(flags=5 << 11) + question(), NOTIMP, "notimp"),
    "A109 TC in a query": (header(flags=0x0300) + question(), FORMERR, "fmt_tc"),
    "A111 recursion not desired": (header(flags=0) + question(), REFUSED, "refused_rd0"),
    "A113 AXFR": (header() + question(qtype=252), REFUSED, "refused_transfer"),
    "A113 IXFR": (header() + question(qtype=251), REFUSED, "refused_transfer"),
    "A114 TSIG": (
        header(ar=1) + question() + record(250, b"\0" * 20, 255),
        REFUSED,
        "refused_signed",
    ),
    "A115 class CH": (header() + question(name("version.bind"), 16, 3), REFUSED, "refused_class"),
    "A116 type OPT": (header() + question(qtype=41), FORMERR, "fmt_meta_type"),
    "A116 type TSIG": (header() + question(qtype=250), FORMERR, "fmt_meta_type"),
    "A116 type 0": (header() + question(qtype=0), FORMERR, "fmt_meta_type"),
}

DROPPED = {
    "B25 a response": (header(flags=0x8100) + question(), "drop_qr"),
    "B26 an error response": (header(flags=0x8101), "drop_qr"),
    "B33 one octet": (b"x", "drop_short"),
    "B33 eleven octets": (header()[:11], "drop_short"),
}

GOOD = {
    "B8 name of 255 octets": header() + question(LONGEST),
    "B8 127 labels": header() + question(b"\x01a" * 127 + b"\0"),
    "B9 odd octets in labels": header() + question(b"\x04\0.\xff*" + name("wild." + ZONE)),
    "B16 spare octets": header() + question() + b"spare",
    "B23 client subnet with family 0": header(ar=1) + question() + opt(option(8, bytes(4))),
    "B23 client subnet, prefix 33": header(ar=1)
    + question()
    + opt(option(8, b"\0\x01\x21\0" + bytes(5))),
    "A82 a client cookie": header(ar=1) + question() + opt(option(10, bytes(8))),
    "B70 query of 1000 octets": header(ar=1) + question() + opt(option(12, bytes(940))),
}


def counted(changed: dict, counter: str) -> int:
    """A drop may happen in the prefilter already, under the same name."""
    return changed.get(counter, 0) + changed.get(f"xdp:{counter}", 0)


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("row", ANSWERED)
def test_answered_with_an_error(service, row, address):
    message, rcode, counter = ANSWERED[row]
    before = settled_stats()
    answer = exchange(message, address=address)
    changed = settled_stats().since(before)
    assert answer is not None, "no answer"
    ident, flags, qd, an, ns, ar = struct.unpack("!HHHHHH", answer[:12])
    sent = struct.unpack("!H", message[2:4])[0]
    assert ident == IDENT and flags & 0x8000
    assert flags & 0x000F == rcode
    assert flags & 0x7800 == sent & 0x7800, "opcode"
    assert flags & 0x0100 == sent & 0x0100, "RD"
    assert not flags & 0x0600, "AA or TC"
    assert qd <= 1 and an == ns == 0 and ar <= 1
    assert len(answer) <= max(len(message), 12 + 260 + 11 + 6)
    assert counted(changed, counter) == 1, changed
    assert "up_sent" not in changed and "miss" not in changed


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("row", DROPPED)
def test_never_answered(service, row, address):
    message, counter = DROPPED[row]
    before = settled_stats()
    assert exchange(message, address=address, timeout=0.3) is None
    changed = settled_stats().since(before)
    assert sent_to_clients(changed) == 0, changed
    dropped = (count for key, count in changed.items() if key.startswith(("drop_", "xdp:drop")))
    assert sum(dropped) == 1, changed
    assert counted(changed, counter) == 1 or any(key.startswith("xdp:") for key in changed), changed


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("row", GOOD)
def test_unusual_but_good(service, row, address):
    for _ in range(2):
        answer = exchange(GOOD[row], address=address)
        assert answer is not None and answer[:2] == IDENT.to_bytes(2, "big")
        assert answer[3] & 0x0F in (0, 3)
        end = len(question(b"")) + GOOD[row].index(b"\0", 12) + 1
        if row != "B9 odd octets in labels":
            assert answer[12:end] == GOOD[row][12:end]


def test_still_in_service_afterwards(service):
    for address in SERVICES:
        assert ask(f"www.{ZONE}", address=address).rcode == "NOERROR"
