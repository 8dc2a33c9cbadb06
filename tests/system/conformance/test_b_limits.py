# SPDX-License-Identifier: Apache-2.0
"""B44, B46, B49: floods, and what is left for everybody else."""

import contextlib

import dns.edns
import dns.flags
import dns.message
import pytest

import world as w
from appliance import sent_to_clients, settled_stats
from world import Changed, every_way, over_udp, rrset, says

LIMIT = 100


@pytest.fixture
def limited(running, tmp_path):
    """Responses over UDP are limited; taken back afterwards."""
    own = w.appliance.STATE / "millrace.yaml"
    path = tmp_path / "limits.yaml"
    text = own.read_text()
    assert "limits:\n" in text
    path.write_text(text.replace("limits:\n", f"limits:\n  responses_per_second: {LIMIT}\n"))
    w.appliance.cli("config", "apply", path)
    w.appliance.advance(1.1)  # as if nobody had been answered yet
    yield
    w.appliance.cli("config", "apply", own)


def large(world) -> str:
    """A name whose TXT records fill a datagram; the cache knows it."""
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "TXT", *(f'"{c * 100}"' for c in "abcdefghij"))]))
    world.ask("tcp4", name, "TXT")
    return name


def answers_to(world, asker, message: bytes, count: int) -> list[bytes]:
    """All that comes back when it is sent so often, and nobody else is answered."""
    before = settled_stats()
    for number in range(1, count + 1):
        asker.send(message)
        if number % 100 == 0:
            world.advance(0)  # the wire holds 256 packets
    sent = sent_to_clients(settled_stats().since(before))
    return [asker.receive() for _ in range(sent)]


def received(world, asker) -> list[bytes]:
    """What comes while others are answered, too; not all of it on a busy machine."""
    world.advance(0)  # what was sent has been dealt with
    messages = []
    try:
        while True:
            messages.append(asker.receive(w.QUIET_S))
    except TimeoutError:
        return messages


@over_udp
def test_B44_a_spoofed_source_gets_little(world, limited, way):
    """Time stands still, so there is a second's worth at most; one flow gets one worker's share."""
    name = large(world)
    message = w.query(name, "TXT").to_wire()
    sent = 400
    with Changed() as changed, w.client(way) as asker:
        answers = answers_to(world, asker, message, sent)
    whole = [answer for answer in answers if len(answer) > 500]
    slips = [answer for answer in answers if len(answer) <= 500]
    assert 0 < len(whole) <= LIMIT, changed
    assert all(answer[2] & 2 and len(answer) <= len(message) for answer in slips)
    assert changed["rrl_slip"] == len(slips) and changed["rrl_drop"] > 0, changed
    assert len(whole) + changed["rrl_slip"] + changed["rrl_drop"] == sent, changed
    # What it brought who forged the source, beside what it would have brought.
    assert max(map(len, whole)) <= 1232
    assert sum(map(len, answers)) < (LIMIT * 1232 + sent * len(message)), "amplification"


@over_udp
def test_B44_real_clients_are_served_all_the_same(world, limited, way):
    name = large(world)
    client_cookie = bytes(range(8))
    cookie = [dns.edns.GenericOption(10, client_cookie)]
    with w.client(way) as asker:
        message = w.query(name, "TXT", options=cookie).to_wire()
        wires = answers_to(world, asker, message, 2 * LIMIT)
        answers = [w.Answer(dns.message.from_wire(wire), wire) for wire in wires]
    slips = [answer for answer in answers if answer.message.flags & dns.flags.TC]
    assert slips and not slips[0].records
    shown = [dns.edns.GenericOption(10, bytes(option.data)) for option in slips[0].message.options]
    assert len(shown[0].data) == 24
    for _ in range(50):
        assert world.ask(way, name, "TXT", options=shown).records, "with a good cookie"
    for _ in range(50):
        assert world.ask("tcp" + way[-1], name, "TXT").records, "over TCP"


def test_B44_a_second_later_there_is_more(world, limited):
    message = w.query(large(world), "TXT").to_wire()
    with w.client("udp4") as asker:  # one flow: one worker

        def answered() -> int:
            answers = answers_to(world, asker, message, 2 * LIMIT)
            return sum(len(answer) > 500 for answer in answers)

        assert answered() > 0
        assert answered() == 0
        world.advance(0.5)
        assert 0 < answered() <= LIMIT / 2


@pytest.fixture
def silent_below(world):
    """Says whose servers are down; everybody else answers. A flood that nobody answers counts the
    resolver out, so it has to come back in the end."""

    def begin(zone: str) -> None:
        world.kept_waiting = True
        label = zone.split(".")[0].encode()  # sought in octets: a flood is not parsed one by one
        world.resolver.automatic = lambda asked: (
            None if label in asked.wire.lower() else world.answer(asked)
        )

    return begin


def send_flood(world, messages) -> None:
    """Pairs of a client and a name. No more at once than a queue of the appliance holds: it may
    have no CPU for a while, and what is lost there is no limit of ours."""
    for number, (flood, name) in enumerate(messages, 1):
        flood.send(w.query(name).to_wire())
        if number % 1000 == 0:
            world.advance(0)


@every_way
def test_B46_B49_random_names_leave_the_others_room(world, silent_below, way):
    """One client has 3000 misses: all that is more than its share fails at once, and nobody else's
    hits and misses notice."""
    known = world.name()
    world.ask(way, known)
    zone = world.name("victim")
    silent_below(zone)
    other_way = "udp6" if way.endswith("4") else "udp4"
    with Changed() as changed:
        with w.client("udp" + way[-1]) as flood:
            send_flood(world, ((flood, f"r{idx}.{zone}") for idx in range(3000)))
            for _ in range(20):
                assert world.ask(way, known).records, "hits"
                assert world.ask(other_way, world.name()).records, "misses of others"
            assert world.ask(other_way, f"www.{world.name('other')}").records
            failed = [answer for answer in received(world, flood) if answer[3] & 15 == 2]
            world.advance(6)
    refused = changed["miss_limit_src"] + changed["waiter_limit_src"]
    assert 0 < refused and len(failed) <= refused + changed["miss_limit_zone"], changed


def test_B46_random_names_from_everywhere(world, silent_below):
    """Each of two clients stays within its share, both together are above that of the domain."""
    zone = world.name("victim")
    silent_below(zone)
    with Changed() as changed:
        with w.client("udp4") as flood4, w.client("udp6") as flood6:
            both = ((flood4, "r"), (flood6, "s"))
            send_flood(
                world, ((f, f"{letter}{idx}.{zone}") for idx in range(1800) for f, letter in both)
            )
            assert world.ask("udp4", world.name()).records, "another domain"
            world.advance(6)
    assert changed["miss_limit_zone"] + changed["waiter_limit_zone"] > 0, changed
    assert changed["miss_limit_src"] + changed["waiter_limit_src"] == 0, changed


@pytest.fixture
def forty_sources():
    """Addresses that the client has besides its own."""
    sources = [f"198.18.0.{100 + i}" for i in range(40)]
    for change in ("add", "delete"):
        commands = "; ".join(f"ip address {change} {one}/24 dev mr-c0" for one in sources)
        w.appliance.inside(w.namespace.CLIENT, "sh", "-ec", commands)
        if change == "add":
            yield sources


def test_B46_whoever_waits_over_tcp_leaves_others_a_place(world, silent_below, forty_sources):
    """Each asks for more than there are places; whoever comes then is served before any of them
    has its answer."""
    zone = world.name("victim")
    silent_below(zone)
    with contextlib.ExitStack() as open_ones:
        for number, source in enumerate(forty_sources):
            greedy = open_ones.enter_context(w.TcpClient(w.SERVICE_OF["4"], source=source))
            for idx in range(100):
                greedy.send(w.query(f"n{idx}s{number}.{zone}").to_wire())
        for way in ("tcp4", "tcp6"):
            for _ in range(10):
                assert world.ask(way, world.name()).records
        world.advance(6)
