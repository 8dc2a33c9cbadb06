# SPDX-License-Identifier: Apache-2.0
"""A clock that stands still: nothing ends by itself, and what becomes due is done in order."""

import time

import pytest

import appliance
import namespace
from appliance import SERVICE4, ask, cli, query_bytes, settled_stats
from played_resolver import PlayedResolver, answer_to

LAB = ["--workers", "2", "--no-upstream", "--testing"]
CONFIG = (
    appliance.LAB_CONFIG.read_text().replace(
        '  - name: resolver6\n    address: "[fd00:18:1::1]:53"\n', ""
    )
    + "testing:\n  clock: manual\n"
)


def fresh_name() -> str:
    return f"x{time.time_ns()}.played.example"


@pytest.fixture
def resolver(service):
    with PlayedResolver(automatic=lambda asked: answer_to(asked, ttl=100).to_wire()) as played:
        good = played.automatic
        yield played
        # Some tests let it down: the next probe brings it back, in 5 s, on all cores 0.1 s later.
        played.automatic = good
        for _ in range(11):
            appliance.advance(0.5)  # less than a probe waits for its answer
            played.catch_up()
        for _ in range(10):
            assert ask(fresh_name()).rcode == "NOERROR"


def test_time_passes_when_it_is_told_to(resolver):
    name = fresh_name()
    assert ask(name).ttls == [100]
    time.sleep(1.2)
    assert ask(name).ttls == [100]
    appliance.advance(30)
    assert ask(name).ttls == [70]
    appliance.advance(69.999)
    assert ask(name).ttls == [1]
    appliance.advance(0.001)
    assert ask(name).ttls == [100]


def test_retries_and_the_end_come_in_their_order(resolver):
    resolver.automatic = None
    name = fresh_name()
    with namespace.udp_socket(namespace.CLIENT, family=namespace.family_of(SERVICE4)) as client:
        client.sendto(query_bytes(name), (SERVICE4, 53))
        resolver.next_for(name)
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.recv(512)
        assert not resolver.drain(0.1), "a retry although no time has passed"
        before = settled_stats_of_one_waiting()
        appliance.advance(5.1)
        client.settimeout(namespace.PATIENCE_S)
        assert client.recv(512)[3] & 15 == 2
    changed = settled_stats().since(before)
    retries = [asked for asked in resolver.drain(0.1) if asked.message.question[0].rdtype == 1]
    assert len(retries) == changed["up_retry"] == 2
    assert changed["waiter_failed"] == 1


def settled_stats_of_one_waiting():
    """The statistics while a query waits: they are published although no time passes."""

    def waits():
        stats = appliance.Stats.read()
        return stats if stats.json["total"]["waiters"] == 1 else None

    return appliance.wait_until(waits, namespace.PATIENCE_S, "the query to be counted")


def test_ten_minutes_with_a_dead_resolver(resolver):
    """Probes and all: with something due every 5 s, that takes a second. Did time go on by less
    than from one moment to the next, the data plane would give up after 60 s."""
    resolver.automatic = None
    for _ in range(4):
        name = fresh_name()
        with namespace.udp_socket(namespace.CLIENT, family=namespace.family_of(SERVICE4)) as client:
            client.sendto(query_bytes(name), (SERVICE4, 53))
            resolver.next_for(name)
    before = settled_stats_after(6)
    appliance.advance(600)
    probes = settled_stats().since(before)["probe_sent"]
    assert 100 <= probes <= 121


def settled_stats_after(seconds: float):
    appliance.advance(seconds)
    return settled_stats()


def test_a_clock_that_goes_cannot_be_had_by_apply(resolver, lab, tmp_path):
    path = tmp_path / "real.yaml"
    path.write_text(lab.read_text().replace("clock: manual", "clock: real"))
    done = cli("config", "apply", path, check=False)
    assert done.returncode == 4 and "testing.clock" in done.stderr
