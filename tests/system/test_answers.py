# SPDX-License-Identifier: Apache-2.0
"""Answers are right for this client, from the cache as from upstream, over IPv4 and IPv6.

Numbers in names are the items of the behaviour list (docs/testing.md).
"""

import itertools
import json
import pathlib
import re
import time

import dns.edns
import dns.flags
import dns.message
import pytest

import appliance
from appliance import (
    SERVICE4,
    SERVICE6,
    SERVICES,
    UPSTREAM4,
    ZONE,
    ask,
    cli,
    dig_for,
    exchange,
    question_of,
    settled_stats,
)
import namespace

LAB = ["--workers", "2"]
# A failure is remembered for 5 s, in which a busy machine may not get far.
CONFIG = appliance.LAB_CONFIG.read_text().replace(
    "    size: 64MiB\n", "    size: 64MiB\n    failure_ttl: 60s\n"
)
assert "failure_ttl" in CONFIG

fresh = itertools.count()


def unused_name() -> str:
    """Exists below the wildcard, has a TTL of 300, and nobody has asked for it yet."""
    return f"q{next(fresh)}-{time.time_ns()}.wild.{ZONE}"


def upstream_answer(name: str, rdtype: str, **options):
    """What the resolver itself says, asked from the appliance's side."""
    query = dns.message.make_query(name, rdtype, **options)
    with namespace.udp_socket(namespace.UPSTREAM, UPSTREAM4) as sock:
        sock.sendto(query.to_wire(), (UPSTREAM4, 53))
        return dns.message.from_wire(sock.recv(65535))


def test_a_start_leaves_nothing_in_the_log(service):
    """What libxdp thinks of our XDP program is nothing to an operator."""
    pid = json.loads(cli("status", "--json").stdout)["dataplane"]["pid"]
    assert pathlib.Path(f"/proc/{pid}/root/run/millrace/dataplane.log").read_text() == ""


@pytest.mark.parametrize("address", SERVICES)
def test_second_query_is_a_hit_and_ttl_falls(service, address):
    name = unused_name()
    before = settled_stats()
    started = time.monotonic()
    first = ask(name, address=address)
    after_first = settled_stats()
    time.sleep(1.1)
    second = ask(name, address=address)
    passed = time.monotonic() - started
    after_second = settled_stats()
    assert after_first.since(before).get("miss") == 1
    assert "hit" not in after_first.since(before)
    assert after_second.since(after_first).get("hit") == 1
    assert "up_sent" not in after_second.since(after_first)
    assert first.records == second.records != []
    assert first.ttls == [300]
    assert 1 <= 300 - second.ttls[0] <= passed


@pytest.mark.parametrize("address", SERVICES)
def test_dig_sees_hit_with_ttl_counting_down(service, address):
    name = unused_name()
    ttls = []
    started = time.monotonic()
    for _ in range(3):
        text = dig_for(name, "+noall", "+answer", address=address)
        ttls.append(int(re.search(r"\s(\d+)\s+IN\s+A\s+192\.0\.2\.42", text)[1]))
        passed = time.monotonic() - started
        time.sleep(1)
    assert ttls[0] == 300
    assert ttls == sorted(set(ttls), reverse=True), "TTL does not fall each second"
    assert 2 <= 300 - ttls[2] <= passed


def test_a40_ttl_zero_is_not_kept(service):
    before = settled_stats()
    for _ in range(3):
        assert ask(f"zero.{ZONE}").ttls == [0]
    changed = settled_stats().since(before)
    assert changed.get("miss") == 3 and changed.get("ins_skip_ttl") == 3
    assert "hit" not in changed


@pytest.mark.parametrize("address", SERVICES)
def test_a1_id_is_the_clients(service, address):
    name = unused_name()
    for ident in (0, 1, 0x1234, 0xFFFF):
        assert ask(name, address=address, ident=ident).message.id == ident


def test_a2_question_keeps_its_case(service):
    name = unused_name()
    mixed = "".join(c.upper() if i % 2 else c for i, c in enumerate(name))
    for spelling in (name, mixed, name.upper(), mixed.swapcase()):
        query = dns.message.make_query(spelling, "A", use_edns=0)
        wire = query.to_wire()
        answer = exchange(wire)
        assert question_of(answer) == question_of(wire)
    changed = settled_stats()
    before = changed
    ask(mixed)
    assert settled_stats().since(before).get("hit") == 1


def test_a5_do_and_cd_have_entries_of_their_own(service):
    name = unused_name()
    ask(name)
    before = settled_stats()
    ask(name, dnssec=True)
    ask(name, flags=dns.flags.RD | dns.flags.CD)
    changed = settled_stats().since(before)
    assert changed.get("miss") == 2 and "hit" not in changed
    before = settled_stats()
    ask(name, dnssec=True)
    ask(name, flags=dns.flags.RD | dns.flags.CD)
    ask(name, flags=dns.flags.RD | dns.flags.AD)
    ask(name, edns=False)
    ask(name, payload=4096)
    ask(name, options=[dns.edns.GenericOption(65001, b"who knows")])
    changed = settled_stats().since(before)
    assert changed.get("hit") == 6 and "miss" not in changed


def test_a7_header_of_a_hit(service):
    name = unused_name()
    ask(name)
    flags = ask(name, flags=dns.flags.RD | dns.flags.CD | 0x0040).message.flags
    hit = ask(name, flags=dns.flags.RD | 0x0040).message.flags
    for seen, cd in ((flags, dns.flags.CD), (hit, 0)):
        assert seen & dns.flags.QR and seen & dns.flags.RA and seen & dns.flags.RD
        assert not seen & dns.flags.AA and not seen & dns.flags.TC
        assert not seen & 0x0040, "the reserved bit was copied"
        assert seen & dns.flags.CD == cd


@pytest.mark.parametrize(
    "rdtype,name",
    [
        ("A", "many"),
        ("AAAA", "www"),
        ("MX", ""),
        ("TXT", "txt"),
        ("SRV", "_dns._udp"),
        ("CAA", "caa"),
        ("A", "chain"),
        ("AAAA", "alias"),
        ("CNAME", "alias"),
        ("TYPE65280", "odd"),
        ("SOA", ""),
    ],
)
def test_hit_and_miss_give_what_the_resolver_gives(service, rdtype, name):
    name = f"{name}.{ZONE}".lstrip(".")
    wanted = upstream_answer(name, rdtype)
    wanted = sorted(f"{r.name.to_text().lower()} {i.to_text()}" for r in wanted.answer for i in r)
    assert wanted
    for address in SERVICES * 2:
        got = ask(name, rdtype, address=address).message
        got = sorted(f"{r.name.to_text().lower()} {i.to_text()}" for r in got.answer for i in r)
        assert got == wanted


@pytest.mark.parametrize(
    "name,rdtype,rcode", [("nothing-here", "A", "NXDOMAIN"), ("nodata", "AAAA", "NOERROR")]
)
def test_a45_negative_answers_are_kept_with_their_soa(service, name, rdtype, rcode):
    name = f"{name}.{ZONE}"
    cli("cache", "flush", name)
    before = settled_stats()
    started = time.monotonic()
    first = ask(name, rdtype)
    time.sleep(1.1)
    second = ask(name, rdtype)
    passed = time.monotonic() - started
    changed = settled_stats().since(before)
    assert first.rcode == second.rcode == rcode
    assert changed.get("miss") == 1 and changed.get("hit") == 1
    soa = [answer.message.authority[0] for answer in (first, second)]
    assert soa[0].rdtype == soa[1].rdtype == dns.rdatatype.SOA
    assert soa[0].ttl <= 60, "longer than the zone's minimum"
    assert 1 <= soa[0].ttl - soa[1].ttl <= passed


def test_a50_failure_is_remembered_for_a_while(service):
    name = f"fails-{time.time_ns()}.broken.{ZONE}"
    assert ask(name).rcode == "SERVFAIL"
    before = settled_stats()
    for _ in range(20):
        assert ask(name).rcode == "SERVFAIL"
    changed = settled_stats().since(before)
    assert changed.get("servfail_cached") == 20
    assert "up_sent" not in changed


def test_a72_opt_iff_asked_with_opt(service):
    for first, second in ((True, False), (False, True)):
        name = unused_name()
        for edns in (first, second, first, second):
            assert (ask(name, edns=edns).message.edns == 0) == edns


def test_a73_opt_is_our_own(service):
    name = unused_name()
    for _ in range(2):
        answer = ask(name, dnssec=True, options=[dns.edns.GenericOption(65001, b"x")]).message
        assert answer.payload == 1232
        assert answer.ednsflags & 0xFFFF == dns.flags.DO
        assert answer.options == ()


def test_a74_version_above_zero(service):
    query = dns.message.make_query(f"www.{ZONE}", "A", use_edns=1, payload=1232, want_dnssec=True)
    before = settled_stats()
    answer = dns.message.from_wire(exchange(query.to_wire()))
    changed = settled_stats().since(before)
    assert answer.rcode() == dns.rcode.BADVERS
    assert answer.edns == 0 and not answer.answer and answer.question == query.question
    assert changed.get("badvers") == 1 and "up_sent" not in changed


@pytest.mark.parametrize("address", SERVICES)
def test_a90_what_does_not_fit_is_truncated(service, address):
    answer = ask(f"big.{ZONE}", "TXT", address=address)
    assert answer.message.flags & dns.flags.TC
    assert len(answer.wire) <= 1232 and not answer.message.answer
    assert answer.message.edns == 0
    before = settled_stats()
    ask(f"big.{ZONE}", "TXT", address=address)
    # Kept is the whole answer, which came over TCP (A71), and each reply is cut anew.
    changed = settled_stats().since(before)
    assert changed.get("hit") == 1 and changed.get("reply_truncated") == 1


def test_a75_small_buffers(service):
    name = f"www.{ZONE}"
    for payload in (0, 100, 512):
        assert len(ask(name, payload=payload).wire) <= 512
    assert len(ask(name, edns=False).wire) <= 512


def test_a76_unknown_option_is_not_part_of_the_key(service):
    name = unused_name()
    ask(name, options=[dns.edns.GenericOption(65001, b"one")])
    before = settled_stats()
    ask(name, options=[dns.edns.GenericOption(65001, b"two")])
    assert settled_stats().since(before).get("hit") == 1


def test_v4_and_v6_share_entries(service):
    name = unused_name()
    ask(name, address=SERVICE4)
    before = settled_stats()
    ask(name, address=SERVICE6)
    assert settled_stats().since(before).get("hit") == 1


def test_cache_lookup_and_flush(service):
    name = f"a.flush.{ZONE}"
    ask(name)
    ask(f"flush.{ZONE}")
    assert "192.0.2.5" in cli("cache", "lookup", name).stdout
    before = settled_stats()
    cli("cache", "flush", name)
    ask(name)
    ask(f"flush.{ZONE}")
    changed = settled_stats().since(before)
    assert changed.get("miss") == 1 and changed.get("hit") == 1 and changed.get("cache_flush") == 1
    cli("cache", "flush", f"flush.{ZONE}", "--suffix")
    before = settled_stats()
    ask(name)
    ask(f"flush.{ZONE}")
    assert settled_stats().since(before).get("miss") == 2
    cli("cache", "flush", "--all")
    before = settled_stats()
    ask(name)
    assert settled_stats().since(before).get("miss") == 1
