# SPDX-License-Identifier: Apache-2.0
"""A107-A120, A126-A130: which queries are answered, and with what."""

import struct

import dns.edns
import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

import world as w
from world import Changed, every_way, over_udp, rrset, says

RD = dns.flags.RD
Option = dns.edns.GenericOption


def head(flags=0x0100, qd=1, an=0, ns=0, ar=0) -> bytes:
    return struct.pack("!HHHHHH", 0xBEEF, flags, qd, an, ns, ar)


def question(name: str, rdtype: int = 1, rdclass: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    return labels + b"\0" + struct.pack("!HH", rdtype, rdclass)


def check_error(message: bytes, answer: bytes | None, rcode: int, room: int = 0) -> None:
    """An error as it has to be: of this query, and hardly larger."""
    assert answer is not None, "no answer"
    assert answer[:2] == message[:2]
    sent, flags = message[2] << 8 | message[3], answer[2] << 8 | answer[3]
    assert flags & 0x8000 and flags & 0x7900 == sent & 0x7900, "opcode and RD"
    assert flags & 0x000F == rcode and not flags & 0x0640
    assert answer[6:10] == bytes(4)
    assert len(answer) <= max(len(message), 12) + room


@every_way
@pytest.mark.parametrize("opcode", range(1, 16))
def test_A107_B24_other_opcodes(world, way, opcode):
    name = world.name()
    for body in (b"", question(name), b"\xff" * 30, bytes(100)):
        message = head(0x0100 | opcode << 11, qd=1 if body else 0) + body
        answer = world.send(way, message)
        check_error(message, answer, dns.rcode.NOTIMP)
        assert len(answer) == 12 and answer[4:] == bytes(8)
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("count", (2, 3, 65535))
def test_A108_B12_more_than_one_question(world, way, count):
    name = world.name()
    message = head(qd=count) + question(name) * min(count, 3)
    check_error(message, world.send(way, message), dns.rcode.FORMERR)
    assert not world.asked(name)


@every_way
def test_A108_B13_no_question(world, way):
    message = head(qd=0)
    answer = world.send(way, message)
    check_error(message, answer, dns.rcode.FORMERR)
    assert len(answer) == 12


BAD_COUNTS = {
    "answer": {"an": 1},
    "authority": {"ns": 1},
    "additional": {"ar": 3},
    "tc": {"flags": 0x0300},
}


@every_way
@pytest.mark.parametrize("which", BAD_COUNTS)
def test_A109_A110_B14_records_in_a_query(world, way, which):
    name = world.name()
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4)
    message = head(**BAD_COUNTS[which]) + question(name) + record * 3
    check_error(message, world.send(way, message), dns.rcode.FORMERR)
    assert not world.asked(name)


@every_way
def test_A109_B25_responses_are_dropped(world, way):
    name = world.name()
    for flags in (0x8100, 0x8180, 0x8182, 0x8001):
        assert world.send(way, head(flags) + question(name), timeout=w.QUIET_S) is None
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("rd", (0, 0x0100))
def test_A110_formerr_has_what_could_be_read(world, way, rd):
    name = world.name()
    message = head(rd, ar=1) + question(name)
    answer = world.send(way, message)
    check_error(message, answer, dns.rcode.FORMERR)
    assert answer[4:6] in (b"\0\0", b"\0\1") and answer[10:12] == b"\0\0"
    if answer[5]:
        assert answer[12:] == question(name)


@every_way
def test_A111_B68_without_rd_nobody_is_asked(world, way):
    name = world.name()
    for _ in range(2):
        answer = world.ask(way, name, flags=0)
        assert answer.rcode == "REFUSED" and not answer.records
        assert not answer.message.flags & RD
        assert not world.asked(name)
        world.ask(way, name)
        world.queries.clear()


@pytest.fixture
def ruled(running, tmp_path):
    """Applies access rules; takes them back afterwards."""
    own = w.appliance.STATE / "millrace.yaml"

    def apply(rules: str) -> None:
        path = tmp_path / "rules.yaml"
        path.write_text(own.read_text() + rules)
        w.appliance.cli("config", "apply", path)

    yield apply
    w.appliance.cli("config", "apply", own)


@every_way
@pytest.mark.parametrize("action", ("refuse", "drop"))
def test_A112_hits_included(world, ruled, way, action):
    name = world.name()
    world.ask_twice(way, name)
    ruled(
        "access:\n  - {name: us, sources: [198.18.0.0/24, 'fd00:18::/64'], " f"action: {action}}}\n"
    )
    if action == "refuse":
        answer = world.ask(way, name)
        assert answer.rcode == "REFUSED" and not answer.records
        ede = [o.code for o in answer.message.options if o.otype == dns.edns.OptionType.EDE]
        assert ede == [18]
    else:
        assert world.send(way, w.query(name).to_wire(), timeout=w.QUIET_S) is None


@every_way
@pytest.mark.parametrize("rdtype", (251, 252))
def test_A113_B67_transfers(world, way, rdtype):
    name = world.name()
    message = head() + question(name, rdtype)
    answer = world.send(way, message)
    assert answer[3] & 15 in (dns.rcode.REFUSED, dns.rcode.NOTIMP)
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("rdtype,rdclass", ((250, 255), (24, 255)))
def test_A114_B67_signed_queries(world, way, rdtype, rdclass):
    name = world.name()
    signature = b"\0" + struct.pack("!HHIH", rdtype, rdclass, 0, 20) + bytes(20)
    message = head(ar=1) + question(name) + signature
    answers = {world.send(way, message)[3] & 15 for _ in range(3)}
    assert len(answers) == 1 and answers <= {dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR}
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("name", ("version.bind", "id.server", "hostname.bind", "version.server"))
def test_A115_chaos_is_not_asked_for(world, way, name):
    answer = dns.message.from_wire(world.send(way, head() + question(name, 16, 3)))
    assert answer.rcode() in (dns.rcode.REFUSED, dns.rcode.NOERROR)
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("rdclass", (4, 254, 255))
def test_A115_other_classes(world, way, rdclass):
    name = world.name()
    message = head() + question(name, 1, rdclass)
    for _ in range(2):
        answer = world.send(way, message)
        assert answer[3] & 15 in (dns.rcode.REFUSED, dns.rcode.FORMERR, dns.rcode.NOERROR)
    assert len(world.asked(name)) in (0, 2)


@every_way
@pytest.mark.parametrize("rdtype", (0, 41, 249, 250))
def test_A116_types_that_cannot_be_asked_for(world, way, rdtype):
    name = world.name()
    message = head() + question(name, rdtype)
    check_error(message, world.send(way, message), dns.rcode.FORMERR)
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize(
    "rdtype,rcode",
    (
        (128, dns.rcode.FORMERR),
        (253, dns.rcode.NOTIMP),
        (254, dns.rcode.NOTIMP),
    ),
)
def test_A116_the_others(world, way, rdtype, rcode):
    name = world.name()
    message = head() + question(name, rdtype)
    assert world.send(way, message)[3] & 15 == rcode
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("name", ("localhost", "foo.localhost"))
def test_A117_A120_localhost(world, way, name):
    assert world.ask(way, name).records[0].endswith("A 127.0.0.1")
    assert world.ask(way, name, "AAAA").records[0].endswith("AAAA ::1")
    other = world.ask(way, name, "MX")
    assert other.rcode == "NOERROR" and not other.records
    assert [one.rdtype for one in other.message.authority] == [dns.rdatatype.SOA]
    assert not world.asked(name)


@every_way
@pytest.mark.parametrize("name", ("invalid", "foo.invalid", "test", "foo.test"))
def test_A117_A120_names_that_do_not_exist(world, way, name):
    answer = world.ask(way, name)
    assert answer.rcode == "NXDOMAIN"
    assert [one.rdtype for one in answer.message.authority] == [dns.rdatatype.SOA]
    assert not world.asked(name)


PRIVATE = (
    "1.0.0.10.in-addr.arpa",
    "1.1.16.172.in-addr.arpa",
    "1.1.31.172.in-addr.arpa",
    "1.1.168.192.in-addr.arpa",
    "1.0.0.127.in-addr.arpa",
    "1.1.254.169.in-addr.arpa",
    "1.2.0.192.in-addr.arpa",
    "1.255.255.255.255.in-addr.arpa",
    "1.1.64.100.in-addr.arpa",
    "1.0.0.0.d.f.ip6.arpa",
    "1.0.8.e.f.ip6.arpa",
    "1.8.b.d.0.1.0.0.2.ip6.arpa",
)


@every_way
def test_A118_A120_private_reverse_zones(world, way):
    for name in PRIVATE:
        answer = world.ask(way, name, "PTR")
        assert answer.rcode == "NXDOMAIN" and answer.message.flags & dns.flags.AA
        (authority,) = answer.message.authority
        assert authority.ttl == authority[0].minimum == 10800
        assert not world.asked(name)


@every_way
@pytest.mark.parametrize(
    "name,rcode",
    (
        ("resolver.arpa", "NOERROR"),
        ("_dns.resolver.arpa", "NOERROR"),
        ("host.onion", "NXDOMAIN"),
        ("host.alt", "NXDOMAIN"),
    ),
)
def test_A119_special_names(world, way, name, rcode):
    answer = world.ask(way, name)
    assert answer.rcode == rcode and not answer.records
    assert not world.asked(name)


COMPLIANCE = {  # (query, what is expected); RFC 8906, section 8
    "plain SOA": ({"edns": False, "rdtype": "SOA"}, {}),
    "unknown type": ({"edns": False, "rdtype": "TYPE1000"}, {}),
    "CD": ({"edns": False, "flags": RD | dns.flags.CD, "rdtype": "SOA"}, {}),
    "AD": ({"edns": False, "flags": RD | dns.flags.AD, "rdtype": "SOA"}, {}),
    "reserved bit": ({"edns": False, "flags": RD | 0x40, "rdtype": "SOA"}, {}),
    "EDNS 0": ({"rdtype": "SOA"}, {"edns": 0}),
    "EDNS 1": ({"rdtype": "SOA", "ednsflags": 1 << 16}, {"edns": 0, "rcode": "BADVERS"}),
    "EDNS 0, option": ({"rdtype": "SOA", "options": [Option(100, b"")]}, {"edns": 0}),
    "EDNS 0, flag": ({"rdtype": "SOA", "ednsflags": 0x40}, {"edns": 0}),
    "EDNS 1, flag": (
        {"rdtype": "SOA", "ednsflags": 1 << 16 | 0x40},
        {"edns": 0, "rcode": "BADVERS"},
    ),
    "EDNS 1, option": (
        {"rdtype": "SOA", "ednsflags": 1 << 16, "options": [Option(100, b"")]},
        {"edns": 0, "rcode": "BADVERS"},
    ),
    "small buffer": ({"rdtype": "SOA", "dnssec": True, "payload": 512}, {"edns": 0}),
    "DO": ({"rdtype": "SOA", "dnssec": True}, {"edns": 0}),
    "EDNS 1, DO": (
        {"rdtype": "SOA", "ednsflags": 1 << 16, "dnssec": True},
        {"edns": 0, "rcode": "BADVERS"},
    ),
    "many options": (
        {
            "rdtype": "SOA",
            "options": [
                dns.edns.ECSOption("0.0.0.0", 0),
                Option(10, b"clientck"),
                Option(3, b""),
                Option(9, b""),
            ],
        },
        {"edns": 0},
    ),
}


@every_way
@pytest.mark.parametrize("which", COMPLIANCE)
def test_A127_compliance(world, way, which):
    world.serve("", says(answer=[w.soa(".")]), "SOA")
    options, wanted = COMPLIANCE[which]
    for _ in range(2):
        answer = world.ask(way, ".", **options)
        assert answer.rcode == wanted.get("rcode", "NOERROR")
        assert answer.message.edns == wanted.get("edns", -1)
        if answer.message.edns == 0:
            assert answer.message.ednsflags & 0x7FFF == 0
            assert 100 not in [option.otype for option in answer.message.options]
        assert not answer.message.flags & (dns.flags.AA | 0x40)
        assert len(answer.message.question) == 1


@every_way
def test_A127_another_opcode(world, way):
    message = head(15 << 11 | 0x0100, qd=0)
    for _ in range(2):
        assert world.send(way, message) == message[:2] + b"\xf9\x84" + bytes(8)


def test_A128_everything_is_counted_by_its_cause(world):
    shapes = {
        "fmt_qdcount": head(qd=2) + question("a.example") * 2,
        "fmt_qd0": head(qd=0),
        "fmt_an_ns": head(an=1) + question("a.example") + bytes(20),
        "notimp": head(0x1000),
        "refused_rd0": head(0) + question("a.example"),
        "refused_transfer": head() + question("a.example", 252),
        "fmt_meta_type": head() + question("a.example", 41),
    }
    for counter, message in shapes.items():
        with Changed() as changed:
            world.send("udp4", message)
        assert changed[counter] == 1, (counter, changed)


@over_udp
def test_A130_one_query_one_answer(world, way):
    names = [world.name() for _ in range(20)]
    with w.client(way) as asker:
        for name in names * 3:
            asker.send(w.query(name).to_wire())
        for _ in names * 3:
            asker.receive()
        with pytest.raises(TimeoutError):
            asker.receive(w.QUIET_S)
