# SPDX-License-Identifier: Apache-2.0
"""A21-A53: what is kept, for how long, and what becomes of failures. Nothing here sleeps."""

import struct

import dns.edns
import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

import world as w
from world import Changed, every_way, reply_to, rrset, says, soa

RD = dns.flags.RD


def is_kept(world, way, name, rdtype="A", **options) -> bool:
    world.ask(way, name, rdtype, **options)
    count = len(world.asked(name))
    world.ask(way, name, rdtype, **options)
    return len(world.asked(name)) == count


@every_way
@pytest.mark.parametrize(
    "rcode", (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED, 6, 9, 11)
)
def test_A21_other_rcodes_are_no_data(world, way, rcode):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.66")], rcode=rcode))
    for _ in range(2):
        answer = world.ask(way, name)
        assert answer.rcode == "SERVFAIL" and not answer.records


@every_way
def test_A21_spare_octets_are_not_kept(world, way):
    name = world.name()
    world.serve(
        name,
        lambda asked: reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")]).to_wire()
        + b"spare octets",
    )
    for _ in range(3):
        answer = world.send(way, w.query(name, edns=False).to_wire())
        assert b"spare" not in answer
        assert len(answer) == 12 + len(name) + 2 + 4 + 16


@every_way
def test_A22_extended_errors_are_no_data(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.66")], rcode=dns.rcode.BADVERS))
    answer = world.ask(way, name)
    assert answer.rcode == "SERVFAIL" and not answer.records
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.66")], rcode=23))  # BADCOOKIE
    assert world.ask(way, name).rcode == "SERVFAIL"


@every_way
def test_A22_signed_answers_are_not_kept(world, way):
    name = world.name()

    def signed(asked):
        wire = reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")], edns=False).to_wire()
        tsig = b"\0" + struct.pack("!HHIH", 250, 255, 0, 16) + b"\0" * 16
        return wire[:10] + b"\0\1" + wire[12:] + tsig

    world.serve(name, signed)
    assert not is_kept(world, way, name)


@every_way
def test_A23_truncated_answers_are_not_kept(world, way):
    name = world.name()
    world.serve(
        name,
        lambda asked: None
        if asked.connection
        else reply_to(asked, answer=[rrset(name, "A", "192.0.2.66")], flags=dns.flags.TC),
    )
    with w.client(way) as asker:
        for round_ in (1, 2):
            asker.send(w.query(name).to_wire())
            w.appliance.wait_until(
                lambda: sum(a.connection is not None for a in world.asked(name)) >= round_,
                w.PATIENCE_S,
                "the question over TCP",
            )
            world.advance(6)
            answer = dns.message.from_wire(asker.receive())
            assert "192.0.2.66" not in str(answer)
            if way in w.UDP:
                assert answer.flags & dns.flags.TC
            else:
                assert answer.rcode() == dns.rcode.SERVFAIL
                return  # remembered


@every_way
def test_A23_after_truncation_the_whole_answer_is_kept(world, way):
    name = world.name()
    whole = says(answer=[rrset(name, "A", *(f"192.0.2.{i}" for i in range(20)))])
    world.serve(name, w.truncated_over_udp(whole))
    first, second = world.ask_twice(way, name)
    assert len(first.records) == len(second.records) == 20
    assert [asked.connection is not None for asked in world.asked(name)] == [False, True]


@every_way
def test_A24_opt_of_upstream_is_gone(world, way):
    name = world.name()
    options = [dns.edns.GenericOption(100, b"hundred"), dns.edns.GenericOption(15, b"\0\x0aoops")]
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1")], options=options))
    for answer in world.ask_twice(way, name):
        assert answer.message.options == () and answer.message.payload == 1232
        assert b"hundred" not in answer.wire and b"oops" not in answer.wire


@every_way
def test_A25_records_behind_opt(world, way):
    name = world.name()

    def opt_first(asked):
        wire = reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")], edns=False).to_wire()
        opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
        glue = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 9, 4, b"\xc0\0\2\x09")
        return wire[:10] + b"\0\2" + wire[12:] + opt + glue

    world.serve(name, opt_first)
    for _ in range(3):
        for edns in (True, False):
            answer = world.ask(way, name, edns=edns)
            assert "192.0.2.1" in answer.records[0]
            assert (answer.message.edns == 0) == edns


@every_way
def test_A26_records_off_the_chain_are_not_kept(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[rrset(name, "A", "192.0.2.1"), rrset("www.bank.example", "A", "203.0.113.66")]
        ),
    )
    assert not is_kept(world, way, name)


@every_way
def test_A27_chains_are_kept_whole_for_their_shortest_ttl(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[
                rrset(name, "CNAME", "b.chain.example.", ttl=100),
                rrset("b.chain.example", "CNAME", "c.chain.example.", ttl=20),
                rrset("c.chain.example", "A", "192.0.2.1", ttl=300),
            ]
        ),
    )
    first, second = world.ask_twice(way, name)
    assert len(first.records) == len(second.records) == 3
    assert first.records == second.records
    world.advance(19)
    world.ask(way, name)
    assert len(world.asked(name)) == 1
    world.advance(1)
    world.ask(way, name)
    assert len(world.asked(name)) == 2


@every_way
def test_A27_a_chain_without_end_is_not_kept(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "CNAME", "b.chain.example.")]))
    assert not is_kept(world, way, name)
    name = world.name()
    world.serve(
        name,
        says(
            answer=[
                rrset(name, "CNAME", "b.chain.example."),
                rrset("b.chain.example", "CNAME", f"{name}."),
            ]
        ),
    )
    assert not is_kept(world, way, name)


@every_way
def test_A28_dname(world, way):
    zone = world.name("dname")
    name = f"www.{zone}"
    world.serve(
        name,
        says(
            answer=[
                rrset(zone, "DNAME", "target.example."),
                rrset(name, "CNAME", "www.target.example."),
                rrset("www.target.example", "A", "192.0.2.1"),
            ]
        ),
    )
    first, second = world.ask_twice(way, name)
    assert first.records == second.records and len(first.records) == 3
    world.ask(way, f"other.{zone}")
    assert len(world.asked(f"other.{zone}")) == 1


@every_way
def test_A29_nothing_is_made_up(world, way):
    zone = world.name("zone")
    world.serve(f"*.{zone}", says(answer=[rrset(f"*.{zone}", "A", "192.0.2.1")]))
    world.serve(f"gone.{zone}", says(rcode=dns.rcode.NXDOMAIN, authority=[soa(zone)]))
    world.ask(way, f"*.{zone}")
    world.ask(way, f"gone.{zone}")
    for name in (f"a.{zone}", f"below.gone.{zone}"):
        world.ask(way, name)
        assert len(world.asked(name)) == 1


@every_way
def test_A30_an_entry_goes_as_a_whole(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[rrset(name, "MX", "1 m.example.", ttl=300)],
            authority=[soa("example", ttl=200)],
            additional=[rrset("m.example", "A", "192.0.2.1", ttl=30)],
        ),
    )
    world.ask_twice(way, name, "MX")
    world.advance(29)
    assert [one.ttl for one in world.ask(way, name, "MX").message.additional] == [1]
    world.advance(1)
    world.ask(way, name, "MX")
    assert len(world.asked(name)) == 2


@every_way
def test_A31_referral_data_is_cut_from_positive_answers(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[rrset(name, "A", "192.0.2.1")],
            authority=[rrset("example", "NS", "ns.evil.example.")],
            additional=[rrset("ns.evil.example", "A", "203.0.113.66")],
        ),
    )
    answers = world.ask_twice(way, name)
    for answer in answers:
        assert not answer.message.authority and not answer.message.additional


@every_way
def test_A32_a_referral_is_a_failure(world, way):
    name = world.name()
    world.serve(name, says(authority=[rrset("example", "NS", "ns.example.")]))
    for _ in range(2):
        assert world.ask(way, name).rcode == "SERVFAIL"


@w.over_tcp
def test_A33_large_answers_are_not_kept(world, way):
    name = world.name()
    text = f"\\# 5000 {'ab' * 5000}"
    world.serve(name, w.truncated_over_udp(says(answer=[rrset(name, "TYPE65280", text)])))
    for count in (1, 2):
        assert len(world.ask(way, name, "TYPE65280").wire) > 5000
        assert sum(asked.connection is not None for asked in world.asked(name)) == count


@w.over_udp
def test_A34_any_over_udp_is_minimal(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[
                rrset(name, "A", "192.0.2.1"),
                rrset(name, "TXT", "x"),
                rrset(name, "MX", "1 m."),
            ]
        ),
    )
    answer = world.ask(way, name, "ANY").message
    assert len(answer.answer) <= 1
    assert answer.flags & dns.flags.TC or answer.answer
    assert not world.asked(name)


@every_way
def test_A34_any_and_others_do_not_mix(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.99")]), "A")
    world.ask("tcp4", name, "ANY")
    before = len(world.asked(name, "A"))
    assert "192.0.2.99" in world.ask(way, name, "A").records[0]
    assert len(world.asked(name, "A")) == before + 1
    world.ask(way, name, "RRSIG")
    assert len(world.asked(name, "RRSIG")) == 1


@every_way
@pytest.mark.parametrize("ttl,minimum", ((60, 3000), (3000, 60)))
def test_A35_A45_ttl_of_a_denial(world, way, ttl, minimum):
    zone = world.name("zone")
    for rcode in (dns.rcode.NXDOMAIN, dns.rcode.NOERROR):
        name = f"x{rcode}.{zone}"
        world.serve(name, says(rcode=rcode, authority=[soa(zone, ttl, minimum)]))
        first, second = world.ask_twice(way, name)
        for answer in (first, second):
            assert answer.message.rcode() == rcode
            assert [(one.rdtype, one.ttl) for one in answer.message.authority] == [
                (dns.rdatatype.SOA, 60)
            ]
        world.advance(59)
        assert world.ask(way, name).message.authority[0].ttl == 1
        assert len(world.asked(name)) == 1
        world.advance(1)
        world.ask(way, name)
        assert len(world.asked(name)) == 2


@every_way
def test_A36_ttl_decrements(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[rrset(name, "MX", "1 m.example.", ttl=30)],
            authority=[soa("example", ttl=40)],
            additional=[rrset("m.example", "A", "192.0.2.1", ttl=50)],
        ),
    )
    world.ask(way, name, "MX")
    for age in range(1, 30):
        world.advance(1)
        seen = world.ask(way, name, "MX").message
        ttls = [one.ttl for one in seen.answer + seen.authority + seen.additional]
        assert ttls == [30 - age, 40 - age, 50 - age]
    assert len(world.asked(name)) == 1


@every_way
def test_A37_never_rises_and_then_is_gone(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1", ttl=5)]))
    last = world.ask(way, name).ttls[0]
    for _ in range(24):
        world.advance(0.2)
        ttl = world.ask(way, name).ttls[0]
        assert 0 <= ttl <= last
        last = ttl
    assert len(world.asked(name)) == 1
    world.advance(0.2)
    assert world.ask(way, name).ttls == [5] and len(world.asked(name)) == 2


@every_way
@pytest.mark.parametrize("ttl", (86401, 604800, 2**31 - 1, 2**31, 2**32 - 1))
def test_A38_A39_large_ttls_are_capped(world, way, ttl):
    name = world.name()

    def large(asked):
        wire = reply_to(asked, answer=[rrset(name, "A", "192.0.2.1", ttl=7)], edns=False).to_wire()
        return wire.replace(struct.pack("!IH", 7, 4), struct.pack("!IH", ttl, 4))

    world.serve(name, large)
    first, second = world.ask_twice(way, name)
    assert first.ttls == second.ttls == [86400]
    world.advance(86399)
    assert world.ask(way, name).ttls == [1]
    world.advance(1)
    world.ask(way, name)
    assert len(world.asked(name)) == 2


@every_way
def test_A40_ttl_zero_is_not_kept(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1", ttl=0)]))
    for count in (1, 2, 3):
        assert world.ask(way, name).ttls == [0]
        assert len(world.asked(name)) == count


def test_A40_all_who_wait_get_it(world):
    held = []
    name = world.serve(world.name(), lambda asked: held.append(asked))
    with w.client("udp4") as first, w.client("udp6") as second:
        first.send(w.query(name).to_wire())
        second.send(w.query(name).to_wire())
        world.wait_asked(name)
        world.advance(0.05)
        reply = reply_to(held[0], answer=[rrset(name, "A", "192.0.2.1", ttl=0)])
        world.resolver.reply(held[0], reply.to_wire())
        assert dns.message.from_wire(first.receive()).answer
        assert dns.message.from_wire(second.receive()).answer
    assert len(world.asked(name)) == 1


@every_way
def test_A41_ttls_of_a_set_are_levelled(world, way):
    name = world.name()

    def uneven(asked):
        wire = reply_to(
            asked, answer=[rrset(name, "A", "192.0.2.1", "192.0.2.2", ttl=77)], edns=False
        ).to_wire()
        first, rest = wire.split(struct.pack("!IH", 77, 4), 1)
        return first + struct.pack("!IH", 11, 4) + rest

    world.serve(name, uneven)
    for answer in world.ask_twice(way, name):
        assert answer.ttls == [11]


@every_way
def test_A43_the_minimum_is_off(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1", ttl=1)]))
    world.ask_twice(way, name)
    world.advance(1)
    world.ask(way, name)
    assert len(world.asked(name)) == 2


@every_way
@pytest.mark.parametrize("rcode", (dns.rcode.NXDOMAIN, dns.rcode.NOERROR))
def test_A46_a_denial_without_soa_is_not_kept(world, way, rcode):
    name = world.name()
    world.serve(name, says(rcode=rcode))
    for count in (1, 2):
        assert world.ask(way, name).message.rcode() == rcode
        assert len(world.asked(name)) == count


@every_way
def test_A47_a_soa_of_elsewhere_does_not_count(world, way):
    name = world.name()
    world.serve(name, says(rcode=dns.rcode.NXDOMAIN, authority=[soa("other.test.example")]))
    assert not is_kept(world, way, name)


@every_way
def test_A48_proofs_stay(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            rcode=dns.rcode.NXDOMAIN,
            authority=[
                soa("example"),
                rrset("a.example", "NSEC", "z.example. A NSEC"),
            ],
        ),
    )
    for answer in world.ask_twice(way, name, dnssec=True):
        assert dns.rdatatype.NSEC in [one.rdtype for one in answer.message.authority]


@every_way
def test_A49_no_denial_of_names_below(world, way):
    zone = world.name("gone")
    world.serve(zone, says(rcode=dns.rcode.NXDOMAIN, authority=[soa("example")]))
    world.ask_twice(way, zone)
    assert world.ask(way, f"below.{zone}").rcode == "NOERROR"


@every_way
@pytest.mark.parametrize("rcode", (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR))
def test_A50_a_failure_is_remembered(world, way, rcode):
    name = world.name()
    world.serve(name, says(rcode=rcode))
    assert world.ask(way, name).rcode == "SERVFAIL"
    count = len(world.asked(name))
    with w.client(way) as asker:
        for _ in range(100):
            asker.send(w.query(name).to_wire())
            assert asker.receive()[3] & 15 == dns.rcode.SERVFAIL
    world.advance(0.999)
    world.ask(way, name)
    assert len(world.asked(name)) == count
    world.advance(300)
    world.ask(way, name)
    assert len(world.asked(name)) > count


def test_A50_silence_is_remembered(world):
    name = world.serve(world.name(), w.silent)
    with w.client("udp4") as asker:
        asker.send(w.query(name).to_wire())
        world.wait_asked(name)
        world.advance(5.1)
        assert asker.receive()[3] & 15 == dns.rcode.SERVFAIL
    count = len(world.asked(name))
    for way in w.WAYS:
        assert world.ask(way, name).rcode == "SERVFAIL"
    assert len(world.asked(name)) == count


def test_A51_failures_are_remembered_longer_and_longer(world):
    name = world.serve(world.name(), says(rcode=dns.rcode.SERVFAIL))
    world.ask("udp4", name)
    for wait in (5, 10, 20, 40, 80, 160, 300, 300):
        count = len(world.asked(name))
        world.advance(wait - 0.1)
        world.ask("udp4", name)
        assert len(world.asked(name)) == count, wait
        world.advance(0.2)
        world.ask("udp4", name)
        assert len(world.asked(name)) > count, wait


@every_way
def test_A52_extended_error_13(world, way):
    name = world.serve(world.name(), says(rcode=dns.rcode.SERVFAIL))
    world.ask(way, name)
    hit = world.ask(way, name).message
    assert [option.code for option in hit.options if option.otype == dns.edns.OptionType.EDE] == [
        13
    ]
    assert world.ask(way, name, edns=False).message.edns == -1


def test_A53_a_failure_leaves_other_entries(world):
    name = world.name()
    world.ask("udp4", name)
    world.serve(name, says(rcode=dns.rcode.SERVFAIL))
    world.ask("udp4", name, dnssec=True)  # fails
    for way in w.WAYS:
        assert world.ask(way, name).records


def test_A128_failures_have_counters(world):
    name = world.serve(world.name(), says(rcode=dns.rcode.SERVFAIL))
    with Changed() as changed:
        world.ask("udp4", name)
        world.ask("udp4", name)
    assert changed["servfail_cached"] == 1 and changed["waiter_failed"] == 1, changed
