# SPDX-License-Identifier: Apache-2.0
"""Through the appliance a validating resolver says what it says directly, and the common clients
get along with it."""

import dataclasses
import functools
import select
import struct
import subprocess

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

import appliance
import namespace
import signed_tree
from appliance import SERVICE4, SERVICE6, SERVICES, UPSTREAM4
from signed_tree import NAMES, TTL, ZONE

LAB = ["--workers", "2", "--no-upstream"]
CONFIG = appliance.LAB_CONFIG.read_text()
for BACKEND in ("    address: 198.18.1.1:53\n", '    address: "[fd00:18:1::1]:53"\n'):
    assert BACKEND in CONFIG
    CONFIG = CONFIG.replace(BACKEND, BACKEND + "    trust_ad: true\n")

RD, AD, CD = dns.flags.RD, dns.flags.AD, dns.flags.CD
WAYS = (("udp", SERVICE4), ("udp", SERVICE6), ("tcp", SERVICE4), ("tcp", SERVICE6))
AT_ONCE = 50  # queries that a connection has outstanding


@pytest.fixture(scope="module")
def tree(lab, tmp_path_factory):
    with signed_tree.SignedTree(tmp_path_factory.mktemp("tree")).served() as tree:
        appliance.wait_ready()
        appliance.wait_until(
            lambda: appliance.ask(f"n0.{ZONE}", timeout=5, tries=5).rcode == "NOERROR",
            namespace.PATIENCE_S,
            "the resolver to be in use",
            interval=0.3,
        )
        yield tree


def client(*command, **options) -> subprocess.CompletedProcess:
    return appliance.inside(namespace.CLIENT, *command, **options)


# ------------------------------------------------------------------------------- a thousand names


@dataclasses.dataclass(frozen=True)
class Question:
    name: str
    rdtype: str
    dnssec: bool
    cd: bool

    def wire(self, ident: int, payload: int = 1232) -> bytes:
        query = dns.message.make_query(self.name, self.rdtype, payload=payload, use_edns=0)
        query.flags = RD | AD | (CD if self.cd else 0)
        query.ednsflags = dns.flags.DO if self.dnssec else 0
        query.id = ident
        return query.to_wire()


def questions() -> list[Question]:
    asked = []
    for i in range(NAMES):
        name = f"n{i}.{ZONE}"
        of_type = signed_tree.type_of(i)
        asked.append((name, of_type))
        if of_type == "DNAME":
            asked.append((f"x.{name}", "A"))  # exists
            asked.append((f"y.{name}", "A"))  # does not
        elif of_type == "CNAME":
            asked.append((name, "A"))  # what it points to
        elif i % 5 == 0 and of_type != "DS":  # below that is a zone that nobody serves
            asked.append((name, "NULL"))  # no data
            asked.append((f"no.{name}", "A"))  # no name
    for rdtype in ("SOA", "NS", "DNSKEY", "NSEC3PARAM", "RRSIG", "A"):
        asked.append((ZONE, rdtype))
    asked += [(f"a.wild.{ZONE}", "TXT"), (f"bogus.{ZONE}", "A"), (".", "SOA"), (".", "DNSKEY")]
    return [
        Question(name, rdtype, dnssec, cd)
        for name, rdtype in asked
        for dnssec in (False, True)
        for cd in (False, True)
    ]


def ask_all(
    there: str, way: tuple[str, str], asked: list[Question], payload: int = 1232
) -> list[bytes]:
    """The answers, in the order of the questions."""
    transport, address = way
    stream = transport == "tcp"
    family = namespace.family_of(address)
    made = (namespace.tcp_socket if stream else namespace.udp_socket)(there, family=family)
    answers: list = [None] * len(asked)
    buffered = b""
    with made:
        made.settimeout(namespace.PATIENCE_S)
        made.connect((address, 53))
        sent = got = 0
        while got < len(asked):
            while sent < len(asked) and sent - got < AT_ONCE:
                wire = asked[sent].wire(sent, payload)
                made.sendall(struct.pack("!H", len(wire)) + wire if stream else wire)
                sent += 1
            ready, _, _ = select.select([made], [], [], namespace.PATIENCE_S)
            missing = [asked[i] for i in range(sent) if answers[i] is None]
            assert ready, f"no answer over {way} for {missing[:3]} and {len(missing)} in all"
            messages = [made.recv(65535)]
            if stream:
                buffered += messages.pop()
                while len(buffered) >= (end := 2 + int.from_bytes(buffered[:2], "big")) > 2:
                    messages.append(buffered[2:end])
                    buffered = buffered[end:]
            for message in messages:
                ident = int.from_bytes(message[:2], "big")
                assert answers[ident] is None, "a second answer"
                answers[ident] = message
                got += 1
    return answers


@functools.lru_cache(maxsize=None)
def meaning_of(wire: bytes, others_too: bool = True):
    """What a client understands; the order of records and their TTLs apart."""
    message = dns.message.from_wire(wire)
    if message.flags & CD:
        # The resolver sets it or not, as it happens to have checked the data for somebody else.
        message.flags &= ~AD
    sections = [message.answer, message.authority] + ([message.additional] if others_too else [])
    for rrset in (rrset for section in sections for rrset in section):
        assert rrset.ttl <= TTL
    return (
        message.rcode(),
        message.flags,
        message.edns,
        message.ednsflags,
        message.question,  # names are equal whatever their case
        [
            sorted(
                (rrset.name.canonicalize().to_wire(), rrset.rdtype, item.to_digestable())
                for rrset in section
                for item in rrset
            )
            for section in sections
        ],
    )


def ask_directly(asked: list[Question]) -> list[bytes]:
    """What the resolver says; again, where it was in a hurry and said SERVFAIL, which it says for
    another 5 s."""
    way = ("udp", UPSTREAM4)
    answers = ask_all(namespace.UPSTREAM, way, asked, 65535)

    def settled() -> bool:
        failed = [
            i
            for i, question in enumerate(asked)
            if answers[i][3] & 0x0F == dns.rcode.SERVFAIL and not question.name.startswith("bogus.")
        ]
        again = ask_all(namespace.UPSTREAM, way, [asked[i] for i in failed], 65535)
        for i, answer in zip(failed, again):
            answers[i] = answer
        return not failed

    appliance.wait_until(settled, 60, "the resolver to answer everything", interval=1)
    return answers


def differences(asked, seen, wanted, way) -> list[str]:
    found = []
    for question, one, other in zip(asked, seen, wanted):
        if one[2] & 0x02 and way[0] == "udp":
            if len(other) <= 1232:
                found.append(f"{question}: truncated, but the answer has {len(other)} octets")
            continue
        whole = way[0] == "tcp" or len(other) <= 1232  # else additional records may be left out
        if meaning_of(one, whole) != meaning_of(other, whole):
            texts = [dns.message.from_wire(wire).to_text() for wire in (one, other)]
            found.append(f"{question}:\n{texts[0]}\ninstead of\n{texts[1]}")
    return found


def test_a_thousand_names_say_what_they_say_directly(tree, service):
    asked = questions()
    assert len({one.name for one in asked}) > NAMES
    direct = ask_directly(asked)
    # Each question is a miss on one of the ways in, and a hit on the three others.
    for turn in range(len(WAYS)):
        for nth, way in enumerate(WAYS):
            chosen = [i for i in range(len(asked)) if (i + turn) % len(WAYS) == nth]
            ours = [asked[i] for i in chosen]
            seen = ask_all(namespace.CLIENT, way, ours)
            wrong = differences(ours, seen, [direct[i] for i in chosen], way)
            assert not wrong, f"{len(wrong)} over {way}, turn {turn}; first: {wrong[0]}"


# ------------------------------------------------------------------------------- clients


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("options", ([], ["+tcp"]))
def test_dig(tree, service, address, options):
    for _ in range(2):
        text = client("dig", f"@{address}", "+dnssec", *options, f"n0.{ZONE}").stdout
        assert " ad;" in text or " ad " in text
        assert "192.0.2.0" in text and "RRSIG" in text and "WARNING" not in text


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("options", ([], ["+tcp"]))
def test_kdig(tree, service, address, options):
    for _ in range(2):
        text = client("kdig", f"@{address}", "+dnssec", *options, f"n1.{ZONE}", "AAAA").stdout
        assert "2001:db8::1" in text and "RRSIG" in text and "WARNING" not in text
        assert " ad;" in text or " ad " in text


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("options", ([], ["-t"]))
def test_drill(tree, service, address, options):
    for _ in range(2):
        text = client("drill", "-D", *options, f"@{address}", f"n5.{ZONE}", "TXT").stdout
        assert '"name 5"' in text and "RRSIG" in text


@pytest.mark.parametrize("options", ([], ["+tcp"]))
def test_delv_validates_by_itself(tree, service, tmp_path, options):
    (tmp_path / "anchor").write_text(tree.anchor)
    delv = ("delv", f"@{SERVICE4}", "-a", tmp_path / "anchor", "+root=.", *options)
    for _ in range(2):
        assert "; fully validated" in client(*delv, f"n16.{ZONE}", "A").stdout
        denied = client(*delv, f"no-such-name.{ZONE}", "A", check=False)
        assert "; negative response, fully validated" in denied.stdout, denied.stdout
        bogus = client(*delv, f"bogus.{ZONE}", "A", check=False)
        assert "fully validated" not in bogus.stdout


def test_bogus_data_for_those_alone_who_say_that_they_check(tree, service):
    for _ in range(2):
        assert appliance.ask(f"bogus.{ZONE}").rcode == "SERVFAIL"
        seen = appliance.ask(f"bogus.{ZONE}", flags=RD | CD, dnssec=True)
        assert seen.rcode == "NOERROR" and not seen.message.flags & AD


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("options", ("", "options edns0 trust-ad\n", "options use-vc\n"))
def test_stub_resolver_of_the_c_library(tree, service, tmp_path, address, options):
    """In a mount namespace of its own, which has another resolv.conf."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {address}\n{options}")
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    script = (
        f"mount --bind {tmp_path}/resolv.conf $(readlink -f /etc/resolv.conf) &&"
        f" mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf && getent"
    )
    for _ in range(2):
        for database, name, wanted in (
            ("ahostsv4", "n0", "192.0.2.0"),
            ("ahostsv6", "n1", "2001:db8::1"),
            ("ahosts", "n2", "192.0.2.0"),  # by way of its CNAME
        ):
            seen = client("unshare", "-m", "sh", "-c", f"{script} {database} {name}.{ZONE}")
            assert wanted in seen.stdout
        no_name = f"{script} ahosts no-such-name.{ZONE}"
        assert client("unshare", "-m", "sh", "-c", no_name, check=False).returncode == 2


# ------------------------------------------------------------------------------- RFC 8906


DIGS = {  # RFC 8906, section 8, as for a recursive server: the options of dig, what must be seen
    "8.1.1 SOA": ("+noedns +noad", "NOERROR", "no OPT"),
    "8.1.2 unknown type": ("+noedns +noad -t TYPE1000", "NOERROR", "no OPT"),
    "8.1.3.1 CD": ("+noedns +noad +cd", "NOERROR", "no OPT"),
    "8.1.3.2 AD": ("+noedns +ad", "NOERROR", "no OPT"),
    "8.1.3.3 reserved bit": ("+noedns +noad +zflag", "NOERROR", "no OPT"),
    "8.1.3.4 RD": ("+noedns +noad +rec", "NOERROR", "no OPT"),
    "8.1.4 unknown opcode": ("+noedns +noad +header-only +opcode=15", "NOTIMP", "no OPT"),
    "8.1.5 TCP": ("+noedns +noad +tcp", "NOERROR", "no OPT"),
    "8.2.1 EDNS": ("+edns=0 +nocookie +noad", "NOERROR", "OPT"),
    "8.2.2 EDNS 1": ("+edns=1 +noednsneg +nocookie +noad", "BADVERS", "OPT"),
    "8.2.3 unknown option": ("+edns=0 +ednsopt=100 +nocookie +noad", "NOERROR", "OPT"),
    "8.2.4 unknown flag": ("+edns=0 +ednsflags=0x40 +nocookie +noad", "NOERROR", "OPT"),
    "8.2.5 EDNS 1, flag": (
        "+edns=1 +noednsneg +ednsflags=0x40 +nocookie +noad",
        "BADVERS",
        "OPT",
    ),
    "8.2.6 EDNS 1, option": (
        "+edns=1 +noednsneg +ednsopt=100 +nocookie +noad",
        "BADVERS",
        "OPT",
    ),
    "8.2.7 small buffer": ("+dnssec +bufsize=512 +ignore +nocookie -t DNSKEY", "NOERROR", "OPT"),
    "8.2.8 DO": ("+edns=0 +dnssec +nocookie +noad", "NOERROR", "OPT"),
    "8.2.9 EDNS 1, DO": ("+edns=1 +noednsneg +dnssec +nocookie +noad", "BADVERS", "OPT"),
    "8.2.10 many options": (
        "+edns=0 +cookie +nsid +expire +subnet=0.0.0.0/0 +noad",
        "NOERROR",
        "OPT",
    ),
}


@pytest.mark.parametrize("address", SERVICES)
@pytest.mark.parametrize("which", DIGS)
def test_A127_the_digs_of_rfc_8906(tree, service, address, which):
    options, status, opt = DIGS[which]
    options = options.split()
    asked = [] if "+header-only" in options else [ZONE] + ([] if "-t" in options else ["SOA"])
    for _ in range(2):
        text = client("dig", f"@{address}", "+tries=1", *options, *asked).stdout
        header = text.split("->>HEADER<<-")[1].split("\n\n")[0]
        assert f"status: {status}" in header
        assert ("EDNS: version: 0" in text) == (opt == "OPT")
        assert "MBZ" not in text and "OPT=100" not in text, "echoes what it does not know"
        assert " aa" not in header
        if "+header-only" in options:
            assert "opcode: RESERVED15" in header
            continue
        wants_answer = status == "NOERROR" and "TYPE1000" not in options
        small = "+bufsize=512" in options
        assert ("ANSWER: 0," not in header) == (wants_answer and not (small and " tc" in header))
        if "+dnssec" in options and status == "NOERROR":
            assert "flags: do;" in text
        if which == "8.2.10 many options":
            assert "COOKIE:" in text and "EXPIRE" not in text
