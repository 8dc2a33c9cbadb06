# SPDX-License-Identifier: Apache-2.0
"""How the appliance asks, and what it believes. The test is the resolver.

A55 (only what matches in every field counts), A56 (ports and ids), A57 (identical misses share one
query), A60 to A62 (late, double, retries), A66 (guessed ids), A24 (no OPT kept), A26 (records off
the chain).
"""

import collections
import itertools
import re
import threading
import time

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest

import appliance
import frames
import namespace
from appliance import SERVICES, ask, cli, mac_of, settled_stats
from played_resolver import ADDRESS, PlayedResolver, answer_to

LAB = ["--workers", "2", "--no-upstream", "--testing"]
# One backend, so that a test knows where each query goes. Time stands still: however slow a test is
# to answer, nothing is asked twice.
CONFIG = (
    appliance.LAB_CONFIG.read_text().replace(
        '  - name: resolver6\n    address: "[fd00:18:1::1]:53"\n', ""
    )
    + "testing:\n  clock: manual\n"
)
assert "resolver6" not in CONFIG
FORGED = "203.0.113.66"
PROBE_INTERVAL_S = 5  # upstream.probe_interval

number = itertools.count()


def fresh_name() -> str:
    return f"x{next(number)}-{time.time_ns()}.played.example"


@pytest.fixture
def resolver(service):
    with PlayedResolver() as played:
        bring_into_use(played)
        yield played
        # Some tests let it down, or leave a question without an answer.
        bring_into_use(played)


def bring_into_use(resolver):
    """No question waits, and the appliance counts on the resolver: ten names belong to both
    workers."""
    resolver.automatic = lambda asked: answer_to(asked).to_wire()
    for _ in range(2 * PROBE_INTERVAL_S + 1):
        appliance.advance(0.5)  # less than a probe waits for its answer
        resolver.catch_up()
    for _ in range(10):
        assert ask(fresh_name()).rcode == "NOERROR"
    resolver.automatic = None
    resolver.drain(0)


def label_of(name: str) -> bytes:
    """By which its queries are known."""
    return name.split(".")[0].encode()


class Client:
    """One query in flight."""

    def __init__(self, name: str, address: str = appliance.SERVICE4):
        self.socket = namespace.udp_socket(namespace.CLIENT, family=namespace.family_of(address))
        self.socket.connect((address, 53))
        self.query = dns.message.make_query(name, "A", use_edns=0)
        self.socket.send(self.query.to_wire())

    def answer(self) -> dns.message.Message:
        self.socket.settimeout(namespace.PATIENCE_S)
        try:
            answer = dns.message.from_wire(self.socket.recv(65535))
        finally:
            self.socket.close()
        assert answer.id == self.query.id
        return answer

    def has_answer(self, seconds: float = 0.2) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(65535)
        except TimeoutError:
            return False
        return True


def wait_until_waiting(count: int) -> None:
    appliance.wait_until(
        lambda: appliance.Stats.read().json["total"]["waiters"] == count,
        namespace.PATIENCE_S,
        f"{count} clients to wait",
        interval=0.01,
    )


def addresses_in(message: dns.message.Message) -> list[str]:
    return [item.to_text() for rrset in message.answer for item in rrset]


def test_query_upstream_is_well_formed(resolver):
    name = fresh_name()
    client = Client(name)
    asked = resolver.next_for(name)
    message = asked.message
    resolver.reply(asked, answer_to(asked).to_wire())
    assert addresses_in(client.answer()) == [ADDRESS]
    assert message.flags & dns.flags.RD and message.flags & dns.flags.AD
    assert message.edns == 0 and message.payload == 1232
    assert [option.otype for option in message.options] == [dns.edns.OptionType.COOKIE]
    assert asked.peer[0] == "198.18.1.53"
    assert 10000 <= asked.port <= 32000


def wrong_id(asked, reply):
    reply.id = (asked.ident + 1) & 0xFFFF
    return reply.to_wire()


def wrong_name(asked, reply):
    return re.sub(rb"(?i)\x06played", b"\x06forged", reply.to_wire())


def wrong_type(asked, reply):
    wire = bytearray(reply.to_wire())
    end = 12 + len(asked.message.question[0].name.to_wire())
    wire[end : end + 2] = b"\0\x1c"
    return bytes(wire)


def not_a_response(asked, reply):
    wire = bytearray(reply.to_wire())
    wire[2] &= 0x7F
    return bytes(wire)


def wrong_opcode(asked, reply):
    wire = bytearray(reply.to_wire())
    wire[2] |= 0x10
    return bytes(wire)


def cut_short(asked, reply):
    return reply.to_wire()[:11]


def broken_records(asked, reply):
    return reply.to_wire()[:-14]


# Which counter sees it; the prefilter may see to some of these first.
FORGERIES = [
    (wrong_id, "up_drop_port"),
    (wrong_name, "up_drop_question"),
    (wrong_type, "up_drop_question"),
    (not_a_response, "up_drop_qr"),
    (wrong_opcode, "up_drop_opcode"),
    (cut_short, "up_drop_short"),
    (broken_records, "up_drop_malformed"),
]


@pytest.mark.parametrize(
    "forge,counter", FORGERIES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a55_forged_answer_is_ignored(resolver, forge, counter):
    name = fresh_name()
    before = settled_stats()
    client = Client(name)
    asked = resolver.next_for(name)
    for _ in range(3):
        resolver.reply(asked, forge(asked, answer_to(asked, FORGED)))
    resolver.reply(asked, answer_to(asked).to_wire())
    assert addresses_in(client.answer()) == [ADDRESS], "the forged answer won"
    assert addresses_in(ask(name).message) == [ADDRESS], "the forged answer was kept"
    changed = settled_stats().since(before)
    seen = changed.get(counter, 0) + changed.get("xdp:" + counter, 0)
    seen += sum(count for key, count in changed.items() if key.startswith("xdp:drop"))
    assert seen == 3, changed
    assert changed.get("up_accepted") == 1


@pytest.mark.parametrize("source,port", [("198.18.1.1", 5353), ("198.18.1.2", 53)])
def test_a55_answer_from_elsewhere_is_ignored(resolver, source, port):
    """Right in everything but where it comes from: another port, or another address."""
    name = fresh_name()
    client = Client(name)
    asked = resolver.next_for(name)
    forged = answer_to(asked, FORGED).to_wire()
    packet = frames.ipv4(
        source, asked.peer[0], frames.udp(source, asked.peer[0], port, asked.port, forged)
    )
    frame = frames.ethernet(
        mac_of(namespace.UPSTREAM, "mr-u0"), mac_of(namespace.DUT, "mr-u"), packet
    )
    with namespace.packet_socket(namespace.UPSTREAM, "mr-u0") as wire:
        for _ in range(3):
            wire.send(frame)
    assert not client.has_answer(), "an answer from elsewhere was taken"
    resolver.reply(asked, answer_to(asked).to_wire())
    assert addresses_in(client.answer()) == [ADDRESS]


def test_a66_guesses_at_the_id_move_the_question_elsewhere(resolver):
    """4096 guesses, with everything else right: then even the right id comes too late. There is no
    TCP here, so the question comes again from another port."""
    name = fresh_name()
    before = settled_stats()
    client = Client(name)
    asked = resolver.next_for(name)
    wire = bytearray(answer_to(asked, FORGED).to_wire())
    for guess in range(4096):
        ident = (asked.ident + 1 + guess) & 0xFFFF
        wire[:2] = ident.to_bytes(2, "big")
        resolver.reply(asked, bytes(wire))
        if guess % 256 == 0:
            appliance.advance(0)  # no more than a receive queue holds: it could lose the right one
    again = resolver.next_for(name)
    assert again.port != asked.port
    resolver.reply(asked, answer_to(asked, FORGED).to_wire())
    resolver.reply(again, answer_to(again).to_wire())
    assert addresses_in(client.answer()) == [ADDRESS]
    assert settled_stats().since(before).get("up_spoof_alarm") == 1


def test_a56_ports_and_ids_are_spread(service):
    count = 600
    with PlayedResolver(automatic=lambda asked: answer_to(asked).to_wire()) as resolver:
        for _ in range(count // 20):
            clients = [Client(fresh_name()) for _ in range(20)]
            for client in clients:
                client.answer()
        asked = resolver.drain()
    ports = [one.port for one in asked]
    idents = [one.ident for one in asked]
    assert len(asked) >= count
    # 600 draws from some 22000 ports: about 8 pairs by chance; from 65536 ids, about 3.
    assert len(set(ports)) > 0.93 * len(ports)
    assert len(set(idents)) > 0.96 * len(idents)
    assert len({port >> 10 for port in ports}) >= 18, "not the whole range of ports is used"
    for bit in range(16):
        ones = sum(ident >> bit & 1 for ident in idents)
        # Eight standard deviations of a fair coin.
        assert (
            abs(ones - len(idents) / 2) < 4 * len(idents) ** 0.5
        ), f"bit {bit} of the id is not random"
    steps = collections.Counter((b - a) & 0xFFFF for a, b in itertools.pairwise(idents))
    assert steps.most_common(1)[0][1] <= 5, "ids follow a pattern"


@pytest.mark.parametrize("address", SERVICES)
def test_a57_identical_misses_share_one_query(resolver, address):
    name = fresh_name()
    before = settled_stats()
    clients = [Client(name, address) for _ in range(200)]
    asked = resolver.next_for(name)
    wait_until_waiting(len(clients))
    resolver.reply(asked, answer_to(asked).to_wire())
    for client in clients:
        assert addresses_in(client.answer()) == [ADDRESS]
    again = [one for one in resolver.drain(0) if label_of(name) in one.wire.lower()]
    assert not again, f"{len(again)} more queries for the same name"
    changed = settled_stats().since(before)
    assert changed.get("miss", 0) + changed.get("hit", 0) == 200
    assert changed.get("up_sent") == 1


def test_a2_waiting_clients_keep_their_spelling(resolver):
    name = fresh_name()
    spellings = [name, name.upper(), name.title()]
    clients = [Client(spelling) for spelling in spellings]
    asked = resolver.next_for(name)
    wait_until_waiting(len(clients))
    resolver.reply(asked, answer_to(asked).to_wire())
    for spelling, client in zip(spellings, clients):
        assert client.answer().question[0].name.to_text(omit_final_dot=True) == spelling


def test_a61_second_answer_is_dropped(resolver):
    name = fresh_name()
    before = settled_stats()
    client = Client(name)
    asked = resolver.next_for(name)
    resolver.reply(asked, answer_to(asked).to_wire())
    resolver.reply(asked, answer_to(asked, FORGED).to_wire())
    assert addresses_in(dns.message.from_wire(client.socket.recv(65535))) == [ADDRESS]
    assert not client.has_answer(), "one query got two answers"
    assert addresses_in(ask(name).message) == [ADDRESS]
    assert settled_stats().since(before).get("up_accepted") == 1


def test_a62_retries_are_bounded_and_change_port_and_id(resolver):
    name = fresh_name()
    client = Client(name)
    tries = [resolver.next_for(name)]
    appliance.advance(5.1)
    assert client.answer().rcode() == dns.rcode.SERVFAIL
    tries += [one for one in resolver.drain(0) if label_of(name) in one.wire.lower()]
    assert 2 <= len(tries) <= 3
    assert len({one.port for one in tries}) == len(tries)
    assert len({one.ident for one in tries}) == len(tries)


def test_a62_a_lost_query_is_sent_again(resolver):
    name = fresh_name()
    client = Client(name)
    resolver.next_for(name)
    appliance.advance(0.41)
    second = resolver.next_for(name)
    resolver.reply(second, answer_to(second).to_wire())
    assert addresses_in(client.answer()) == [ADDRESS]


def test_a26_records_off_the_chain_are_not_kept(resolver):
    """A right answer that brings along a record for another name (A6)."""
    name, bank = fresh_name(), fresh_name()
    client = Client(name)
    asked = resolver.next_for(name)
    reply = answer_to(asked)
    reply.additional.append(dns.rrset.from_text(bank + ".", 300, "IN", "A", FORGED))
    resolver.reply(asked, reply.to_wire())
    client.answer()
    other = Client(bank)
    asked = resolver.next_for(bank)
    resolver.reply(asked, answer_to(asked).to_wire())
    assert addresses_in(other.answer()) == [ADDRESS]


def test_a24_opt_of_upstream_is_not_passed_on(resolver):
    name = fresh_name()
    client = Client(name)
    asked = resolver.next_for(name)
    reply = answer_to(asked)
    reply.use_edns(0, payload=4096, options=[dns.edns.GenericOption(100, b"theirs")])
    resolver.reply(asked, reply.to_wire())
    assert client.answer().options == ()
    hit = ask(name).message
    assert hit.options == () and hit.payload == 1232
    assert ask(name, edns=False).message.edns == -1


def test_a39_ttl_with_the_top_bit_is_capped(resolver):
    name = fresh_name()
    client = Client(name)
    asked = resolver.next_for(name)
    wire = (
        answer_to(asked, ttl=0x7EEEEEEE).to_wire().replace(b"\x7e\xee\xee\xee", b"\xff\xff\xff\xff")
    )
    resolver.reply(asked, wire)
    client.answer()
    assert ask(name).ttls == [86400]


def test_a36_ttl_never_rises_and_the_entry_goes_with_it(resolver):
    """Each answer of the resolver lives for two seconds."""
    name = fresh_name()
    shown = []
    resolver.automatic = lambda asked: answer_to(asked, ttl=2).to_wire()
    for _ in range(12):
        shown += ask(name).ttls
        appliance.advance(0.5)
    fetched = [one for one in resolver.drain(0) if label_of(name) in one.wire.lower()]
    assert shown == [2, 2, 1, 1] * 3 and len(fetched) == 3


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_a54_failure_of_the_only_resolver_is_servfail(resolver, rcode):
    name = fresh_name()

    def fail(asked):
        reply = dns.message.make_response(asked.message)
        reply.set_rcode(rcode)
        return reply.to_wire()

    resolver.automatic = fail
    assert ask(name).rcode == "SERVFAIL"


def test_flush_while_in_flight_is_not_undone(resolver):
    """A125: what was asked before the flush is delivered but not kept."""
    name = fresh_name()
    client = Client(name)
    asked = resolver.next_for(name)
    cli("cache", "flush", name)
    resolver.reply(asked, answer_to(asked).to_wire())
    assert addresses_in(client.answer()) == [ADDRESS]
    resolver.automatic = lambda one: answer_to(one, "192.0.2.8").to_wire()
    assert addresses_in(ask(name).message) == ["192.0.2.8"]


def test_a130_one_query_one_answer_under_concurrency(service):
    """Sixteen threads, a hundred names each, some shared: each client gets exactly one answer."""
    failures = []

    def client(thread: int) -> None:
        for i in range(100):
            if failures:
                return
            one = Client(f"c{i % 25}-{thread % 4}.{base}", SERVICES[i % 2])
            try:
                wire = one.socket.recv(65535)
                if dns.message.from_wire(wire).id != one.query.id or one.has_answer(0.001):
                    failures.append((thread, i))
            except TimeoutError:
                failures.append((thread, i, "no answer"))
            finally:
                one.socket.close()

    base = fresh_name()
    before = settled_stats()
    with PlayedResolver(automatic=lambda asked: answer_to(asked).to_wire()) as resolver:
        threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked = resolver.drain()
    assert not failures
    changed = settled_stats().since(before)
    assert changed["hit"] + changed["miss"] == 1600
    assert len([one for one in asked if label_of(base) in one.wire.lower()]) == 100, "names"
