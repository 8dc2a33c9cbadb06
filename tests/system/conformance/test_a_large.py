# SPDX-License-Identifier: Apache-2.0
"""Answers that are too large to be kept are treated as all others. Their second half stands where
no compression pointer leads."""

import dns.edns
import dns.flags
import dns.rcode
import pytest

import world as w
from world import PAIR_PORT, Changed, over_tcp, over_udp, reply_to, rrset, says, soa

RD, AD = dns.flags.RD, dns.flags.AD
BLOB = "TYPE65280"


def blob(name, octets: int, ttl: int = 300):
    return rrset(name, BLOB, f"\\# {octets} {'ab' * octets}", ttl=ttl)


def serve_large(world, name, *, answer=(), **content) -> None:
    world.serve(
        name, w.truncated_over_udp(says(answer=[blob(name, 20_000), *answer], **content)), BLOB
    )


@over_tcp
def test_A30_A38_A39_A41_ttls_of_a_large_answer(world, way):
    name = world.name()
    for ttls, shown in (((300, 200), 200), ((2**32 - 1, 2**31), 86400), ((300, 0), 0)):
        answer = [blob(name, octets, ttl) for octets, ttl in zip((3, 4), ttls)]
        world.serve(
            name, w.truncated_over_udp(says(answer=[blob(name, 20_000, ttls[0]), *answer]))
        )
        (whole,) = world.ask(way, name, BLOB).message.answer
        assert len(whole) == 3 and whole.ttl == shown


@over_tcp
def test_A45_a_large_denial(world, way):
    zone = world.name("zone")
    name = f"x.{zone}"
    authority = [soa(zone, 3000, 60), blob(zone, 20_000)]
    world.serve(name, w.truncated_over_udp(says(rcode=dns.rcode.NXDOMAIN, authority=authority)))
    answer = world.ask(way, name)
    assert answer.rcode == "NXDOMAIN"
    assert [one.ttl for one in answer.message.authority] == [60, 300]


@over_tcp
def test_A2_spelling_of_a_large_answer(world, way):
    name = world.name("abcdefghijklmnop")

    def spelt_as_asked(asked):
        spelling = asked.message.question[0].name
        return reply_to(asked, answer=[blob(spelling, 20_000), rrset(spelling, BLOB, "\\# 1 00")])

    world.serve(name, w.truncated_over_udp(spelt_as_asked))
    for spelling in (name.upper(), name, name.title()):
        answer = world.ask(way, spelling, BLOB).message
        assert answer.question[0].name.to_text(omit_final_dot=True) == spelling
        for one in answer.answer:
            assert one.name.to_text(omit_final_dot=True) in (spelling, name)


@pytest.mark.parametrize("way,port", (("tcp4", 53), ("tcp6", 53), ("tcp4", PAIR_PORT)))
def test_A8_A15_ad_of_a_large_answer(world, way, port):
    name = world.name()
    serve_large(world, name, flags=AD)
    for flags, dnssec in ((RD, False), (RD | AD, False), (RD, True)):
        answer = world.ask(way, name, BLOB, port=port, flags=flags, dnssec=dnssec).message
        believed = port == PAIR_PORT and (flags & AD != 0 or dnssec)
        assert bool(answer.flags & AD) == believed
    for asked in world.asked(name):
        assert asked.message.flags & AD


@over_tcp
def test_A24_A72_opt_of_a_large_answer(world, way):
    name = world.name()
    serve_large(world, name, options=[dns.edns.GenericOption(100, b"hundred")])
    for edns in (True, False):
        answer = world.ask(way, name, BLOB, edns=edns)
        assert answer.message.edns == (0 if edns else -1)
        assert answer.message.options == () and b"hundred" not in answer.wire
        assert len(answer.wire) > 20_000


@over_tcp
def test_A31_the_tail_of_a_large_answer(world, way):
    name = world.name()
    serve_large(
        world,
        name,
        authority=[rrset("example", "NS", "ns.evil.example.")],
        additional=[rrset("ns.evil.example", "A", "203.0.113.66")],
    )
    answer = world.ask(way, name, BLOB).message
    assert answer.answer and not answer.authority and not answer.additional


@over_tcp
def test_A30_names_far_behind(world, way):
    name = world.name()
    proof = rrset("far.example", "NSEC", f"{name}. A")
    serve_large(world, name, answer=[rrset(name, BLOB, "\\# 1 00")], authority=[proof])
    answer = world.ask(way, name, BLOB).message
    assert answer.authority == [proof]


@over_tcp
@pytest.mark.parametrize("rcode", (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.YXDOMAIN))
def test_A21_A50_large_failures(world, way, rcode):
    name = world.name()
    serve_large(world, name, rcode=rcode)
    for _ in range(2):
        answer = world.ask(way, name, BLOB)
        assert answer.rcode == "SERVFAIL" and not answer.records
    assert len([asked for asked in world.asked(name) if asked.connection]) == 1


@over_tcp
def test_B3_B15_large_nonsense(world, way):
    for rdata in ("\\# 2 c0ff", "\\# 3 0161c0"):  # forward, and cut short
        name = world.name()
        broken = rrset("far.example", "TYPE2", "ns.example.")

        def nonsense(asked, name=name, broken=broken, rdata=rdata):
            wire = reply_to(asked, answer=[blob(name, 20_000)], authority=[broken]).to_wire(
                max_size=65535
            )
            octets = bytes.fromhex(rdata.split()[2])
            at = wire.rindex(b"\x02ns")
            return wire[:at] + octets + wire[at + len(octets) :]

        world.serve(name, w.truncated_over_udp(nonsense))
        answer = world.ask(way, name, BLOB)
        assert answer.rcode == "SERVFAIL" and not answer.records


@over_udp
def test_A90_large_answers_over_udp(world, way):
    name = world.name()
    serve_large(world, name)
    with Changed() as changed:
        answer = world.ask(way, name, BLOB).message
    assert answer.flags & dns.flags.TC and not answer.answer
    assert changed["ins_skip_size"] == 1
