# SPDX-License-Identifier: Apache-2.0
"""A89: with client subnet on, all of RFC 7871 section 7.3. The pool `subnet` tells its resolver 24
bits of an IPv4 address and 56 of an IPv6 one, and keeps 4 answers of a question for subnets."""

import dns.edns
import dns.rcode
import pytest
from dns.edns import ECSOption

from world import SUBNET_PORT, Changed, every_way, reply_to, rrset, soa

OWN = {"4": ("198.18.0.0", 24), "6": ("fd00:18::", 56)}  # what is told of the clients of the lab


def told_in(message):
    """(address, SOURCE, SCOPE) of the option; None: there is none."""
    found = [option for option in message.options if option.otype == dns.edns.ECS]
    assert len(found) <= 1
    return (found[0].address, found[0].srclen, found[0].scopelen) if found else None


def for_subnets(name, scope, **content):
    """A resolver that says to whom its answer goes: the n-th one is 192.0.2.n."""
    number = iter(range(1, 250))

    def script(asked):
        told = told_in(asked.message)
        options = [] if scope is None or told is None else [ECSOption(told[0], told[1], scope)]
        answer = content.get("answer", [rrset(name, "A", f"192.0.2.{next(number)}")])
        return reply_to(asked, **{**content, "answer": answer, "options": options})

    return script


def ask(world, way, name, *told, **options):
    if told:
        options["options"] = [ECSOption(*told)]
    return world.ask(way, name, port=SUBNET_PORT, **options)


def address(answer):
    assert answer.rcode == "NOERROR"
    return answer.message.answer[0][0].address


@every_way
def test_A89_the_resolver_is_told_the_clients_subnet(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, 24))
    for _ in range(2):
        assert told_in(ask(world, way, name).message) is None
    assert [told_in(asked.message) for asked in world.asked(name)] == [(*OWN[way[-1]], 0)]


@every_way
def test_A89_answers_are_for_their_subnet(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, 24))
    nets = ("198.51.100.0", "198.51.101.0", "203.0.113.0")
    for _ in range(2):
        for number, net in enumerate(nets):
            answer = ask(world, way, name, net, 24)
            assert address(answer) == f"192.0.2.{number + 1}"
            assert told_in(answer.message) == (net, 24, 24)
    assert len(world.asked(name)) == 3


@every_way
def test_A89_the_longest_match(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, 24))
    assert address(ask(world, way, name, "198.51.100.0", 24)) == "192.0.2.1"
    world.serve(name, for_subnets(name, 16, answer=[rrset(name, "A", "192.0.2.99")]))
    assert address(ask(world, way, name, "198.51.7.0", 24)) == "192.0.2.99"
    assert address(ask(world, way, name, "198.51.100.0", 24)) == "192.0.2.1"
    answer = ask(world, way, name, "198.51.101.0", 24)
    assert address(answer) == "192.0.2.99" and told_in(answer.message) == ("198.51.101.0", 24, 16)
    assert len(world.asked(name)) == 2


@every_way
@pytest.mark.parametrize("scope", (0, None))
def test_A89_scope_0_or_none_is_for_all(world, way, scope):
    name = world.name()
    world.serve(name, for_subnets(name, scope))
    nets = (("198.51.100.0", 24), ("203.0.113.0", 24), ("2001:db8::", 56), ("0.0.0.0", 0))
    for net, bits in nets:
        answer = ask(world, way, name, net, bits)
        assert address(answer) == "192.0.2.1" and told_in(answer.message) == (net, bits, 0)
    assert address(ask(world, way, name)) == "192.0.2.1"
    assert len(world.asked(name)) == 1


@every_way
def test_A89_no_more_is_told_than_client_and_config_say(world, way):
    for told, passed in (
        (("198.51.0.0", 16), ("198.51.0.0", 16, 0)),
        (("198.51.100.77", 32), ("198.51.100.0", 24, 0)),
        (("2001:db8:0:77::", 64), ("2001:db8::", 56, 0)),
        (("0.0.0.0", 0), ("0.0.0.0", 0, 0)),
    ):
        name = world.name()
        ask(world, way, name, *told)
        assert [told_in(asked.message) for asked in world.asked(name)] == [passed]


@every_way
def test_A89_who_tells_nothing_is_served_apart(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, 24))
    assert address(ask(world, way, name)) == "192.0.2.1"
    world.serve(name, for_subnets(name, 0, answer=[rrset(name, "A", "192.0.2.99")]))
    for _ in range(2):
        assert address(ask(world, way, name, "0.0.0.0", 0)) == "192.0.2.99"
    assert address(ask(world, way, name)) == "192.0.2.1"
    assert address(ask(world, way, name, "203.0.113.0", 24)) == "192.0.2.99"
    assert len(world.asked(name)) == 3, "what was told nothing is not for those who tell"


@every_way
def test_A89_a_scope_beyond_what_was_told(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, 24))
    assert address(ask(world, way, name, "198.51.0.0", 16)) == "192.0.2.1"
    assert address(ask(world, way, name, "198.51.0.0", 16)) == "192.0.2.1"
    assert address(ask(world, way, name, "198.51.0.0", 17)) == "192.0.2.2"
    assert address(ask(world, way, name, "198.51.0.0", 24)) == "192.0.2.3"
    world.serve(name, for_subnets(name, 32, answer=[rrset(name, "A", "192.0.2.99")]))
    for host in ("203.0.113.1", "203.0.113.200"):
        assert address(ask(world, way, name, host, 32)) == "192.0.2.99"
    assert len(world.asked(name)) == 4


@every_way
def test_A89_denials_are_for_all(world, way):
    for rcode in (dns.rcode.NXDOMAIN, dns.rcode.NOERROR):
        name = world.name()
        content = {"answer": [], "authority": [soa("example")], "rcode": rcode}
        world.serve(name, for_subnets(name, 24, **content))
        for net in ("198.51.100.0", "203.0.113.0"):
            assert ask(world, way, name, net, 24).rcode == dns.rcode.to_text(rcode)
        assert len(world.asked(name)) == 1


@every_way
@pytest.mark.parametrize(
    "other", (("198.51.101.0", 24), ("198.51.100.0", 23), ("2001:db8::", 24)), ids=str
)
def test_A89_an_answer_for_another_subnet_is_dropped(world, way, other):
    name = world.name()

    def script(asked):
        wrong = [rrset(name, "A", "192.0.2.66")]
        right = [rrset(name, "A", "192.0.2.1")]
        return [
            reply_to(asked, answer=wrong, options=[ECSOption(*other, 24)]),
            reply_to(asked, answer=right, options=[ECSOption("198.51.100.0", 24, 24)]),
        ]

    world.serve(name, script)
    with Changed() as changed:
        assert address(ask(world, way, name, "198.51.100.0", 24)) == "192.0.2.1"
    assert changed["up_drop_subnet"] == 1, changed


@every_way
@pytest.mark.parametrize("rcode", (dns.rcode.REFUSED, dns.rcode.FORMERR))
def test_A89_refused_is_asked_again_without(world, way, rcode):
    name = world.name()

    def script(asked):
        if told_in(asked.message) is not None:
            return reply_to(asked, rcode=rcode)
        return reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")])

    world.serve(name, script)
    answer = ask(world, way, name, "198.51.100.0", 24)
    assert address(answer) == "192.0.2.1" and told_in(answer.message) == ("198.51.100.0", 24, 0)
    assert len(world.asked(name)) == 2
    assert address(ask(world, way, name)) == "192.0.2.1" and len(world.asked(name)) == 2


@every_way
@pytest.mark.parametrize(
    "data",
    (b"\0\3\0\0", b"\0\1\x21\0" + bytes(5), b"\0\1\x08\0\xff\0", b"\0\1\x07\0\xff", b"\0\1\0\1"),
)
def test_A89_B23_what_cannot_be_is_a_format_error(world, way, data):
    name = world.name()
    for before in (0, 1):  # a miss, and what would be a hit
        answer = ask(world, way, name, options=[dns.edns.GenericOption(8, data)])
        assert answer.rcode == "FORMERR" and len(world.asked(name)) == before
        ask(world, way, name)


@every_way
def test_A89_errors_have_the_option(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, None, answer=[], rcode=dns.rcode.SERVFAIL))
    for _ in range(2):
        answer = ask(world, way, name, "198.51.100.0", 24)
        assert answer.rcode == "SERVFAIL" and told_in(answer.message) == ("198.51.100.0", 24, 0)


@every_way
def test_A89_the_number_of_answers_is_capped(world, way):
    name = world.name()
    world.serve(name, for_subnets(name, 24))
    with Changed() as changed:
        for number in range(5):
            ask(world, way, name, f"198.51.{number}.0", 24)
        for number in range(4):
            assert address(ask(world, way, name, f"198.51.{number}.0", 24)) == (
                f"192.0.2.{number + 1}"
            )
        assert address(ask(world, way, name, "198.51.4.0", 24)) == "192.0.2.6"
    assert changed["ins_skip_subnet"] == 2, changed
    assert len(world.asked(name)) == 6


@every_way
def test_A89_aliases_are_kept_whole(world, way):
    name = world.name()
    chain = [rrset(name, "CNAME", "far.example."), rrset("far.example.", "A", "192.0.2.1")]
    world.serve(name, for_subnets(name, 24, answer=chain))
    for _ in range(2):
        answer = ask(world, way, name, "198.51.100.0", 24)
        assert len(answer.message.answer) == 2
    ask(world, way, name, "198.51.101.0", 24)
    assert len(world.asked(name)) == 2
