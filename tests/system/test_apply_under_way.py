# SPDX-License-Identifier: Apache-2.0
"""A config that moves ports and resolvers loses no answer to what was asked before it."""

import collections
import itertools
import threading
import time

import dns.message
import dns.rcode

import appliance
import namespace
from appliance import SERVICE4, cli, query_bytes, settled_stats
from played_resolver import PlayedResolver, answer_to

LAB = ["--workers", "2", "--no-upstream"]
PLACES = tuple(("198.18.1.1", port) for port in (53, 5301, 5302))
LATENCY_S = 0.15
QPS = 100
SECONDS = 6
# One packet for each question: a lost answer is a SERVFAIL. It has its time on a busy machine, too.
RANGES = ("[10000, 19999]", "[20001, 30000]", "[31000, 33000]")
CONFIG = (
    appliance.LAB_CONFIG.read_text().replace(
        '  - name: resolver6\n    address: "[fd00:18:1::1]:53"\n', ""
    )
    + f"upstream: {{tries: 1, try_timeout: 6s, give_up: 6s, port_range: {RANGES[0]}}}\n"
)


def config_of(text: str, number: int) -> str:
    """Our ports and the resolver's change, now one and now both."""
    port = PLACES[number // 2 % 3][1]
    return text.replace("198.18.1.1:53", f"198.18.1.1:{port}").replace(
        RANGES[0], RANGES[number % 3]
    )


class SlowResolver(PlayedResolver):
    """Answers everything, each after the same time."""

    def __init__(self):
        self._due = collections.deque()
        self._over = threading.Event()
        self._answering = threading.Thread(target=self._answer)
        super().__init__(self._note, places=PLACES)
        self._answering.start()

    def __exit__(self, *details):
        self._over.set()
        self._answering.join()
        super().__exit__(*details)

    def _note(self, asked):
        self._due.append((time.monotonic() + LATENCY_S, asked))

    def _answer(self):
        while not self._over.is_set():
            while self._due and self._due[0][0] <= time.monotonic():
                asked = self._due.popleft()[1]
                self.reply(asked, answer_to(asked).to_wire())
            time.sleep(0.002)


class Misses:
    """Clients that ask for another name each time, at a steady rate."""

    def __init__(self):
        self.sent = 0
        self.rcodes = collections.Counter()
        self._end = threading.Event()
        self._all_sent = threading.Event()
        self._socket = namespace.udp_socket(namespace.CLIENT)
        self._socket.settimeout(0.5)
        self._threads = [threading.Thread(target=run) for run in (self._ask, self._listen)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        stamp = time.time_ns()
        start = time.monotonic()
        for number in itertools.count():
            time.sleep(max(0, start + number / QPS - time.monotonic()))
            if self._end.is_set():
                return
            self._socket.sendto(query_bytes(f"x{number}-{stamp}.example"), (SERVICE4, 53))
            self.sent += 1

    def _listen(self):
        quiet = 0  # half seconds
        while quiet < 14 and not (self._all_sent.is_set() and self.rcodes.total() == self.sent):
            try:
                message = dns.message.from_wire(self._socket.recv(4096))
                self.rcodes[dns.rcode.to_text(message.rcode())] += 1
            except TimeoutError:
                quiet += self._all_sent.is_set()

    def finish(self):
        self._end.set()
        self._threads[0].join()
        self._all_sent.set()
        self._threads[1].join()
        self._socket.close()


def test_no_answer_is_lost_while_ports_and_resolvers_move(service, lab, tmp_path):
    with SlowResolver():
        appliance.wait_until(
            lambda: appliance.ask(f"x{time.time_ns()}.example", timeout=8).rcode == "NOERROR",
            20,
            "the resolver to be in use",
            interval=0.3,
        )
        before = settled_stats()
        misses = Misses()
        end = time.monotonic() + SECONDS
        applies = 0

        def enough() -> bool:
            return applies > 10 and misses.sent > 0.2 * QPS * SECONDS

        try:
            for applies in itertools.count(1):
                late_s = time.monotonic() - end
                if late_s > 60 or (late_s > 0 and enough()):
                    break
                path = tmp_path / "moved.yaml"
                path.write_text(config_of(lab.read_text(), applies))
                cli("config", "apply", path)
        finally:
            misses.finish()
            cli("config", "apply", lab)
        changed = settled_stats().since(before)
    assert enough()
    assert misses.rcodes == {"NOERROR": misses.sent}, changed
    for lost in ("xdp:passed_addr", "xdp:dropped_stray", "pass_addr", "up_timeout"):
        assert lost not in changed, changed


def test_in_the_end_the_rules_are_those_of_the_config(service, lab, tmp_path):
    """Bounded: what came from elsewhere than a resolver of today is nobody's answer for ever."""
    path = tmp_path / "moved.yaml"
    path.write_text(config_of(lab.read_text(), 1))
    cli("config", "apply", path)
    started = time.monotonic()
    cli("config", "apply", lab)
    with namespace.udp_socket(namespace.UPSTREAM, "198.18.1.1", 5302) as stranger:

        def passes():
            counts = settled_stats()
            stranger.sendto(b"not an answer", ("198.18.1.53", 20008))
            changed = settled_stats().since(counts)
            return changed.get("xdp:passed_addr") == 1

        # As long as a question may take, which is upstream.give_up.
        assert not passes() or time.monotonic() - started > 6, "they belong to nobody yet"
        appliance.wait_until(passes, 40, "the former ports to be the kernel's again")
