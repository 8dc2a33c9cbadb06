# SPDX-License-Identifier: Apache-2.0
"""A26: what becomes of an answer with records that do not belong to its question, by the config."""

import dns.rcode
import pytest

import world as w
from world import PAIR_PORT, Changed, every_way, over_tcp, reply_to, rrset, says, soa

BLOB = "TYPE65280"
EVIL = "www.bank.example"
CHOICES = ("relay", "strip", "refuse")


@pytest.fixture(scope="module", params=CHOICES)
def choice(request, running, tmp_path_factory):
    for_all = (w.appliance.STATE / "millrace.yaml").read_text()
    path = tmp_path_factory.mktemp("unrelated") / "millrace.yaml"
    path.write_text(
        for_all.replace("upstream:\n", f"upstream:\n  unrelated_records: {request.param}\n")
    )
    w.appliance.cli("config", "apply", path)
    yield request.param
    w.appliance.cli("config", "apply", w.appliance.STATE / "millrace.yaml")


def owners(answer) -> list[str]:
    return [one.name.to_text(omit_final_dot=True) for one in answer.message.answer]


@every_way
def test_A26_B51_unrelated_records_behind_an_answer(world, way, choice):
    name = world.name()
    world.serve(
        name,
        says(
            answer=[rrset(name, "A", "192.0.2.1"), rrset(EVIL, "A", "203.0.113.66")],
            additional=[rrset("ns.example", "A", "203.0.113.67")],
        ),
    )
    for count in (1, 2):
        with Changed() as changed:
            answer = world.ask(way, name)
        if choice == "refuse":
            assert answer.rcode == "SERVFAIL" and not answer.records
            continue
        assert owners(answer) == [name, EVIL][: 2 if choice == "relay" else 1]
        assert len(answer.message.additional) == (1 if choice == "relay" else 0)
        assert len(world.asked(name)) == count, "it was kept"
        assert changed["ins_skip_chain"] == 1


def in_front(name):
    return {"answer": [rrset(EVIL, "A", "203.0.113.66"), rrset(name, "A", "192.0.2.1")]}


def between(name):
    return {"answer": [*in_front(name)["answer"][::-1], rrset(name, "A", "192.0.2.2")]}


def without_data(name):
    alias = rrset(name, "CNAME", "b.example.")
    return {"answer": [alias, rrset(EVIL, "A", "203.0.113.66")]}


def in_a_denial(name):
    stray = rrset(EVIL, "A", "203.0.113.66")
    return {"answer": [stray], "authority": [soa("example")], "rcode": dns.rcode.NXDOMAIN}


@every_way
@pytest.mark.parametrize("content", (in_front, between, without_data, in_a_denial))
def test_A26_unrelated_records_within_an_answer(world, way, choice, content):
    name = world.name()
    world.serve(name, says(**content(name)))
    answer = world.ask(way, name)
    if choice == "relay":
        assert EVIL in owners(answer)
    else:
        assert answer.rcode == "SERVFAIL" and not answer.records


@pytest.mark.parametrize("way", ("udp4", "tcp4"))
def test_A26_another_backend_may_do_better(world, way, choice):
    """Whichever of the two is asked first has a stray."""
    name = world.name()
    good = rrset(name, "A", "192.0.2.1")
    stray = rrset(EVIL, "A", "203.0.113.66")

    def only_first_strays(asked):
        return reply_to(asked, answer=[good] if len(world.asked(name)) > 1 else [good, stray])

    world.serve(name, only_first_strays)
    answer = world.ask(way, name, port=PAIR_PORT)
    assert owners(answer) == ([name, EVIL] if choice == "relay" else [name])
    assert len({asked.at for asked in world.asked(name)}) == (2 if choice == "refuse" else 1)


@over_tcp
def test_A26_unrelated_records_in_a_large_answer(world, way, choice):
    name = world.name()
    blob = rrset(name, BLOB, f"\\# 20000 {'ab' * 20000}")
    stray = rrset(EVIL, "A", "203.0.113.66")
    world.serve(name, w.truncated_over_udp(says(answer=[blob, stray])))
    answer = world.ask(way, name, BLOB)
    if choice == "refuse":
        assert answer.rcode == "SERVFAIL" and not answer.records
    else:
        assert owners(answer) == [name, EVIL][: 2 if choice == "relay" else 1]


@every_way
def test_A26_answers_without_such_records_are_kept(world, way, choice):
    name = world.name()
    chain = [rrset(name, "CNAME", "b.example."), rrset("b.example", "A", "192.0.2.1")]
    world.serve(name, says(answer=chain))
    for answer in world.ask_twice(way, name):
        assert owners(answer) == [name, "b.example"]


@over_tcp
@pytest.mark.parametrize("edns", (True, False))
@pytest.mark.parametrize("left", (11, 10, 0))
def test_A26_A72_unrelated_records_where_an_opt_has_no_room(world, way, choice, left, edns):
    """An OPT takes 11 octets; `left` are left of the 65535 that a message may have."""
    name = world.name()
    stray = rrset(EVIL, "A", "203.0.113.66")

    def full(asked):
        head = reply_to(asked, answer=[rrset(name, BLOB, "\\# 0"), stray], edns=False)
        octets = 65535 - left - len(head.to_wire())
        blob = rrset(name, BLOB, f"\\# {octets} {'ab' * octets}")
        return reply_to(asked, answer=[blob, stray], edns=False)

    world.serve(name, w.truncated_over_udp(full))
    answer = world.ask(way, name, BLOB, edns=edns)
    if choice == "refuse":
        assert answer.rcode == "SERVFAIL" and not answer.records
    else:
        assert owners(answer) == [name, EVIL][: 2 if choice == "relay" and left == 11 else 1]
    assert answer.message.edns == (0 if edns else -1)
