# SPDX-License-Identifier: Apache-2.0
"""The resolver stops answering: clients get SERVFAIL in time, hits go on, and recovery is quick."""

import os
import signal
import time

import pytest

import appliance
from appliance import SERVICES, ZONE, ask, settled_stats

LAB = []
CONFIG = appliance.LAB_CONFIG.read_text() + "upstream:\n  probe_interval: 1s\n"


@pytest.fixture
def silent_upstream(service):
    pid = appliance.recorded_pid("unbound")
    os.kill(pid, signal.SIGSTOP)
    yield pid
    os.kill(pid, signal.SIGCONT)
    wait_recovered()


def wait_recovered() -> None:
    """Until names that nobody has asked for get through; a dead backend is probed now and then."""
    appliance.wait_until(
        lambda: ask(f"up-{time.time_ns()}.wild.{ZONE}").rcode == "NOERROR",
        60,
        "the resolver to be in use again",
        interval=0.3,
    )


@pytest.mark.parametrize("address", SERVICES)
def test_servfail_within_give_up_time(service, silent_upstream, address):
    """upstream.give_up is 5 s; the conformance suite (A63) has its clock, this one is real."""
    answer = ask(f"down-{time.time_ns()}.wild.{ZONE}", address=address, timeout=10)
    assert answer.rcode == "SERVFAIL"


def test_hits_go_on(service):
    name = f"known-{time.time_ns()}.wild.{ZONE}"
    ask(name)
    pid = appliance.recorded_pid("unbound")
    os.kill(pid, signal.SIGSTOP)
    try:
        ask(f"down-{time.time_ns()}.wild.{ZONE}")
        before = settled_stats()
        for _ in range(20):
            assert ask(name).rcode == "NOERROR"
        assert settled_stats().since(before).get("hit") == 20
    finally:
        os.kill(pid, signal.SIGCONT)
        wait_recovered()


def test_failing_names_are_not_asked_one_by_one(service, silent_upstream):
    """While the only resolver is down, each client query costs no packet of its own upstream."""
    for _ in range(3):
        ask(f"down-{time.time_ns()}.wild.{ZONE}")
    before = settled_stats()
    for _ in range(50):
        assert ask(f"down-{time.time_ns()}.wild.{ZONE}").rcode == "SERVFAIL"
    assert settled_stats().since(before).get("up_sent", 0) < 50


def test_recovery(service):
    pid = appliance.recorded_pid("unbound")
    os.kill(pid, signal.SIGSTOP)
    for _ in range(4):
        assert ask(f"down-{time.time_ns()}.wild.{ZONE}").rcode == "SERVFAIL"
    os.kill(pid, signal.SIGCONT)
    wait_recovered()
    # One that answers is enough for a client; the other is back with its own probe.
    appliance.wait_until(
        lambda: all(backend["up"] for backend in settled_stats().json["backends"]),
        60,
        "each address of the resolver to be in use again",
    )


def test_the_log_says_once_what_is_down_and_up_again(service):
    log = appliance.STATE / "millraced.log"
    before = len(log.read_text())

    def lines() -> list[str]:
        return log.read_text()[before:].splitlines()

    def logged(*texts: str) -> bool:
        return all(any(text in line for line in lines()) for text in texts)

    def asked_and_logged(*texts: str) -> bool:
        ask(f"down-{time.time_ns()}.wild.{ZONE}")
        return logged(*texts)

    backends = [row["name"] for row in settled_stats().json["backends"]]
    down = [f"backend {name}: down: no answers" for name in backends] + ["no backend is up"]
    up = [f"backend {name}: up again after" for name in backends] + ["a backend is up again"]
    pid = appliance.recorded_pid("unbound")
    os.kill(pid, signal.SIGSTOP)
    try:
        appliance.wait_until(lambda: asked_and_logged(*down), 60, "the log to say what is down")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_recovered()
    appliance.wait_until(lambda: logged(*up), 60, "the log to say what is up again")
    for text in down + up:
        assert sum(text in line for line in lines()) == 1, lines()
