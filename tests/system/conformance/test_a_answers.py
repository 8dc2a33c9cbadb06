# SPDX-License-Identifier: Apache-2.0
"""A1-A20: every answer is the right one for this client, on a miss as on a hit."""

import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

import world as w
from world import every_way, over_udp, reply_to, rrset, says

AD, CD, RD, AA = dns.flags.AD, dns.flags.CD, dns.flags.RD, dns.flags.AA
Z = 0x0040


@every_way
def test_A1_id_and_addresses(world, way):
    name = world.name()
    for ident in (0, 1, 0x1234, 0xFFFF):
        message = w.query(name)
        message.id = ident
        # The socket is connected: it takes nothing that comes from elsewhere.
        assert world.send(way, message.to_wire())[:2] == ident.to_bytes(2, "big")


@every_way
def test_A2_question_keeps_its_case(world, way):
    name = world.name("MiXeD")
    for spelling in (name, name.upper(), name.lower(), name.swapcase()):
        message = w.query(spelling).to_wire()
        answer = world.send(way, message)
        end = 12 + len(name) + 2 + 4
        assert answer[12:end] == message[12:end]
    assert len(world.asked(name)) == 1


@over_udp
def test_A2_waiting_clients_keep_their_case(world, way):
    held = []
    name = world.serve(world.name("Case"), lambda asked: held.append(asked))
    with w.client(way) as first, w.client(way) as second:
        queries = [w.query(name.upper()).to_wire(), w.query(name.lower()).to_wire()]
        first.send(queries[0])
        world.wait_asked(name)
        second.send(queries[1])
        world.advance(0.01)
        world.resolver.reply(held[0], reply_to(held[0]).to_wire())
        end = 12 + len(name) + 2 + 4
        assert first.receive()[12:end] == queries[0][12:end]
        assert second.receive()[12:end] == queries[1][12:end]
    assert len(world.asked(name)) == 1


@every_way
def test_A3_case_of_ascii_letters_only(world, way):
    plain = world.name("a")
    odd = [b"\xc1", b"\xe1", b"\0", b".", b"\xff", b"@", b"`"]
    names = [dns.name.Name([label, *dns.name.from_text(plain).labels]) for label in odd]
    for idx, name in enumerate(names):
        world.serve(name.to_text(), says(answer=[rrset(name, "A", f"192.0.2.{idx}")]))
    for _ in range(2):
        for idx, name in enumerate(names):
            answer = world.ask(way, name).message
            assert [item.to_text() for item in answer.answer[0]] == [f"192.0.2.{idx}"]
    for name in names:
        assert len(world.asked(name.to_text())) == 1


ATTRIBUTES = {
    "do": {"dnssec": True},
    "cd": {"flags": RD | CD},
    "type": {"rdtype": "AAAA"},
}
NO_ATTRIBUTES = {
    "ad": {"flags": RD | AD},
    "no opt": {"edns": False},
    "size": {"payload": 4096},
    "option": {"options": [dns.edns.GenericOption(65001, b"x")]},
}


@every_way
@pytest.mark.parametrize("which", ATTRIBUTES)
def test_A5_these_have_entries_of_their_own(world, way, which):
    for options in ({}, ATTRIBUTES[which]), (ATTRIBUTES[which], {}):
        name = world.name()
        world.serve(name, says(answer=[rrset(name, "AAAA", "2001:db8::7")]), "AAAA")
        for _ in range(2):
            for one in options:
                world.ask(way, name, **one)
        assert len(world.asked(name)) == 2


@every_way
@pytest.mark.parametrize("which", NO_ATTRIBUTES)
def test_A5_these_share_an_entry(world, way, which):
    for options in ({}, NO_ATTRIBUTES[which]), (NO_ATTRIBUTES[which], {}):
        name = world.name()
        for one in options:
            world.ask(way, name, **one)
        assert len(world.asked(name)) == 1


def test_A5_transport_is_no_part_of_the_key(world):
    name = world.name()
    for way in w.WAYS:
        world.ask(way, name)
    assert len(world.asked(name)) == 1


@every_way
def test_A6_other_records_answer_nothing_of_their_own(world, way):
    name, victim = world.name(), world.name("bank")
    poison = rrset(victim, "A", "203.0.113.66")
    world.serve(
        name, says(answer=[rrset(name, "A", "192.0.2.1")], authority=[poison], additional=[poison])
    )
    world.ask(way, name)
    assert "203.0.113.66" not in str(world.ask(way, victim).message)
    assert len(world.asked(victim)) == 1


@every_way
def test_A7_header(world, way):
    name = world.name()
    world.serve(
        name, lambda asked: reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")], flags=AA | Z)
    )
    for flags in (RD, RD | Z, RD | CD, RD | CD | Z, RD):
        seen = world.ask(way, name, flags=flags).message.flags
        assert seen == dns.flags.QR | dns.flags.RA | RD | (flags & CD)


@every_way
@pytest.mark.parametrize("of_entry", (0, AD))
def test_A8_ad_is_not_passed_on_without_trust(world, way, of_entry):
    name = world.name()
    world.serve(
        name, lambda asked: reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")], flags=of_entry)
    )
    for dnssec in (False, True):
        for flags in (RD, RD | AD):
            for _ in range(2):
                answer = world.ask(way, name, flags=flags, dnssec=dnssec)
                assert not answer.message.flags & AD


@pytest.mark.parametrize("way", ("udp4", "tcp4"))
@pytest.mark.parametrize("of_entry", (0, AD))
def test_A8_ad_of_a_trusted_resolver_reaches_those_who_ask(world, way, of_entry):
    name = world.name()
    world.serve(
        name, lambda asked: reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")], flags=of_entry)
    )
    for dnssec in (False, True):
        for flags in (RD, RD | AD):
            for _ in range(2):
                answer = world.ask(way, name, flags=flags, dnssec=dnssec, port=w.PAIR_PORT)
                wanted = of_entry if dnssec or flags & AD else 0
                assert answer.message.flags & AD == wanted


@every_way
def test_A9_ad_of_the_query_is_not_copied(world, way):
    failing = world.serve(world.name(), says(rcode=dns.rcode.SERVFAIL))
    for _ in range(2):
        assert not world.ask(way, failing, flags=RD | AD).message.flags & AD
    assert not world.ask(way, failing, flags=AD).message.flags & AD  # refused
    large = world.name()
    texts = [f'"{idx}{"y" * 250}"' for idx in range(8)]
    world.serve(large, w.truncated_over_udp(says(answer=[rrset(large, "TXT", *texts)])))
    assert not world.ask(way, large, "TXT", flags=RD | AD).message.flags & AD


@every_way
def test_A10_aa_is_clear(world, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1")], flags=AA))
    for answer in world.ask_twice(way, name):
        assert not answer.message.flags & AA


@every_way
def test_A11_dnssec_records_only_for_do(world, way):
    for order in (False, True), (True, False):
        name = world.name()
        signature = f"A 13 3 300 20400101000000 20200101000000 1 example. {'A' * 86}=="

        def script(asked, name=name, signature=signature):
            answer = [rrset(name, "A", "192.0.2.1")]
            if asked.message.ednsflags & dns.flags.DO:
                answer.append(rrset(name, "RRSIG", signature))
            return reply_to(asked, answer=answer)

        world.serve(name, script)
        for dnssec in order * 2:
            types = [one.rdtype for one in world.ask(way, name, dnssec=dnssec).message.answer]
            assert (dns.rdatatype.RRSIG in types) == dnssec


@every_way
def test_A12_do_is_copied_and_no_other_flag(world, way):
    name = world.name()
    for _ in range(2):
        for flags in (0, 0x8000, 0x8000 | 0x0040, 0x3FFF):
            seen = world.ask(way, name, ednsflags=flags).message.ednsflags & 0xFFFF
            assert seen == flags & 0x8000


@every_way
def test_A13_co_flag_goes_nowhere(world, way):
    name = world.name()
    for _ in range(2):
        assert not world.ask(way, name, ednsflags=0xC000).message.ednsflags & 0x4000
    assert not world.asked(name)[0].message.ednsflags & 0x4000


@every_way
def test_A14_cd_goes_upstream_and_is_kept_apart(world, way):
    name = world.name()
    world.serve(
        name,
        lambda asked: reply_to(
            asked,
            **(
                {"answer": [rrset(name, "A", "192.0.2.66")]}
                if asked.message.flags & CD
                else {"rcode": dns.rcode.SERVFAIL}
            ),
        ),
    )
    for _ in range(2):
        assert world.ask(way, name).rcode == "SERVFAIL"
        assert world.ask(way, name, flags=RD | CD).records
    with_cd = [bool(asked.message.flags & CD) for asked in world.asked(name)]
    assert with_cd.count(True) == 1


@every_way
def test_A15_ad_is_asked_for_upstream(world, way):
    name = world.name()
    world.ask(way, name)
    assert world.asked(name)[0].message.flags & AD


@every_way
@pytest.mark.parametrize("rcode", (dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN))
def test_A16_rcode_of_the_entry(world, way, rcode):
    name = world.name()
    content = {"authority": [w.soa("example")]}
    if rcode == dns.rcode.YXDOMAIN:
        content = {"answer": [rrset("t" + world.test + ".example", "DNAME", "x.example.")]}
    world.serve(name, says(rcode=rcode, **content))
    for answer in world.ask_twice(way, name):
        assert answer.message.rcode() == rcode


@every_way
@pytest.mark.parametrize("octets", (0, 1, 300, 900))
def test_A17_A18_unknown_types_come_as_they_are(world, way, octets):
    name = world.name()
    data = bytes(range(256)) * 4
    text = f"\\# {octets} {data[:octets].hex()}".strip()
    world.serve(name, says(answer=[rrset(name, "TYPE65280", text)]))
    for answer in world.ask_twice(way, name, "TYPE65280"):
        (item,) = answer.message.answer[0]
        assert item.to_digestable() == data[:octets]


@w.over_tcp
def test_A18_rdata_of_60000_octets(world, way):
    name = world.name()
    text = f"\\# 60000 {'ab' * 60000}"
    world.serve(name, w.truncated_over_udp(says(answer=[rrset(name, "TYPE65280", text)])))
    answer = world.ask(way, name, "TYPE65280").message
    (item,) = answer.answer[0]
    assert item.to_digestable() == b"\xab" * 60000


@every_way
def test_A19_order_and_sections(world, way):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[rrset(name, "MX", *(f"{i} m{i}.example." for i in (7, 3, 5, 1)))],
            authority=[w.soa("example"), rrset("example", "NS", "ns.example.")],
            additional=[rrset("m3.example", "A", "192.0.2.3")],
        ),
    )
    first, second = world.ask_twice(way, name, "MX")
    for section in ("answer", "authority", "additional"):
        assert [one.to_text() for one in getattr(first.message, section)] == [
            one.to_text() for one in getattr(second.message, section)
        ]
    orders = [[item.preference for item in one.message.answer[0]] for one in (first, second)]
    assert orders[0] == orders[1] and sorted(orders[0]) == [1, 3, 5, 7]


@every_way
def test_A20_no_record_twice_on_a_hit(world, way):
    name = world.name()

    def twice(asked):
        wire = reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")], edns=False).to_wire()
        record = wire[-(len(wire) - 12 - len(name) - 6) :]
        return wire[:7] + b"\2" + wire[8:] + record

    world.serve(name, twice)
    for _ in range(2):
        world.ask(way, name)
    wire = world.ask(way, name, edns=False).wire
    assert wire[7] == 1 or len(world.asked(name)) == 3
