#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets frame, stream, query and answer.

Usage: make_seeds.py [DIRECTORY]      default: corpus/ beside this file

A seed is what a fuzzer would take long to come upon: messages of each shape, and whole stories (a
miss, its answer, a hit) in the decisions that frame_world.cpp and stream_world.cpp read. Where
their order changes, the stories here change with it.
"""

import pathlib
import struct
import sys

A, NS, CNAME, SOA, MX, TXT, AAAA, SRV, DNAME, OPT, DS, RRSIG, NSEC, TSIG, ANY = (
    1, 2, 5, 6, 15, 16, 28, 33, 39, 41, 43, 46, 47, 250, 255)
POINTER = b"\xc0\x0c"


def name(text):
    labels = [label.encode() for label in text.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(text, qtype=A, cls=1):
    return name(text) + struct.pack("!HH", qtype, cls)


def record(owner, rtype, ttl, rdata, cls=1):
    return owner + struct.pack("!HHIH", rtype, cls, ttl, len(rdata)) + rdata


def opt(*options, size=1232, flags=0):
    rdata = b"".join(struct.pack("!HH", code, len(data)) + data for code, data in options)
    return record(b"\0", OPT, flags, rdata, size)


def message(body=b"", flags=0x0100, counts=(1, 0, 0, 0), ident=0x77):
    return struct.pack("!HHHHHH", ident, flags, *counts) + body


def soa(owner, ttl=300):
    return record(owner, SOA, ttl, name("ns.example") + name("mail.example")
                  + struct.pack("!5I", 1, 7200, 3600, 604800, 60))


def queries():
    www = question("www.example")
    cookie = bytes(range(8))
    yield "plain", message(www)
    yield "case", message(question("wWw.ExAmPlE"))
    yield "edns", message(www + opt(), counts=(1, 0, 0, 1))
    yield "do", message(www + opt(flags=0x8000), counts=(1, 0, 0, 1))
    yield "cookie", message(www + opt((10, cookie)), counts=(1, 0, 0, 1))
    yield "server-cookie", message(www + opt((10, cookie * 3)), counts=(1, 0, 0, 1))
    yield "cookie-short", message(www + opt((10, cookie[:5])), counts=(1, 0, 0, 1))
    yield "nsid-keepalive", message(www + opt((3, b""), (11, b"")), counts=(1, 0, 0, 1))
    yield "only-cookie", message(opt((10, cookie)), counts=(0, 0, 0, 1))
    yield "version", message(www + opt(flags=0x10000), counts=(1, 0, 0, 1))
    yield "two-opts", message(www + opt() + opt(), counts=(1, 0, 0, 2))
    yield "tsig", message(www + record(name("key"), TSIG, 0, bytes(16), 255), counts=(1, 0, 0, 1))
    yield "two-questions", message(www + www, counts=(2, 0, 0, 0))
    yield "class-ch", message(question("version.bind", TXT, 3))
    yield "axfr", message(question("example", 252))
    yield "ixfr", message(question("example", 251) + soa(POINTER), counts=(1, 0, 1, 0))
    yield "any", message(question("example", ANY))
    yield "pointer", message(POINTER + struct.pack("!HH", A, 1))
    yield "notify", message(www, flags=0x2000)
    yield "response", message(www, flags=0x8180)
    yield "longest", message(question(".".join(["x" * 63] * 3 + ["y" * 61])))


def answers():
    www = question("www.example")
    address = bytes([198, 18, 7, 7])

    def said(*records, counts=None, flags=0x8180, ask=www):
        counts = counts or (1, len(records), 0, 0)
        return message(ask + b"".join(records), flags, counts)
    one = record(POINTER, A, 300, address)
    yield "address", said(one)
    yield "two", said(one, record(POINTER, A, 60, address[::-1]))
    yield "alias", said(record(POINTER, CNAME, 300, name("b.example")),
                        record(name("b.example"), A, 60, address))
    yield "dname", said(record(name("example"), DNAME, 300, name("test")),
                        record(POINTER, CNAME, 300, name("www.test")))
    yield "nxdomain", said(soa(name("example")), counts=(1, 0, 1, 0), flags=0x8183)
    yield "nodata", said(soa(POINTER[:1] + b"\x10"), counts=(1, 0, 1, 0))
    yield "referral", said(record(name("example"), NS, 300, name("ns.example")),
                           counts=(1, 0, 1, 0))
    yield "glue", said(one, record(name("example"), NS, 300, name("ns.example")),
                       record(name("ns.example"), A, 300, address), counts=(1, 1, 1, 1))
    yield "truncated", said(flags=0x8380, counts=(1, 0, 0, 0))
    yield "servfail", said(flags=0x8182, counts=(1, 0, 0, 0))
    yield "opt", said(one, opt((15, b"\0\x03")), counts=(1, 1, 0, 1))
    yield "opt-first", said(one, opt(), record(name("ns.example"), A, 300, address),
                            counts=(1, 1, 0, 2))
    yield "badvers", said(opt(flags=0x01000000), counts=(1, 0, 0, 1))
    signature = struct.pack("!HBBIIIH", A, 13, 2, 300, 1900000000, 1700000000, 7)
    yield "signed", said(one, record(POINTER, RRSIG, 300, signature + name("example") + bytes(64)))
    yield "text", said(*[record(POINTER, TXT, 9, b"\x05hello")] * 3, ask=question("www.example",
                                                                               TXT))
    yield "mail", said(record(POINTER, MX, 9, b"\0\x0a\xc0\x10"), ask=question("www.example", MX))
    yield "service", said(record(POINTER, SRV, 9, bytes(6) + name("a.example")),
                          ask=question("www.example", SRV))
    yield "unknown", said(record(POINTER, 65280, 1 << 31, bytes(20)),
                          ask=question("www.example", 65280))
    # Its second half stands where no pointer leads.
    yield "large", said(record(POINTER, 65280, 300, bytes(0x4000)),
                        record(POINTER, 65280, 60, b"x"),
                        record(name("far.example"), NSEC, 300, POINTER + bytes(3)),
                        record(name("a")[:-1] + POINTER, A, 300, address),
                        ask=question("www.example", 65280), counts=(1, 2, 1, 1))


def ones_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff or 0xffff


def frame(payload, v6=False):
    udp = struct.pack("!HHHH", 40000, 53, 8 + len(payload), 0) + payload
    if v6:
        ends = bytes.fromhex("fd000018" + "0" * 22 + "09" + "fd000018" + "0" * 22 + "53")
        head = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + ends
    else:
        ends = bytes([198, 18, 0, 9, 198, 18, 0, 53])
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 7, 0x4000, 64, 17, 0)
        head = head[:10] + struct.pack("!H", ones_sum(head + ends)) + ends
    total = ones_sum(ends + struct.pack("!HH", 17, len(udp)) + udp)
    mac = bytes([2, 0, 0, 0, 0, 0x53, 2, 0, 0, 0, 0, 9])
    kind = b"\x86\xdd" if v6 else b"\x08\0"
    return mac + kind + head + udp[:6] + struct.pack("!H", total) + udp[8:]


# --- stories of the frame target; the numbers are indices into the tables of frame_world.cpp

def world(workers=1, backends=1, forward=0, local=0, features=0, prefetch=0, rules=0, stale=0,
          hedge=0, slow=0):
    pools = 1 if backends == 1 else 2
    choice = bytes([1, workers - 1, backends - 1, slow])
    if backends > 1:
        choice += bytes([0, 0])
    choice += bytes([forward, local, features, prefetch, 1, rules, 2])
    return choice + again(pools, backends, stale, hedge)


def again(pools, backends, stale=0, hedge=0):
    return bytes([0] * pools + [0] * backends + [stale, hedge, 1, 0])


def asks(which=0, qtype=0, options=None, source=0, ident=1, kind=6):
    choice = bytes([0, 4 if options is None else kind, ident, which, qtype])
    if options is not None:
        choice += bytes([0, 154, len(options)])
        for code, size, data in options:
            choice += bytes([code, size]) + data
    return choice + bytes([0, source, 0, 0, 0, 0])


def answered(kind=10, wrong=14, ttl=60, detail=(), index=0):
    return bytes([4, index, wrong, ttl, kind, *detail, *([0] if wrong > 5 else []), 0])


TURN = b"\x0f"


def passes(which, times=1):
    return bytes([8, which, times - 1, 0])


def stories():
    cookie = (2, 1, bytes(8))
    told = asks() + TURN + answered() + TURN
    yield "miss-hit", world() + told + asks(ident=2) + TURN
    yield "two-workers", world(workers=2, backends=3) + told * 3
    yield "forged", world() + asks() + TURN + b"".join(answered(wrong=w) for w in range(6)) + TURN
    yield "cookies", (world(features=2) + asks(options=[cookie]) + TURN + answered() + TURN
                      + asks(options=[(2, 5, b"")]) + asks(options=[cookie], kind=5)
                      + asks(options=[(2, 5, b"")], kind=5) + TURN)
    yield "local", world(local=1, features=20) + b"".join(asks(which) for which in range(6, 12))
    yield "any", world(features=4) + asks(qtype=6) + TURN
    yield "forward", world(backends=3, forward=1) + asks(5) + TURN + answered() + TURN
    yield "rules", world(rules=1) + b"".join(asks(source=s) for s in range(7)) + TURN
    yield "prefetch", (world(prefetch=2) + told + asks() + passes(5, 2) * 20 + asks(ident=3) + TURN
                       + answered() + TURN)
    yield "stale", (world(stale=2) + told + passes(7) + asks(ident=4) + TURN + passes(4, 4)
                    + asks(ident=5) + TURN)
    yield "hedge", (world(backends=4, hedge=2) + asks() + TURN + passes(1) + TURN
                    + answered(index=1))
    yield "no-edns", world() + asks() + TURN + answered(kind=4, detail=[1]) + TURN + answered()
    yield "no-question", world() + asks() + TURN + answered(kind=3, wrong=5) + TURN
    yield "truncated", world(slow=1) + asks() + TURN + answered(kind=5) + TURN * 3
    yield "refresh", (world(workers=2, prefetch=2) + (told + asks() + TURN) * 2 + passes(5, 4) * 12
                      + (asks() + asks(ident=3) + TURN + answered() + TURN) * 2)
    yield "failures", world(backends=2) + (asks() + TURN + answered(kind=3) + TURN) * 4
    for kind in range(9):
        yield f"answer-{kind}", world(backends=2) + asks() + TURN + answered(kind) + TURN + asks()


# --- stories of the stream target, after stream_world.cpp

CONNECT = b"\x00\x00"


def says(which=0, qtype=0, ident=1, client=0):
    return bytes([1, client, 0, 2, ident, which, qtype, 0])


def flush(client=0, shut=1, gone=0):
    return bytes([11, client, shut, gone])


def udp_answer(kind=7, ttl=75):
    return bytes([7, 0, 0, kind] + ([ttl] if kind > 3 else []) + [0])


def tcp_answer(kind=7, what=7, ttl=75):
    return bytes([8, 0, 0, what, kind] + ([ttl] if kind > 3 else []) + [0])


def talks():
    def begin(limits=0, features=2):
        return bytes([1, limits, features]) + CONNECT
    turn = b"\x06\x00"
    known = says() + flush() + udp_answer() + turn
    yield "hit", begin() + known + says(1, ident=2) + flush()
    yield "pipelined", begin() + b"".join(says(i, ident=i) for i in range(7)) + flush() + turn
    yield "few-in-work", begin(2) + b"".join(says(i, ident=i) for i in range(7)) + flush() + turn
    yield "octets", begin() + says() + bytes([4, 0, 1, 6, 0]) * 20 + flush()
    yield "shut", begin() + says() + flush(shut=0) + udp_answer() + turn
    yield "hang-up", begin() + says() + flush(gone=15) + udp_answer() + turn
    yield "too-short", begin() + bytes([1, 0, 0, 0, 3]) + b"abc" + flush()
    yield "good-then-bad", (begin() + says(qtype=5) + bytes([1, 0, 0, 0, 3]) + b"abc" + flush())
    yield "truncated", (begin() + says() + flush() + udp_answer(1) + turn * 3 + tcp_answer()
                        + turn)
    yield "large", (begin() + says(qtype=3) + flush() + udp_answer(1) + turn * 3 + tcp_answer(3)
                    + turn)
    large = [3, 30]
    cookie = bytes([1, 0, 0, 5, 1, 0, 3, 1, 1, 2]) + bytes(9)
    yield "largest", (begin() + cookie + flush() + udp_answer(1) + turn * 3
                      + bytes([8, 0, 0, 7, 3, *large, 0]) + turn)
    yield "upstream-closes", (begin() + says() + flush() + udp_answer(1) + turn * 3
                              + tcp_answer(what=0) + turn)
    yield "too-many", begin(3) + CONNECT * 3 + known
    yield "idle", begin(6) + says() + flush() + bytes([9, 0, 200]) + turn
    yield "options", (begin(features=18) + bytes([1, 0, 0, 5, 1, 0, 0, 3, 0, 0, 1, 2]) + bytes(8)
                      + bytes([2, 0, 0]) + flush())


def reader(segments, stream):
    choice = bytes([0, len(segments) - 1])
    for size, held in segments:
        choice += bytes([size - 1]) + (bytes([0, held]) if held is not None else b"\x01")
    return choice + stream


def readers():
    framed = b"".join(struct.pack("!H", len(m)) + m for m in (b"", b"a", b"bc" * 20, b"d" * 300))
    yield "reader-whole", reader([(199, None)], framed)
    yield "reader-octets", reader([(1, None)], framed)
    yield "reader-waits", reader([(30, 0), (7, 1), (60, None)], framed)
    yield "reader-rest", reader([(3, None)], framed + b"\0\x09rest")


def main():
    beside = pathlib.Path(__file__).parent / "corpus"
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    frames = [("v4-" + n, b"\0" + frame(m)) for n, m in queries()]
    frames += [("v6-" + n, b"\0" + frame(m, True)) for n, m in queries() if "edns" in n]
    for target, seeds in {"query": queries(), "answer": answers(),
                          "frame": [*frames, *stories()],
                          "stream": [*readers(), *talks()]}.items():
        (root / target).mkdir(parents=True, exist_ok=True)
        for label, data in seeds:
            (root / target / f"seed-{label}").write_bytes(data)


if __name__ == "__main__":
    main()
