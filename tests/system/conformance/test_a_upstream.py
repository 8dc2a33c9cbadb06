# SPDX-License-Identifier: Apache-2.0
"""A54-A71, A105, A121-A129: how resolvers are asked, what is believed, how often it is tried."""

import re

import dns.edns
import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

import world as w
from world import PAIR_PORT, Changed, every_way, not_yet, over_udp, reply_to, rrset, says

RD = dns.flags.RD


class Held:
    """A question in flight whose answer the test sends itself."""

    def __init__(self, world, way: str = "udp4", port: int = 53, **options):
        self.world = world
        self.name = world.serve(world.name(), w.silent)
        world.kept_waiting = True
        self.client = w.client(way, port)
        self.client.send(w.query(self.name, **options).to_wire())
        self.asked = world.wait_asked(self.name)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.socket.close()

    def good(self) -> bytes:
        return self._good_for(self.asked)

    def _good_for(self, asked) -> bytes:
        return reply_to(asked, answer=[rrset(self.name, "A", "192.0.2.1")]).to_wire()

    def over_tcp(self) -> list:
        return [asked for asked in self.world.asked(self.name) if asked.connection is not None]

    def reply_to(self, asked) -> None:
        """The good answer to a later query for the same."""
        self.world.resolver.reply(asked, self._good_for(asked))

    def reply(self, wire: bytes) -> None:
        self.world.resolver.reply(self.asked, wire)

    def is_silent(self) -> bool:
        try:
            self.client.receive(w.QUIET_S)
        except TimeoutError:
            return True
        return False

    def answer(self):
        return dns.message.from_wire(self.client.receive())


@pytest.mark.parametrize("rcode", (dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.SERVFAIL))
def test_A54_failure_of_all_is_servfail_and_few_are_asked(world, rcode):
    name = world.serve(world.name(), says(rcode=rcode))
    answer = world.ask("udp4", name, port=PAIR_PORT)
    assert answer.rcode == "SERVFAIL"
    assert len({asked.at for asked in world.asked(name)}) == len(world.asked(name)) <= 2


def test_A54_refused_by_one_is_asked_of_the_other(world):
    for _ in range(6):
        name = world.name()
        world.serve(
            name,
            lambda asked, name=name: reply_to(
                asked,
                **(
                    {"rcode": dns.rcode.REFUSED}
                    if asked.at == w.PAIR[0]
                    else {"answer": [rrset(name, "A", "192.0.2.1")]}
                ),
            ),
        )
        assert world.ask("udp4", name, port=PAIR_PORT).records


FORGERIES = {
    "id": lambda held, good: bytes([good[0] ^ 1]) + good[1:],
    "qname": lambda held, good: re.sub(rb"(?i)example", b"exampel", good, count=1),
    "qtype": lambda held, good: good.replace(b"\0\0\1\0\1", b"\0\0\x1c\0\1", 1),
    "qclass": lambda held, good: good.replace(b"\0\0\1\0\1", b"\0\0\1\0\3", 1),
    "qr": lambda held, good: good[:2] + bytes([good[2] & 0x7F]) + good[3:],
    "opcode": lambda held, good: good[:2] + bytes([good[2] | 0x10]) + good[3:],
}


@pytest.mark.parametrize("field", FORGERIES)
def test_A55_a_field_that_does_not_match(world, field):
    with Held(world) as held:
        forged = FORGERIES[field](held, held.good().replace(b"\xc0\0\2\1", b"\xcb\0\x71\x42"))
        assert forged != held.good()
        held.reply(forged)
        assert held.is_silent(), "believed"
        held.reply(held.good())
        assert "192.0.2.1" in str(held.answer())


@pytest.mark.parametrize("source", (("198.18.1.1", 5353), ("198.18.1.1", 5301)))
def test_A55_from_elsewhere(world, source):
    with Held(world) as held:
        forged = held.good().replace(b"\xc0\0\2\1", b"\xcb\0\x71\x42")
        if source in w.PAIR:
            world.resolver.sockets[source].sendto(forged, held.asked.peer)
        else:
            with w.namespace.udp_socket(w.namespace.UPSTREAM, *source) as other:
                other.sendto(forged, held.asked.peer)
        assert held.is_silent()
        held.reply(held.good())
        assert "192.0.2.1" in str(held.answer())


def test_A56_ports_and_ids_are_spread(world):
    names = [world.name() for _ in range(200)]
    with w.client("udp4") as asker:
        for name in names:
            asker.send(w.query(name).to_wire())
            asker.receive()
    asked = [world.asked(name)[0] for name in names]
    assert len({one.port for one in asked}) > 190
    assert len({one.ident for one in asked}) > 190
    for values, top in (([one.port for one in asked], 32000), ([a.ident for a in asked], 65535)):
        assert max(values) > top * 0.85 and any(a > b for a, b in zip(values, values[1:]))
    steps = {b.ident - a.ident for a, b in zip(asked, asked[1:])}
    assert len(steps) > 150


def test_A57_B52_identical_questions_share_one_query(world):
    with Held(world) as held:
        others = []
        for idx in range(60):
            others.append(w.client(w.WAYS[idx % 4]))
            others[-1].send(w.query(held.name).to_wire())
        world.advance(0.05)
        held.reply(held.good())
        for other in others:
            assert dns.message.from_wire(other.receive()).answer
            other.socket.close()
        assert held.answer().answer
        assert len(world.asked(held.name)) == 1


@over_udp
def test_A58_variants_are_few(world, way):
    name = world.serve(world.name(), w.silent)
    with w.client(way) as asker:
        for idx in range(64):
            options = [dns.edns.ECSOption(f"10.{idx}.0.0", 16)]
            for dnssec in (False, True):
                for flags in (RD, RD | dns.flags.CD):
                    asker.send(w.query(name, dnssec=dnssec, flags=flags, options=options).to_wire())
        world.advance(0.05)
        assert len(world.asked(name)) == 4


def test_A59_an_answer_without_question(world):
    with Held(world) as held:
        header = held.asked.wire[:2]
        held.reply(header + b"\x81\x80" + bytes(8))
        assert held.is_silent()
        held.reply(held.good())
        assert held.answer().answer


def test_A60_a_late_answer_serves_the_cache(world):
    with Held(world) as held:
        held.client.socket.close()
        held.reply(held.good())
        w.settled_stats()
        assert "192.0.2.1" in str(world.ask("udp4", held.name).message)
        assert len(world.asked(held.name)) == 1


def test_A60_after_its_end_a_question_takes_no_answer(world):
    with Held(world) as held:
        world.advance(5.1)
        assert held.answer().rcode() == dns.rcode.SERVFAIL
        with Changed() as changed:
            held.reply(held.good())
            assert held.is_silent()
        assert changed["up_drop_port"] == 1, changed
        assert world.ask("udp4", held.name).rcode == "SERVFAIL"


def test_A61_a_second_answer_is_dropped(world):
    with Changed() as changed, Held(world) as held:
        held.reply(held.good())
        assert held.answer().answer
        held.reply(held.good())
        assert held.is_silent()
    assert changed["up_drop_port"] == 1, changed


def test_A62_three_times_at_most_each_from_elsewhere(world):
    with Held(world) as held:
        world.advance(6)
        assert held.answer().rcode() == dns.rcode.SERVFAIL
        asked = world.asked(held.name)
        assert 2 <= len(asked) <= 3
        assert len({one.port for one in asked}) == len({one.ident for one in asked}) == len(asked)


def test_A62_others_first(world):
    for _ in range(4):
        with Held(world, port=PAIR_PORT) as held:
            world.advance(6)
            places = [asked.at for asked in world.asked(held.name)]
            assert set(places[:2]) == set(w.PAIR)


def test_A62_a_client_that_repeats_itself_causes_nothing(world):
    with Held(world) as held:
        message = w.query(held.name).to_wire()
        for _ in range(20):
            held.client.send(message)
        world.advance(0.05)
        assert len(world.asked(held.name)) == 1


def test_A63_the_first_try_and_the_end_have_their_times(world):
    with Held(world) as held:
        world.advance(0.39)
        assert len(world.asked(held.name)) == 1
        world.advance(0.03)
        assert len(world.asked(held.name)) == 2
        world.advance(4.4)
        assert held.is_silent()
        world.advance(0.3)
        assert held.answer().rcode() == dns.rcode.SERVFAIL


@pytest.fixture
def counted_out(world, running, tmp_path):
    """Resolvers that are silent are soon counted out."""
    text = (w.appliance.STATE / "millrace.yaml").read_text()
    path = tmp_path / "health.yaml"
    path.write_text(text.replace("down_after: 100", "down_after: 3"))
    w.appliance.cli("config", "apply", path)
    yield world
    world.kept_waiting = True
    w.appliance.cli("config", "apply", w.appliance.STATE / "millrace.yaml")


def test_A64_all_down_servfail_at_once_and_few_probes(counted_out):
    world = counted_out
    world.resolver.automatic = lambda asked: None
    with w.client("udp4") as asker:
        # One core finds out by a question, the others are told within 100 ms.
        asker.send(w.query(world.name()).to_wire())
        world.advance(12)
        assert asker.receive()[3] & 15 == dns.rcode.SERVFAIL
        world.advance(0.2)
        world.resolver.drain(0.1)
        for _ in range(50):
            answer = world.ask("udp4", world.name())
            assert answer.rcode == "SERVFAIL"
            codes = [o.code for o in answer.message.options if o.otype == dns.edns.OptionType.EDE]
            assert codes in ([22], [23])
        world.advance(60)
        probes = [asked for asked in world.resolver.drain(0.1) if asked.at == w.ONLY]
        assert 4 <= len(probes) <= 13
    # The first good probe puts it back into use, on all cores.
    world.resolver.automatic = world.answer
    for _ in range(2 * w.PROBE_INTERVAL_S + 1):
        world.advance(0.5)  # less than a probe waits for its answer
    for _ in range(10):
        assert world.ask("udp4", world.name()).records


def test_A66_many_wrong_answers_move_it_to_tcp(world):
    with Held(world) as held:
        for guess in range(1, 65):
            ident = (held.asked.ident + guess) & 0xFFFF
            held.reply(ident.to_bytes(2, "big") + held.good()[2:])
        w.appliance.wait_until(held.over_tcp, w.PATIENCE_S, "the question over TCP")


@pytest.mark.parametrize("rcode", (dns.rcode.FORMERR, dns.rcode.NOTIMP))
def test_A69_without_edns_if_it_must_be(world, rcode):
    name = world.name()
    world.serve(
        name,
        lambda asked: reply_to(
            asked,
            **(
                {"rcode": rcode, "edns": False}
                if asked.message.edns >= 0
                else {"answer": [rrset(name, "A", "192.0.2.1")]}
            ),
        ),
    )
    assert world.ask("udp4", name).records


@every_way
@pytest.mark.parametrize("rcode", (dns.rcode.BADVERS, 23))
def test_A70_extended_errors_do_not_reach_clients(world, way, rcode):
    name = world.serve(world.name(), says(rcode=rcode))
    for _ in range(2):
        assert world.ask(way, name).rcode == "SERVFAIL"


@every_way
def test_A71_truncated_is_asked_again_over_tcp(world, way):
    name = world.name()
    world.serve(name, w.truncated_over_udp(says(answer=[rrset(name, "A", "192.0.2.1")])))
    assert world.ask(way, name).records
    first, second = world.asked(name)
    assert first.at == second.at and second.connection is not None


def test_A105_connections_are_shared_and_kept(world):
    names = [world.name() for _ in range(30)]
    for name in names:
        world.serve(name, w.truncated_over_udp(says(answer=[rrset(name, "A", "192.0.2.1")])))
        assert world.ask("udp4", name).records
    assert len({world.asked(name)[1].peer for name in names}) <= 2


def test_A105_a_closed_connection_is_tried_once_more(world):
    known = world.name()
    world.serve(known, w.truncated_over_udp(says(answer=[rrset(known, "A", "192.0.2.1")])))
    world.ask("udp4", known)
    name = world.name()
    over_tcp = []

    def closes_first(asked):
        if asked.connection is None:
            return reply_to(asked, flags=dns.flags.TC)
        over_tcp.append(asked)
        if len(over_tcp) == 1:
            world.resolver.close(asked.connection)
            return None
        return reply_to(asked, answer=[rrset(name, "A", "192.0.2.1")])

    world.serve(name, closes_first)
    assert world.ask("udp4", name).records
    assert len(over_tcp) == 2


@pytest.fixture
def prefetching(world, tmp_path):
    config = w.CONFIG.read_text()
    assert "remaining: 0" in config
    (tmp_path / "config.yaml").write_text(config.replace("remaining: 0", "remaining: 10"))
    w.appliance.cli("config", "apply", tmp_path / "config.yaml")
    yield
    w.appliance.cli("config", "apply", w.CONFIG)


@every_way
def test_A121_a_popular_entry_is_refreshed_once(world, prefetching, way):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1", ttl=100)]))
    world.ask(way, name)
    world.advance(80)
    for _ in range(10):
        world.ask(way, name)
    assert len(world.asked(name)) == 1
    world.advance(12)
    for _ in range(10):
        assert world.ask(way, name).records
    world.wait_asked(name, 2)
    world.advance(20)
    assert world.ask(way, name).records
    assert len(world.asked(name)) == 2


def test_A121_a_refresh_that_fails_leaves_the_entry(world, prefetching):
    name = world.name()
    world.serve(name, says(answer=[rrset(name, "A", "192.0.2.1", ttl=100)]))
    for _ in range(5):
        world.ask("udp4", name)
    world.serve(name, says(rcode=dns.rcode.SERVFAIL))
    world.advance(95)
    world.ask("udp4", name)
    world.wait_asked(name, 2)
    assert world.ask("udp4", name).ttls == [5]


def test_A125_what_was_asked_before_a_flush_is_not_kept(world):
    with Held(world) as held:
        w.appliance.cli("cache", "flush", held.name)
        held.reply(held.good())
        assert held.answer().answer
        world.scripts.clear()
        world.ask("udp4", held.name)
        assert len(world.asked(held.name)) == 2


@every_way
def test_A125_a_flush_holds_from_the_next_query_on(world, way):
    zone = world.name("zone")
    names = [zone, f"a.{zone}", f"b.a.{zone}"]
    for name in names:
        world.ask(way, name)
    w.appliance.cli("cache", "flush", names[1])
    for name in names:
        world.ask(way, name)
    assert [len(world.asked(name)) for name in names] == [1, 2, 1]
    w.appliance.cli("cache", "flush", zone, "--suffix")
    for name in names:
        world.ask(way, name)
    assert [len(world.asked(name)) for name in names] == [2, 3, 2]


def test_A129_the_work_for_one_query_is_bounded(world):
    for script in (
        w.silent,
        says(rcode=dns.rcode.SERVFAIL),
        says(answer=[rrset("x.example", "CNAME", "y.example.")]),
        says(authority=[rrset("example", "NS", *(f"ns{i}.victim.example." for i in range(20)))]),
    ):
        name = world.serve(world.name(), script)
        world.resolver.catch_up()
        seen = len(world.queries)
        with w.client("udp4", PAIR_PORT) as asker:
            asker.send(w.query(name).to_wire())
            world.wait_asked(name)
            world.advance(10)
            asker.receive()
        assert len(world.asked(name)) <= 8
        assert len(world.queries) == seen + 1, "a name out of an answer was asked for"


def test_A97_a_resolver_over_the_other_family(world):
    name = world.name()
    first = world.ask("udp4", name, port=w.SIX_PORT)
    assert first.records and world.asked(name)[0].at == w.SIX
    assert world.ask("udp4", name, port=w.SIX_PORT).records == first.records
    assert len(world.asked(name)) == 1
    for way in ("udp6", "tcp6"):
        name = world.name()
        assert world.ask(way, name).records and world.asked(name)[0].at == w.ONLY


def test_A96_size_that_is_advertised(world):
    name = world.name()
    world.ask("udp4", name, payload=4096)
    assert world.asked(name)[0].message.payload == 1232
