# SPDX-License-Identifier: Apache-2.0
"""A42, A122: the end of an answer, and what is served past it (RFC 8767). Nothing here sleeps."""

import time

import dns.edns
import dns.flags
import dns.rcode
import pytest

import world as w
from world import Changed, every_way, rrset, says, soa

TTL_S = 20
SHOWN_TTL_S = 30
CLIENT_TIMER_S = 1.82  # and a turn of the deadlines
RECHECK_S = 30
KEPT_S = 3600
STALE_ANSWER, STALE_NXDOMAIN = 3, 19  # RFC 8914


@pytest.fixture
def stale(world, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"{w.CONFIG.read_text()}serve_stale:\n  keep: {KEPT_S}s\n")
    w.appliance.cli("config", "apply", path)
    yield world
    w.appliance.cli("config", "apply", w.CONFIG)


def infos(answer) -> list[int]:
    """The codes of its extended DNS errors."""
    return [option.code for option in answer.message.options if option.otype == dns.edns.EDE]


def is_stale(answer, address: str = "192.0.2.1") -> bool:
    """An answer past its time, as RFC 8767 wants it shown; a fresh one has the TTL it came with,
    and says nothing of its age."""
    assert answer.rcode == "NOERROR" and not answer.message.flags & dns.flags.AD
    (records,) = answer.message.answer
    assert [record.address for record in records] == [address]
    assert (records.ttl == SHOWN_TTL_S) == (infos(answer) == [STALE_ANSWER])
    return records.ttl == SHOWN_TTL_S


def past_its_time(world, way) -> str:
    """A name with an answer whose time is over, and a resolver that has gone silent."""
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1", ttl=TTL_S)]))
    world.ask(way, name)
    world.serve(name, w.silent)
    world.advance(TTL_S + 1)
    return name


def ask_and_wait(world, way, name):
    """Asks, and lets the client timer run out once the resolver has been asked."""
    count = len(world.asked(name))
    with w.client(way) as asker:
        made = w.query(name)
        asker.send(made.to_wire())
        world.wait_asked(name, count + 1)
        with pytest.raises(TimeoutError):
            asker.receive(w.QUIET_S)
        world.advance(CLIENT_TIMER_S)
        wire = asker.receive()
        return w.Answer(w.dns.message.from_wire(wire), wire)


@every_way
def test_A122_after_the_client_timer(stale, way):
    name = past_its_time(stale, way)
    with Changed() as changed:
        assert is_stale(ask_and_wait(stale, way, name))
    assert changed["waiter_stale"] == 1, changed


@every_way
def test_A122_never_while_a_new_one_can_be_had(stale, way):
    name = past_its_time(stale, way)
    stale.serve(name, says(answer=[rrset(name, "A", "192.0.2.2", ttl=TTL_S)]))
    assert not is_stale(stale.ask(way, name), "192.0.2.2")


@every_way
def test_A122_at_once_while_a_failure_is_fresh(stale, way):
    name = past_its_time(stale, way)
    stale.serve(name, says(rcode=dns.rcode.SERVFAIL))
    assert is_stale(stale.ask(way, name))
    count = len(stale.asked(name))
    stale.serve(name, says(answer=[rrset(name, "A", "192.0.2.2", ttl=TTL_S)]))
    stale.advance(RECHECK_S - 2)
    assert is_stale(stale.ask(way, name)) and len(stale.asked(name)) == count
    stale.advance(3)
    assert not is_stale(stale.ask(way, name), "192.0.2.2") and len(stale.asked(name)) == count + 1


@every_way
def test_A122_the_late_answer_counts(stale, way):
    name = past_its_time(stale, way)
    assert is_stale(ask_and_wait(stale, way, name))
    (late,) = stale.asked(name)[1:2]
    new = w.reply_to(late, answer=[rrset(name, "A", "192.0.2.2", ttl=TTL_S)])
    stale.resolver.reply(late, new.to_wire())
    w.appliance.settled_stats()
    assert not is_stale(stale.ask(way, name), "192.0.2.2")


@every_way
def test_A122_nxdomain_takes_its_place(stale, way):
    name = past_its_time(stale, way)
    stale.serve(name, says(authority=[soa("example")], rcode=dns.rcode.NXDOMAIN))
    assert stale.ask(way, name).rcode == "NXDOMAIN"
    stale.advance(61)
    stale.serve(name, says(rcode=dns.rcode.SERVFAIL))
    answer = stale.ask(way, name)
    assert answer.rcode == "NXDOMAIN" and infos(answer) == [STALE_NXDOMAIN]


@every_way
def test_A122_without_recursion_there_is_none(stale, way):
    name = past_its_time(stale, way)
    answer = stale.ask(way, name, flags=0)
    assert answer.rcode == "REFUSED" and not answer.records


@every_way
def test_A122_not_for_ever(stale, way):
    name = past_its_time(stale, way)
    stale.serve(name, says(rcode=dns.rcode.SERVFAIL))
    stale.advance(KEPT_S)
    answer = stale.ask(way, name)
    assert answer.rcode == "SERVFAIL" and not answer.records


@every_way
def test_A122_off_unless_switched_on(world, way):
    name = past_its_time(world, way)
    world.serve(name, says(rcode=dns.rcode.SERVFAIL))
    answer = world.ask(way, name)
    assert answer.rcode == "SERVFAIL" and not answer.records


def unix_s(world) -> int:
    """What the appliance takes for the time: it stands in a server cookie (RFC 9018)."""
    answer = world.ask("udp4", world.name(), options=[dns.edns.GenericOption(10, bytes(8))])
    (cookie,) = [option for option in answer.message.options if option.otype == 10]
    return int.from_bytes(cookie.data[12:16], "big")


@every_way
def test_A42_an_entry_ends_with_its_first_signature(world, way):
    name = world.name()
    end = time.strftime("%Y%m%d%H%M%S", time.gmtime(unix_s(world) + 60))
    signature = f"A 13 4 300 {end} 20240101000000 1 example. c2lnbmF0dXJl"
    records = [rrset(name, "A", "192.0.2.1"), rrset(name, "RRSIG", signature)]
    world.serve(name, says(answer=records))
    for pass_s, asked in ((0, 1), (55, 1), (10, 2)):
        world.advance(pass_s)
        world.ask(way, name, dnssec=True)
        assert len(world.asked(name)) == asked
